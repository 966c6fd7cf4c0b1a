# What has numbers of its own for each column: an affine map, and PReLU.

cdef enum:
    # Vectors of columns that one pass over the rows takes along: enough chains of additions to hide
    # their latency, and the rows of a mini-batch of so many columns stay in L1.
    STRIP = 4

cdef struct Columns:
    Map map               # x, dy, out and the sizes
    const real* center    # IN (cols,) or NULL: zeros
    const real* scale     # IN (cols,); of PReLU: alpha
    const real* shift     # IN (cols,) or NULL: zeros
    real* dscale          # OUT (cols,): the gradient of alpha
    bint padded           # rows and vectors go on to a whole logical vector


cdef inline vec numbers_of(const real* x, Py_ssize_t j, Py_ssize_t cols, bint padded,
                           real otherwise) noexcept nogil:
    """x[j : j + VW], or `otherwise` where x is NULL."""
    return vset(otherwise) if x == NULL else row_vector(x, j, cols, padded, otherwise)


cdef void affine_block(const real* center, const real* scale, const real* shift, const real* x,
                       Py_ssize_t ldx, real* y, Py_ssize_t ldy, Py_ssize_t rows, Py_ssize_t cols,
                       bint padded) noexcept nogil:
    """y = (x - center) * scale + shift: one subtraction, one fused multiply-add; y may be x."""
    cdef Py_ssize_t i, j
    cdef vec c, s, t
    for i in range(rows):
        j = 0
        while j < cols:
            c = numbers_of(center, j, cols, padded, 0)
            s = row_vector(scale, j, cols, padded, 0)
            t = numbers_of(shift, j, cols, padded, 0)
            put_row_vector(y, j, cols, padded, vfma(row_vector(x, j, cols, padded, 0) - c, s, t))
            j += VW
        x += ldx
        y += ldy


cdef void affine_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Columns* a = <Columns*>args
    cdef Py_ssize_t i0, i1, j0, j1
    map_share(&a.map, tid, nthreads, &i0, &i1, &j0, &j1)
    affine_block(a.center + j0 if a.center != NULL else NULL, a.scale + j0,
                 a.shift + j0 if a.shift != NULL else NULL, a.map.x + i0 * a.map.ldx + j0, a.map.ldx,
                 a.map.out + i0 * a.map.ldout + j0, a.map.ldout, i1 - i0, j1 - j0, a.padded)


cdef void prelu_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """out = x where x > 0, alpha * x elsewhere."""
    cdef Columns* a = <Columns*>args
    cdef Py_ssize_t i, i0, i1, j, j0, j1
    cdef vec alpha, v
    map_share(&a.map, tid, nthreads, &i0, &i1, &j0, &j1)
    for i in range(i0, i1):
        j = j0
        while j < j1:
            alpha = row_vector(a.scale, j, j1, a.padded, 0)
            v = row_vector(a.map.x + i * a.map.ldx, j, j1, a.padded, 0)
            put_row_vector(a.map.out + i * a.map.ldout, j, j1, a.padded,
                           vif_gt(v, vset(0), v, alpha * v))
            j += VW


cdef inline vec strip_vector(const int nv, const real* x, Py_ssize_t j, Py_ssize_t cols, bint padded,
                             real fill) noexcept nogil:
    """x[j : j + VW]; a strip of several vectors lies within the columns."""
    return vload(x + j) if nv > 1 else row_vector(x, j, cols, padded, fill)


cdef inline void put_strip_vector(const int nv, real* y, Py_ssize_t j, Py_ssize_t cols, bint padded,
                                  vec v) noexcept nogil:
    if nv > 1:
        vstore(y + j, v)
    else:
        put_row_vector(y, j, cols, padded, v)


cdef inline forced prelu_gradient_strip(const int nv, Columns* a, Py_ssize_t j) noexcept nogil:
    cdef Py_ssize_t i, at, cols = a.map.cols
    cdef vec alpha[STRIP]
    cdef vec total[STRIP]
    cdef vec x, dy, below, zero = vset(0)
    cdef int v
    for v in range(nv):
        alpha[v] = strip_vector(nv, a.scale, j + v * VW, cols, a.padded, 0)
        total[v] = zero
    for i in range(a.map.rows):
        for v in range(nv):
            at = j + v * VW
            x = strip_vector(nv, a.map.x + i * a.map.ldx, at, cols, a.padded, 0)
            dy = strip_vector(nv, a.map.dy + i * a.map.lddy, at, cols, a.padded, 0)
            below = vif_gt(x, zero, zero, x)  # keeps NaN
            total[v] = vfma(below, dy, total[v])
            if a.map.out != NULL:
                # 0 at 0, as for ReLU; NaN in x shows in dx.
                put_strip_vector(nv, a.map.out + i * a.map.ldout, at, cols, a.padded,
                                 vif_gt(x, zero, dy, vif_gt(zero, x, alpha[v] * dy, x)))
    if a.dscale != NULL:
        for v in range(nv):
            put_strip_vector(nv, a.dscale, j + v * VW, cols, a.padded, total[v])


cdef void prelu_gradient_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """out = dy where x > 0, alpha * dy where x < 0; dalpha = the sum of x * dy over rows where x < 0."""
    cdef Columns* a = <Columns*>args
    cdef Py_ssize_t j, j1
    share(a.map.cols, VW, tid, nthreads, &j, &j1)
    while j < j1:
        if j + STRIP * VW <= j1:
            prelu_gradient_strip(STRIP, a, j)
            j += STRIP * VW
        else:
            prelu_gradient_strip(1, a, j)
            j += VW
