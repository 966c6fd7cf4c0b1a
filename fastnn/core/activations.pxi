# Activations, element by element: the value, and the gradient from the activation's own output y or,
# where that would lose what matters, from its input x.
# To add one: a code, a line in `activation`, one in `activation_slope`, one in each of the two blocks,
# its name in ACTIVATIONS (and FROM_INPUT) of seam.pxi, its twin in reference.py.
# A parametrised one reads `numbers`; which they are is said at its line.

# The cheap ones first (bound by memory; their cost is not worth a second thread as soon), then those
# whose gradient is cheap, then the rest: `activation_is_cheap` and `slope_is_cheap` go by the order.
cdef enum Activation:
    LINEAR
    RELU
    GENERAL_RELU
    STEP
    HARD_TANH
    HARD_SIGMOID
    HARD_SILU
    SOFTSIGN
    SIGMOID
    TANH
    EXP
    ELU
    SOFTPLUS
    LOG_SIGMOID
    SILU
    MISH
    GELU
    GELU_TANH
    LOG
    ACTIVATION_COUNT

cdef enum:
    NUMBERS = 3  # parameters of an activation, at most

cdef extern from *:
    """
    #define ONE_OVER_SQRT_2PI ((real)0.39894228040143267794)
    #define GELU_LINEAR ((real)1.5957691216057307118) /* sqrt(8 / pi) */
    #define GELU_CUBIC ((real)0.071354816272600248) /* 0.044715 of it */
    """
    real ONE_OVER_SQRT_2PI, GELU_LINEAR, GELU_CUBIC


cdef inline bint activation_is_cheap(int code) noexcept nogil:
    return code < SIGMOID


cdef inline bint slope_is_cheap(int code) noexcept nogil:
    return code < SOFTPLUS


cdef inline vec finite_below(vec x) noexcept nogil:
    """x, but the lowest finite number for -inf: x * 0 is then the limit 0, not NaN."""
    return vmax(vset(-REAL_HUGE), x)


cdef inline vec finite(vec x) noexcept nogil:
    return vmin(vset(REAL_HUGE), finite_below(x))


cdef inline vec zero_or_nan(vec x) noexcept nogil:
    return vmin(vset(0), vmax(vset(0), x))


cdef inline forced both_sigmoids(vec x, vec* s, vec* c) noexcept nogil:
    """s = sigmoid(x) and c = sigmoid(-x), each relatively accurate."""
    cdef vec z, r
    vexp(-vabs(x), &z)
    r = vset(1) / (z + vset(1))
    z = z * r
    s[0] = vif_gt(vset(0), x, z, r)
    c[0] = vif_gt(vset(0), x, r, z)


cdef inline forced gelu_tanh_argument(vec x, vec* v, vec* u) noexcept nogil:
    """v = x within +-30, beyond which the sigmoid of u is 0 or 1; u = sqrt(8/pi) (v + 0.044715 v**3)."""
    v[0] = vmin(vset(30), vmax(vset(-30), x))
    u[0] = v[0] * vfma(v[0] * v[0], vset(GELU_CUBIC), vset(GELU_LINEAR))


cdef inline forced mish_parts(vec x, vec* z, vec* top, vec* r, vec* w) noexcept nogil:
    """tanh(softplus(x)) = top * r and its derivative 4 w (1 + z) r**2, where z = exp(-|x|).

    With e = exp(x) it is e (e + 2) / (e (e + 2) + 2); for x > 0, both are divided by e**2.
    """
    cdef vec double_z, square
    vexp(-vabs(x), z)
    double_z = z[0] + z[0]
    square = z[0] * z[0]
    top[0] = vif_gt(x, vset(0), double_z + vset(1), square + double_z)
    r[0] = vset(1) / (top[0] + vif_gt(x, vset(0), square + square, vset(2)))
    w[0] = vif_gt(x, vset(0), square, z[0])


# The greatest errors measured, in ULP, float32 and float64 alike, x from -12 (float64: -36) to 12:
# elu, celu 0.97, softsign, selu, softplus, log_sigmoid, hard_silu 2, silu 2, mish 3.2, gelu 3.9.
# gelu_tanh: 2 for x > -0.5, and 1.5 |u| in its tail, for the rounding of u, whose exp it is.
cdef inline forced activation(const int code, const real* numbers, vec x, vec* y) noexcept nogil:
    cdef vec a, b, c, d
    if code == LINEAR:
        y[0] = x
    elif code == RELU:
        y[0] = vmax(vset(0), x)  # keeps NaN
    elif code == GENERAL_RELU:
        # numbers: slope, most, threshold. No slope: 0 * max(0, .) is 0 at -inf too.
        a = vmax(vset(<real>0 if numbers[0] == 0 else -REAL_INF), x - vset(numbers[2]))
        y[0] = vif_gt(x, vset(numbers[2]), vmin(vset(numbers[1]), x), vset(numbers[0]) * a)
    elif code == STEP:
        y[0] = vif_gt(x, vset(0), vset(1), vif_gt(vset(1), x, vset(0), x))
    elif code == HARD_TANH:
        y[0] = vmin(vset(1), vmax(vset(-1), x))
    elif code == HARD_SIGMOID:
        y[0] = vmin(vset(6), vmax(vset(0), x + vset(3))) / vset(6)
    elif code == HARD_SILU:
        y[0] = finite_below(x) * (vmin(vset(6), vmax(vset(0), x + vset(3))) / vset(6))
    elif code == SOFTSIGN:
        a = vabs(x)
        b = vmin(vset(REAL_HUGE), a)
        y[0] = vflip(b / (b + vset(1)), vflip(x, a))
    elif code == SIGMOID:
        vsigmoid(x, y)
    elif code == TANH:
        vtanh(x, y)
    elif code == EXP:
        vexp(x, y)
    elif code == ELU:
        # numbers: p, n, q of p x above 0, n expm1(q x) else
        vexpm1_negative(x * vset(numbers[2]), &a)
        y[0] = vif_gt(x, vset(0), x * vset(numbers[0]), a * vset(numbers[1]))
    elif code == SOFTPLUS:
        vexp(-vabs(x), &a)
        vlog1p_unit(a, &b)
        y[0] = vmax(vset(0), x) + b
    elif code == LOG_SIGMOID:
        vexp(-vabs(x), &a)
        vlog1p_unit(a, &b)
        y[0] = vmin(vset(0), x) - b
    elif code == SILU:
        vsigmoid(x, &a)
        y[0] = finite_below(x) * a
    elif code == MISH:
        mish_parts(x, &a, &b, &c, &d)
        y[0] = finite_below(x) * (b * c)
    elif code == GELU:
        vnormal(x, &a, &b, &c)
        # x (1 - tail) above 0, x tail else
        y[0] = vif_gt(x, vset(0), x * vfma(-b, c, vset(1)), -a * c * b)
    elif code == GELU_TANH:
        gelu_tanh_argument(x, &a, &b)
        vsigmoid(b, &a)
        y[0] = finite_below(x) * a
    elif code == LOG:
        vlog(x, y)


cdef inline forced activation_slope(const int code, const real* numbers, vec saved, vec dy,
                                    vec* dx) noexcept nogil:
    """dx = dy * f'(x); saved is the output y = f(x), or x where the code is in FROM_INPUT (seam.pxi).

    NaN in `saved` shows in dx. At a kink, the slope is that of the side where y is lower.
    """
    cdef vec a, b, c, d
    cdef vec y = saved, x = saved
    if code == LINEAR:
        dx[0] = dy
    elif code == RELU:
        # 0 where y <= 0; NaN in y shows in dx. The gradient at 0 is 0, as everywhere in the field.
        dx[0] = vif_gt(y, vset(0), dy, vif_gt(vset(1), y, vset(0), y))
    elif code == GENERAL_RELU:
        # 0 at the bound; without one, y may be infinite.
        a = dy if numbers[1] == REAL_INF else vif_gt(vset(numbers[1]), y, dy, vset(0))
        b = vset(<real>0) if numbers[0] == 0 else dy * vset(numbers[0])
        dx[0] = vif_gt(y, vset(0), a, vif_gt(vset(1), y, b, y))
    elif code == STEP:
        dx[0] = zero_or_nan(y)
    elif code == HARD_TANH:
        dx[0] = vif_gt(vset(1), vabs(y), dy, zero_or_nan(y))
    elif code == HARD_SIGMOID:
        a = vif_gt(y, vset(0), dy / vset(6), vset(0))
        dx[0] = vif_gt(vset(1), y, a, zero_or_nan(y))
    elif code == HARD_SILU:
        a = vif_gt(x, vset(-3), vfma(vset(2), x, vset(3)) / vset(6), vif_gt(vset(0), x, vset(0), x))
        dx[0] = dy * vif_gt(x, vset(3), vset(1), a)
    elif code == SOFTSIGN:
        a = vset(1) / (vabs(x) + vset(1))
        dx[0] = dy * (a * a)
    elif code == SIGMOID:
        dx[0] = dy * (y * (vset(1) - y))
    elif code == TANH:
        dx[0] = dy * vfma(-y, y, vset(1))
    elif code == EXP:
        dx[0] = dy * y
    elif code == ELU:
        a = (y + vset(numbers[1])) * vset(numbers[2])
        dx[0] = dy * vif_gt(y, vset(0), vset(numbers[0]), a)
    elif code == SOFTPLUS:
        vexpm1_negative(-y, &a)
        dx[0] = dy * -a
    elif code == LOG_SIGMOID:
        vexpm1_negative(y, &a)
        dx[0] = dy * -a
    elif code == SILU:
        both_sigmoids(x, &a, &b)
        dx[0] = dy * (a * vfma(finite(x), b, vset(1)))
    elif code == MISH:
        mish_parts(x, &a, &b, &c, &d)
        d = vset(4) * d * (a + vset(1)) * c * c
        dx[0] = dy * vfma(finite(x), d, b * c)
    elif code == GELU:
        vnormal(x, &a, &b, &c)
        b = b * vfma(a, vset(-ONE_OVER_SQRT_2PI), c)
        dx[0] = dy * vif_gt(x, vset(0), vset(1) - b, b)
    elif code == GELU_TANH:
        gelu_tanh_argument(x, &d, &c)
        both_sigmoids(c, &a, &b)
        c = d * vfma(d * d, vset(3 * GELU_CUBIC), vset(GELU_LINEAR))
        dx[0] = dy * (a * vfma(c, b, vset(1)))


cdef inline forced activate_rows(const int code, const real* numbers, const real* x,
                                 Py_ssize_t ldx, real* y, Py_ssize_t ldy, Py_ssize_t rows,
                                 Py_ssize_t cols) noexcept nogil:
    cdef Py_ssize_t i, j, whole = cols - cols % VW
    cdef vec value
    cdef real own[NUMBERS]  # not to be read again after every store
    memcpy(own, numbers, sizeof(own))
    for i in range(rows):
        j = 0
        while j < whole:
            activation(code, own, vload(x + j), &value)
            vstore(y + j, value)
            j += VW
        if j < cols:
            activation(code, own, vload_part(x + j, cols - j, 1), &value)
            vstore_part(y + j, value, cols - j)
        x += ldx
        y += ldy


cdef inline forced slope_rows(const int code, const real* numbers, const real* saved,
                              Py_ssize_t ldsaved, const real* dy, Py_ssize_t lddy, real* dx,
                              Py_ssize_t lddx, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    cdef Py_ssize_t i, j, whole = cols - cols % VW
    cdef vec value
    cdef real own[NUMBERS]  # not to be read again after every store
    memcpy(own, numbers, sizeof(own))
    for i in range(rows):
        j = 0
        while j < whole:
            activation_slope(code, own, vload(saved + j), vload(dy + j), &value)
            vstore(dx + j, value)
            j += VW
        if j < cols:
            activation_slope(code, own, vload_part(saved + j, cols - j, 0),
                             vload_part(dy + j, cols - j, 0), &value)
            vstore_part(dx + j, value, cols - j)
        saved += ldsaved
        dy += lddy
        dx += lddx


cdef void activate_block(int code, const real* numbers, const real* x, Py_ssize_t ldx, real* y,
                         Py_ssize_t ldy, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """y = f(x) on a block of rows; y may be x."""
    if code == LINEAR:
        activate_rows(LINEAR, numbers, x, ldx, y, ldy, rows, cols)
    elif code == RELU:
        activate_rows(RELU, numbers, x, ldx, y, ldy, rows, cols)
    elif code == GENERAL_RELU:
        activate_rows(GENERAL_RELU, numbers, x, ldx, y, ldy, rows, cols)
    elif code == STEP:
        activate_rows(STEP, numbers, x, ldx, y, ldy, rows, cols)
    elif code == HARD_TANH:
        activate_rows(HARD_TANH, numbers, x, ldx, y, ldy, rows, cols)
    elif code == HARD_SIGMOID:
        activate_rows(HARD_SIGMOID, numbers, x, ldx, y, ldy, rows, cols)
    elif code == HARD_SILU:
        activate_rows(HARD_SILU, numbers, x, ldx, y, ldy, rows, cols)
    elif code == SOFTSIGN:
        activate_rows(SOFTSIGN, numbers, x, ldx, y, ldy, rows, cols)
    elif code == SIGMOID:
        activate_rows(SIGMOID, numbers, x, ldx, y, ldy, rows, cols)
    elif code == TANH:
        activate_rows(TANH, numbers, x, ldx, y, ldy, rows, cols)
    elif code == EXP:
        activate_rows(EXP, numbers, x, ldx, y, ldy, rows, cols)
    elif code == ELU:
        activate_rows(ELU, numbers, x, ldx, y, ldy, rows, cols)
    elif code == SOFTPLUS:
        activate_rows(SOFTPLUS, numbers, x, ldx, y, ldy, rows, cols)
    elif code == LOG_SIGMOID:
        activate_rows(LOG_SIGMOID, numbers, x, ldx, y, ldy, rows, cols)
    elif code == SILU:
        activate_rows(SILU, numbers, x, ldx, y, ldy, rows, cols)
    elif code == MISH:
        activate_rows(MISH, numbers, x, ldx, y, ldy, rows, cols)
    elif code == GELU:
        activate_rows(GELU, numbers, x, ldx, y, ldy, rows, cols)
    elif code == GELU_TANH:
        activate_rows(GELU_TANH, numbers, x, ldx, y, ldy, rows, cols)
    elif code == LOG:
        activate_rows(LOG, numbers, x, ldx, y, ldy, rows, cols)


cdef void slope_block(int code, const real* numbers, const real* saved, Py_ssize_t ldsaved,
                      const real* dy, Py_ssize_t lddy, real* dx, Py_ssize_t lddx, Py_ssize_t rows,
                      Py_ssize_t cols) noexcept nogil:
    """dx = dy * f'(x) on a block of rows, `saved` as in activation_slope; dx may be dy."""
    if code == LINEAR:
        slope_rows(LINEAR, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == RELU:
        slope_rows(RELU, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == GENERAL_RELU:
        slope_rows(GENERAL_RELU, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == STEP:
        slope_rows(STEP, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == HARD_TANH:
        slope_rows(HARD_TANH, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == HARD_SIGMOID:
        slope_rows(HARD_SIGMOID, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == HARD_SILU:
        slope_rows(HARD_SILU, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == SOFTSIGN:
        slope_rows(SOFTSIGN, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == SIGMOID:
        slope_rows(SIGMOID, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == TANH:
        slope_rows(TANH, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == EXP:
        slope_rows(EXP, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == ELU:
        slope_rows(ELU, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == SOFTPLUS:
        slope_rows(SOFTPLUS, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == LOG_SIGMOID:
        slope_rows(LOG_SIGMOID, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == SILU:
        slope_rows(SILU, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == MISH:
        slope_rows(MISH, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == GELU:
        slope_rows(GELU, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)
    elif code == GELU_TANH:
        slope_rows(GELU_TANH, numbers, saved, ldsaved, dy, lddy, dx, lddx, rows, cols)


# An elementwise kernel over rows (1 row: a flat array), shared by columns or by rows.
cdef struct Map:
    int code
    real numbers[NUMBERS]
    const real* x         # IN (rows, cols): x, or what a gradient is computed from
    Py_ssize_t ldx
    const real* dy        # IN (rows, cols): only for a gradient
    Py_ssize_t lddy
    real* out             # OUT (rows, cols)
    Py_ssize_t ldout
    Py_ssize_t rows
    Py_ssize_t cols


cdef inline void map_share(Map* a, int tid, int nthreads, Py_ssize_t* i0, Py_ssize_t* i1,
                           Py_ssize_t* j0, Py_ssize_t* j1) noexcept nogil:
    i0[0] = j0[0] = 0
    i1[0] = a.rows
    j1[0] = a.cols
    if a.rows >= nthreads:
        share(a.rows, 1, tid, nthreads, i0, i1)
    else:
        share(a.cols, LANES, tid, nthreads, j0, j1)


cdef void activate_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Map* a = <Map*>args
    cdef Py_ssize_t i0, i1, j0, j1
    map_share(a, tid, nthreads, &i0, &i1, &j0, &j1)
    activate_block(a.code, a.numbers, a.x + i0 * a.ldx + j0, a.ldx, a.out + i0 * a.ldout + j0, a.ldout,
                   i1 - i0, j1 - j0)


cdef void activate_gradient_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Map* a = <Map*>args
    cdef Py_ssize_t i0, i1, j0, j1
    map_share(a, tid, nthreads, &i0, &i1, &j0, &j1)
    slope_block(a.code, a.numbers, a.x + i0 * a.ldx + j0, a.ldx, a.dy + i0 * a.lddy + j0, a.lddy,
                a.out + i0 * a.ldout + j0, a.ldout, i1 - i0, j1 - j0)
