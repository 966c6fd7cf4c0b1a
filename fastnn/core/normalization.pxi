# Batch normalization (S. Ioffe and C. Szegedy, ICML 2015) and layer normalization (J. L. Ba and others,
# arXiv 1607.06450): y = (x - mean) * scale + beta, scale = gamma / sqrt(variance + epsilon). Mean and
# variance (the mean of the squared deviations, in a second pass, so that it is never negative) are
# those of a column, or of a row.

cdef struct BatchNorm:
    Py_ssize_t rows, cols
    const real* x         # IN (rows, cols)
    Py_ssize_t ldx
    const real* gamma     # IN (cols,) or NULL: ones
    const real* beta      # IN (cols,) or NULL: zeros
    real epsilon
    real* mean            # (cols,): OUT forward, IN backward
    real* variance        # (cols,): the same
    real* moving_mean      # INOUT (cols,) or NULL
    real* moving_variance  # INOUT (cols,)
    real momentum, rest   # moving = moving * momentum + new * rest
    int activation        # of y
    real numbers[NUMBERS]
    const real* dy        # IN (rows, cols): backward
    Py_ssize_t lddy
    real* out             # OUT (rows, cols): y; or dx, if not NULL
    Py_ssize_t ldout
    real* dgamma          # OUT (cols,) or NULL
    real* dbeta           # OUT (cols,) or NULL
    bint constant         # mean and variance are no function of x
    bint padded           # rows and vectors go on to a whole logical vector


cdef inline vec inverse_deviation(vec variance, real epsilon) noexcept nogil:
    return vset(1) / vsqrt(variance + vset(epsilon))


cdef inline vec moved(vec old, vec new, real momentum, real rest) noexcept nogil:
    cdef vec kept = old * vset(momentum)
    return kept + new * vset(rest)


cdef inline forced batch_norm_strip(const int nv, BatchNorm* a, Py_ssize_t j) noexcept nogil:
    """All of nv vectors of columns, from j on: their rows are read three times, from L1."""
    cdef Py_ssize_t i, at, cols = a.cols
    cdef vec mean[STRIP]
    cdef vec total[STRIP]
    cdef vec scale[STRIP]
    cdef vec beta[STRIP]
    cdef vec d, variance, n = vset(<real>a.rows)
    cdef int v
    for v in range(nv):
        total[v] = vset(0)
    for i in range(a.rows):
        for v in range(nv):
            total[v] = total[v] + strip_vector(nv, a.x + i * a.ldx, j + v * VW, cols, a.padded, 0)
    for v in range(nv):
        mean[v] = total[v] / n
        total[v] = vset(0)
    for i in range(a.rows):
        for v in range(nv):
            d = strip_vector(nv, a.x + i * a.ldx, j + v * VW, cols, a.padded, 0) - mean[v]
            total[v] = vfma(d, d, total[v])
    for v in range(nv):
        at = j + v * VW
        variance = total[v] / n
        put_strip_vector(nv, a.mean, at, cols, a.padded, mean[v])
        put_strip_vector(nv, a.variance, at, cols, a.padded, variance)
        if a.moving_mean != NULL:
            d = strip_vector(nv, a.moving_mean, at, cols, a.padded, 0)
            put_strip_vector(nv, a.moving_mean, at, cols, a.padded, moved(d, mean[v], a.momentum, a.rest))
            d = strip_vector(nv, a.moving_variance, at, cols, a.padded, 0)
            put_strip_vector(nv, a.moving_variance, at, cols, a.padded,
                             moved(d, variance, a.momentum, a.rest))
        scale[v] = numbers_of(a.gamma, at, cols, a.padded, 1) * inverse_deviation(variance, a.epsilon)
        beta[v] = numbers_of(a.beta, at, cols, a.padded, 0)
    for i in range(a.rows):
        for v in range(nv):
            at = j + v * VW
            d = strip_vector(nv, a.x + i * a.ldx, at, cols, a.padded, 0) - mean[v]
            put_strip_vector(nv, a.out + i * a.ldout, at, cols, a.padded, vfma(d, scale[v], beta[v]))
    if a.activation != LINEAR:
        activate_block(a.activation, a.numbers, a.out + j, a.ldout, a.out + j, a.ldout, a.rows,
                       min(nv * VW, cols - j))


cdef void batch_norm_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef BatchNorm* a = <BatchNorm*>args
    cdef Py_ssize_t j, j1
    share(a.cols, VW, tid, nthreads, &j, &j1)
    while j < j1:
        if j + STRIP * VW <= j1:
            batch_norm_strip(STRIP, a, j)
            j += STRIP * VW
        else:
            batch_norm_strip(1, a, j)
            j += VW


cdef inline forced batch_norm_gradient_strip(const int nv, BatchNorm* a, Py_ssize_t j) noexcept nogil:
    cdef Py_ssize_t i, at, cols = a.cols
    cdef vec mean[STRIP]
    cdef vec scale[STRIP]
    cdef vec dgamma[STRIP]
    cdef vec dbeta[STRIP]
    cdef vec d, dy, inverse, n = vset(<real>a.rows)
    cdef int v
    for v in range(nv):
        mean[v] = strip_vector(nv, a.mean, j + v * VW, cols, a.padded, 0)
        dgamma[v] = vset(0)
        dbeta[v] = vset(0)
    for i in range(a.rows):
        for v in range(nv):
            at = j + v * VW
            d = strip_vector(nv, a.x + i * a.ldx, at, cols, a.padded, 0) - mean[v]
            dy = strip_vector(nv, a.dy + i * a.lddy, at, cols, a.padded, 0)
            dgamma[v] = vfma(d, dy, dgamma[v])
            dbeta[v] = dbeta[v] + dy
    for v in range(nv):
        at = j + v * VW
        inverse = inverse_deviation(strip_vector(nv, a.variance, at, cols, a.padded, 1), a.epsilon)
        dgamma[v] = dgamma[v] * inverse
        if a.dgamma != NULL:
            put_strip_vector(nv, a.dgamma, at, cols, a.padded, dgamma[v])
        if a.dbeta != NULL:
            put_strip_vector(nv, a.dbeta, at, cols, a.padded, dbeta[v])
        scale[v] = numbers_of(a.gamma, at, cols, a.padded, 1) * inverse
        dgamma[v] = dgamma[v] * inverse / n
        dbeta[v] = dbeta[v] / n
    if a.out == NULL:
        return
    for i in range(a.rows):
        for v in range(nv):
            at = j + v * VW
            dy = strip_vector(nv, a.dy + i * a.lddy, at, cols, a.padded, 0)
            if not a.constant:
                d = strip_vector(nv, a.x + i * a.ldx, at, cols, a.padded, 0) - mean[v]
                dy = vfma(-d, dgamma[v], dy - dbeta[v])
            put_strip_vector(nv, a.out + i * a.ldout, at, cols, a.padded, scale[v] * dy)


cdef void batch_norm_gradient_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """With xhat = (x - mean) / deviation: dgamma = sum(dy * xhat) and dbeta = sum(dy) over the rows,
    dx = gamma / deviation * (dy - dbeta / n - xhat * dgamma / n); constant: gamma / deviation * dy."""
    cdef BatchNorm* a = <BatchNorm*>args
    cdef Py_ssize_t j, j1
    share(a.cols, VW, tid, nthreads, &j, &j1)
    while j < j1:
        if j + STRIP * VW <= j1:
            batch_norm_gradient_strip(STRIP, a, j)
            j += STRIP * VW
        else:
            batch_norm_gradient_strip(1, a, j)
            j += VW


cdef struct ColumnScale:
    Py_ssize_t cols
    const real* gamma     # IN (cols,) or NULL: ones
    const real* variance  # IN (cols,)
    real epsilon
    bint at_least         # the deviation is at least epsilon, instead of variance + epsilon
    real* scale           # OUT (cols,)


cdef void column_scale_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """scale = gamma / sqrt(variance + epsilon), or 1 / max(sqrt(variance), epsilon); padded arrays."""
    cdef ColumnScale* a = <ColumnScale*>args
    cdef Py_ssize_t j, j1
    cdef vec variance, inverse
    share(a.cols, VW, tid, nthreads, &j, &j1)
    while j < j1:
        variance = row_vector(a.variance, j, a.cols, True, 1)
        if a.at_least:
            inverse = vsqrt(variance)
            inverse = vset(1) / vmax(vset(a.epsilon), inverse)
        else:
            inverse = inverse_deviation(variance, a.epsilon)
        put_row_vector(a.scale, j, a.cols, True, numbers_of(a.gamma, j, a.cols, True, 1) * inverse)
        j += VW


# ---- by rows -------------------------------------------------------------------------------------

cdef struct LayerNorm:
    Py_ssize_t rows, cols
    const real* x         # IN (rows, cols)
    Py_ssize_t ldx
    const real* gamma     # IN (cols,) or NULL: ones
    const real* beta      # IN (cols,) or NULL: zeros
    real epsilon
    real* mean            # (rows,): OUT forward, IN backward
    real* inverse         # (rows,): 1 / sqrt(variance + epsilon); the same
    const real* dy        # IN (rows, cols): backward
    Py_ssize_t lddy
    real* out             # OUT (rows, cols): y or dx
    Py_ssize_t ldout
    real* dgamma          # OUT (cols,) or NULL
    real* dbeta           # OUT (cols,) or NULL
    bint padded           # rows and vectors go on to a whole logical vector


cdef void layer_norm_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef LayerNorm* a = <LayerNorm*>args
    cdef Py_ssize_t i, i1, j
    cdef const real* x
    cdef vec total[NL]
    cdef vec d, mean, inverse, n = vset(<real>a.cols)
    cdef int part
    share(a.rows, 1, tid, nthreads, &i, &i1)
    for i in range(i, i1):
        x = a.x + i * a.ldx
        for part in range(NL):
            total[part] = vset(0)
        j = 0
        while j < a.cols:
            for part in range(NL):
                total[part] = total[part] + row_vector(x, j + part * VW, a.cols, a.padded, 0)
            j += LANES
        mean = lanes_sum(total) / n
        for part in range(NL):
            total[part] = vset(0)
        j = 0
        while j < a.cols:
            for part in range(NL):
                d = row_vector(x, j + part * VW, a.cols, a.padded, first_lane(mean)) - mean
                total[part] = vfma(d, d, total[part])
            j += LANES
        inverse = inverse_deviation(lanes_sum(total) / n, a.epsilon)
        a.mean[i] = first_lane(mean)
        a.inverse[i] = first_lane(inverse)
        j = 0
        while j < a.cols:
            d = (row_vector(x, j, a.cols, a.padded, 0) - mean) * inverse
            put_row_vector(a.out + i * a.ldout, j, a.cols, a.padded,
                           vfma(d, numbers_of(a.gamma, j, a.cols, a.padded, 1),
                                numbers_of(a.beta, j, a.cols, a.padded, 0)))
            j += VW


cdef void layer_norm_gradient_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """With xhat = (x - mean) / deviation and g = dy * gamma, over each row of m columns:
    dx = (g - sum(g) / m - xhat * sum(g * xhat) / m) / deviation."""
    cdef LayerNorm* a = <LayerNorm*>args
    cdef Py_ssize_t i, i1, j
    cdef const real* x
    cdef const real* dy
    cdef vec plain[NL]
    cdef vec along[NL]
    cdef vec d, g, mean, inverse, slope, level, m = vset(<real>a.cols)
    cdef int part
    share(a.rows, 1, tid, nthreads, &i, &i1)
    for i in range(i, i1):
        x = a.x + i * a.ldx
        dy = a.dy + i * a.lddy
        mean = vset(a.mean[i])
        inverse = vset(a.inverse[i])
        for part in range(NL):
            plain[part] = vset(0)
            along[part] = vset(0)
        j = 0
        while j < a.cols:
            for part in range(NL):
                d = (row_vector(x, j + part * VW, a.cols, a.padded, first_lane(mean)) - mean) * inverse
                g = (row_vector(dy, j + part * VW, a.cols, a.padded, 0)
                     * numbers_of(a.gamma, j + part * VW, a.cols, a.padded, 1))
                plain[part] = plain[part] + g
                along[part] = vfma(d, g, along[part])
            j += LANES
        level = lanes_sum(plain) / m
        slope = lanes_sum(along) / m
        j = 0
        while j < a.cols:
            d = (row_vector(x, j, a.cols, a.padded, 0) - mean) * inverse
            g = (row_vector(dy, j, a.cols, a.padded, 0)
                 * numbers_of(a.gamma, j, a.cols, a.padded, 1))
            put_row_vector(a.out + i * a.ldout, j, a.cols, a.padded,
                           vfma(-d, slope, g - level) * inverse)
            j += VW


cdef inline forced layer_norm_weights_strip(const int nv, LayerNorm* a, Py_ssize_t j) noexcept nogil:
    cdef Py_ssize_t i, at
    cdef vec dgamma[STRIP]
    cdef vec dbeta[STRIP]
    cdef vec d, dy, mean, inverse
    cdef int v
    for v in range(nv):
        dgamma[v] = vset(0)
        dbeta[v] = vset(0)
    for i in range(a.rows):
        mean = vset(a.mean[i])
        inverse = vset(a.inverse[i])
        for v in range(nv):
            at = j + v * VW
            d = (strip_vector(nv, a.x + i * a.ldx, at, a.cols, a.padded, 0) - mean) * inverse
            dy = strip_vector(nv, a.dy + i * a.lddy, at, a.cols, a.padded, 0)
            dgamma[v] = vfma(d, dy, dgamma[v])
            dbeta[v] = dbeta[v] + dy
    for v in range(nv):
        if a.dgamma != NULL:
            put_strip_vector(nv, a.dgamma, j + v * VW, a.cols, a.padded, dgamma[v])
        if a.dbeta != NULL:
            put_strip_vector(nv, a.dbeta, j + v * VW, a.cols, a.padded, dbeta[v])


cdef void layer_norm_weights_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """dgamma = sum(dy * xhat), dbeta = sum(dy) over the rows, ascending."""
    cdef LayerNorm* a = <LayerNorm*>args
    cdef Py_ssize_t j, j1
    share(a.cols, VW, tid, nthreads, &j, &j1)
    while j < j1:
        if j + STRIP * VW <= j1:
            layer_norm_weights_strip(STRIP, a, j)
            j += STRIP * VW
        else:
            layer_norm_weights_strip(1, a, j)
            j += VW
