# Softmax over the last axis, and what is made of the same pass: log-softmax, their gradients, and
# softmax cross-entropy. A row is read in logical vectors of LANES lanes; its sum is folded by the
# fixed tree. The first function is the one place that knows how the end of a row is read.

cdef inline vec row_vector(const real* x, Py_ssize_t j, Py_ssize_t cols, bint beyond,
                           real fill) noexcept nogil:
    """x[j : j + VW], lanes from cols on replaced by fill; `beyond`: memory past the row is readable."""
    if j + VW <= cols:
        return vload(x + j)
    if j >= cols:
        return vset(fill)
    if beyond:
        return vif_gt(vset(<real>(cols - j)), vload(LANE_NUMBER), vload(x + j), vset(fill))
    return vload_part(x + j, cols - j, fill)


cdef inline void put_row_vector(real* y, Py_ssize_t j, Py_ssize_t cols, bint padded,
                                vec v) noexcept nogil:
    """y[j : j + VW] = v up to cols; `padded`: zeros beyond, to the end of the vector."""
    if j + VW <= cols:
        vstore(y + j, v)
    elif j < cols and padded:
        vstore(y + j, vif_gt(vset(<real>(cols - j)), vload(LANE_NUMBER), v, vset(0)))
    elif j < cols:
        vstore_part(y + j, v, cols - j)


cdef inline real row_max(const real* x, Py_ssize_t cols, bint beyond) noexcept nogil:
    """The greatest number of a row (which it is with NaN in the row does not matter)."""
    cdef vec most[NL]
    cdef vec v
    cdef Py_ssize_t j = 0
    cdef int l
    for l in range(NL):
        most[l] = vset(-REAL_INF)
    while j < cols:
        for l in range(NL):
            v = row_vector(x, j + l * VW, cols, beyond, -REAL_INF)
            most[l] = vif_gt(most[l], v, most[l], v)
        j += LANES
    return lanes_max(most)


cdef inline real row_exp(const real* x, Py_ssize_t cols, bint beyond, real most, real* y,
                         bint padded) noexcept nogil:
    """y = exp(x - most) (y may be NULL); returns its sum over the row."""
    cdef vec total[NL]
    cdef vec v, e
    cdef Py_ssize_t j = 0
    cdef int l
    for l in range(NL):
        total[l] = vset(0)
    while j < cols:
        for l in range(NL):
            v = row_vector(x, j + l * VW, cols, beyond, -REAL_INF)
            vexp(v - vset(most), &e)
            total[l] = total[l] + e
            if y != NULL:
                put_row_vector(y, j + l * VW, cols, padded, e)
        j += LANES
    return lanes_sum(total)


cdef inline real log_of(real x) noexcept nogil:
    cdef vec y
    cdef real values[VW]
    vlog(vset(x), &y)
    vstore(values, y)
    return values[0]


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


cdef void softmax_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Softmax* a = <Softmax*>args
    cdef Py_ssize_t i, i0, i1, j
    cdef real most, total
    cdef const real* x
    cdef real* y
    cdef vec shift
    cdef bint beyond
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        x = a.x + i * a.ldx
        y = a.out + i * a.ldout
        beyond = may_read_beyond(a.rows, a.cols, a.ldx, i, a.padded)
        most = row_max(x, a.cols, beyond)
        if a.log:
            total = log_of(row_exp(x, a.cols, beyond, most, NULL, False))
        else:
            total = row_exp(x, a.cols, beyond, most, y, a.padded)
            x = y
        j = 0
        while j < a.cols:
            shift = row_vector(x, j, a.cols, False, 0)
            if a.log:
                shift = (shift - vset(most)) - vset(total)
            else:
                shift = shift / vset(total)
            put_row_vector(y, j, a.cols, a.padded, shift)
            j += VW


cdef void softmax_gradient_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """softmax: dx = y * (dy - sum(dy * y)); log-softmax: dx = dy - exp(y) * sum(dy)."""
    cdef Softmax* a = <Softmax*>args
    cdef Py_ssize_t i, i0, i1, j
    cdef const real* y
    cdef const real* dy
    cdef vec total[NL]
    cdef vec v, g
    cdef real folded
    cdef int l
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        y = a.x + i * a.ldx
        dy = a.dy + i * a.lddy
        for l in range(NL):
            total[l] = vset(0)
        j = 0
        while j < a.cols:
            for l in range(NL):
                g = row_vector(dy, j + l * VW, a.cols, False, 0)
                v = row_vector(y, j + l * VW, a.cols, False, 0)
                total[l] = total[l] + g if a.log else vfma(g, v, total[l])
            j += LANES
        folded = lanes_sum(total)
        j = 0
        while j < a.cols:
            g = row_vector(dy, j, a.cols, False, 0)
            v = row_vector(y, j, a.cols, False, 0)
            if a.log:
                vexp(v, &v)
                g = vfma(-v, vset(folded), g)
            else:
                g = v * (g - vset(folded))
            put_row_vector(a.out + i * a.ldout, j, a.cols, a.padded, g)
            j += VW
