# Losses: the value of each row and, in the same pass, the gradient of scale * sum_i w_i * value_i.
# Each row belongs to one thread. To add an elementwise one: a code, a branch in `element_loss`, a line
# in `loss_kernel`, its name in LOSSES of seam.pxi, its twin in reference.py.

cdef enum LossCode:
    SPARSE_SOFTMAX_CROSSENTROPY
    SOFTMAX_CROSSENTROPY
    SPARSE_CROSSENTROPY_OF_PROBABILITIES
    CROSSENTROPY_OF_PROBABILITIES
    BINARY_CROSSENTROPY
    BINARY_CROSSENTROPY_OF_PROBABILITIES
    BINARY_FOCAL
    BINARY_FOCAL_OF_PROBABILITIES
    MEAN_SQUARED_ERROR
    ROOT_MEAN_SQUARED_ERROR
    SUM_SQUARED_ERROR
    MEAN_ABSOLUTE_ERROR
    MEAN_ABSOLUTE_PERCENTAGE_ERROR
    MEAN_SQUARED_LOGARITHMIC_ERROR
    HUBER
    LOG_COSH
    QUANTILE
    KL_DIVERGENCE
    POISSON
    HINGE
    SQUARED_HINGE
    CATEGORICAL_HINGE
    COSINE_SIMILARITY
    CONTRASTIVE
    TRIPLET
    LOSS_COUNT

cdef enum:
    LOSS_NUMBERS = 4  # numbers that a loss may depend on: margins, exponents, smoothing

cdef extern from *:
    """
    /* Keras's: probabilities are kept this far from 0 and 1 before a logarithm. */
    #define LOSS_EPSILON ((real)1e-7)
    """
    real LOSS_EPSILON

cdef struct Loss:
    int code
    Py_ssize_t rows, cols
    const real* y_pred    # IN (rows, cols)
    Py_ssize_t ldpred
    const int64_t* labels  # IN (rows,): the losses of labels
    const real* y_true    # IN (rows, cols): the others
    Py_ssize_t ldtrue
    const real* weights   # IN (rows,) or NULL: ones
    real scale
    real numbers[LOSS_NUMBERS]
    real* values          # OUT (rows,)
    real* hits            # OUT (rows,) or NULL: 1 where the row counts as predicted right
    real* gradient        # OUT (rows, cols) or NULL
    Py_ssize_t ldgradient
    bint padded           # rows of y_pred, y_true and gradient go on to a whole logical vector


cdef inline bint takes_labels(int code) noexcept nogil:
    return (code == SPARSE_SOFTMAX_CROSSENTROPY or code == SPARSE_CROSSENTROPY_OF_PROBABILITIES
            or code == TRIPLET)


cdef inline Py_ssize_t first_greatest(const real* x, Py_ssize_t cols) noexcept nogil:
    """As numpy.argmax: the first NaN, else the first of the greatest."""
    cdef Py_ssize_t j, at = 0
    for j in range(cols):
        if x[j] != x[j]:
            return j
        if x[j] > x[at]:
            at = j
    return at


cdef bint is_hit(Loss* a, Py_ssize_t i) noexcept nogil:
    """Whether the greatest output of row i is that of its label, or of its greatest target."""
    cdef Py_ssize_t label
    if a.labels != NULL:
        label = a.labels[i]
    else:
        label = first_greatest(a.y_true + i * a.ldtrue, a.cols)
    return first_greatest(a.y_pred + i * a.ldpred, a.cols) == label


# softmax cross-entropy: log(sum_j exp(x_j)) - x_t, or with targets t_j,
# mass * log(sum_j exp(x_j)) - sum_j t_j x_j, mass = sum_j t_j; gradient factor * (mass * p - t).
# Finite for any finite logits: their distance x_t - max may overflow, the loss may not.
# numbers of the targets' form: (label smoothing s); t_j is then (1 - s) t_j + s / cols.

cdef void softmax_crossentropy_blocks(Loss* a, Py_ssize_t i0, Py_ssize_t i1) noexcept nogil:
    """For rows i0 to i1 of up to LANES columns, VW rows at a time, a row in each lane."""
    cdef vec columns[LANES]
    cdef vec targets[LANES]
    cdef vec most, total, at_target, factor, v
    cdef vec best = vset(0), best_target = vset(0), doubt = vset(0)
    cdef vec mass = vset(1)
    cdef real lanes[VW]
    cdef real smoothing = a.numbers[0]
    cdef Py_ssize_t rows, j, r, i = i0
    while i < i1:
        rows = min(i1 - i, VW)
        take_block(a.y_pred + i * a.ldpred, a.ldpred, rows, a.cols,
                   may_read_beyond(a.rows, a.cols, a.ldpred, i + rows - 1, a.padded), columns)
        if a.hits == NULL:
            most = block_max(columns, a.cols)
        else:
            best = vset(0)
            most = columns[0]
            for j in range(1, a.cols):
                best = vif_gt(columns[j], most, vset(<real>j), best)
                most = vmax(columns[j], most)
        if a.code == SOFTMAX_CROSSENTROPY:
            take_block(a.y_true + i * a.ldtrue, a.ldtrue, rows, a.cols, False, targets)
            at_target = mass = best_target = vset(0)
            v = targets[0]
            for j in range(a.cols):
                best_target = vif_gt(targets[j], v, vset(<real>j), best_target)
                v = vmax(targets[j], v)
                if smoothing > 0:
                    targets[j] = smoothed(targets[j], smoothing, smoothing / <real>a.cols)
                at_target = with_distance(columns[j], most, targets[j], at_target)
                mass = mass + targets[j]
            total = block_exp(columns, a.cols, most)
        else:
            for r in range(rows):
                lanes[r] = a.y_pred[(i + r) * a.ldpred + a.labels[i + r]]
            total = block_exp(columns, a.cols, most)
            v = vload(lanes)
            at_target = vif_gt(v, vset(-REAL_INF), vmax(vset(-REAL_HUGE), v - most), v - most)
            if a.hits != NULL:
                for r in range(rows):
                    lanes[r] = <real>a.labels[i + r]
                best_target = vload(lanes)
        vlog(total, &v)
        put_lanes(a.values + i, rows, mass * v - at_target)
        if a.hits != NULL:
            doubt = doubt + total
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
    if a.hits == NULL:
        return
    vstore(lanes, doubt)
    for j in range(VW):
        if lanes[j] != lanes[j]:  # NaN among the logits, or infinity: no ordered comparison finds it
            for i in range(i0, i1):
                a.hits[i] = 1 if is_hit(a, i) else 0
            return


cdef inline vec with_distance(vec logit, vec most, vec target, vec total) noexcept nogil:
    """total + target * (logit - most), capped as long as the logits are finite; an infinite one is
    not hidden, unless its target is 0."""
    cdef vec least = vset(-REAL_HUGE), none = vset(-REAL_INF), distance = logit - most, capped
    capped = vmax(least, distance)
    distance = vif_gt(logit, none, capped, vif_gt(target, vset(0), distance, capped))
    capped = vfma(target, distance, total)
    return vif_gt(vmin(distance, total), none, vmax(least, capped), capped)


cdef bint all_finite(const real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        if x[j] - x[j] != 0:
            return False
    return True


cdef inline vec smoothed(vec t, real smoothing, real share_of_it) noexcept nogil:
    """The targets (1 - s) * t + the share of s that every class gets."""
    return vfma(t, vset(1 - smoothing), vset(share_of_it))


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
    cdef vec v, target, label_share
    cdef vec log_total
    cdef real mass = 1, at_target
    cdef int part
    vlog(total, &log_total)
    if a.code == SPARSE_SOFTMAX_CROSSENTROPY:
        label = a.labels[i]
        at_target = x[label] - first_lane(most)
        if at_target < -REAL_HUGE and x[label] > -REAL_INF:
            at_target = -REAL_HUGE
    else:
        t = a.y_true + i * a.ldtrue
        for part in range(NL):
            sums[part] = vset(0)
            masses[part] = vset(0)
        while j < a.cols:
            for part in range(NL):
                v = row_vector(x, j + part * VW, a.cols, beyond, 0)
                target = row_vector(t, j + part * VW, a.cols, a.padded, 0)
                if a.numbers[0] > 0:
                    target = smoothed(target, a.numbers[0], a.numbers[0] / <real>a.cols)
                    target = row_part(target, j + part * VW, a.cols)
                sums[part] = with_distance(v, most, target, sums[part])
                masses[part] = masses[part] + target
            j += LANES
        at_target = first_lane(lanes_sum(sums))
        if at_target < -REAL_HUGE and all_finite(x, a.cols):
            at_target = -REAL_HUGE
        mass = first_lane(lanes_sum(masses))
        if a.hits != NULL:
            label = first_greatest(t, a.cols)
    a.values[i] = mass * first_lane(log_total) - at_target
    if a.hits != NULL:
        a.hits[i] = 0 if x[label] < first_lane(most) or not is_hit(a, i) else 1
    if g == NULL:
        return
    v = vset(factor * mass) / total
    j = 0
    while j < a.cols:
        target = row_vector(g, j, a.cols, a.padded, 0) * v
        if t != NULL:
            label_share = row_vector(t, j, a.cols, a.padded, 0)
            if a.numbers[0] > 0:
                label_share = smoothed(label_share, a.numbers[0], a.numbers[0] / <real>a.cols)
            target = vfma(vset(-factor), label_share, target)
        put_row_vector(g, j, a.cols, a.padded, target)
        j += VW
    if t == NULL:
        g[label] = g[label] - factor


# ---- losses of one output at a time --------------------------------------------------------------

cdef inline vec vsign(vec x) noexcept nogil:
    """-1, 0 or 1; NaN stays."""
    return vif_gt(x, vset(0), vset(1), vif_gt(vset(0), x, vset(-1), x))


cdef inline vec vclip(vec x, real low, real high) noexcept nogil:
    """x kept within [low, high]; NaN stays."""
    x = vmin(vset(high), x)
    return vmax(vset(low), x)


cdef inline vec vzero_outside(vec x, real low, real high, vec y) noexcept nogil:
    """y, but 0 where x is not within [low, high]."""
    return vif_gt(vset(low), x, vset(0), vif_gt(x, vset(high), vset(0), y))


cdef inline forced vlog1p_positive(vec x, vec* y) noexcept nogil:
    """y = log(1 + x) for x >= 0: as vlog1p_unit, but infinity stays too."""
    cdef vec u = x + vset(1)
    vlog(u, y)
    y[0] = y[0] + vif_gt(vset(REAL_HUGE), x, (x - (u - vset(1))) / u, vset(0))


cdef inline forced focal(const real* number, vec t, vec p, vec rest, vec loss, vec* value,
                         vec* slope) noexcept nogil:
    """Focal loss w q**gamma B, q = t (1 - p) + (1 - t) p, of the binary cross-entropy B of p, and its
    derivative by the logit of p; rest = 1 - p. Written so that no q nor p near 0 or 1 cancels:
    dB = p (1 - t) - (1 - p) t, dq = (1 - 2 t) p (1 - p), of which p (1 - p) / q is at most 2."""
    cdef vec one = vset(1), others = one - t
    cdef vec q = vfma(t, rest, others * p)
    cdef vec power, ratio, weight
    weight = vfma(t, vset(number[2]), others * vset(number[3]))
    vlog(q, &power)
    power = vmax(vset(-REAL_HUGE), power)  # 0 ** 0 = 1
    vexp(power * vset(number[1]), &power)
    ratio = vif_gt(q, vset(0), p * rest / q, q)
    power = weight * power
    value[0] = power * loss
    ratio = ratio * loss * ((others - t) * vset(number[1]))
    slope[0] = power * (ratio + vfma(-rest, t, p * others))


cdef inline forced element_loss(const int code, const real* number, vec p, vec t, vec* value,
                                vec* slope) noexcept nogil:
    """The share of one prediction p with target t in the row's loss, and its derivative by p; the row's
    loss is the mean of these, or their sum (`is_sum`). Formulas: reference.py."""
    cdef vec zero = vset(0), one = vset(1)
    cdef vec d = p - t
    cdef vec size = vabs(d)
    cdef vec a, b, c
    if code == MEAN_SQUARED_ERROR:
        value[0] = d * d
        slope[0] = d + d
    elif code == SUM_SQUARED_ERROR:
        value[0] = vset(0.5) * d * d
        slope[0] = d
    elif code == MEAN_ABSOLUTE_ERROR:
        value[0] = size
        slope[0] = vsign(d)
    elif code == MEAN_ABSOLUTE_PERCENTAGE_ERROR:
        a = vabs(t)
        a = vset(100) / vmax(vset(LOSS_EPSILON), a)
        value[0] = size * a
        slope[0] = vsign(d) * a
    elif code == MEAN_SQUARED_LOGARITHMIC_ERROR:
        a = vmax(vset(LOSS_EPSILON), p)
        vlog1p_positive(a, &b)
        vlog1p_positive(vmax(vset(LOSS_EPSILON), t), &c)
        b = b - c
        value[0] = b * b
        slope[0] = vif_gt(vset(LOSS_EPSILON), p, zero, (b + b) / (a + one))
    elif code == HUBER:
        a = vmin(vset(number[0]), size)
        value[0] = a * (size - vset(0.5) * a)
        slope[0] = vclip(d, -number[0], number[0])
    elif code == LOG_COSH:
        # -log(1 - tanh(d)**2) / 2 near 0, |d| + log(1 + exp(-2 |d|)) - log(2) beyond.
        vtanh(d, &a)
        vexp(vset(-2) * size, &b)
        b = vif_gt(one, size, -a * a, b)
        vlog1p_unit(b, &b)
        value[0] = vif_gt(one, size, vset(-0.5) * b, (size - vset(0.6931471805599453)) + b)
        slope[0] = a
    elif code == QUANTILE:
        slope[0] = vif_gt(d, zero, vset(1 - number[0]), vif_gt(zero, d, vset(-number[0]), d))
        value[0] = d * slope[0]
    elif code == BINARY_CROSSENTROPY:
        # max(z, 0) - z t + log(1 + exp(-|z|)) for a logit z
        t = vfma(t, vset(1 - number[0]), vset(number[0] / 2))
        vexp(-vabs(p), &a)
        vlog1p_unit(a, &b)
        value[0] = b + vfma(-p, t, vmax(zero, p))
        slope[0] = vif_gt(zero, p, a, one) / (a + one) - t
    elif code == BINARY_CROSSENTROPY_OF_PROBABILITIES:
        t = vfma(t, vset(1 - number[0]), vset(number[0] / 2))
        a = vclip(p, LOSS_EPSILON, 1 - LOSS_EPSILON)
        vlog(a, &b)
        vlog(one - a, &c)
        value[0] = -vfma(t, b, (one - t) * c)
        slope[0] = vzero_outside(p, LOSS_EPSILON, 1 - LOSS_EPSILON, (a - t) / (a * (one - a)))
    elif code == BINARY_FOCAL:
        t = vfma(t, vset(1 - number[0]), vset(number[0] / 2))
        vexp(-vabs(p), &a)
        vlog1p_unit(a, &b)
        b = b + vfma(-p, t, vmax(zero, p))
        c = one / (a + one)
        a = a * c
        focal(number, t, vif_gt(zero, p, a, c), vif_gt(zero, p, c, a), b, value, slope)
    elif code == BINARY_FOCAL_OF_PROBABILITIES:
        t = vfma(t, vset(1 - number[0]), vset(number[0] / 2))
        a = vclip(p, LOSS_EPSILON, 1 - LOSS_EPSILON)
        vlog(a, &b)
        vlog(one - a, &c)
        b = -vfma(t, b, (one - t) * c)
        focal(number, t, a, one - a, b, value, slope)
        c = slope[0] / (a * (one - a))
        slope[0] = vzero_outside(p, LOSS_EPSILON, 1 - LOSS_EPSILON, c)
    elif code == KL_DIVERGENCE:
        a = vclip(p, LOSS_EPSILON, 1)
        b = vclip(t, LOSS_EPSILON, 1) / a
        vlog(b, &c)
        value[0] = a * b * c
        slope[0] = vzero_outside(p, LOSS_EPSILON, 1, -b)
    elif code == POISSON:
        a = p + vset(LOSS_EPSILON)
        vlog(a, &b)
        value[0] = vfma(-t, b, p)
        slope[0] = one - t / a
    elif code == HINGE or code == SQUARED_HINGE:
        b = vif_gt(t, zero, one, vif_gt(one, t, vset(-1), t))  # 0 stands for -1, as in Keras
        a = vfma(-b, p, one)
        value[0] = vmax(zero, a)
        if code == HINGE:
            slope[0] = vif_gt(a, zero, -b, value[0])
        else:
            slope[0] = value[0] * b * vset(-2)
            value[0] = value[0] * value[0]
    elif code == CONTRASTIVE:
        a = vset(number[0]) - p
        a = vmax(zero, a)
        b = one - t
        value[0] = vfma(t, p * p, b * (a * a))
        slope[0] = vset(2) * vfma(t, p, -b * a)


cdef inline bint is_sum(int code) noexcept nogil:
    return code == SUM_SQUARED_ERROR or code == KL_DIVERGENCE


cdef inline bint counts_hits(int code) noexcept nogil:
    return code == BINARY_CROSSENTROPY or code == BINARY_FOCAL


cdef inline forced element_loss_rows(const int code, Loss* a, Py_ssize_t i0,
                                     Py_ssize_t i1) noexcept nogil:
    cdef const real* x
    cdef const real* t
    cdef real* g
    cdef real factor
    cdef real beyond_row
    cdef real share_of_one = 1 if is_sum(code) else 1 / <real>a.cols
    cdef real number[LOSS_NUMBERS]
    cdef vec sums[NL]
    cdef vec right[NL]
    cdef vec p, target, value, slope
    cdef Py_ssize_t i, j, at
    cdef int part
    memcpy(number, a.numbers, sizeof(number))
    for i in range(i0, i1):
        x = a.y_pred + i * a.ldpred
        t = a.y_true + i * a.ldtrue
        g = a.gradient + i * a.ldgradient if a.gradient != NULL else NULL
        factor = row_factor(a, i)
        for part in range(NL):
            sums[part] = vset(0)
            right[part] = vset(0)
        j = 0
        while j < a.cols:
            for part in range(NL):
                at = j + part * VW
                p = row_vector(x, at, a.cols, False, 0)
                target = row_vector(t, at, a.cols, False, 0)
                element_loss(code, number, p, target, &value, &slope)
                if counts_hits(code):
                    right[part] = right[part] + row_vector_equal(p, target)
                # Divided first: the mean of finite losses is finite, their sum may not be.
                sums[part] = sums[part] + row_part(value * vset(share_of_one), at, a.cols)
                if g != NULL:
                    put_row_vector(g, at, a.cols, a.padded, slope * vset(factor * share_of_one))
            j += LANES
        a.values[i] = first_lane(lanes_sum(sums))
        if counts_hits(code) and a.values[i] > REAL_HUGE and all_finite(x, a.cols):
            a.values[i] = REAL_HUGE  # the shares, each rounded, add up to more than one
        if counts_hits(code) and a.hits != NULL:
            # Lanes beyond the row hold p = t = 0, which counts as right: they are taken off again.
            beyond_row = <real>((a.cols + LANES - 1) // LANES * LANES - a.cols)
            a.hits[i] = (first_lane(lanes_sum(right)) - beyond_row) * share_of_one


cdef inline vec row_part(vec v, Py_ssize_t j, Py_ssize_t cols) noexcept nogil:
    """v with zeros in the lanes from column cols on."""
    if j + VW <= cols:
        return v
    return vif_gt(vset(<real>(cols - j)), vload(LANE_NUMBER), v, vset(0))


cdef inline vec row_vector_equal(vec logit, vec target) noexcept nogil:
    """1 where the target is the class that the logit speaks for, 0 or 1; else 0. (The sigmoid of a
    logit between 0 and about 1e-7 rounds to 0.5, which Python would count for class 0.)"""
    cdef vec predicted = vif_gt(logit, vset(0), vset(1), vset(0))
    return vif_gt(vabs(predicted - target), vset(0), vset(0), vset(1))


cdef inline real row_factor(Loss* a, Py_ssize_t i) noexcept nogil:
    """What the gradient of row i is multiplied with."""
    return a.scale if a.weights == NULL else a.scale * a.weights[i]


# ---- losses of a row as a whole ------------------------------------------------------------------

cdef void crossentropy_of_probabilities_row(Loss* a, Py_ssize_t i) noexcept nogil:
    """-sum_j t_j log(p_j), p_j = x_j / sum(x), kept within [epsilon, 1 - epsilon]; a label's t is
    one-hot. Through p: dx_k = (dp_k - sum_j dp_j p_j) / sum(x)."""
    cdef const real* x = a.y_pred + i * a.ldpred
    cdef real* g = a.gradient + i * a.ldgradient if a.gradient != NULL else NULL
    cdef vec totals[NL]
    cdef vec sums[NL]
    cdef vec dots[NL]
    cdef vec share_of_all, p, target, log_p, slope, total, dot
    cdef Py_ssize_t j = 0, at
    cdef int part
    for part in range(NL):
        totals[part] = sums[part] = dots[part] = vset(0)
    while j < a.cols:
        for part in range(NL):
            totals[part] = totals[part] + row_vector(x, j + part * VW, a.cols, False, 0)
        j += LANES
    total = lanes_sum(totals)
    j = 0
    while j < a.cols:
        for part in range(NL):
            at = j + part * VW
            share_of_all = row_vector(x, at, a.cols, False, 0) / total
            p = vclip(share_of_all, LOSS_EPSILON, 1 - LOSS_EPSILON)
            if a.labels != NULL:
                target = vabs(vload(LANE_NUMBER) - vset(<real>(a.labels[i] - at)))
                target = vif_gt(target, vset(0), vset(0), vset(1))
            else:
                target = row_vector(a.y_true + i * a.ldtrue, at, a.cols, False, 0)
                target = smoothed(target, a.numbers[0], a.numbers[0] / <real>a.cols)
                target = row_part(target, at, a.cols)
            vlog(p, &log_p)
            sums[part] = vfma(-target, log_p, sums[part])
            slope = vzero_outside(share_of_all, LOSS_EPSILON, 1 - LOSS_EPSILON, -target / p)
            dots[part] = vfma(slope, row_part(share_of_all, at, a.cols), dots[part])
            if g != NULL:
                put_row_vector(g, at, a.cols, a.padded, slope)
        j += LANES
    a.values[i] = first_lane(lanes_sum(sums))
    if g == NULL:
        return
    dot = lanes_sum(dots)
    total = vset(row_factor(a, i)) / total
    j = 0
    while j < a.cols:
        slope = (row_vector(g, j, a.cols, False, 0) - dot) * total
        put_row_vector(g, j, a.cols, a.padded, slope)
        j += VW


cdef void cosine_similarity_row(Loss* a, Py_ssize_t i) noexcept nogil:
    """-sum_j t'_j p'_j, the vectors divided by their lengths (by epsilon, if they are shorter);
    gradient -(t'_j - p'_j cos) / |p|, 0 for a p that is shorter than epsilon."""
    cdef const real* x = a.y_pred + i * a.ldpred
    cdef const real* t = a.y_true + i * a.ldtrue
    cdef vec lengths[2][NL]
    cdef vec sums[NL]
    cdef vec p, target, pred_inverse, true_inverse, length, cosine, factor
    cdef Py_ssize_t j = 0
    cdef int part
    for part in range(NL):
        lengths[0][part] = lengths[1][part] = sums[part] = vset(0)
    while j < a.cols:
        for part in range(NL):
            p = row_vector(x, j + part * VW, a.cols, False, 0)
            target = row_vector(t, j + part * VW, a.cols, False, 0)
            lengths[0][part] = vfma(p, p, lengths[0][part])
            lengths[1][part] = vfma(target, target, lengths[1][part])
        j += LANES
    length = vsqrt(lanes_sum(lengths[0]))
    pred_inverse = vset(1) / vmax(vset(LOSS_EPSILON), length)
    true_inverse = vsqrt(lanes_sum(lengths[1]))
    true_inverse = vset(1) / vmax(vset(LOSS_EPSILON), true_inverse)
    j = 0
    while j < a.cols:
        for part in range(NL):
            p = row_vector(x, j + part * VW, a.cols, False, 0) * pred_inverse
            target = row_vector(t, j + part * VW, a.cols, False, 0) * true_inverse
            sums[part] = vfma(target, p, sums[part])
        j += LANES
    cosine = lanes_sum(sums)
    a.values[i] = -first_lane(cosine)
    if a.gradient == NULL:
        return
    factor = vif_gt(vset(LOSS_EPSILON), length, vset(0), vset(row_factor(a, i)) * pred_inverse)
    j = 0
    while j < a.cols:
        p = row_vector(x, j, a.cols, False, 0) * pred_inverse
        target = row_vector(t, j, a.cols, False, 0) * true_inverse
        put_row_vector(a.gradient + i * a.ldgradient, j, a.cols, a.padded,
                       vfma(cosine, p, -target) * factor)
        j += VW


cdef void categorical_hinge_row(Loss* a, Py_ssize_t i) noexcept nogil:
    """max(0, 1 + max_j (1 - t_j) x_j - sum_j t_j x_j); the gradient of the maximum is that of the first
    of the greatest."""
    cdef const real* x = a.y_pred + i * a.ldpred
    cdef const real* t = a.y_true + i * a.ldtrue
    cdef real* g = a.gradient + i * a.ldgradient if a.gradient != NULL else NULL
    cdef vec sums[NL]
    cdef Py_ssize_t j = 0, at = 0
    cdef int part
    cdef real most, v, factor
    for part in range(NL):
        sums[part] = vset(0)
    while j < a.cols:
        for part in range(NL):
            sums[part] = vfma(row_vector(x, j + part * VW, a.cols, False, 0),
                              row_vector(t, j + part * VW, a.cols, False, 0), sums[part])
        j += LANES
    most = (1 - t[0]) * x[0]
    for j in range(1, a.cols):
        v = (1 - t[j]) * x[j]
        if most == most and not v <= most:  # the first NaN stays
            most, at = v, j
    v = most - first_lane(lanes_sum(sums)) + 1
    a.values[i] = 0 if v <= 0 else v
    if g == NULL:
        return
    factor = row_factor(a, i)
    factor = factor if v > 0 else (0 if v <= 0 else v)
    j = 0
    while j < a.cols:
        put_row_vector(g, j, a.cols, a.padded,
                       -row_vector(t, j, a.cols, False, 0) * vset(factor))
        j += VW
    g[at] = g[at] + (1 - t[at]) * factor


cdef void loss_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Loss* a = <Loss*>args
    cdef Py_ssize_t i, i0, i1
    cdef int code = a.code
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    if code == SPARSE_SOFTMAX_CROSSENTROPY or code == SOFTMAX_CROSSENTROPY:
        if a.cols <= LANES:
            softmax_crossentropy_blocks(a, i0, i1)
        else:
            for i in range(i0, i1):
                softmax_crossentropy_row(a, i)
    elif code == SPARSE_CROSSENTROPY_OF_PROBABILITIES or code == CROSSENTROPY_OF_PROBABILITIES:
        for i in range(i0, i1):
            crossentropy_of_probabilities_row(a, i)
    elif code == COSINE_SIMILARITY:
        for i in range(i0, i1):
            cosine_similarity_row(a, i)
    elif code == CATEGORICAL_HINGE:
        for i in range(i0, i1):
            categorical_hinge_row(a, i)
    elif code == MEAN_SQUARED_ERROR or code == ROOT_MEAN_SQUARED_ERROR:
        element_loss_rows(MEAN_SQUARED_ERROR, a, i0, i1)
    elif code == BINARY_CROSSENTROPY:
        element_loss_rows(BINARY_CROSSENTROPY, a, i0, i1)
    elif code == BINARY_CROSSENTROPY_OF_PROBABILITIES:
        element_loss_rows(BINARY_CROSSENTROPY_OF_PROBABILITIES, a, i0, i1)
    elif code == BINARY_FOCAL:
        element_loss_rows(BINARY_FOCAL, a, i0, i1)
    elif code == BINARY_FOCAL_OF_PROBABILITIES:
        element_loss_rows(BINARY_FOCAL_OF_PROBABILITIES, a, i0, i1)
    elif code == SUM_SQUARED_ERROR:
        element_loss_rows(SUM_SQUARED_ERROR, a, i0, i1)
    elif code == MEAN_ABSOLUTE_ERROR:
        element_loss_rows(MEAN_ABSOLUTE_ERROR, a, i0, i1)
    elif code == MEAN_ABSOLUTE_PERCENTAGE_ERROR:
        element_loss_rows(MEAN_ABSOLUTE_PERCENTAGE_ERROR, a, i0, i1)
    elif code == MEAN_SQUARED_LOGARITHMIC_ERROR:
        element_loss_rows(MEAN_SQUARED_LOGARITHMIC_ERROR, a, i0, i1)
    elif code == HUBER:
        element_loss_rows(HUBER, a, i0, i1)
    elif code == LOG_COSH:
        element_loss_rows(LOG_COSH, a, i0, i1)
    elif code == QUANTILE:
        element_loss_rows(QUANTILE, a, i0, i1)
    elif code == KL_DIVERGENCE:
        element_loss_rows(KL_DIVERGENCE, a, i0, i1)
    elif code == POISSON:
        element_loss_rows(POISSON, a, i0, i1)
    elif code == HINGE:
        element_loss_rows(HINGE, a, i0, i1)
    elif code == SQUARED_HINGE:
        element_loss_rows(SQUARED_HINGE, a, i0, i1)
    elif code == CONTRASTIVE:
        element_loss_rows(CONTRASTIVE, a, i0, i1)


# ---- losses of a batch as a whole ----------------------------------------------------------------

cdef inline double weighted_sum(const real* values, const real* weights, Py_ssize_t n) noexcept nogil:
    """sum_i weights_i * values_i, ascending; weights NULL: ones."""
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(n):
        total += values[i] if weights == NULL else <double>weights[i] * values[i]
    return total


cdef struct Root:
    Loss* loss            # INOUT: its gradient


cdef void root_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """After loss_kernel: from the gradient of a sum S to that of its root, dS / (2 sqrt(S)); 0 at 0."""
    cdef Loss* a = (<Root*>args).loss
    cdef double total = weighted_sum(a.values, a.weights, a.rows)
    cdef real factor = 0 if total == 0 else <real>(0.5 / sqrt(total * a.scale))
    cdef Py_ssize_t i, j, i0, i1
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        for j in range(a.cols):
            a.gradient[i * a.ldgradient + j] = a.gradient[i * a.ldgradient + j] * factor


# Batch-hard triplets: each row is an anchor, with the farthest row of its label and the nearest of
# another. The search is shared by anchors, the gradient by columns, for it runs back into all rows.

cdef struct Triplet:
    Loss* loss
    Py_ssize_t* positive  # OUT (rows,): the farthest row of the anchor's label, -1 if there is none
    Py_ssize_t* negative  # OUT (rows,): the nearest row of another label, -1 if there is none
    real* far             # OUT (rows,): their distances
    real* near


cdef inline real squared_distance(Loss* a, Py_ssize_t i, Py_ssize_t k) noexcept nogil:
    cdef vec sums[NL]
    cdef vec d
    cdef Py_ssize_t j = 0
    cdef int part
    for part in range(NL):
        sums[part] = vset(0)
    while j < a.cols:
        for part in range(NL):
            d = (row_vector(a.y_pred + i * a.ldpred, j + part * VW, a.cols, False, 0)
                 - row_vector(a.y_pred + k * a.ldpred, j + part * VW, a.cols, False, 0))
            sums[part] = vfma(d, d, sums[part])
        j += LANES
    return first_lane(lanes_sum(sums))


cdef void triplet_search_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """The triplet of each anchor and its loss, max(0, margin + far - near); NaN is farthest and nearest."""
    cdef Triplet* b = <Triplet*>args
    cdef Loss* a = b.loss
    cdef Py_ssize_t i, k, i0, i1, positive, negative
    cdef real d, far, near
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        positive = negative = -1
        far = near = 0
        for k in range(a.rows):
            if k == i:
                continue
            d = squared_distance(a, i, k)
            if a.labels[k] == a.labels[i]:
                if positive < 0 or (far == far and not d <= far):
                    positive, far = k, d
            elif negative < 0 or (near == near and not d >= near):
                negative, near = k, d
        far = first_lane(vsqrt(vset(far)))
        near = first_lane(vsqrt(vset(near)))
        d = (a.numbers[0] + far) - near
        a.values[i] = 0 if positive < 0 or negative < 0 or d <= 0 else d
        b.positive[i], b.negative[i], b.far[i], b.near[i] = positive, negative, far, near


cdef inline void pull(Loss* a, Py_ssize_t i, Py_ssize_t k, real distance, real factor, Py_ssize_t j0,
                      Py_ssize_t j1) noexcept nogil:
    """Add the gradient of factor * |x_i - x_k| to both rows, in the columns j0 to j1; 0 where x_i = x_k."""
    cdef Py_ssize_t j
    cdef real g
    if distance == 0:
        return
    factor = factor / distance
    for j in range(j0, j1):
        g = (a.y_pred[i * a.ldpred + j] - a.y_pred[k * a.ldpred + j]) * factor
        a.gradient[i * a.ldgradient + j] += g
        a.gradient[k * a.ldgradient + j] -= g


cdef void triplet_gradient_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Triplet* b = <Triplet*>args
    cdef Loss* a = b.loss
    cdef Py_ssize_t i, j0, j1
    cdef real factor
    share(a.cols, LANES, tid, nthreads, &j0, &j1)
    for i in range(a.rows):
        memset(a.gradient + i * a.ldgradient + j0, 0, (j1 - j0) * sizeof(real))
    for i in range(a.rows):
        if a.values[i] != 0:
            factor = row_factor(a, i)
            pull(a, i, b.positive[i], b.far[i], factor, j0, j1)
            pull(a, i, b.negative[i], b.near[i], -factor, j0, j1)
