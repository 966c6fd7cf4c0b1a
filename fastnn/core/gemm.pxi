# Matrix products C = op(A) op(B), and what is done to each tile of C while it is still in L1.
#
# C (m, n) = A (m, k) B (k, n). A register tile holds up to MR rows by NV vectors of C; each element
# is one chain of fused multiply-adds over k, ascending, whatever the tile, the blocking or the thread:
# so the bits depend on nothing but the operands. Columns are handled in panels of NV vectors. Where
# B's panel is used straight from B, no copy is made; it is packed (copied to k rows of one panel)
# where rows lie so far apart that they fall on few cache sets, transposed, at a ragged edge, or for
# tiles so low that they come back to it often. A is packed for the like reasons, see `gemm_prepare`.

cdef enum:
    # Rows of B in one panel: 2048 x 128 bytes is a quarter of a 1 MiB L2, and a longer chain would
    # store and reload C more often. (k of an update is never cut: its tile leaves by the update.)
    PANEL_DEPTH = 2048
    # Rows of A that are packed at once, and how much of a transposed A.
    BLOCK_ROWS = 448
    BLOCK_BYTES = 8388608
    # A transposed A that fills L2 is packed tile by tile: 89.6 instead of 88.7 per cent of peak at
    # 2048 x 512 x 2048. Low tiles, which use but a part of each line of A, ask for it at any size.
    LARGE_BYTES = 1048576
    # Numbers in a row of a packed tile: MR, in whole vectors.
    TILE = (MR + VW - 1) // VW * VW
    # Rows of B this many bytes apart or more do not stay in L2, nor in the first TLB. Where A lies
    # transposed, a packed panel won by 6 per cent at 2048 x 512 x 2048; where it does not, it lost 5.
    # The next lines of a transposed panel are fetched ahead (135 instead of 272 cycles for 16 x 16).
    FAR_ROWS = 8192
    # Packing a panel costs about as much as the products of two rows with it. Low tiles (AVX2, 6 rows)
    # always pack: 90 instead of 78 per cent of peak at 128 x 784 x 256.
    PACK_ROWS = 40
    # Rows of B this many bytes apart or more lie in pages of their own: two panels are packed at once (AVX2,
    # 1024**3: 89 instead of 87 per cent of peak; nearer rows, 128 x 784 x 256: 88.5 instead of 90.5).
    PAGE_ROWS = 4096
    # Rows this many bytes apart (or a multiple) share their L1 sets: 14 rows of A evict each other.
    # Packing A took 1024**3 from 67 to 90 per cent of peak.
    ALIASED_ROWS = 2048
    PAGE_SLACK = 64
    # Tiles of one height that are finished together, still in L1.
    RUN = 3
    # k from which a tile's requests are spread over more of its chain than they need: L's updates took
    # 5.1 and 4.0 ms instead of 5.2 and 4.1, X's 39.7 instead of 40.4. For 128 it brought nothing.
    LONG_CHAIN = 256
    # Rows of A in a tile are reached from two of them, so many rows apart: with a pointer for each, GCC
    # ran out of integer registers and kept some in vector registers, which cost 4 per cent of peak.
    HALF = 7
    # Up to so many rows, tiles are FLAT_NV vectors wide: the product is bound by reading B, which is
    # read in longer runs then, and a few accumulators would wait for each other.
    FLAT_ROWS = 2

# Multiply-adds below which a second thread costs more than it brings (about 4 microseconds).
cdef double GEMM_WORK_PER_THREAD = 150e3


cdef struct ColumnSum:
    Py_ssize_t rows, cols
    const real* x         # IN (rows, cols)
    Py_ssize_t ldx
    real* out             # OUT (cols,); the biases, if update
    bint padded, update
    int code
    real* slots[SLOTS]    # INOUT (cols,)
    Extras extras


cdef void column_sum_block(ColumnSum* a, const Step* step, Py_ssize_t rows, Py_ssize_t j,
                           Py_ssize_t end) noexcept nogil:
    """out[j] = x[0, j] + x[1, j] + ..., in this order, for j up to end; with `update`, a step on out by
    that gradient."""
    cdef Py_ssize_t i, count
    cdef vec total
    cdef real gradient[VW]
    cdef real* slots[SLOTS]
    cdef int s
    while j < end:
        count = min(end - j, VW)
        total = vset(0)
        if count == VW or a.padded:
            for i in range(rows):
                total = total + vload(a.x + i * a.ldx + j)
        else:
            for i in range(rows):
                total = total + vload_part(a.x + i * a.ldx + j, count, 0)
        if a.update:
            for s in range(SLOTS):
                slots[s] = a.slots[s] + j if a.slots[s] != NULL else NULL
            vstore(gradient, total)
            update_block(a.code, step.hyper, &a.extras, a.out + j, slots, 0, gradient, 0, 1, count)
        else:
            vstore_part(a.out + j, total, count)
        j += VW


cdef void column_sum_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef ColumnSum* a = <ColumnSum*>args
    cdef Py_ssize_t start, end
    share(a.cols, VW, tid, nthreads, &start, &end)
    column_sum_block(a, step, a.rows, start, end)


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
    bint gathered         # a is the mini-batch, of which the step may have a copy of its own
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
    ColumnSum sums        # of B, from memory that has just been read; x NULL: none. Its rows are k
    bint pack_a, pack_b
    Py_ssize_t depth      # rows of one panel
    int panels            # of B that are packed at once
    char* scratch         # nthreads * scratch_bytes
    size_t scratch_bytes

cdef real ZEROS[FLAT_NV * LANES]       # the row that a product without bias starts from


cdef enum TileKind:
    TILE_PLAIN
    TILE_ASKING      # fetches the next panel of B
    TILE_TRANSPOSED  # A lies transposed; fetches what the next tiles will update

# What a tile fetches ahead of its use.
cdef struct Ahead:
    # TILE_TRANSPOSED: where the next tiles start in the weights and in each slot, repeated if there are
    # fewer than 2**bits. TILE_ASKING: the first is the panel.
    const real* arrays[4]
    int bits, shift        # TILE_TRANSPOSED: of the index over k, which array, and which row
    Py_ssize_t ld          # from row to row, or from line to line of the panel
    Py_ssize_t back        # TILE_ASKING: from the end of what one tile fetched to what the next one does
    bint in_tiles          # A is packed by `pack_tiles`


cdef inline forced tile(const int mr, const int nv, const int kind, int tiles, Py_ssize_t k,
                        const real* a, Py_ssize_t lda, const real* b, Py_ssize_t ldb,
                        const real* start, Py_ssize_t ldstart, real* c, Py_ssize_t ldc,
                        const Ahead* ahead) noexcept nogil:
    """C = start + A B on mr rows and nv vectors, for each of `tiles` tiles one below the other.

    GCC keeps the accumulators in registers to the end only inside an outer loop: without one it
    stored and loaded all of them once more for each tile.

    Transposed products, which end in an update, spread the fetching of the next tile's weights and
    slots (2**bits arrays in turn) over the loop: in one burst it stalled the tile (71 against 87 per
    cent of peak at k = 256, 1024 x 1024 weights with momentum). They are asked for to be written: the
    processor's own fetching crosses the border between two threads' columns, and a store to such a
    line waits (two threads, S: 51 instead of 41 us). For the same reason, what lies side by side is
    read from its end, which starts less of such fetching (S: 41 instead of 43 us).
    """
    cdef const real* line
    cdef vec acc[MR][NV]
    cdef vec row[NV]
    cdef vec x
    cdef Py_ssize_t p, ld_ahead = ahead.ld, below = 0
    cdef Py_ssize_t down[HALF]
    cdef const real* next = ahead.arrays[0]
    cdef const real* lower = a + HALF * lda
    cdef Py_ssize_t a_step = (0 if ahead.in_tiles else mr - k * lda)
    cdef int i, j, shift = ahead.shift, turn = (1 << ahead.bits) - 1
    cdef bint trans_a = kind == TILE_TRANSPOSED
    for i in range(HALF):
        down[i] = i * lda
    while tiles > 0:
        for i in range(mr):
            for j in range(nv):
                acc[i][j] = vload(start + j * VW)
            start += ldstart
        for p in range(k):
            if trans_a:
                line = ahead.arrays[p & turn] + below + ((p >> shift) & 15) * ld_ahead
                prefetch_write(line + NV * VW - 1)
                prefetch_write(line)
            elif kind == TILE_ASKING:
                prefetch_far(next)
                next += ld_ahead
            for j in range(nv - 1, -1, -1):
                row[j] = vload(b + p * ldb + j * VW)
            for i in range(mr):
                x = vset(a[i] if trans_a or i == 0 else (a if i < HALF else lower)[down[i % HALF]])
                for j in range(nv):
                    acc[i][j] = vfma(x, row[j], acc[i][j])
            if trans_a:
                a += lda
            else:
                a += 1
                lower += 1
        for i in range(mr):
            for j in range(nv):
                vstore(c + j * VW, acc[i][j])
            c += ldc
        if trans_a:
            a += a_step
            below += mr * ld_ahead
        else:
            a += mr * lda - k
            lower += mr * lda - k
            if kind == TILE_ASKING:
                next -= ahead.back
        tiles -= 1


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


cdef inline forced tile_of_height(const int nv, const int kind, int mr, int tiles, Py_ssize_t k,
                                  const real* a, Py_ssize_t lda, const real* b, Py_ssize_t ldb,
                                  const real* start, Py_ssize_t ldstart, real* c,
                                  Py_ssize_t ldc, const Ahead* ahead) noexcept nogil:
    """One body for each height, so that every accumulator is a register."""
    if MR >= 14 and mr == 14:
        tile(14 if MR >= 14 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 13 and mr == 13:
        tile(13 if MR >= 13 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 12 and mr == 12:
        tile(12 if MR >= 12 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 11 and mr == 11:
        tile(11 if MR >= 11 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 10 and mr == 10:
        tile(10 if MR >= 10 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 9 and mr == 9:
        tile(9 if MR >= 9 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 8 and mr == 8:
        tile(8 if MR >= 8 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 7 and mr == 7:
        tile(7 if MR >= 7 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 6 and mr == 6:
        tile(6 if MR >= 6 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 5 and mr == 5:
        tile(5 if MR >= 5 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 4 and mr == 4:
        tile(4 if MR >= 4 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 3 and mr == 3:
        tile(3 if MR >= 3 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 2 and mr == 2:
        tile(2 if MR >= 2 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif MR >= 1 and mr == 1:
        tile(1 if MR >= 1 else 1, nv, kind, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)


cdef void any_tile(int mr, int nv, int kind, int tiles, Py_ssize_t k, const real* a, Py_ssize_t lda,
                   const real* b, Py_ssize_t ldb, const real* start, Py_ssize_t ldstart, real* c,
                   Py_ssize_t ldc, const Ahead* ahead) noexcept nogil:
    if nv == NV and kind == TILE_PLAIN:
        tile_of_height(NV, TILE_PLAIN, mr, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif nv == NV and kind == TILE_ASKING:
        tile_of_height(NV, TILE_ASKING, mr, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif nv == NV:
        tile_of_height(NV, TILE_TRANSPOSED, mr, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    elif kind == TILE_TRANSPOSED:
        tile_of_height(1, TILE_TRANSPOSED, mr, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)
    else:
        tile_of_height(1, TILE_PLAIN, mr, tiles, k, a, lda, b, ldb, start, ldstart, c, ldc, ahead)


cdef void pack_rows(const real* x, Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t cols,
                    real* out, Py_ssize_t ldout) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):
        memcpy(out + i * ldout, x + i * ldx, cols * sizeof(real))


cdef void pack_panel(const real* b, Py_ssize_t ldb, Py_ssize_t k, Py_ssize_t cols,
                     real* out) noexcept nogil:
    """out (k, NV * VW) = the first cols columns of b (k, .), zeros beyond."""
    if cols == NV * VW:
        pack_panels(b, ldb, k, 1, out)
    else:
        memset(out, 0, k * (NV * VW) * sizeof(real))
        pack_rows(b, ldb, k, cols, out, NV * VW)


cdef void pack_panels(const real* b, Py_ssize_t ldb, Py_ssize_t k, int panels,
                      real* out) noexcept nogil:
    """So many whole panels, one after the other."""
    cdef Py_ssize_t p
    cdef int q, j
    for p in range(k):
        for q in range(panels):
            for j in range(NV):
                vstore(out + (q * k + p) * (NV * VW) + j * VW, vload(b + p * ldb + (q * NV + j) * VW))


cdef void pack_panel_transposed(const real* b, Py_ssize_t ldb, Py_ssize_t k, Py_ssize_t cols,
                                real* out) noexcept nogil:
    """out (k, NV * VW) = the first cols rows of b (., k), transposed, zeros beyond."""
    cdef Py_ssize_t p = 0, j, q
    cdef bint far = ldb * <Py_ssize_t>sizeof(real) >= FAR_ROWS
    if cols < NV * VW:
        memset(out, 0, k * (NV * VW) * sizeof(real))
    while p + VW <= k:
        j = 0
        while j + VW <= cols:
            if far:
                for q in range(j, j + VW):
                    prefetch(b + q * ldb + p + NV * VW)
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
    # A low tile takes more of B and of a transposed A for each multiplication.
    cdef bint low = MR < 8
    g.depth = g.k if g.finish == FINISH_UPDATE else min(g.k, PANEL_DEPTH)
    g.pack_a = g.a == NULL or row_a % ALIASED_ROWS == 0
    if g.trans_a:
        g.pack_a = g.pack_a or low or g.m * g.k * <Py_ssize_t>sizeof(real) >= LARGE_BYTES
    g.pack_a = g.pack_a and tall >= 8 and g.n >= 8 * NV * VW
    g.pack_b = g.trans_b or (g.m >= PACK_ROWS and g.k >= 128
                             and (low or aliased_b or (g.trans_a and row_b >= FAR_ROWS)))
    g.panels = 2 if g.pack_b and not g.trans_b and row_b >= PAGE_ROWS else 1
    g.scratch_bytes = (g.panels * g.depth + RUN * MR) * NV * VW * sizeof(real) + PAGE_SLACK
    if g.pack_a:
        g.scratch_bytes += packed_a_numbers(g) * sizeof(real)
    g.scratch_bytes = (g.scratch_bytes + 4095) // 4096 * 4096 + PAGE_SLACK


cdef inline Py_ssize_t block_rows(Gemm* g) noexcept nogil:
    """Rows of A that are packed at once; of a transposed A, a whole number of tiles."""
    if not g.trans_a:
        return BLOCK_ROWS
    return max(1, BLOCK_BYTES // (g.depth * TILE * <Py_ssize_t>sizeof(real))) * MR


cdef inline Py_ssize_t packed_a_numbers(Gemm* g) noexcept nogil:
    cdef Py_ssize_t rows = min(g.m, block_rows(g))
    if g.trans_a:
        return (rows + MR - 1) // MR * g.depth * TILE
    return rows * (g.depth + LANES)


cdef inline int tile_count(Py_ssize_t rows) noexcept nogil:
    return <int>((rows + MR - 1) // MR)


cdef void pack_tiles(const real* x, Py_ssize_t ldx, Py_ssize_t k, Py_ssize_t rows,
                     real* out) noexcept nogil:
    """out = the tiles of the transposed x (k, rows), of MR rows, one after the other, each (k, TILE)."""
    cdef Py_ssize_t t, p, j, mr
    cdef Py_ssize_t whole = k - (TILE + ldx - 1) // ldx  # beyond the tile lie rows of x, up to here
    for t in range(tile_count(rows)):
        mr = min(MR, rows - t * MR)
        for p in range(whole):
            for j in range(TILE // VW):
                vstore(out + p * TILE + j * VW, vload(x + p * ldx + j * VW))
        for p in range(max(0, whole), k):
            memcpy(out + p * TILE, x + p * ldx, mr * sizeof(real))
        x += mr
        out += k * TILE


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


# What one pass down the rows i0..i1 multiplies: kc of A's columns with one panel of B, from k0 and j on.
cdef struct Strip:
    Py_ssize_t i0, i1, j, k0, kc
    Py_ssize_t end        # of this thread's columns
    const real* a         # IN (i1 - i0, kc), or transposed
    Py_ssize_t lda
    const real* b         # IN (kc, nv * VW)
    Py_ssize_t ldb
    const real* bias      # IN (nv * VW,) or NULL
    int nv
    const real* next      # the next panel of B, as it lies, to be fetched; or NULL
    bint in_tiles         # A is packed by `pack_tiles`
    bint edge             # C and B end within the panel, and memory beyond is not ours
    real* small           # (RUN * MR, NV * VW)  where tiles stay that do not go to C


cdef inline void look_ahead(Ahead* ahead, Gemm* g, Strip* s) noexcept nogil:
    """What is the same for all tiles of a strip."""
    ahead.in_tiles = s.in_tiles
    ahead.arrays[0] = s.next
    ahead.bits = ahead.shift = 0
    ahead.ld = ahead.back = 0
    if g.trans_a:
        ahead.ld, ahead.bits = g.ldc, 1 if g.slots[1] == NULL else 2
        ahead.shift = ahead.bits
        # The rows of a tile, 16 at most, are spread over the first half of a long chain: what is asked
        # for last has the other half to arrive in.
        while s.kc >= LONG_CHAIN and (64 << ahead.shift) <= s.kc:
            ahead.shift += 1
    elif g.trans_b:
        ahead.ld = LANES  # the rows that will be transposed, one after the other
    else:
        ahead.ld = g.ldb  # a vector of each row; the next tile: the one beside it
        ahead.back = s.kc * g.ldb - VW


cdef inline void look_at_tiles(Ahead* ahead, Gemm* g, Strip* s, Py_ssize_t i) noexcept nogil:
    """The tiles at row i come next, or the first ones of this thread's next panel: to ask for what
    another thread is writing would take it away from there."""
    cdef Py_ssize_t at = i * g.ldc + s.j
    cdef int q
    if i >= s.i1:
        at = s.i0 * g.ldc + s.j
        if s.j + NV * VW < s.end:
            at += NV * VW
    for q in range(1 << ahead.bits):
        ahead.arrays[q] = (g.c if q == 0 or g.slots[q - 1] == NULL else g.slots[q - 1]) + at


cdef void gemm_strip(Gemm* g, const Step* step, Strip* s) noexcept nogil:
    cdef bint apart = s.edge or g.finish == FINISH_UPDATE
    cdef bint ends = s.k0 + s.kc == g.k and g.finish != FINISH_NOTHING
    cdef int nv = s.nv, mr, tiles, count
    cdef int tall, taller  # rows of a tile; the first `taller` have one more
    cdef Py_ssize_t i = s.i0 + updated_rows(g, step, s), j = s.j, ldout, ldstart, cols = min(g.n - j, nv * VW)
    cdef const real* a = s.a
    cdef const real* start
    cdef real* out
    cdef Ahead ahead
    cdef int kind
    if i == s.i1:
        return
    look_ahead(&ahead, g, s)
    count = tile_count(s.i1 - i)
    if s.in_tiles:  # as `pack_tiles` cut them
        tall, taller = MR - 1, <int>((s.i1 - i) // MR)
        a += (i - s.i0) // MR * s.kc * TILE
    else:
        tall = <int>((s.i1 - i) // count)
        taller = <int>(s.i1 - i) - tall * count
    while i < s.i1:
        mr = <int>min(tall + 1 if taller > 0 else tall, s.i1 - i)
        tiles = min(taller if taller > 0 else count, RUN)
        if s.edge or nv > NV:
            tiles = 1
        count -= tiles
        taller -= tiles
        out = s.small if apart else g.c + i * g.ldc + j
        ldout = NV * VW if apart else g.ldc
        ldstart = 0
        if s.k0 > 0:
            start = out
            ldstart = ldout
            if s.edge:
                pack_rows(g.c + i * g.ldc + j, g.ldc, mr, cols, s.small, NV * VW)
        else:
            start = &ZEROS[0] if s.bias == NULL else s.bias
        if not s.in_tiles:
            a = s.a + (i - s.i0) * (1 if g.trans_a else s.lda)
        if nv > NV:
            any_flat_tile(mr, s.kc, a, s.lda, s.b, s.ldb, start, ldstart, out, ldout)
        else:
            kind = TILE_PLAIN
            if g.trans_a:
                kind = TILE_TRANSPOSED
                look_at_tiles(&ahead, g, s, i + mr * tiles)
            elif s.next != NULL and count <= 1 < count + tiles:
                kind = TILE_ASKING  # at least two tiles, near the panel's end, ask for a vector each
            any_tile(mr, nv, kind, tiles, s.kc, a, s.lda, s.b, s.ldb, start, ldstart, out, ldout,
                     &ahead)
        if ends:
            finish_block(g, step, out, ldout, i, j, mr * tiles, nv * VW)
        if s.edge:
            pack_rows(s.small, NV * VW, mr, cols, g.c + i * g.ldc + j, g.ldc)
        i += mr * tiles
        if s.in_tiles:
            a += tiles * s.kc * TILE


cdef void gemm_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Gemm* g = <Gemm*>args
    cdef Py_ssize_t first, last, v0, v1, v, packed, cols, ldrows = g.lda
    cdef real* packed_panel = <real*>(g.scratch + g.scratch_bytes * tid)
    cdef real* packed_a
    cdef const real* rows = g.a
    cdef int flat = NV
    cdef bint pack_a = g.pack_a, large
    cdef real edge_bias[NV * VW]
    cdef Strip s
    s.small = packed_panel + g.panels * g.depth * NV * VW
    packed_a = s.small + RUN * MR * NV * VW
    gemm_share(g, tid, nthreads, &first, &last, &v0, &v1)
    if first >= last or v0 >= v1:
        return
    if rows == NULL:
        ldrows = step.lddata
        rows = step.data + step.first * ldrows
        pack_a = pack_a and ldrows * sizeof(real) % ALIASED_ROWS == 0
    elif g.gathered and step.batch != NULL:
        rows = step.batch
    if last - first <= FLAT_ROWS and not g.trans_a and not g.trans_b and not g.pack_b:
        flat = FLAT_NV
    s.in_tiles = pack_a and g.trans_a
    s.end = v1 * VW
    # What stays in L2 need not be asked for: 97.5 instead of 95 per cent of peak at 32 x 784 x 128.
    large = not g.trans_a and g.k * (v1 - v0) * VECTOR_BYTES >= LARGE_BYTES
    s.k0 = 0
    while True:
        s.kc = min(g.k - s.k0, g.depth)
        s.i0 = first
        while s.i0 < last:
            s.i1 = min(s.i0 + block_rows(g), last) if pack_a else last
            s.a, s.lda = packed_a, g.depth + LANES
            if s.in_tiles:
                s.lda = TILE
                pack_tiles(rows + s.k0 * ldrows + s.i0, ldrows, s.kc, s.i1 - s.i0, packed_a)
            elif pack_a:
                pack_rows(rows + s.i0 * ldrows + s.k0, ldrows, s.i1 - s.i0, s.kc, packed_a, s.lda)
            else:
                s.lda = ldrows
                s.a = rows + (s.k0 * ldrows + s.i0 if g.trans_a else s.i0 * ldrows + s.k0)
            v = packed = v0
            while v < v1:
                s.j = v * VW
                s.nv = <int>min(v1 - v, NV)
                if v1 - v >= flat and (g.padded or s.j + flat * VW <= g.n):
                    s.nv = flat
                cols = min(g.n - s.j, s.nv * VW)
                s.edge = cols < s.nv * VW and not g.padded
                s.b, s.ldb = packed_panel, NV * VW
                if g.trans_b:
                    pack_panel_transposed(g.b + s.j * g.ldb + s.k0, g.ldb, s.kc, cols, packed_panel)
                elif v < packed:
                    s.b = packed_panel + (v + g.panels * NV - packed) * VW * s.kc
                elif g.pack_b and v + g.panels * NV <= min(v1, g.n // VW):
                    pack_panels(g.b + s.k0 * g.ldb + s.j, g.ldb, s.kc, g.panels, packed_panel)
                    packed = v + g.panels * NV
                elif g.pack_b or s.edge:
                    pack_panel(g.b + s.k0 * g.ldb + s.j, g.ldb, s.kc, cols, packed_panel)
                else:
                    s.b, s.ldb = g.b + s.k0 * g.ldb + s.j, g.ldb
                s.bias = NULL if g.bias == NULL else g.bias + s.j
                if s.edge and g.bias != NULL:
                    memset(edge_bias, 0, sizeof(edge_bias))
                    memcpy(edge_bias, s.bias, cols * sizeof(real))
                    s.bias = &edge_bias[0]
                s.next = NULL
                if large and v + 2 * NV <= v1:
                    s.next = g.b + (s.j + NV * VW) * (g.ldb if g.trans_b else 1)
                    s.next += s.k0 * (1 if g.trans_b else g.ldb)
                gemm_strip(g, step, &s)
                if g.sums.x != NULL and s.i0 == 0 and s.k0 == 0:
                    column_sum_block(&g.sums, step, g.k, s.j, min(s.j + s.nv * VW, g.sums.cols))
                v += s.nv
            s.i0 = s.i1
        s.k0 += s.kc
        if s.k0 >= g.k:
            break
