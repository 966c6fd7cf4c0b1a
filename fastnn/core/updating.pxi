# A product that is a gradient, and the step on the weights by it, in one loop: while the multiply-adds of
# one tile run, the tile before it updates its weights, row by row. The processor looks ahead by a part
# of a tile only: one after the other, stores and (Adam's) divisions wait for multiply-adds and these for
# them: 86 instead of 78 per cent of peak for S's update (784 x 128 weights, 32 rows), 95 instead of 90
# for M's; with Adam 65 instead of 59, and 87 instead of 84.

cdef inline forced multiply_row(vec* acc, const real* a, const real* b) noexcept nogil:
    """acc (MR, NV) += a (MR,) b (NV,)."""
    cdef vec row[NV]
    cdef vec x
    cdef int i, j
    for j in range(NV - 1, -1, -1):
        row[j] = vload(b + j * VW)
    for i in range(MR):
        x = vset(a[i])
        for j in range(NV):
            acc[i * NV + j] = vfma(x, row[j], acc[i * NV + j])


cdef inline forced fetch_row(const Ahead* ahead, Py_ssize_t p) noexcept nogil:
    """The request of `tile`, which keeps the parts of `ahead` in registers: T's step is 2 % faster so."""
    cdef const real* line = ahead.arrays[p & ((1 << ahead.bits) - 1)]
    line += ((p >> ahead.shift) & 15) * ahead.ld
    prefetch_write(line + NV * VW - 1)
    prefetch_write(line)


cdef inline forced updating_tiles(const int code, const int slots, Gemm* g, const real* hyper, Strip* s,
                                  int tiles) noexcept nogil:
    """The first `tiles` tiles of MR rows of a strip; k is at least MR."""
    cdef const real* a = s.a
    cdef vec acc[MR * NV]
    cdef vec h[OWN_HYPERS]
    cdef real* rest[SLOTS]
    cdef Py_ssize_t p, k = s.kc, i0 = s.i0, ldw = g.ldc, at = s.i0 * g.ldc + s.j
    cdef Py_ssize_t a_step = 0 if s.in_tiles else MR - k * s.lda
    cdef int i, j, waiting = 0
    # What is updated next: a row of the weights, of their slots and of their gradient.
    cdef real* w = g.c + at
    cdef real* first = g.slots[0] + at if slots > 0 else w
    cdef real* second = g.slots[1] + at if slots > 1 else w
    cdef real* third = g.slots[2] + at if slots > 2 else w
    cdef real* gradient = s.small
    cdef real* out = s.small
    cdef Ahead ahead
    look_ahead(&ahead, g, s)
    while tiles > 0:
        i0 += MR
        look_at_tiles(&ahead, g, s, i0)
        for i in range(MR * NV):
            acc[i] = vset(0)
        gradient = out
        out = s.small if out != s.small else s.small + MR * NV * VW
        for p in range(waiting):
            fetch_row(&ahead, p)
            multiply_row(acc, a, s.b + p * s.ldb)
            a += s.lda
            own_hypers(h, hyper)
            for j in range(NV):
                update_at(code, slots, h, w, first, second, third, j * VW, vload(gradient + j * VW))
            w += ldw
            first += ldw
            second += ldw
            third += ldw
            gradient += NV * VW
        for p in range(waiting, k):
            fetch_row(&ahead, p)
            multiply_row(acc, a, s.b + p * s.ldb)
            a += s.lda
        for i in range(MR * NV):
            vstore(out + i * VW, acc[i])
        a += a_step
        waiting = MR
        tiles -= 1
    rest[0], rest[1], rest[2] = first, second, third
    update_rows(code, slots, hyper, w, rest, ldw, out, NV * VW, waiting, NV * VW)


cdef once updating_strip(Gemm* g, const real* hyper, Strip* s, int tiles) noexcept nogil:
    """One body for each update, as `update_plain`."""
    if g.code == SGD:
        updating_tiles(SGD, 0, g, hyper, s, tiles)
    elif g.code == MOMENTUM:
        updating_tiles(MOMENTUM, 1, g, hyper, s, tiles)
    elif g.code == NESTEROV:
        updating_tiles(NESTEROV, 1, g, hyper, s, tiles)
    elif g.code == ADAGRAD:
        updating_tiles(ADAGRAD, 1, g, hyper, s, tiles)
    elif g.code == RMSPROP:
        updating_tiles(RMSPROP, 1, g, hyper, s, tiles)
    elif g.code == RMSPROP_MOMENTUM:
        updating_tiles(RMSPROP_MOMENTUM, 2, g, hyper, s, tiles)
    elif g.code == RMSPROP_CENTERED:
        updating_tiles(RMSPROP_CENTERED, 2, g, hyper, s, tiles)
    elif g.code == RMSPROP_CENTERED_MOMENTUM:
        updating_tiles(RMSPROP_CENTERED_MOMENTUM, 3, g, hyper, s, tiles)
    elif g.code == ADADELTA:
        updating_tiles(ADADELTA, 2, g, hyper, s, tiles)
    elif g.code == ADAM:
        updating_tiles(ADAM, 2, g, hyper, s, tiles)
    elif g.code == AMSGRAD:
        updating_tiles(AMSGRAD, 3, g, hyper, s, tiles)
    elif g.code == ADAMAX:
        updating_tiles(ADAMAX, 2, g, hyper, s, tiles)
    elif g.code == NADAM:
        updating_tiles(NADAM, 2, g, hyper, s, tiles)
    elif g.code == LION:
        updating_tiles(LION, 1, g, hyper, s, tiles)


cdef inline Py_ssize_t updated_rows(Gemm* g, const Step* step, Strip* s) noexcept nogil:
    """How many rows of the strip were multiplied and updated in one."""
    cdef Py_ssize_t tiles = (s.i1 - s.i0) // MR
    if (g.finish != FINISH_UPDATE or s.nv != NV or s.edge or s.kc < MR or tiles == 0
            or changes_gradient(step.hyper, &g.extras)):
        return 0
    updating_strip(g, step.hyper, s, <int>tiles)
    return tiles * MR
