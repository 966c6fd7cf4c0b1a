# Softmax over the last axis, and what is made of the same pass: log-softmax, their gradients, and
# softmax cross-entropy (losses.pxi).
#
# Two ways, chosen by the number of columns alone, so that a row's bits never depend on its neighbours:
# - up to LANES columns, VW rows at a time: the block is transposed, a lane is a row, and no operation
#   crosses lanes (rows of 10: 4 times as fast as one by one);
# - more columns, row by row, in logical vectors of LANES lanes whose sum is folded by the fixed tree.

cdef inline void take_block(const real* x, Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t cols,
                            bint beyond, vec* columns) noexcept nogil:
    """columns[j] = x[:, j], the rows in its lanes; `beyond`: LANES numbers of each row are readable."""
    cdef real copy[VW * LANES]
    cdef Py_ssize_t i, j = 0
    if rows < VW or not beyond:
        memset(copy, 0, sizeof(copy))
        for i in range(rows):
            memcpy(copy + i * LANES, x + i * ldx, cols * sizeof(real))
        x = copy
        ldx = LANES
    while j < cols:
        transpose_block(x + j, ldx, <real*>(columns + j), VW)
        j += VW


cdef inline void put_block(vec* columns, real* y, Py_ssize_t ldy, Py_ssize_t rows, Py_ssize_t cols,
                           bint padded) noexcept nogil:
    """y[:, j] = columns[j]; `padded`: zeros in the columns beyond, up to LANES."""
    cdef real copy[VW * LANES]
    cdef Py_ssize_t i, j = 0
    cdef bint direct = padded and rows == VW
    for i in range(cols, LANES):
        columns[i] = vset(0)
    while j < LANES:
        if direct:
            transpose_block(<real*>(columns + j), VW, y + j, ldy)
        else:
            transpose_block(<real*>(columns + j), VW, copy + j, LANES)
        j += VW
    if not direct:
        for i in range(rows):
            memcpy(y + i * ldy, copy + i * LANES, (LANES if padded else cols) * sizeof(real))


cdef inline vec block_max(vec* columns, Py_ssize_t cols) noexcept nogil:
    """The greatest of the columns, lane by lane (which it is, with NaN among them, does not matter)."""
    cdef Py_ssize_t j
    cdef vec most = columns[0]
    for j in range(1, cols):
        most = vmax(columns[j], most)
    return most


cdef inline vec block_exp(vec* columns, Py_ssize_t cols, vec most) noexcept nogil:
    """columns = exp(columns - most), most their greatest; returns their sum, lane by lane."""
    cdef Py_ssize_t j
    cdef vec total = vset(0)
    for j in range(cols):
        vexp(columns[j] - most, &columns[j])
        total = total + columns[j]
    return total


cdef inline vec row_max(const real* x, Py_ssize_t cols, bint beyond) noexcept nogil:
    """The greatest number of a row in every lane (which it is, with NaN in the row, does not matter)."""
    cdef vec most[NL]
    cdef vec v
    cdef Py_ssize_t j = 0
    cdef int part
    for part in range(NL):
        most[part] = vset(-REAL_INF)
    while j < cols:
        for part in range(NL):
            v = row_vector(x, j + part * VW, cols, beyond, -REAL_INF)
            most[part] = vmax(most[part], v)
        j += LANES
    return lanes_max(most)


cdef inline vec row_exp(const real* x, Py_ssize_t cols, bint beyond, vec most, real* y,
                        bint padded) noexcept nogil:
    """y = exp(x - most) (y may be NULL); returns its sum over the row, in every lane."""
    cdef vec total[NL]
    cdef vec v, e
    cdef Py_ssize_t j = 0
    cdef int part
    for part in range(NL):
        total[part] = vset(0)
    while j < cols:
        for part in range(NL):
            v = row_vector(x, j + part * VW, cols, beyond, -REAL_INF)
            vexp(v - most, &e)
            total[part] = total[part] + e
            if y != NULL:
                put_row_vector(y, j + part * VW, cols, padded, e)
        j += LANES
    return lanes_sum(total)


cdef inline bint may_read_beyond(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t ld, Py_ssize_t i,
                                 bint padded) noexcept nogil:
    """Whether a whole logical vector at the end of row i still lies within the array."""
    return padded or (rows - 1 - i) * ld >= LANES


cdef struct Softmax:
    const real* x         # IN (rows, cols): x, or y for a gradient
    Py_ssize_t ldx
    const real* dy        # IN (rows, cols): only for a gradient
    Py_ssize_t lddy
    real* out             # OUT (rows, cols)
    Py_ssize_t ldout
    Py_ssize_t rows, cols
    bint log, padded


cdef void softmax_blocks(Softmax* a, Py_ssize_t i, Py_ssize_t i1) noexcept nogil:
    """softmax_kernel for rows i to i1 of up to LANES columns."""
    cdef vec columns[LANES]
    cdef vec shifted[LANES]
    cdef vec most, total
    cdef Py_ssize_t rows, j
    while i < i1:
        rows = min(i1 - i, VW)
        take_block(a.x + i * a.ldx, a.ldx, rows, a.cols,
                   may_read_beyond(a.rows, a.cols, a.ldx, i + rows - 1, a.padded), columns)
        if a.log:
            for j in range(a.cols):
                shifted[j] = columns[j]
        most = block_max(columns, a.cols)
        total = block_exp(columns, a.cols, most)
        if a.log:
            vlog(total, &total)
            for j in range(a.cols):
                columns[j] = (shifted[j] - most) - total
        else:
            for j in range(a.cols):
                columns[j] = columns[j] / total
        put_block(columns, a.out + i * a.ldout, a.ldout, rows, a.cols, a.padded)
        i += rows


cdef void softmax_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Softmax* a = <Softmax*>args
    cdef Py_ssize_t i, i0, i1, j
    cdef const real* x
    cdef real* y
    cdef vec shift, most, total
    cdef bint beyond
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    if a.cols <= LANES:
        softmax_blocks(a, i0, i1)
        return
    for i in range(i0, i1):
        x = a.x + i * a.ldx
        y = a.out + i * a.ldout
        beyond = may_read_beyond(a.rows, a.cols, a.ldx, i, a.padded)
        most = row_max(x, a.cols, beyond)
        if a.log:
            vlog(row_exp(x, a.cols, beyond, most, NULL, False), &total)
        else:
            total = row_exp(x, a.cols, beyond, most, y, a.padded)
            x = y
        j = 0
        while j < a.cols:
            shift = row_vector(x, j, a.cols, False, 0)
            if a.log:
                shift = (shift - most) - total
            else:
                shift = shift / total
            put_row_vector(y, j, a.cols, a.padded, shift)
            j += VW


cdef void softmax_gradient_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """softmax: dx = y * (dy - sum(dy * y)); log-softmax: dx = dy - exp(y) * sum(dy)."""
    cdef Softmax* a = <Softmax*>args
    cdef Py_ssize_t i, i0, i1, j
    cdef const real* y
    cdef const real* dy
    cdef vec total[NL]
    cdef vec v, g, folded
    cdef int part
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        y = a.x + i * a.ldx
        dy = a.dy + i * a.lddy
        for part in range(NL):
            total[part] = vset(0)
        j = 0
        while j < a.cols:
            for part in range(NL):
                g = row_vector(dy, j + part * VW, a.cols, False, 0)
                v = row_vector(y, j + part * VW, a.cols, False, 0)
                total[part] = total[part] + g if a.log else vfma(g, v, total[part])
            j += LANES
        folded = lanes_sum(total)
        j = 0
        while j < a.cols:
            g = row_vector(dy, j, a.cols, False, 0)
            v = row_vector(y, j, a.cols, False, 0)
            if a.log:
                vexp(v, &v)
                g = vfma(-v, folded, g)
            else:
                g = v * (g - folded)
            put_row_vector(a.out + i * a.ldout, j, a.cols, a.padded, g)
            j += VW
