# exp, log, tanh and the normal distribution on vectors. Coefficients are minimax fits made for fastnn
# (Remez exchange at 45 digits or more); the greatest error, measured against float64 over float32
# inputs by tests/test_kernels.py (all 2**32 of them in its slow test), stands at each function.
# Without fused multiply-add (x86-64-v2, portable) tanh reaches 2.03 ULP.

cdef extern from *:
    """
    #ifdef FASTNN_DOUBLE
      #define ROUND_MAGIC 6755399441055744.0 /* 1.5 * 2**52: adding it rounds to a whole number */
      #define LN2_HIGH 0.6931471803691238    /* n * LN2_HIGH is exact for every exponent n */
      #define LN2_LOW 1.908214929270587816e-10
      #define EXP_MOST 720.0                 /* beyond: inf; below EXP_LEAST: 0 */
      #define EXP_LEAST -760.0
      #define TANH_MOST 20.0                 /* tanh rounds to 1 beyond */
      #define SMALLEST_NORMAL 2.2250738585072014e-308
      #define SUBNORMAL_SCALE 18014398509481984.0 /* 2 ** SUBNORMAL_SHIFT */
      #define SUBNORMAL_SHIFT 54.0
      #define NORMAL_MOST 39.0               /* the tail beyond, times x, rounds to 0 */
      #define NORMAL_MIDDLE 5.0
      enum { EXP_TERMS = 11, TANH_TERMS = 11, LOG_TERMS = 7, NORMAL_TERMS = 22 };
      #define TANH_P EXP_P
      static const real EXP_P[EXP_TERMS] = {
          0.5000000000000000044, 0.1666666666666668343, 0.04166666666666609367,
          0.008333333333317025213, 0.001388888888911586364, 0.0001984126989640749317,
          2.480158692624936827e-5, 2.755723483707578216e-6, 2.75575821247120366e-7,
          2.511204588992373172e-8, 2.082655514603331912e-9};
      static const real LOG_P[LOG_TERMS] = {
          0.6666666666666734661, 0.3999999999941285123, 0.285714287428303682, 0.222221985242218528,
          0.181835670456717627, 0.1531397668401928689, 0.1479673010134958263};
      static const real NORMAL_P[NORMAL_TERMS] = {
          0.7691930497500629562, -0.6653825028900566003, 0.4953056159699769974,
          -0.3135331566713157217, 0.1650203661703615874, -0.06911863870595226184,
          0.02079506680024170126, -0.002993376775692358957, -0.0007978694014733301249,
          0.0005448991058437571643, -5.93757113226037368e-5, -4.976301014002597628e-5,
          1.668114499324914927e-5, 3.981491012685699941e-6, -2.769055592083430494e-6,
          -3.377428528170650637e-7, 4.326870039409895466e-7, 4.361221871800022057e-8,
          -6.532030308565543975e-8, -1.021096106240604324e-8, 7.182135249848270127e-9,
          2.013980233397668245e-9};
    #else
      #define ROUND_MAGIC 12582912.0f        /* 1.5 * 2**23 */
      #define LN2_HIGH 0.693359375f
      #define LN2_LOW -2.12194440055e-4f
      #define EXP_MOST 100.0f
      #define EXP_LEAST -120.0f
      #define TANH_MOST 10.0f
      #define SMALLEST_NORMAL 1.17549435e-38f
      #define SUBNORMAL_SCALE 33554432.0f    /* 2 ** 25 */
      #define SUBNORMAL_SHIFT 25.0f
      #define NORMAL_MOST 14.5f
      #define NORMAL_MIDDLE 3.5f
      enum { EXP_TERMS = 6, TANH_TERMS = 5, LOG_TERMS = 3, NORMAL_TERMS = 10 };
      static const real TANH_P[TANH_TERMS] = { /* tanh can do with one term less */
          0.4999999345f, 0.1666652057f, 0.04166838836f, 0.008368724017f, 0.001381460549f};
      static const real EXP_P[EXP_TERMS] = {
          0.50000000677f, 0.166666658689f, 0.0416662948649f, 0.00833349703605f, 0.00139446669633f,
          0.000197903915428f};
      static const real LOG_P[LOG_TERMS] = {0.666667765482f, 0.399775187466f, 0.298723964674f};
      static const real NORMAL_P[NORMAL_TERMS] = {
          0.74441607414f, -0.565561745108f, 0.315425048768f, -0.116053040653f, 0.0174063778333f,
          0.00649311506092f, -0.0031753083399f, -0.000494941283113f, 0.000421894780724f,
          0.000110686576243f};
    #endif
    #define ONE_OVER_LN2 ((real)1.44269504088896340736)
    """
    real ROUND_MAGIC, LN2_HIGH, LN2_LOW, EXP_MOST, EXP_LEAST, TANH_MOST, ONE_OVER_LN2
    real SMALLEST_NORMAL, SUBNORMAL_SCALE, SUBNORMAL_SHIFT, NORMAL_MOST, NORMAL_MIDDLE
    enum: EXP_TERMS
    enum: TANH_TERMS
    enum: LOG_TERMS
    enum: NORMAL_TERMS
    const real* EXP_P
    const real* TANH_P
    const real* LOG_P
    const real* NORMAL_P


cdef inline forced exp_parts(const int terms, const real* series, vec x, vec* n, vec* q) noexcept nogil:
    """exp(x) = 2**n * (1 + q), |x| moderate; n is left with ROUND_MAGIC added, as vpow2 wants it."""
    cdef vec magic = vset(ROUND_MAGIC)
    cdef vec t = vfma(x, vset(ONE_OVER_LN2), magic)
    cdef vec whole = t - magic
    cdef vec r = vfma(whole, vset(-LN2_LOW), vfma(whole, vset(-LN2_HIGH), x))
    cdef vec p = vset(series[terms - 1])
    cdef int i
    for i in range(terms - 1):
        p = vfma(p, r, vset(series[terms - 2 - i]))
    n[0] = t
    q[0] = vfma(r * r, p, r)


cdef inline forced vexp(vec x, vec* y) noexcept nogil:
    """y = exp(x), at most 0.99 ULP off; 2**n in two factors, so that subnormal results come out right."""
    cdef vec magic = vset(ROUND_MAGIC)
    cdef vec t, q, half
    x = vmin(vset(EXP_MOST), x)
    x = vmax(vset(EXP_LEAST), x)
    exp_parts(EXP_TERMS, EXP_P, x, &t, &q)
    half = vfma(t - magic, vset(0.5), magic)
    y[0] = (q + vset(1)) * vpow2(half) * vpow2((t - half) + magic)


cdef inline forced vlog(vec x, vec* y) noexcept nogil:
    """y = log(x), at most 0.85 ULP off: x = 2**e * (1 + f), s = f / (2 + f),
    log(1 + f) = f - f**2/2 + s * (f**2/2 + s**2 * R(s**2))."""
    cdef vec zero = vset(0), tiny = vset(SMALLEST_NORMAL)
    cdef vec scaled = vif_gt(tiny, x, x * vset(SUBNORMAL_SCALE), x)
    cdef vec e, f, s, z, r, half, value
    f = vsplit(scaled, &e) - vset(1)
    e = vif_gt(tiny, x, e - vset(SUBNORMAL_SHIFT), e)
    s = f / (f + vset(2))
    z = s * s
    r = vset(LOG_P[LOG_TERMS - 1])
    cdef int i
    for i in range(LOG_TERMS - 1):
        r = vfma(r, z, vset(LOG_P[LOG_TERMS - 2 - i]))
    half = vset(0.5) * f * f
    value = vfma(e, vset(LN2_HIGH), f - (half - vfma(s, vfma(z, r, half), e * vset(LN2_LOW))))
    # Below 0: NaN; 0: -inf; inf and NaN stay.
    value = vif_gt(x, zero, value, vif_gt(zero, x, vset(REAL_NAN), vset(-REAL_INF)))
    y[0] = vif_gt(vset(REAL_INF), x, value, x + x)  # x + x quiets a signalling NaN


cdef inline forced vlog1p_unit(vec x, vec* y) noexcept nogil:
    """y = log(1 + x) for x in [0, 1]: the rounding of 1 + x is put back to first order."""
    cdef vec u = x + vset(1)
    cdef vec value
    vlog(u, &value)
    y[0] = value + (x - (u - vset(1))) / u


cdef inline forced vexpm1_negative(vec x, vec* y) noexcept nogil:
    """y = exp(x) - 1 for x <= 0, at most 0.97 ULP off, also near zero; 0 for x > 0."""
    cdef vec t, q, scale
    x = vmax(vset(-2 * TANH_MOST), vmin(vset(0), x))  # -1 below
    exp_parts(EXP_TERMS, EXP_P, x, &t, &q)
    scale = vpow2(t)
    y[0] = vfma(scale, q, scale - vset(1))


cdef inline forced vtanh(vec x, vec* y) noexcept nogil:
    """y = tanh(x), at most 1.73 ULP off: E / (E + 2) with E = expm1(2 |x|), no branch near zero."""
    cdef vec magnitude = vabs(x)
    cdef vec sign = vflip(x, magnitude)
    cdef vec t, q, scale, e, r
    magnitude = vmin(vset(TANH_MOST), magnitude)
    exp_parts(TANH_TERMS, TANH_P, magnitude + magnitude, &t, &q)
    scale = vpow2(t)
    e = vfma(scale, q, scale - vset(1))
    # One Newton step on the quotient takes back the roundings of e + 2 and of the division.
    r = vset(1) / (e + vset(2))
    t = e * r
    t = vfma(vfma(-t, e, vfma(vset(-2), t, e)), r, t)
    y[0] = vflip(t, sign)


cdef inline forced vsigmoid(vec x, vec* y) noexcept nogil:
    """y = 1 / (1 + exp(-x)), at most 1.48 ULP off; exp of -|x| only, so that neither end overflows."""
    cdef vec z, r, t, top
    vexp(-vabs(x), &z)
    top = vif_gt(vset(0), x, z, vset(1))
    # One Newton step on the quotient, as in vtanh.
    r = vset(1) / (z + vset(1))
    t = top * r
    y[0] = vfma(vfma(-t, z, top - t), r, t)


cdef inline forced vnormal(vec x, vec* a, vec* density, vec* ratio) noexcept nogil:
    """The normal distribution at a = |x|: density = exp(-a**2 / 2), and ratio such that its upper tail
    is density * ratio, each relatively accurate up to NORMAL_MOST, where a is cut.

    ratio = P(t) / (a + c) with t = (a - c) / (a + c), which maps the half-line to a finite interval
    (W. J. Cody, Rational Chebyshev approximations for the error function, 1969, has the idea; M. M.
    Shepherd and J. G. Laframboise, Chebyshev approximation of (1 + 2x) exp(x**2) erfc x, 1981, this map).
    """
    cdef vec magic = vset(ROUND_MAGIC), c = vset(NORMAL_MIDDLE)
    cdef vec b, square, low, whole, n, half, r, p, t
    cdef int i
    b = vmin(vset(NORMAL_MOST), vabs(x))
    # exp(-b**2 / 2) as in exp_parts, what the rounding of the square leaves being added at its end.
    half = b * vset(-0.5)
    square = half * b
    low = vfma(half, b, -square)
    n = vfma(square, vset(ONE_OVER_LN2), magic)
    whole = n - magic
    r = vfma(whole, vset(-LN2_LOW), vfma(whole, vset(-LN2_HIGH), square)) + low
    p = vset(EXP_P[EXP_TERMS - 1])
    for i in range(EXP_TERMS - 1):
        p = vfma(p, r, vset(EXP_P[EXP_TERMS - 2 - i]))
    p = vfma(r * r, p, r)
    half = vfma(whole, vset(0.5), magic)
    density[0] = (p + vset(1)) * vpow2(half) * vpow2((n - half) + magic)
    # t, with one Newton step on the quotient.
    r = vset(1) / (b + c)
    t = (b - c) * r
    t = vfma(r, vfma(-t, b, vfma(-c, t + vset(1), b)), t)
    p = vset(NORMAL_P[NORMAL_TERMS - 1])
    for i in range(NORMAL_TERMS - 1):
        p = vfma(p, t, vset(NORMAL_P[NORMAL_TERMS - 2 - i]))
    ratio[0] = p * r
    a[0] = b
