# Optimizer updates: one vector of weights, gradient and slots at a time, in place. The numbers of a
# step (`hyper`) are made in Python, one row a step, in float64, by _steps.py: all that is the same for
# every weight is done there, so that an update has as few operations as its formula allows.
# To add one: a code, a branch in `update_vector`, lines in `update_slots`, `update_plain` and
# `updating_strip`, its name in UPDATES.

cdef enum:
    OWN_HYPERS = 5  # as many of the row of hyper as an update itself looks at, see `own_hypers`
    SLOTS = 3  # arrays of state that an optimizer may keep beside the weights
    # The row of hyper: an update's own numbers, the learning rate first; from DECAY on, zero if unused:
    DECAY = 8      # learning rate * weight decay
    CLIPVALUE = 9  # greatest size of an element of the gradient
    CLIPNORM = 10  # greatest norm of a gradient, or of all together; for clip_factor_kernel
    HYPERS = 12

cdef enum Update:
    SGD
    MOMENTUM
    NESTEROV
    ADAGRAD
    RMSPROP
    RMSPROP_MOMENTUM
    RMSPROP_CENTERED
    RMSPROP_CENTERED_MOMENTUM
    ADADELTA
    ADAM
    AMSGRAD
    ADAMAX
    NADAM
    LION
    UPDATE_COUNT

# What is done to the gradient of one array before its step; zeros and NULL: nothing.
cdef struct Extras:
    real l1, l2           # the penalty l1 |w| + l2 w**2
    const real* factor    # IN (1,) or NULL: the gradient counts this many times


cdef inline vec sign_of(vec x, vec size) noexcept nogil:
    """size with the sign of x; x itself where that is 0 or NaN."""
    cdef vec zero = vset(0)
    return vif_gt(x, zero, size, vif_gt(zero, x, -size, x))


cdef inline vec greater(vec a, vec b) noexcept nogil:
    """The greater one, or NaN if one is (vmax gives its second then). -inf as a hides a NaN in b."""
    return vif_gt(a, vset(-REAL_INF), vmax(a, b), vmax(b, a))


cdef inline vec with_penalty(vec g, vec w, real l1, real l2) noexcept nogil:
    """(g + l1 sign(w)) + (2 l2) w, every operation rounded, as NumPy would."""
    cdef vec pull = vset(l2 + l2) * w
    g = g + sign_of(w, vset(l1))
    return g + pull


cdef inline vec before_update(const real* hyper, const Extras* e, vec w, vec g) noexcept nogil:
    """Scale, penalty and clip, in this order and as NumPy would round them. What is not asked for is
    not computed: 0 * w would make NaN of an infinite weight."""
    cdef vec limit
    if e.factor != NULL:
        g = g * vset(e.factor[0])
    if e.l1 != 0 or e.l2 != 0:
        g = with_penalty(g, w, e.l1, e.l2)
    if hyper[CLIPVALUE] != 0:
        limit = vset(hyper[CLIPVALUE])
        g = vmin(limit, vmax(-limit, g))  # in this order NaN stays NaN
    return g


cdef once before_block(const real* hyper, const Extras* e, real* w, Py_ssize_t ldw, const real* g,
                       Py_ssize_t ldg, real* out, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """out (rows, cols) = g as the step takes it; then w decays."""
    cdef vec decay = vset(hyper[DECAY]), x
    cdef real* at
    cdef Py_ssize_t i, j, rest
    for i in range(rows):
        j = 0
        while j + VW <= cols:
            at = w + i * ldw + j
            x = vload(at)
            vstore(out + i * cols + j, before_update(hyper, e, x, vload(g + i * ldg + j)))
            if hyper[DECAY] != 0:
                vstore(at, x - decay * x)
            j += VW
        if j < cols:
            rest = cols - j
            at = w + i * ldw + j
            x = vload_part(at, rest, 0)
            vstore_part(out + i * cols + j,
                        before_update(hyper, e, x, vload_part(g + i * ldg + j, rest, 0)), rest)
            if hyper[DECAY] != 0:
                vstore_part(at, x - decay * x, rest)


cdef inline forced own_hypers(vec* h, const real* hyper) noexcept nogil:
    """The numbers that an update itself looks at."""
    h[0], h[1], h[2] = vset(hyper[0]), vset(hyper[1]), vset(hyper[2])
    h[3], h[4] = vset(hyper[3]), vset(hyper[4])


cdef inline forced update_vector(const int code, const vec* h, vec* w, vec g,
                                 vec* s) noexcept nogil:
    """Formulas of Keras 3; each is written out in reference.py."""
    cdef vec step = h[0] * g, spread
    if code == SGD:
        w[0] = w[0] - step
    elif code == MOMENTUM:
        s[0] = vfma(h[1], s[0], -step)
        w[0] = w[0] + s[0]
    elif code == NESTEROV:
        s[0] = vfma(h[1], s[0], -step)
        w[0] = w[0] + vfma(h[1], s[0], -step)
    elif code == ADAGRAD:
        s[0] = vfma(g, g, s[0])
        w[0] = w[0] - step / vsqrt(s[0] + h[1])
    elif (code == RMSPROP or code == RMSPROP_MOMENTUM or code == RMSPROP_CENTERED
          or code == RMSPROP_CENTERED_MOMENTUM):  # rate, rho, 1 - rho, epsilon, momentum
        s[0] = spread = vfma(h[1], s[0], h[2] * g * g)
        if code == RMSPROP_CENTERED or code == RMSPROP_CENTERED_MOMENTUM:
            s[1] = vfma(h[1], s[1], h[2] * g)
            spread = vmax(vset(0), vfma(-s[1], s[1], spread))  # a variance: rounding makes it negative
        step = step / vsqrt(spread + h[3])
        if code == RMSPROP_MOMENTUM:
            s[1] = step = vfma(h[4], s[1], step)
        elif code == RMSPROP_CENTERED_MOMENTUM:
            s[2] = step = vfma(h[4], s[2], step)
        w[0] = w[0] - step
    elif code == ADADELTA:  # rate, rho, 1 - rho, epsilon
        s[0] = vfma(h[1], s[0], h[2] * g * g)
        step = g * vsqrt(s[1] + h[3]) / vsqrt(s[0] + h[3])
        s[1] = vfma(h[1], s[1], h[2] * step * step)
        w[0] = vfma(-h[0], step, w[0])
    elif code == ADAM or code == AMSGRAD:  # corrected rate, 1 - beta_1, 1 - beta_2, epsilon
        s[0] = vfma(h[1], g - s[0], s[0])
        s[1] = spread = vfma(h[2], vfma(g, g, -s[1]), s[1])
        if code == AMSGRAD:
            s[2] = spread = greater(s[2], spread)
        w[0] = w[0] - h[0] * s[0] / (vsqrt(spread) + h[3])
    elif code == ADAMAX:  # corrected rate, 1 - beta_1, beta_2, epsilon
        s[0] = vfma(h[1], g - s[0], s[0])
        s[1] = greater(h[2] * s[1], vabs(g))
        w[0] = w[0] - h[0] * s[0] / (s[1] + h[3])
    elif code == NADAM:  # rate of the momentum, 1 - beta_1, 1 - beta_2, epsilon, rate of the gradient
        s[0] = vfma(h[1], g - s[0], s[0])
        s[1] = vfma(h[2], vfma(g, g, -s[1]), s[1])
        step = vfma(h[0], s[0], h[4] * g)
        w[0] = w[0] - step / (vsqrt(s[1]) + h[3])
    elif code == LION:  # rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2
        step = vfma(h[1], s[0], h[2] * g)
        w[0] = w[0] - sign_of(step, h[0])
        s[0] = vfma(h[3], s[0], h[4] * g)


cdef inline int update_slots(int code) noexcept nogil:
    """How many slots the update keeps."""
    if code == SGD:
        return 0
    if code == RMSPROP_CENTERED_MOMENTUM or code == AMSGRAD:
        return 3
    if code == MOMENTUM or code == NESTEROV or code == ADAGRAD or code == RMSPROP or code == LION:
        return 1
    return 2


cdef once load_end(vec* v, const real* p, Py_ssize_t count, real fill) noexcept nogil:
    v[0] = vload_part(p, count, fill)


cdef once store_end(real* p, vec v, Py_ssize_t count) noexcept nogil:
    vstore_part(p, v, count)


cdef inline real* slot_of(int k, real* first, real* second, real* third) noexcept nogil:
    """The k-th of three pointers, which an array would keep in memory."""
    return first if k == 0 else second if k == 1 else third


cdef inline forced update_at(const int code, const int slots, const vec* h, real* w, real* first,
                             real* second, real* third, Py_ssize_t at, vec g) noexcept nogil:
    """One vector of weights, with the slots that the update keeps."""
    cdef vec weight = vload(w + at)
    cdef vec state[SLOTS]
    cdef int k
    for k in range(slots):
        state[k] = vload(slot_of(k, first, second, third) + at)
    update_vector(code, h, &weight, g, state)
    vstore(w + at, weight)
    for k in range(slots):
        vstore(slot_of(k, first, second, third) + at, state[k])


cdef inline forced update_rows(const int code, const int slots, const real* hyper, real* w, real** s,
                               Py_ssize_t ldw, const real* g, Py_ssize_t ldg, Py_ssize_t rows,
                               Py_ssize_t cols) noexcept nogil:
    cdef Py_ssize_t i, j, at, whole = cols - cols % VW
    cdef vec end, gradient
    cdef vec ends[SLOTS]
    # Copies that no store to the arrays can change: they stay in registers.
    cdef vec h[OWN_HYPERS]
    cdef real* first = s[0]
    cdef real* second = s[1]
    cdef real* third = s[2]
    cdef int k
    own_hypers(h, hyper)
    if cols == NV * VW:  # a tile of a product
        for i in range(rows):
            for j in range(NV):
                update_at(code, slots, h, w, first, second, third, j * VW, vload(g + j * VW))
            w += ldw
            g += ldg
            first += ldw
            second += ldw
            third += ldw
        return
    for i in range(rows):
        j = 0
        while j < whole:
            at = i * ldw + j
            update_at(code, slots, h, w, first, second, third, at, vload(g + i * ldg + j))
            j += VW
        if j < cols:
            at = i * ldw + j
            load_end(&end, w + at, cols - j, 0)
            load_end(&gradient, g + i * ldg + j, cols - j, 0)
            for k in range(slots):
                load_end(&ends[k], s[k] + at, cols - j, 1)
            update_vector(code, h, &end, gradient, ends)
            store_end(w + at, end, cols - j)
            for k in range(slots):
                store_end(s[k] + at, ends[k], cols - j)


cdef once update_plain(int code, const real* hyper, real* w, real** s, Py_ssize_t ldw, const real* g,
                       Py_ssize_t ldg, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """One body for each update, with its slots in registers."""
    if code == SGD:
        update_rows(SGD, 0, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == MOMENTUM:
        update_rows(MOMENTUM, 1, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == NESTEROV:
        update_rows(NESTEROV, 1, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == ADAGRAD:
        update_rows(ADAGRAD, 1, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == RMSPROP:
        update_rows(RMSPROP, 1, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == RMSPROP_MOMENTUM:
        update_rows(RMSPROP_MOMENTUM, 2, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == RMSPROP_CENTERED:
        update_rows(RMSPROP_CENTERED, 2, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == RMSPROP_CENTERED_MOMENTUM:
        update_rows(RMSPROP_CENTERED_MOMENTUM, 3, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == ADADELTA:
        update_rows(ADADELTA, 2, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == ADAM:
        update_rows(ADAM, 2, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == AMSGRAD:
        update_rows(AMSGRAD, 3, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == ADAMAX:
        update_rows(ADAMAX, 2, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == NADAM:
        update_rows(NADAM, 2, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == LION:
        update_rows(LION, 1, hyper, w, s, ldw, g, ldg, rows, cols)


cdef enum:
    CHANGED = 512  # numbers of a gradient that are changed at once, in L1; a whole tile of a product


cdef once update_changed(int code, const real* hyper, const Extras* e, real* w, real** s,
                         Py_ssize_t ldw, const real* g, Py_ssize_t ldg, Py_ssize_t rows,
                         Py_ssize_t cols) noexcept nogil:
    """The same after `before_block`: a pass of its own, so that the updates stay few and small."""
    cdef real changed[CHANGED]
    cdef real* state[SLOTS]
    # A thread's share may have no columns at all.
    cdef Py_ssize_t i, j, m, n, at, most_cols = max(1, min(cols, CHANGED))
    cdef Py_ssize_t most_rows = CHANGED // most_cols
    cdef int k
    i = 0
    while i < rows:
        m = min(rows - i, most_rows)
        j = 0
        while j < cols:
            n = min(cols - j, most_cols)
            at = i * ldw + j
            for k in range(SLOTS):
                state[k] = s[k] + at if s[k] != NULL else NULL
            before_block(hyper, e, w + at, ldw, g + i * ldg + j, ldg, changed, m, n)
            update_plain(code, hyper, w + at, state, ldw, changed, n, m, n)
            j += n
        i += m


cdef inline bint changes_gradient(const real* hyper, const Extras* e) noexcept nogil:
    """Whether the step is not by the gradient as it is."""
    return e.factor != NULL or e.l1 != 0 or e.l2 != 0 or hyper[CLIPVALUE] != 0 or hyper[DECAY] != 0


cdef void update_block(int code, const real* hyper, const Extras* e, real* w, real** s, Py_ssize_t ldw,
                       const real* g, Py_ssize_t ldg, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """One step on a block of weights w and their slots s (leading dimension ldw), gradient g."""
    if changes_gradient(hyper, e):
        update_changed(code, hyper, e, w, s, ldw, g, ldg, rows, cols)
    else:
        update_plain(code, hyper, w, s, ldw, g, ldg, rows, cols)


cdef struct UpdateArgs:
    int code
    Extras extras
    Py_ssize_t rows, cols
    real* w               # INOUT (rows, cols)
    real* slots[SLOTS]    # INOUT (rows, cols) each
    Py_ssize_t ldw
    const real* g         # IN (rows, cols)
    Py_ssize_t ldg


cdef void update_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """A step on stored gradients. A single row, such as a flat array, is shared along its columns."""
    cdef UpdateArgs* a = <UpdateArgs*>args
    cdef Py_ssize_t i0 = 0, i1 = 1, j0 = 0, j1 = a.cols, start
    cdef real* slots[SLOTS]
    cdef int k
    if a.rows == 1:
        share(a.cols, LANES, tid, nthreads, &j0, &j1)
    else:
        share(a.rows, 1, tid, nthreads, &i0, &i1)
    start = i0 * a.ldw + j0
    for k in range(SLOTS):
        slots[k] = a.slots[k] + start if a.slots[k] != NULL else NULL
    update_block(a.code, step.hyper, &a.extras, a.w + start, slots, a.ldw, a.g + i0 * a.ldg + j0, a.ldg,
                 i1 - i0, j1 - j0)


# ---- penalties and norms of stored gradients -------------------------------------------------------

cdef struct PenaltyArgs:
    Py_ssize_t rows, cols
    real l1, l2
    real* g               # INOUT (rows, cols)
    Py_ssize_t ldg
    const real* w         # IN (rows, cols)
    Py_ssize_t ldw


cdef void add_penalty_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """Add the gradient of the penalty l1 |w| + l2 w**2 to g."""
    cdef PenaltyArgs* a = <PenaltyArgs*>args
    cdef Py_ssize_t i, i0 = 0, i1 = 1, j, j0 = 0, j1 = a.cols
    cdef real* g
    cdef const real* w
    if a.rows == 1:
        share(a.cols, LANES, tid, nthreads, &j0, &j1)
    else:
        share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        g = a.g + i * a.ldg
        w = a.w + i * a.ldw
        j = j0
        while j + VW <= j1:
            vstore(g + j, with_penalty(vload(g + j), vload(w + j), a.l1, a.l2))
            j += VW
        if j < j1:
            vstore_part(g + j, with_penalty(vload_part(g + j, j1 - j, 0), vload_part(w + j, j1 - j, 0),
                                            a.l1, a.l2), j1 - j)


cdef enum:
    SQUARE_LANES = 16  # running sums of a row: column j goes to sum j % 16


cdef struct SquareSum:
    Py_ssize_t rows, cols
    const real* x         # IN (rows, cols)
    Py_ssize_t ldx
    double* partial       # OUT (rows,): the sum of squares of each row


cdef void square_sum_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """In float64: the squares of float32 are exact there, so only the order of the sum rounds, and
    that is fixed. Zeros that pad a row change nothing."""
    cdef SquareSum* a = <SquareSum*>args
    cdef Py_ssize_t i, i0, i1, j
    cdef int k, half
    cdef const real* x
    cdef double lanes[SQUARE_LANES]
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        x = a.x + i * a.ldx
        for k in range(SQUARE_LANES):
            lanes[k] = 0
        j = 0
        while j + SQUARE_LANES <= a.cols:
            for k in range(SQUARE_LANES):
                lanes[k] += <double>x[j + k] * <double>x[j + k]
            j += SQUARE_LANES
        for k in range(<int>(a.cols - j)):
            lanes[k] += <double>x[j + k] * <double>x[j + k]
        half = SQUARE_LANES // 2
        while half:
            for k in range(half):
                lanes[k] += lanes[k + half]
            half //= 2
        a.partial[i] = lanes[0]


cdef double ascending_sum(const double* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(n):
        total += x[i]
    return total


cdef struct ClipFactor:
    Py_ssize_t arrays
    const double** partial    # IN (arrays,): what square_sum_kernel left for each array
    const Py_ssize_t* rows    # IN (arrays,)
    bint together             # one norm of all arrays, not one of each
    real* factors             # OUT (arrays,): what the gradients of each are to be multiplied by


cdef void clip_factor_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """clip / max(norm, clip), NaN where the norm is: as `Optimizer.update` does."""
    cdef ClipFactor* a = <ClipFactor*>args
    cdef double clip = step.hyper[CLIPNORM], total = 0, norm = 0
    cdef Py_ssize_t i, j
    if tid != 0:
        return
    for i in range(a.arrays):
        norm = ascending_sum(a.partial[i], a.rows[i])
        total = total + norm if a.together else norm
        norm = sqrt(total)
        a.factors[i] = <real>(clip / (clip if norm <= clip else norm))
    if a.together:
        # Of an infinite norm nothing is left to scale: NaN says so.
        a.factors[0] = a.factors[a.arrays - 1] + <real>(norm - norm)
        for j in range(1, a.arrays):
            a.factors[j] = a.factors[0]
