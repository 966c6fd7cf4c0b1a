# Losses: the value of each row and, in the same pass, the gradient of scale * sum_i w_i * value_i.
# Each row belongs to one thread. To add one: a code, a row function, a line in `loss`, its name in
# LOSSES of _core.pyx, its twin in reference.py.

cdef enum LossCode:
    SPARSE_SOFTMAX_CROSSENTROPY
    SOFTMAX_CROSSENTROPY
    MEAN_SQUARED_ERROR
    BINARY_CROSSENTROPY
    LOSS_COUNT

cdef struct Loss:
    int code
    Py_ssize_t rows, cols
    const real* y_pred    # IN (rows, cols)
    Py_ssize_t ldpred
    const int64_t* labels # IN (rows,): the sparse loss
    const real* y_true    # IN (rows, cols): the others
    Py_ssize_t ldtrue
    const real* weights   # IN (rows,) or NULL: ones
    real scale
    real* values          # OUT (rows,)
    real* hits            # OUT (rows,) or NULL: 1 where the row counts as predicted right
    real* gradient        # OUT (rows, cols) or NULL
    Py_ssize_t ldgradient
    bint padded           # rows of y_pred, y_true and gradient go on to a whole logical vector


cdef inline bint first_greatest(const real* x, Py_ssize_t label) noexcept nogil:
    """Whether x[label], known to be the greatest of its row, is the first that is so."""
    cdef Py_ssize_t j
    for j in range(label):
        if x[j] >= x[label]:
            return False
    return True


cdef inline void softmax_crossentropy_row(Loss* a, Py_ssize_t i, real factor) noexcept nogil:
    """log(sum_j exp(x_j)) - x_t, or sum_j t_j (log(sum exp(x)) - x_j); gradient factor * (p - t)."""
    cdef const real* x = a.y_pred + i * a.ldpred
    cdef const real* t = NULL
    cdef real* g = a.gradient + i * a.ldgradient if a.gradient != NULL else NULL
    cdef bint beyond = may_read_beyond(a.rows, a.cols, a.ldpred, i, a.padded)
    cdef real most = row_max(x, a.cols, beyond)
    cdef real total = row_exp(x, a.cols, beyond, most, g, a.padded)
    cdef real log_total = log_of(total), mass = 1, d
    cdef Py_ssize_t j = 0, label = 0
    cdef vec sums[NL]
    cdef vec masses[NL]
    cdef vec v, target
    cdef int l
    if a.code == SPARSE_SOFTMAX_CROSSENTROPY:
        label = a.labels[i]
        d = x[label] - most
        # Finite for any finite logits: their distance may overflow, the loss may not.
        a.values[i] = log_total - (-REAL_HUGE if d < -REAL_HUGE else d)
        if a.hits != NULL:
            a.hits[i] = 1 if x[label] >= most and first_greatest(x, label) else 0
    else:
        t = a.y_true + i * a.ldtrue
        for l in range(NL):
            sums[l] = vset(0)
            masses[l] = vset(0)
        while j < a.cols:
            for l in range(NL):
                v = row_vector(x, j + l * VW, a.cols, beyond, most) - vset(most)
                v = vif_gt(vset(-REAL_HUGE), v, vset(-REAL_HUGE), v)
                target = row_vector(t, j + l * VW, a.cols, False, 0)
                sums[l] = vfma(target, vset(log_total) - v, sums[l])
                masses[l] = masses[l] + target
            j += LANES
        a.values[i] = lanes_sum(sums)
        mass = lanes_sum(masses)
        if a.hits != NULL:
            label = 0
            for j in range(1, a.cols):
                if t[j] > t[label]:
                    label = j
            a.hits[i] = 1 if x[label] >= most and first_greatest(x, label) else 0
    if g == NULL:
        return
    d = factor * mass / total
    j = 0
    while j < a.cols:
        v = row_vector(g, j, a.cols, a.padded, 0) * vset(d)
        if t != NULL:
            v = vfma(vset(-factor), row_vector(t, j, a.cols, False, 0), v)
        put_row_vector(g, j, a.cols, a.padded, v)
        j += VW
    if t == NULL:
        g[label] = g[label] - factor


cdef inline void elementwise_loss_row(Loss* a, Py_ssize_t i, real factor) noexcept nogil:
    """Mean over the row of (p - t)**2, or of max(z, 0) - z t + log(1 + exp(-|z|)) for logits z."""
    cdef const real* x = a.y_pred + i * a.ldpred
    cdef const real* t = a.y_true + i * a.ldtrue
    cdef real* g = a.gradient + i * a.ldgradient if a.gradient != NULL else NULL
    cdef real share_of_one = 1 / <real>a.cols
    cdef vec sums[NL]
    cdef vec right[NL]
    cdef vec p, target, value, slope, z
    cdef Py_ssize_t j = 0, at
    cdef int l
    for l in range(NL):
        sums[l] = vset(0)
        right[l] = vset(0)
    while j < a.cols:
        for l in range(NL):
            at = j + l * VW
            p = row_vector(x, at, a.cols, False, 0)
            target = row_vector(t, at, a.cols, False, 0)
            if a.code == MEAN_SQUARED_ERROR:
                slope = p - target
                value = slope * slope
                slope = slope + slope
            else:
                vexp(-vabs(p), &z)
                vlog1p_unit(z, &value)
                value = value + vfma(-p, target, vif_gt(p, vset(0), p, vset(0)))
                slope = vif_gt(vset(0), p, z, vset(1)) / (z + vset(1)) - target
                right[l] = right[l] + row_vector_equal(p, target)
            sums[l] = sums[l] + row_part(value, at, a.cols)
            if g != NULL:
                put_row_vector(g, at, a.cols, a.padded, slope * vset(factor * share_of_one))
        j += LANES
    a.values[i] = lanes_sum(sums) * share_of_one
    if a.hits != NULL:
        # Lanes beyond the row hold p = t = 0, which counts as right: they are taken off again.
        a.hits[i] = (lanes_sum(right) - <real>((a.cols + LANES - 1) // LANES * LANES - a.cols)) * share_of_one


cdef inline vec row_part(vec v, Py_ssize_t j, Py_ssize_t cols) noexcept nogil:
    """v with zeros in the lanes from column cols on."""
    if j + VW <= cols:
        return v
    return vif_gt(vset(<real>(cols - j)), vload(LANE_NUMBER), v, vset(0))


cdef inline vec row_vector_equal(vec logit, vec target) noexcept nogil:
    """1 where (logit > 0) == (target > 1/2), else 0."""
    cdef vec predicted = vif_gt(logit, vset(0), vset(1), vset(0))
    cdef vec wanted = vif_gt(target, vset(0.5), vset(1), vset(0))
    return vset(1) - vabs(predicted - wanted)


cdef void loss_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Loss* a = <Loss*>args
    cdef Py_ssize_t i, i0, i1
    cdef real factor
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        factor = a.scale if a.weights == NULL else a.scale * a.weights[i]
        if a.code == SPARSE_SOFTMAX_CROSSENTROPY or a.code == SOFTMAX_CROSSENTROPY:
            softmax_crossentropy_row(a, i, factor)
        else:
            elementwise_loss_row(a, i, factor)
