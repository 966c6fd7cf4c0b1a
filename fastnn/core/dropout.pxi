# What layers draw, for each element of a mini-batch: masks, and numbers of the normal distribution.
#
# The key is the layer's seed, the second half of the counter the number of the training step. Element e
# of a mini-batch, counted row by row without padding, is word (e // 16) % 4 of block
# 16 * (e // 64) + e % 16: so what it gets depends on its place alone, and is the same for any number of
# threads, any level and either precision.

cdef extern from *:
    """
    /* 24 bits of two words as u = (1 ... 2**24) / 2**24 and an angle of a turn: a quarter of it, which
       sets sin and cos apart by `odd` and their signs, and f in [-1/2, 1/2), the rest in quarters. */
    static void polar(const uint32_t *radius, const uint32_t *angle, real *u, real *f, real *odd,
                      real *cos_sign, real *sin_sign) {
        for (int l = 0; l < 16; l++) {
            int32_t turn = (int32_t)(angle[l] >> 8), quarter = (turn + (1 << 21)) >> 22;
            u[l] = (real)((int32_t)(radius[l] >> 8) + 1) * (real)5.9604644775390625e-8;
            f[l] = (real)(turn - quarter * (1 << 22)) * (real)2.384185791015625e-7;
            odd[l] = (real)(quarter & 1);
            cos_sign[l] = (real)(1 - ((quarter + 1) & 2));
            sin_sign[l] = (real)(1 - (quarter & 2));
        }
    }

    /* sin and cos of pi / 2 * f for |f| <= 1/2: f * S(f**2) and 1 + f**2 * C(f**2). */
    #ifdef FASTNN_DOUBLE
      enum { TURN_TERMS = 7 };
      static const real SIN_P[TURN_TERMS] = {
          1.570796326794896614, -0.6459640975062442416, 0.07969262624603956157,
          -0.004681754132282439033, 0.000160441150291812742, -3.598641755029524334e-6,
          5.633721091135190647e-8};
      static const real COS_P[TURN_TERMS] = {
          -1.233700550136169815, 0.2536695079010468154, -0.02086348076331256852,
          0.0009192602741910622991, -0.00002520203678826325865, 4.710609668631669555e-7,
          -6.321201988964810805e-9};
    #else
      enum { TURN_TERMS = 4 };
      static const real SIN_P[TURN_TERMS] = {1.57079632171f, -0.645963460233f, 0.0796800327697f,
          -0.00460165788774f};
      static const real COS_P[TURN_TERMS] = {-1.2337005426f, 0.253669225964f, -0.0208601651032f,
          0.000903766526666f};
    #endif
    """
    enum: TURN_TERMS
    const real* SIN_P
    const real* COS_P
    void polar(const uint32_t* radius, const uint32_t* angle, real* u, real* f, real* odd,
               real* cos_sign, real* sin_sign) noexcept nogil


cdef struct Noise:
    Py_ssize_t rows, cols
    const real* x         # IN (rows, cols)
    Py_ssize_t ldx
    real* y               # OUT (rows, cols)
    Py_ssize_t ldy
    real* mask            # OUT (rows, cols): 0 or `factor`; of dropout
    Py_ssize_t ldmask
    uint64_t seed, number  # of the run's first step
    uint32_t least        # words below are dropped
    real factor           # 1 / (1 - rate), or the standard deviation


cdef inline void noise_chunks(Noise* a, int tid, int nthreads, Py_ssize_t* g0, Py_ssize_t* g1) noexcept nogil:
    share((a.rows * a.cols + DRAWN - 1) // DRAWN, 1, tid, nthreads, g0, g1)


cdef inline uint64_t noise_number(Noise* a, const Step* step) noexcept nogil:
    return a.number + (<uint64_t>step.number if step != NULL else 0)


cdef void dropout_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """y = x * mask, mask = 0 with probability rate, else 1 / (1 - rate)."""
    cdef Noise* a = <Noise*>args
    cdef Py_ssize_t g, g1, i, j, e, stop, length, k
    cdef uint32_t words[DRAWN]
    cdef real kept[DRAWN]
    cdef real* mask
    cdef real* y
    cdef const real* x
    noise_chunks(a, tid, nthreads, &g, &g1)
    for g in range(g, g1):
        philox(a.seed, noise_number(a, step), g, words)
        for k in range(DRAWN):
            kept[k] = a.factor if words[k] >= a.least else 0
        e = g * DRAWN
        stop = min(e + DRAWN, a.rows * a.cols)
        while e < stop:  # row by row
            i = e // a.cols
            j = e - i * a.cols
            length = min(a.cols - j, stop - e)
            mask = a.mask + i * a.ldmask + j
            x = a.x + i * a.ldx + j
            y = a.y + i * a.ldy + j
            memcpy(mask, kept + (e - g * DRAWN), length * sizeof(real))
            for k in range(length):
                y[k] = x[k] * mask[k]
            e += length


cdef void multiply_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """out = x * dy."""
    cdef Map* a = <Map*>args
    cdef Py_ssize_t i, i0, i1, j, j0, j1
    map_share(a, tid, nthreads, &i0, &i1, &j0, &j1)
    for i in range(i0, i1):
        j = j0
        while j < j1:
            put_row_vector(a.out + i * a.ldout, j, j1, False,
                           row_vector(a.x + i * a.ldx, j, j1, False, 0)
                           * row_vector(a.dy + i * a.lddy, j, j1, False, 0))
            j += VW


cdef inline forced vturn(vec f, vec* sine, vec* cosine) noexcept nogil:
    """sin and cos of pi / 2 * f, |f| <= 1/2; the polynomials are off by 3.3e-9 (float32), 3.4e-18."""
    cdef vec z = f * f
    cdef vec s = vset(SIN_P[TURN_TERMS - 1]), c = vset(COS_P[TURN_TERMS - 1])
    cdef int i
    for i in range(TURN_TERMS - 1):
        s = vfma(s, z, vset(SIN_P[TURN_TERMS - 2 - i]))
        c = vfma(c, z, vset(COS_P[TURN_TERMS - 2 - i]))
    sine[0] = f * s
    cosine[0] = vfma(z, c, vset(1))


cdef inline void normal_pairs(const uint32_t* words, real* out) noexcept nogil:
    """32 words as 32 numbers of the normal distribution (G. E. P. Box and M. E. Muller, 1958):
    sqrt(-2 log u) * (cos, sin) of a random angle; none beyond 5.77 standard deviations. At most 3.4
    ULP off, as measured over 6 million numbers."""
    cdef real u[16]
    cdef real f[16]
    cdef real odd[16]
    cdef real cos_sign[16]
    cdef real sin_sign[16]
    cdef vec radius, sine, cosine, swap
    cdef int lane = 0
    polar(words, words + 16, u, f, odd, cos_sign, sin_sign)
    while lane < 16:
        vlog(vload(u + lane), &radius)
        radius = vsqrt(vset(-2) * radius)
        vturn(vload(f + lane), &sine, &cosine)
        swap = vload(odd + lane)
        vstore(out + lane, radius * (vload(cos_sign + lane) * vif_gt(swap, vset(0), sine, cosine)))
        vstore(out + 16 + lane, radius * (vload(sin_sign + lane) * vif_gt(swap, vset(0), cosine, sine)))
        lane += VW


cdef void gaussian_noise_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """y = x + factor * (a number of the normal distribution), in two operations."""
    cdef Noise* a = <Noise*>args
    cdef Py_ssize_t g, g1, i, j, e, stop, length, k
    cdef uint32_t words[DRAWN]
    cdef real normal[DRAWN]
    cdef const real* z
    cdef real* y
    cdef const real* x
    noise_chunks(a, tid, nthreads, &g, &g1)
    for g in range(g, g1):
        philox(a.seed, noise_number(a, step), g, words)
        normal_pairs(words, normal)
        normal_pairs(words + 32, normal + 32)
        e = g * DRAWN
        stop = min(e + DRAWN, a.rows * a.cols)
        while e < stop:
            i = e // a.cols
            j = e - i * a.cols
            length = min(a.cols - j, stop - e)
            z = normal + (e - g * DRAWN)
            x = a.x + i * a.ldx + j
            y = a.y + i * a.ldy + j
            for k in range(length):
                y[k] = x[k] + a.factor * z[k]
            e += length
