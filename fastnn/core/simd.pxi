# The machine's vectors, its fused multiply-add, and nothing else.
#
# `vec` is the level's own register type of VW numbers: zmm, ymm, xmm, a 16-byte vector elsewhere, and
# a plain scalar where the compiler knows no vector types. LANES numbers (64 bytes) make one logical
# vector at every level: sums over a row run in LANES lanes and are folded by one fixed tree, so that
# each level gives the same bits. The arithmetic is spelled out (vfma, never a contraction that the
# compiler may or may not choose: -ffp-contract=off), for the same reason.

cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    #include <string.h>

    #ifdef FASTNN_DOUBLE
    typedef double real;
    typedef int64_t real_bits;
    #define REAL_NAME "float64"
    #define REAL_BYTES 8
    #define REAL_HUGE 1.7976931348623157e308
    enum { LANES = 8, MANTISSA_BITS = 52, EXPONENT_BIAS = 1023 };
    #else
    typedef float real;
    typedef int32_t real_bits;
    #define REAL_NAME "float32"
    #define REAL_BYTES 4
    #define REAL_HUGE 3.40282347e38f
    enum { LANES = 16, MANTISSA_BITS = 23, EXPONENT_BIAS = 127 };
    #endif
    #define REAL_INF ((real)INFINITY)
    #define REAL_NAN ((real)NAN)
    #define SIGN_BIT ((real_bits)((uint64_t)1 << (sizeof(real) * 8 - 1)))
    #define ONE_BITS ((real_bits)EXPONENT_BIAS << MANTISSA_BITS)

    #if defined(__AVX512F__)
    #define LEVEL_NAME "v4"
    #elif defined(__AVX2__)
    #define LEVEL_NAME "v3"
    #elif defined(__x86_64__) && defined(__SSE4_2__)
    #define LEVEL_NAME "v2"
    #else
    #define LEVEL_NAME "portable"
    #endif
    #if defined(__clang__)
    #define COMPILER_NAME "Clang " __clang_version__
    #elif defined(__GNUC__)
    #define COMPILER_NAME "GCC " __VERSION__
    #else
    #define COMPILER_NAME "unknown"
    #endif

    #if defined(__GNUC__) || defined(__clang__)
      #define prefetch(p) __builtin_prefetch(p)
      #define prefetch_far(p) __builtin_prefetch(p, 0, 2) /* no nearer than L2 */
      #if defined(__x86_64__) /* GCC asks for a flag of its own; every x86-64 takes it, if as a no-op */
        #define prefetch_write(p) __asm__ volatile("prefetchw %0" : : "m"(*(p)))
      #else
        #define prefetch_write(p) __builtin_prefetch(p, 1)
      #endif
      #define FORCED __attribute__((always_inline)) void
      #if defined(__clang__)
        #define ONCE __attribute__((noinline)) void
      #else
        #define ONCE __attribute__((noinline, noclone)) void
      #endif
    #else
      #define ONCE void
      #define prefetch(p) ((void)(p))
      #define prefetch_far(p) ((void)(p))
      #define prefetch_write(p) ((void)(p))
      #define FORCED void
    #endif

    /* MR rows by NV vectors is the register tile of a product: MR * NV accumulators, NV vectors of B
       and one broadcast of A fill the level's 32 or 16 registers. */
    #if !defined(__GNUC__) && !defined(__clang__)
      #define FASTNN_SCALAR
    #endif
    #if defined(FASTNN_SCALAR)
      #define VECTOR_BYTES REAL_BYTES
      enum { MR = 4 };
    #elif defined(__AVX512F__)
      #include <immintrin.h>
      #define VECTOR_BYTES 64
      enum { MR = 14 };
    #elif defined(__FMA__)
      #include <immintrin.h>
      #define VECTOR_BYTES 32
      enum { MR = 6 };
    #elif defined(__ARM_NEON) && defined(__aarch64__)
      #include <arm_neon.h>
      #define VECTOR_BYTES 16
      enum { MR = 14 };
    #else
      #define VECTOR_BYTES 16
      enum { MR = 6 };
    #endif
    #define VW (VECTOR_BYTES / REAL_BYTES)
    enum { NV = 2, NL = LANES / VW, FLAT_NV = MR >= 14 ? 8 : 4 };

    /* An index vector {f(0, a), f(1, a), ...}, a constant that the compiler can choose a shuffle by. */
    #if VW == 16
      #define INDICES(f, a) ((ivec){f(0, a), f(1, a), f(2, a), f(3, a), f(4, a), f(5, a), f(6, a), f(7, a), \
          f(8, a), f(9, a), f(10, a), f(11, a), f(12, a), f(13, a), f(14, a), f(15, a)})
    #elif VW == 8
      #define INDICES(f, a) ((ivec){f(0, a), f(1, a), f(2, a), f(3, a), f(4, a), f(5, a), f(6, a), f(7, a)})
    #elif VW == 4
      #define INDICES(f, a) ((ivec){f(0, a), f(1, a), f(2, a), f(3, a)})
    #else
      #define INDICES(f, a) ((ivec){f(0, a), f(1, a)})
    #endif
    #define ROTATED(i, by) (((i) + (by)) % VW)
    #define INTERLEAVED(i, half) ((i) / 2 + (i) % 2 * VW + (half) * (VW / 2))

    #ifdef FASTNN_SCALAR
      typedef real vec;
      typedef real_bits ivec;
      static inline vec vload(const real *p) { return *p; }
      static inline void vstore(real *p, vec v) { *p = v; }
      static inline vec vset(real x) { return x; }
      static inline vec vif_gt(vec a, vec b, vec yes, vec no) { return a > b ? yes : no; }
      static inline ivec bits_of(vec v) { ivec i; memcpy(&i, &v, sizeof i); return i; }
      static inline vec from_bits(ivec i) { vec v; memcpy(&v, &i, sizeof v); return v; }
      static inline ivec iset(real_bits i) { return i; }
      static inline vec vfrom_int(ivec i) { return (vec)i; }
    #else
      typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
      typedef real vec_anywhere __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
      typedef real_bits ivec __attribute__((vector_size(VECTOR_BYTES), may_alias));
      static inline vec vload(const real *p) { return *(const vec_anywhere *)p; }
      static inline void vstore(real *p, vec v) { *(vec_anywhere *)p = v; }
      static inline vec vset(real x) { return x - (vec){0}; }
    #if !defined(__FMA__)
      static inline vec vif_gt(vec a, vec b, vec yes, vec no) {
          ivec mask = a > b;
          return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
      }
    #endif
      static inline ivec bits_of(vec v) { return (ivec)v; }
      static inline vec from_bits(ivec i) { return (vec)i; }
      static inline ivec iset(real_bits i) { return i - (ivec){0}; }
      static inline vec vfrom_int(ivec i) { return __builtin_convertvector(i, vec); }
    #endif

    /* What has an instruction of its own that the compiler does not find by itself:
       vfma        a * b + c, rounded once wherever the level has the instruction (x86-64-v2 has not)
       vif_gt      a > b ? yes : no
       vmin, vmax  a < b ? a : b, a > b ? a : b, to the letter: b where either is NaN */
    #if defined(__AVX512F__)
      #ifdef FASTNN_DOUBLE
      #define X86(op) _mm512_##op##_pd
      #define X86_GREATER(a, b) _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ)
      #else
      #define X86(op) _mm512_##op##_ps
      #define X86_GREATER(a, b) _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ)
      #endif
      static inline vec vif_gt(vec a, vec b, vec yes, vec no) {
          return (vec)X86(mask_blend)(X86_GREATER(a, b), no, yes);
      }
    #elif defined(__FMA__)
      #ifdef FASTNN_DOUBLE
      #define X86(op) _mm256_##op##_pd
      #else
      #define X86(op) _mm256_##op##_ps
      #endif
      static inline vec vif_gt(vec a, vec b, vec yes, vec no) {
          return (vec)X86(blendv)(no, yes, X86(cmp)(a, b, _CMP_GT_OQ));
      }
    #endif
    #if defined(__FMA__)
      static inline vec vfma(vec a, vec b, vec c) { return (vec)X86(fmadd)(a, b, c); }
      static inline vec vsqrt(vec a) { return (vec)X86(sqrt)(a); }
      static inline vec vmin(vec a, vec b) { return (vec)X86(min)(a, b); }
      static inline vec vmax(vec a, vec b) { return (vec)X86(max)(a, b); }
    #else
      static inline vec vmin(vec a, vec b) { return vif_gt(b, a, a, b); }
      static inline vec vmax(vec a, vec b) { return vif_gt(a, b, a, b); }
      #if defined(__ARM_NEON) && defined(__aarch64__) && defined(FASTNN_DOUBLE)
      static inline vec vfma(vec a, vec b, vec c) { return vfmaq_f64(c, a, b); }
      static inline vec vsqrt(vec a) { return vsqrtq_f64(a); }
      #elif defined(__ARM_NEON) && defined(__aarch64__)
      static inline vec vfma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
      static inline vec vsqrt(vec a) { return vsqrtq_f32(a); }
      #elif defined(FASTNN_SCALAR)
      static inline vec vfma(vec a, vec b, vec c) { return a * b + c; }
      static inline vec vsqrt(vec a) { return (vec)sqrt(a); }
      #else
      static inline vec vfma(vec a, vec b, vec c) { return a * b + c; }
      static inline vec vsqrt(vec a) {
          vec r;
          for (int i = 0; i < VW; i++) r[i] = (real)sqrt(a[i]);
          return r;
      }
      #endif
    #endif

    /* 2 ** n for n = t - ROUND_MAGIC, a whole number: its bits stand at the bottom of t's mantissa. */
    static inline vec vpow2(vec t) {
        return from_bits((bits_of(t) << MANTISSA_BITS) + iset(ONE_BITS));
    }
    static inline vec vabs(vec x) { return from_bits(bits_of(x) & iset(~SIGN_BIT)); }
    static inline vec vflip(vec x, vec bits) { return from_bits(bits_of(x) ^ bits_of(bits)); }
    /* A positive normal x as 2 ** e * m, m in [sqrt(1/2), sqrt(2)); ROOT_HALF_BITS are sqrt(1/2)'s. */
    #ifdef FASTNN_DOUBLE
    #define ROOT_HALF_BITS ((real_bits)0x3fe6a09e667f3bcdLL)
    #else
    #define ROOT_HALF_BITS ((real_bits)0x3f3504f3)
    #endif
    static inline vec vsplit(vec x, vec *e) {
        ivec i = bits_of(x) - iset(ROOT_HALF_BITS);
        *e = vfrom_int(i >> MANTISSA_BITS);
        return from_bits((i & iset(((real_bits)1 << MANTISSA_BITS) - 1)) + iset(ROOT_HALF_BITS));
    }

    /* The first `count` (fewer than VW) numbers at p, `fill` in the other lanes; and their storing. */
    static inline vec vload_part(const real *p, Py_ssize_t count, real fill) {
        real t[VW];
        for (int i = 0; i < VW; i++) t[i] = i < count ? p[i] : fill;
        return vload(t);
    }
    static inline void vstore_part(real *p, vec v, Py_ssize_t count) {
        real t[VW];
        vstore(t, v);
        for (int i = 0; i < VW; i++) if (i < count) p[i] = t[i];
    }
    /* out (VW, VW) = x (VW, VW) transposed: log2(VW) rounds that each interleave two halves of the rows. */
    static inline void transpose_block(const real *x, Py_ssize_t ldx, real *out, Py_ssize_t ldout) {
    #if defined(__GNUC__) && !defined(__clang__) && !defined(FASTNN_SCALAR)
        vec r[VW], t[VW];
        for (int i = 0; i < VW; i++) r[i] = vload(x + i * ldx);
        for (int round = 1; round < VW; round *= 2) {
            for (int i = 0; i < VW / 2; i++) {
                t[2 * i] = __builtin_shuffle(r[i], r[i + VW / 2], INDICES(INTERLEAVED, 0));
                t[2 * i + 1] = __builtin_shuffle(r[i], r[i + VW / 2], INDICES(INTERLEAVED, 1));
            }
            memcpy(r, t, sizeof r);
        }
        for (int i = 0; i < VW; i++) vstore(out + i * ldout, r[i]);
    #else
        for (int i = 0; i < VW; i++) for (int j = 0; j < VW; j++) out[j * ldout + i] = x[i * ldx + j];
    #endif
    }
    static const real LANE_NUMBER[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

    /* The fixed tree over the LANES lanes of one logical vector: lanes LANES/2 apart are joined first,
       neighbours last. Every lane of the result holds the total. */
    #if defined(FASTNN_SCALAR)
      #define ROTATE(v, by) (v)
    #elif defined(__clang__)
      static inline vec ROTATE(vec v, int by) {
          vec r;
          for (int i = 0; i < VW; i++) r[i] = v[(i + by) % VW];
          return r;
      }
    #else
      #define ROTATE(v, by) __builtin_shuffle(v, INDICES(ROTATED, by))
    #endif
    #define FOLD(name, join) \
        static inline vec name(const vec *v) { \
            vec t[NL], r; \
            memcpy(t, v, sizeof t); \
            for (int w = NL / 2; w; w /= 2) for (int i = 0; i < w; i++) t[i] = join(t[i], t[i + w]); \
            r = t[0]; \
            if (VW > 8) r = join(r, ROTATE(r, 8)); \
            if (VW > 4) r = join(r, ROTATE(r, 4)); \
            if (VW > 2) r = join(r, ROTATE(r, 2)); \
            if (VW > 1) r = join(r, ROTATE(r, 1)); \
            return r; \
        }
    static inline vec vadd(vec a, vec b) { return a + b; }
    FOLD(lanes_sum, vadd)
    FOLD(lanes_max, vmax)
    #ifdef FASTNN_SCALAR
    static inline real first_lane(vec v) { return v; }
    #else
    static inline real first_lane(vec v) { return v[0]; }
    #endif
    """
    ctypedef float real
    ctypedef float vec
    ctypedef void forced "FORCED"  # the compiler inlines it everywhere
    ctypedef void once "ONCE"      # and this nowhere: large, or not worth a copy at each call
    const char* REAL_NAME
    const char* LEVEL_NAME
    const char* COMPILER_NAME
    real REAL_HUGE, REAL_INF, REAL_NAN
    const real* LANE_NUMBER
    enum: LANES
    enum: MR
    enum: NV
    enum: FLAT_NV
    enum: NL
    enum: VW
    enum: VECTOR_BYTES
    void prefetch(const real* p) noexcept nogil
    void prefetch_far(const real* p) noexcept nogil
    void prefetch_write(const real* p) noexcept nogil
    vec vload(const real* p) noexcept nogil
    void vstore(real* p, vec v) noexcept nogil
    vec vset(real x) noexcept nogil
    vec vfma(vec a, vec b, vec c) noexcept nogil
    vec vsqrt(vec a) noexcept nogil
    vec vif_gt(vec a, vec b, vec yes, vec no) noexcept nogil
    vec vmin(vec a, vec b) noexcept nogil
    vec vmax(vec a, vec b) noexcept nogil
    vec vpow2(vec t) noexcept nogil
    vec vabs(vec x) noexcept nogil
    vec vflip(vec x, vec bits) noexcept nogil
    vec vsplit(vec x, vec* e) noexcept nogil
    vec vload_part(const real* p, Py_ssize_t count, real fill) noexcept nogil
    void vstore_part(real* p, vec v, Py_ssize_t count) noexcept nogil
    void transpose_block(const real* x, Py_ssize_t ldx, real* out, Py_ssize_t ldout) noexcept nogil
    vec lanes_sum(const vec* v) noexcept nogil
    vec lanes_max(const vec* v) noexcept nogil
    real first_lane(vec v) noexcept nogil
