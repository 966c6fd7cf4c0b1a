# Matrix products C = op(A) op(B), and what is done to each tile of C while it is still in L1.
#
# C (m, n) = A (m, k) B (k, n). A register tile holds up to MR rows by NV vectors of C; each element
# is one chain of fused multiply-adds over k, ascending, whatever the tile, the blocking or the thread:
# so the bits depend on nothing but the operands. Columns are handled in panels of NV vectors. Where
# B's panel is used straight from B, no copy is made; it is packed (copied to k rows of one panel)
# where rows lie so far apart that they fall on few cache sets, transposed, or at a ragged edge.

cdef enum:
    # Rows of B in one panel: 2048 x 128 bytes is a quarter of a 1 MiB L2, and a longer chain would
    # store and reload C more often. (k of an update is never cut: its tile leaves by the update.)
    PANEL_DEPTH = 2048
    # Rows of A that one pass over the panels of B touches; bounds the packed copy of A.
    BLOCK_ROWS = 448
    # Rows of B this many bytes apart or more: a packed panel won by 5 to 10 per cent at 1024**3
    # and 512 x 2048 x 2048, and lost 3 per cent at 512-byte to 2-KiB rows (one core, Zen 4).
    FAR_ROWS = 4096
    # Packing a panel costs about as much as the products of two rows with it.
    PACK_ROWS = 40
    # Rows this many bytes apart (or a multiple) share their L1 sets: 14 rows of A evict each other.
    # Packing A took 1024**3 from 67 to 90 per cent of peak.
    ALIASED_ROWS = 2048
    PAGE_SLACK = 64
    # Up to so many rows, tiles are FLAT_NV vectors wide: the product is bound by reading B, which is
    # read in longer runs then, and a few accumulators would wait for each other.
    FLAT_ROWS = 2

# Multiply-adds below which a second thread costs more than it brings (about 4 microseconds).
cdef double GEMM_WORK_PER_THREAD = 150e3


# What happens to a finished block of C, in place, before it leaves L1.
cdef enum FinishKind:
    FINISH_NOTHING
    FINISH_ACTIVATE  # C = f(C), or f((C - center) * scale + shift) if `scale` is not NULL
    # (where C is kept, it is `activated` that becomes that)
    FINISH_SLOPE     # C = C * f'(.), computed from `saved`
    FINISH_UPDATE    # C is a gradient: update the weights with it and drop it

cdef struct Gemm:
    Py_ssize_t m, n, k
    const real* a         # IN (m, k), or (k, m) if trans_a; NULL: the step's rows of its data
    Py_ssize_t lda
    const real* b         # IN (k, n), or (n, k) if trans_b
    Py_ssize_t ldb
    const real* bias      # IN (n,) or NULL: what each row of C starts from
    real* c               # OUT (m, n); the weights, if FINISH_UPDATE
    Py_ssize_t ldc
    bint trans_a, trans_b
    bint padded           # rows of b, bias, c, activated, saved may be used to a whole vector
    int finish, code
    const real* center    # IN (n,): FINISH_ACTIVATE; as in affine_block
    const real* scale
    const real* shift
    real numbers[NUMBERS]  # of the activation
    real* activated       # OUT (m, n) or NULL: FINISH_ACTIVATE
    Py_ssize_t ldactivated
    const real* saved     # IN (m, n): FINISH_SLOPE
    Py_ssize_t ldsaved
    real* slots[SLOTS]    # INOUT (m, n): FINISH_UPDATE
    Extras extras         # FINISH_UPDATE
    bint pack_a, pack_b
    Py_ssize_t depth      # rows of one panel
    char* scratch         # nthreads * scratch_bytes
    size_t scratch_bytes

cdef real ZEROS[FLAT_NV * LANES]       # the row that a product without bias starts from


# What the next tile will update: where the tile starts in the weights and in each slot.
cdef struct Ahead:
    const real* arrays[4]  # repeated, if there are fewer than 2**bits
    int bits
    Py_ssize_t ld


cdef inline forced tile(const int mr, const int nv, const bint trans_a, Py_ssize_t k,
                        const real* a, Py_ssize_t lda, const real* b, Py_ssize_t ldb,
                        const real* start, Py_ssize_t ldstart, real* c, Py_ssize_t ldc,
                        const Ahead* ahead) noexcept nogil:
    """C = start + A B on mr rows and nv vectors.

    Transposed products, which end in an update, spread the fetching of the next tile's weights and
    slots (`ahead`, 2**bits arrays in turn) over the loop: in one burst it stalled the tile (71
    against 87 per cent of peak at k = 256, 1024 x 1024 weights with momentum).
    """
    cdef const real* line
    cdef vec acc[MR][NV]
    cdef vec row[NV]
    cdef vec x
    cdef Py_ssize_t p, ld_ahead = ahead.ld
    cdef int i, j, bits = ahead.bits, turn = (1 << bits) - 1
    for i in range(mr):
        for j in range(nv):
            acc[i][j] = vload(start + i * ldstart + j * VW)
    for p in range(k):
        if trans_a:
            line = ahead.arrays[p & turn] + ((p >> bits) & 15) * ld_ahead
            prefetch(line)
            prefetch(line + NV * VW - 1)
        for j in range(nv):
            row[j] = vload(b + p * ldb + j * VW)
        for i in range(mr):
            x = vset(a[p * lda + i] if trans_a else a[i * lda + p])
            for j in range(nv):
                acc[i][j] = vfma(x, row[j], acc[i][j])
    for i in range(mr):
        for j in range(nv):
            vstore(c + i * ldc + j * VW, acc[i][j])


cdef inline forced flat_tile(const int mr, Py_ssize_t k, const real* a, Py_ssize_t lda, const real* b,
                             Py_ssize_t ldb, const real* start, Py_ssize_t ldstart, real* c,
                             Py_ssize_t ldc) noexcept nogil:
    """C = start + A B on mr rows and FLAT_NV vectors."""
    cdef vec acc[FLAT_ROWS][FLAT_NV]
    cdef vec x[FLAT_ROWS]
    cdef vec row
    cdef Py_ssize_t p
    cdef int i, j
    for i in range(mr):
        for j in range(FLAT_NV):
            acc[i][j] = vload(start + i * ldstart + j * VW)
    for p in range(k):
        for i in range(mr):
            x[i] = vset(a[i * lda + p])
        for j in range(FLAT_NV):
            row = vload(b + p * ldb + j * VW)
            for i in range(mr):
                acc[i][j] = vfma(x[i], row, acc[i][j])
    for i in range(mr):
        for j in range(FLAT_NV):
            vstore(c + i * ldc + j * VW, acc[i][j])


cdef void any_flat_tile(int mr, Py_ssize_t k, const real* a, Py_ssize_t lda, const real* b,
                        Py_ssize_t ldb, const real* start, Py_ssize_t ldstart, real* c,
                        Py_ssize_t ldc) noexcept nogil:
    if mr == 1:
        flat_tile(1, k, a, lda, b, ldb, start, ldstart, c, ldc)
    else:
        flat_tile(2, k, a, lda, b, ldb, start, ldstart, c, ldc)


cdef inline forced tile_of_height(const int nv, const bint trans_a, int mr, Py_ssize_t k,
                                  const real* a, Py_ssize_t lda, const real* b, Py_ssize_t ldb,
                                  const real* start, Py_ssize_t ldstart, real* c,
                                  Py_ssize_t ldc, const Ahead* ahead) noexcept nogil:
    """One body for each height, so that every accumulator is a register."""
    if MR >= 14 and mr == 14:
        tile(14 if MR >= 14 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 13 and mr == 13:
        tile(13 if MR >= 13 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 12 and mr == 12:
        tile(12 if MR >= 12 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 11 and mr == 11:
        tile(11 if MR >= 11 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 10 and mr == 10:
        tile(10 if MR >= 10 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 9 and mr == 9:
        tile(9 if MR >= 9 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 8 and mr == 8:
        tile(8 if MR >= 8 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 7 and mr == 7:
        tile(7 if MR >= 7 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 6 and mr == 6:
        tile(6 if MR >= 6 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 5 and mr == 5:
        tile(5 if MR >= 5 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 4 and mr == 4:
        tile(4 if MR >= 4 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 3 and mr == 3:
        tile(3 if MR >= 3 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 2 and mr == 2:
        tile(2 if MR >= 2 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 1 and mr == 1:
        tile(1 if MR >= 1 else 1, nv, trans_a, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)


cdef void any_tile(int mr, int nv, bint trans_a, Py_ssize_t k, const real* a, Py_ssize_t lda,
                   const real* b, Py_ssize_t ldb, const real* start, Py_ssize_t ldstart, real* c,
                   Py_ssize_t ldc, const Ahead* ahead) noexcept nogil:
    if nv == NV:
        if trans_a:
            tile_of_height(NV, True, mr, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
        else:
            tile_of_height(NV, False, mr, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif trans_a:
        tile_of_height(1, True, mr, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    else:
        tile_of_height(1, False, mr, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)

cdef void pack_rows(const real* x, Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t cols,
                    real* out, Py_ssize_t ldout) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):
        memcpy(out + i * ldout, x + i * ldx, cols * sizeof(real))


cdef void pack_panel(const real* b, Py_ssize_t ldb, Py_ssize_t k, Py_ssize_t cols,
                     real* out) noexcept nogil:
    """out (k, NV * VW) = the first cols columns of b (k, .), zeros beyond."""
    cdef Py_ssize_t p, j
    if cols == NV * VW:
        for p in range(k):
            for j in range(NV):
                vstore(out + p * (NV * VW) + j * VW, vload(b + p * ldb + j * VW))
    else:
        memset(out, 0, k * (NV * VW) * sizeof(real))
        pack_rows(b, ldb, k, cols, out, NV * VW)


cdef void pack_panel_transposed(const real* b, Py_ssize_t ldb, Py_ssize_t k, Py_ssize_t cols,
                                real* out) noexcept nogil:
    """out (k, NV * VW) = the first cols rows of b (., k), transposed, zeros beyond."""
    cdef Py_ssize_t p = 0, j, q
    if cols < NV * VW:
        memset(out, 0, k * (NV * VW) * sizeof(real))
    while p + VW <= k:
        j = 0
        while j + VW <= cols:
            transpose_block(b + j * ldb + p, ldb, out + p * (NV * VW) + j, NV * VW)
            j += VW
        for j in range(j, cols):
            for q in range(p, p + VW):
                out[q * (NV * VW) + j] = b[j * ldb + q]
        p += VW
    for p in range(p, k):
        for j in range(cols):
            out[p * (NV * VW) + j] = b[j * ldb + p]


cdef void finish_block(Gemm* g, const Step* step, real* c, Py_ssize_t ldc, Py_ssize_t i, Py_ssize_t j,
                       Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """What g.finish says, on the block of C that starts at (i, j) and stands in c."""
    cdef real* slots[SLOTS]
    cdef Py_ssize_t at
    cdef int s
    if g.finish == FINISH_ACTIVATE:
        if g.scale != NULL:
            affine_block(g.center + j if g.center != NULL else NULL, g.scale + j,
                         g.shift + j if g.shift != NULL else NULL, c, ldc, c, ldc, rows, cols, True)
        if g.activated != NULL:
            activate_block(g.code, g.numbers, c, ldc, g.activated + i * g.ldactivated + j,
                           g.ldactivated, rows, cols)
        elif g.code != LINEAR:
            activate_block(g.code, g.numbers, c, ldc, c, ldc, rows, cols)
    elif g.finish == FINISH_SLOPE:
        slope_block(g.code, g.numbers, g.saved + i * g.ldsaved + j, g.ldsaved, c, ldc, c, ldc, rows,
                    cols)
    elif g.finish == FINISH_UPDATE:
        at = i * g.ldc + j
        for s in range(SLOTS):
            slots[s] = g.slots[s] + at if g.slots[s] != NULL else NULL
        update_block(g.code, step.hyper, &g.extras, g.c + at, slots, g.ldc, c, ldc, rows, cols)


cdef void gemm_prepare(Gemm* g) noexcept nogil:
    """The packing that the shapes ask for, and the scratch that it takes for each thread."""
    cdef size_t row_a = g.lda * sizeof(real), row_b = g.ldb * sizeof(real)
    cdef Py_ssize_t tall = g.k if g.trans_a else min(g.m, BLOCK_ROWS)
    cdef bint aliased_b = row_b % ALIASED_ROWS == 0
    g.depth = g.k if g.finish == FINISH_UPDATE else min(g.k, PANEL_DEPTH)
    g.pack_a = (g.a == NULL or row_a % ALIASED_ROWS == 0) and tall >= 8 and g.n >= 8 * NV * VW
    g.pack_b = g.trans_b or (g.m >= PACK_ROWS and (aliased_b or row_b >= FAR_ROWS) and g.k >= 128)
    g.scratch_bytes = (g.depth * NV * VW + MR * NV * VW) * sizeof(real) + PAGE_SLACK
    if g.pack_a:
        g.scratch_bytes += packed_a_numbers(g) * sizeof(real)
    g.scratch_bytes = (g.scratch_bytes + 4095) // 4096 * 4096 + PAGE_SLACK


cdef inline Py_ssize_t packed_a_ld(Gemm* g) noexcept nogil:
    return (min(g.m, BLOCK_ROWS) if g.trans_a else g.depth) + LANES


cdef inline Py_ssize_t packed_a_numbers(Gemm* g) noexcept nogil:
    return packed_a_ld(g) * (g.depth if g.trans_a else min(g.m, BLOCK_ROWS))


cdef void gemm_share(Gemm* g, int tid, int nthreads, Py_ssize_t* i0, Py_ssize_t* i1,
                     Py_ssize_t* v0, Py_ssize_t* v1) noexcept nogil:
    """The rows and the vectors of columns that are this thread's: the grid of threads with the
    least work for its busiest member; more columns before more rows, for A is the cheaper to share."""
    cdef Py_ssize_t vectors = (g.n + VW - 1) // VW
    cdef Py_ssize_t cost, best = -1
    cdef int across, chosen = 1
    for across in range(nthreads, 0, -1):
        if nthreads % across == 0:
            cost = (((vectors + across - 1) // across)
                    * ((g.m + nthreads // across - 1) // (nthreads // across)))
            if best < 0 or cost < best:
                best = cost
                chosen = across
    share(vectors, 1, tid % chosen, chosen, v0, v1)
    share(g.m, 1, tid // chosen, nthreads // chosen, i0, i1)


cdef void gemm_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Gemm* g = <Gemm*>args
    cdef Py_ssize_t first, last, v0, v1, v, k0, kc, i, i0, i1, tiles, j, cols, ldpanel, lda, ldout
    cdef Py_ssize_t ldstart
    cdef const real* a
    cdef const real* panel
    cdef const real* start
    cdef real* out
    cdef real* packed_panel = <real*>(g.scratch + g.scratch_bytes * tid)
    cdef real* small = packed_panel + g.depth * NV * VW     # one tile
    cdef real* packed_a = small + MR * NV * VW
    cdef const real* rows = g.a
    cdef Py_ssize_t ldrows = g.lda
    cdef int mr, nv, flat, s
    cdef bint edge, apart, pack_a = g.pack_a
    cdef real edge_bias[NV * VW]
    cdef Ahead ahead
    ahead.ld, ahead.bits = g.ldc, 1 if g.slots[1] == NULL else 2
    gemm_share(g, tid, nthreads, &first, &last, &v0, &v1)
    if first >= last or v0 >= v1:
        return
    if rows == NULL:
        ldrows = step.lddata
        rows = step.data + step.first * ldrows
        pack_a = pack_a and ldrows * sizeof(real) % ALIASED_ROWS == 0
    flat = NV
    if last - first <= FLAT_ROWS and not g.trans_a and not g.trans_b and not g.pack_b:
        flat = FLAT_NV
    k0 = 0
    while True:
        kc = min(g.k - k0, g.depth)
        i0 = first
        while i0 < last:
            i1 = min(i0 + BLOCK_ROWS, last)
            if pack_a:
                lda = packed_a_ld(g)
                if g.trans_a:
                    pack_rows(rows + k0 * ldrows + i0, ldrows, kc, i1 - i0, packed_a, lda)
                else:
                    pack_rows(rows + i0 * ldrows + k0, ldrows, i1 - i0, kc, packed_a, lda)
                a = packed_a
            else:
                lda = ldrows
                a = rows + (k0 * lda + i0 if g.trans_a else i0 * lda + k0)
            v = v0
            while v < v1:
                j = v * VW
                nv = <int>min(v1 - v, NV)
                if v1 - v >= flat and (g.padded or j + flat * VW <= g.n):
                    nv = flat
                cols = min(g.n - j, nv * VW)
                edge = cols < nv * VW and not g.padded
                if g.trans_b:
                    pack_panel_transposed(g.b + j * g.ldb + k0, g.ldb, kc, cols, packed_panel)
                elif g.pack_b or edge:
                    pack_panel(g.b + k0 * g.ldb + j, g.ldb, kc, cols, packed_panel)
                if g.trans_b or g.pack_b or edge:
                    panel = packed_panel
                    ldpanel = NV * VW
                else:
                    panel = g.b + k0 * g.ldb + j
                    ldpanel = g.ldb
                if edge and g.bias != NULL:
                    memset(edge_bias, 0, sizeof(edge_bias))
                    memcpy(edge_bias, g.bias + j, cols * sizeof(real))
                apart = edge or g.finish == FINISH_UPDATE
                i = i0
                while i < i1:
                    tiles = (i1 - i + MR - 1) // MR
                    mr = <int>((i1 - i + tiles - 1) // tiles)
                    out = small if apart else g.c + i * g.ldc + j
                    ldout = NV * VW if apart else g.ldc
                    ldstart = 0
                    if k0 > 0:
                        start = out
                        ldstart = ldout
                        if edge:
                            pack_rows(g.c + i * g.ldc + j, g.ldc, mr, cols, small, NV * VW)
                    elif g.bias == NULL:
                        start = ZEROS
                    else:
                        start = &edge_bias[0] if edge else g.bias + j
                    for s in range(1 << ahead.bits):
                        ahead.arrays[s] = g.c if s == 0 or g.slots[s - 1] == NULL else g.slots[s - 1]
                        ahead.arrays[s] += (i + mr) * g.ldc + j
                    if nv > NV:
                        any_flat_tile(mr, kc, a + (i - i0) * lda, lda, panel, ldpanel, start, ldstart,
                                      out, ldout)
                    else:
                        any_tile(mr, nv, g.trans_a, kc, a + (i - i0) * (1 if g.trans_a else lda), lda,
                                 panel, ldpanel, start, ldstart, out, ldout, &ahead)
                    if k0 + kc == g.k and g.finish != FINISH_NOTHING:
                        finish_block(g, step, out, ldout, i, j, mr, nv * VW)
                    if edge:
                        pack_rows(small, NV * VW, mr, cols, g.c + i * g.ldc + j, g.ldc)
                    i += mr
                v += nv
            i0 = i1
        k0 += kc
        if k0 >= g.k:
            break


cdef struct ColumnSum:
    Py_ssize_t rows, cols
    const real* x         # IN (rows, cols)
    Py_ssize_t ldx
    real* out             # OUT (cols,); the biases, if update
    bint padded, update
    int code
    real* slots[SLOTS]    # INOUT (cols,)
    Extras extras


cdef void column_sum_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """out[j] = x[0, j] + x[1, j] + ..., in this order; with `update`, a step on out by that gradient."""
    cdef ColumnSum* a = <ColumnSum*>args
    cdef Py_ssize_t j0, j1, j, i, count
    cdef vec total
    cdef real gradient[VW]
    cdef real* slots[SLOTS]
    cdef int s
    share(a.cols, VW, tid, nthreads, &j0, &j1)
    j = j0
    while j < j1:
        count = min(j1 - j, VW)
        total = vset(0)
        if count == VW or a.padded:
            for i in range(a.rows):
                total = total + vload(a.x + i * a.ldx + j)
        else:
            for i in range(a.rows):
                total = total + vload_part(a.x + i * a.ldx + j, count, 0)
        if a.update:
            for s in range(SLOTS):
                slots[s] = a.slots[s] + j if a.slots[s] != NULL else NULL
            vstore(gradient, total)
            update_block(a.code, step.hyper, &a.extras, a.out + j, slots, 0, gradient, 0, 1, count)
        else:
            vstore_part(a.out + j, total, count)
        j += VW
