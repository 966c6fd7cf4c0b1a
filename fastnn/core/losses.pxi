# Losses: the value of each row and, in the same pass, the gradient of scale * sum_i w_i * value_i.
# Each row belongs to one thread. To add one: a code, a row function, a line in `loss`, its name in
# LOSSES of seam.pxi, its twin in reference.py.

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
    const int64_t* labels  # IN (rows,): the sparse loss
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


# softmax cross-entropy: log(sum_j exp(x_j)) - x_t, or with targets t_j,
# mass * log(sum_j exp(x_j)) - sum_j t_j x_j, mass = sum_j t_j; gradient factor * (mass * p - t).
# Finite for any finite logits: their distance x_t - max may overflow, the loss may not.

cdef void softmax_crossentropy_blocks(Loss* a, Py_ssize_t i, Py_ssize_t i1) noexcept nogil:
    """For rows i to i1 of up to LANES columns, VW rows at a time, a row in each lane."""
    cdef vec columns[LANES]
    cdef vec targets[LANES]
    cdef vec most, total, at_target, distance, factor, v
    cdef vec best = vset(0), best_target = vset(0)
    cdef vec mass = vset(1)
    cdef real lanes[VW]
    cdef Py_ssize_t rows, j, r
    while i < i1:
        rows = min(i1 - i, VW)
        take_block(a.y_pred + i * a.ldpred, a.ldpred, rows, a.cols,
                   may_read_beyond(a.rows, a.cols, a.ldpred, i + rows - 1, a.padded), columns)
        if a.code == SOFTMAX_CROSSENTROPY:
            take_block(a.y_true + i * a.ldtrue, a.ldtrue, rows, a.cols, False, targets)
        if a.hits != NULL:
            best = vset(0)
            most = columns[0]
            for j in range(1, a.cols):
                best = vif_gt(columns[j], most, vset(<real>j), best)
                most = vmax(columns[j], most)
        if a.code == SOFTMAX_CROSSENTROPY:
            most = columns[0]
            for j in range(1, a.cols):
                most = vmax(columns[j], most)
            at_target = mass = best_target = vset(0)
            v = targets[0]
            for j in range(a.cols):
                distance = columns[j] - most
                distance = vmax(vset(-REAL_HUGE), distance)
                at_target = vfma(targets[j], distance, at_target)
                mass = mass + targets[j]
                best_target = vif_gt(targets[j], v, vset(<real>j), best_target)
                v = vmax(targets[j], v)
            block_exp(columns, a.cols, &most, &total)
        else:
            for r in range(rows):
                lanes[r] = a.y_pred[(i + r) * a.ldpred + a.labels[i + r]]
            block_exp(columns, a.cols, &most, &total)
            at_target = vload(lanes) - most
            at_target = vmax(vset(-REAL_HUGE), at_target)
            if a.hits != NULL:
                for r in range(rows):
                    lanes[r] = <real>a.labels[i + r]
                best_target = vload(lanes)
        vlog(total, &v)
        put_lanes(a.values + i, rows, mass * v - at_target)
        if a.hits != NULL:
            v = vabs(best - best_target)
            put_lanes(a.hits + i, rows, vif_gt(v, vset(0), vset(0), vset(1)))
        if a.gradient != NULL:
            for r in range(rows):
                lanes[r] = row_factor(a, i + r)
            factor = vload(lanes)
            v = factor * mass / total
            for j in range(a.cols):
                columns[j] = columns[j] * v
                if a.code == SOFTMAX_CROSSENTROPY:
                    columns[j] = vfma(-factor, targets[j], columns[j])
            put_block(columns, a.gradient + i * a.ldgradient, a.ldgradient, rows, a.cols, a.padded)
            if a.code == SPARSE_SOFTMAX_CROSSENTROPY:
                for r in range(rows):
                    a.gradient[(i + r) * a.ldgradient + a.labels[i + r]] -= lanes[r]
        i += rows


cdef inline void put_lanes(real* y, Py_ssize_t rows, vec v) noexcept nogil:
    if rows == VW:
        vstore(y, v)
    else:
        vstore_part(y, v, rows)


cdef inline void softmax_crossentropy_row(Loss* a, Py_ssize_t i) noexcept nogil:
    """For one row of any number of columns."""
    cdef real factor = row_factor(a, i)
    cdef const real* x = a.y_pred + i * a.ldpred
    cdef const real* t = NULL
    cdef real* g = a.gradient + i * a.ldgradient if a.gradient != NULL else NULL
    cdef bint beyond = may_read_beyond(a.rows, a.cols, a.ldpred, i, a.padded)
    cdef vec most = row_max(x, a.cols, beyond)
    cdef vec total = row_exp(x, a.cols, beyond, most, g, a.padded)
    cdef Py_ssize_t j = 0, label = 0
    cdef vec sums[NL]
    cdef vec masses[NL]
    cdef vec v, target
    cdef vec log_total
    cdef real mass = 1, at_target
    cdef int part
    vlog(total, &log_total)
    if a.code == SPARSE_SOFTMAX_CROSSENTROPY:
        label = a.labels[i]
        at_target = x[label] - first_lane(most)
        if at_target < -REAL_HUGE:
            at_target = -REAL_HUGE
    else:
        t = a.y_true + i * a.ldtrue
        for part in range(NL):
            sums[part] = vset(0)
            masses[part] = vset(0)
        while j < a.cols:
            for part in range(NL):
                v = row_vector(x, j + part * VW, a.cols, beyond, 0) - most
                v = vmax(vset(-REAL_HUGE), v)
                target = row_vector(t, j + part * VW, a.cols, a.padded, 0)
                sums[part] = vfma(target, v, sums[part])
                masses[part] = masses[part] + target
            j += LANES
        at_target = first_lane(lanes_sum(sums))
        mass = first_lane(lanes_sum(masses))
        if a.hits != NULL:
            for j in range(1, a.cols):
                if t[j] > t[label]:
                    label = j
    a.values[i] = mass * first_lane(log_total) - at_target
    if a.hits != NULL:
        a.hits[i] = 1 if x[label] >= first_lane(most) and first_greatest(x, label) else 0
    if g == NULL:
        return
    v = vset(factor * mass) / total
    j = 0
    while j < a.cols:
        target = row_vector(g, j, a.cols, a.padded, 0) * v
        if t != NULL:
            target = vfma(vset(-factor), row_vector(t, j, a.cols, a.padded, 0), target)
        put_row_vector(g, j, a.cols, a.padded, target)
        j += VW
    if t == NULL:
        g[label] = g[label] - factor


cdef inline void elementwise_loss_row(Loss* a, Py_ssize_t i) noexcept nogil:
    """Mean over the row of (p - t)**2, or of max(z, 0) - z t + log(1 + exp(-|z|)) for logits z."""
    cdef const real* x = a.y_pred + i * a.ldpred
    cdef const real* t = a.y_true + i * a.ldtrue
    cdef real* g = a.gradient + i * a.ldgradient if a.gradient != NULL else NULL
    cdef real factor = row_factor(a, i)
    cdef real beyond_row
    cdef real share_of_one = 1 / <real>a.cols
    cdef vec sums[NL]
    cdef vec right[NL]
    cdef vec p, target, value, slope, z
    cdef Py_ssize_t j = 0, at
    cdef int part
    for part in range(NL):
        sums[part] = vset(0)
        right[part] = vset(0)
    while j < a.cols:
        for part in range(NL):
            at = j + part * VW
            p = row_vector(x, at, a.cols, False, 0)
            target = row_vector(t, at, a.cols, False, 0)
            if a.code == MEAN_SQUARED_ERROR:
                slope = p - target
                value = slope * slope
                slope = slope + slope
            else:
                vexp(-vabs(p), &z)
                vlog1p_unit(z, &value)
                value = value + vfma(-p, target, vmax(vset(0), p))
                slope = vif_gt(vset(0), p, z, vset(1)) / (z + vset(1)) - target
                right[part] = right[part] + row_vector_equal(p, target)
            # Divided first: the mean of finite losses is finite, their sum may not be.
            sums[part] = sums[part] + row_part(value * vset(share_of_one), at, a.cols)
            if g != NULL:
                put_row_vector(g, at, a.cols, a.padded, slope * vset(factor * share_of_one))
        j += LANES
    a.values[i] = first_lane(lanes_sum(sums))
    if a.hits != NULL:
        # Lanes beyond the row hold p = t = 0, which counts as right: they are taken off again.
        beyond_row = <real>((a.cols + LANES - 1) // LANES * LANES - a.cols)
        a.hits[i] = (first_lane(lanes_sum(right)) - beyond_row) * share_of_one


cdef inline vec row_part(vec v, Py_ssize_t j, Py_ssize_t cols) noexcept nogil:
    """v with zeros in the lanes from column cols on."""
    if j + VW <= cols:
        return v
    return vif_gt(vset(<real>(cols - j)), vload(LANE_NUMBER), v, vset(0))


cdef inline vec row_vector_equal(vec logit, vec target) noexcept nogil:
    """1 where the target is the class that the logit speaks for, 0 or 1; else 0."""
    cdef vec predicted = vif_gt(logit, vset(0), vset(1), vset(0))
    return vif_gt(vabs(predicted - target), vset(0), vset(0), vset(1))


cdef inline real row_factor(Loss* a, Py_ssize_t i) noexcept nogil:
    """What the gradient of row i is multiplied with."""
    return a.scale if a.weights == NULL else a.scale * a.weights[i]


cdef void loss_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Loss* a = <Loss*>args
    cdef Py_ssize_t i, i0, i1
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    if a.code == SPARSE_SOFTMAX_CROSSENTROPY or a.code == SOFTMAX_CROSSENTROPY:
        if a.cols <= LANES:
            softmax_crossentropy_blocks(a, i0, i1)
        else:
            for i in range(i0, i1):
                softmax_crossentropy_row(a, i)
    else:
        for i in range(i0, i1):
            elementwise_loss_row(a, i)
