/* What the compiled files share: vector lanes and elementary functions of the same bits on every machine.
 *
 * Loops over lanes hold one value per lane and no branch, the form that compilers turn into vector instructions.
 */
#ifndef LANE_MATH_H
#define LANE_MATH_H

#include <stdint.h>
#include <string.h>

#define LANES 16
#define FOR_LANES for (int k = 0; k < LANES; k++)

/* More lanes for code in single precision: enough independent work to hide how long one step's operations take. */
#define WIDE 48
#define FOR_WIDE _Pragma("omp simd") for (int k = 0; k < WIDE; k++)

#if defined(__GNUC__) && defined(__x86_64__)
#define HAS_AVX2 1 /* as a function of its own, called where the machine has it */
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* Defines the function `name` from the inline function `name`_in_lanes, compiled also for wider vectors where the
 * machine has them. Not target_clones: older clang gives those a name that nothing can link to. */
#if defined(__GNUC__) && defined(__x86_64__)
#define WIDEST_VECTORS(type, name, parameters, arguments)                                                              \
    __attribute__((target("avx2"))) static type name##_avx2 parameters                                                 \
    {                                                                                                                  \
        return name##_in_lanes arguments;                                                                              \
    }                                                                                                                  \
    static type name##_plain parameters                                                                                \
    {                                                                                                                  \
        return name##_in_lanes arguments;                                                                              \
    }                                                                                                                  \
    type name parameters                                                                                               \
    {                                                                                                                  \
        return __builtin_cpu_supports("avx2") ? name##_avx2 arguments : name##_plain arguments;                        \
    }
#else
#define WIDEST_VECTORS(type, name, parameters, arguments)                                                              \
    type name parameters                                                                                               \
    {                                                                                                                  \
        return name##_in_lanes arguments;                                                                              \
    }
#endif

INLINE uint64_t bits_of(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

INLINE double double_of(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

INLINE uint32_t bits_of_float(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

INLINE float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* 2^y for -126 <= y < 128, relative error below 2e-7. */
INLINE float exp2_of(float y)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    const float shifted = y + shift;
    const float f = y - (shifted - shift);
    float p = 1.32647261e-3f;
    p = p * f + 9.67151299e-3f;
    p = p * f + 5.55073358e-2f;
    p = p * f + 2.40222424e-1f;
    p = p * f + 6.93147004e-1f;
    p = p * f + 1.0f;
    return p * float_of((bits_of_float(shifted) + 127u) << 23);
}

/* exp(x) for -700 <= x <= 700 (clamped), within 2 ulp: 2^n times a degree-13 Taylor polynomial on +-ln2/2. */
INLINE double exp_exact(double x)
{
    const double shift = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer in the low bits */
    x = x < -700.0 ? -700.0 : x;
    x = x > 700.0 ? 700.0 : x;
    const double shifted = x * 1.4426950408889634 + shift;
    const double whole = shifted - shift;
    const double r = (x - whole * 0.6931471803691238) - whole * 1.9082149292705877e-10;
    double p = 1.6059043836821613e-10;
    p = p * r + 2.08767569878681e-09;
    p = p * r + 2.505210838544172e-08;
    p = p * r + 2.755731922398589e-07;
    p = p * r + 2.7557319223985893e-06;
    p = p * r + 2.48015873015873e-05;
    p = p * r + 1.984126984126984e-04;
    p = p * r + 1.3888888888888889e-03;
    p = p * r + 8.333333333333333e-03;
    p = p * r + 4.1666666666666664e-02;
    p = p * r + 1.6666666666666666e-01;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    return p * double_of((bits_of(shifted) + 1023u) << 52);
}

/* exp(x) - 1 and the power of two in it: x = n ln2 + r, exp(x) = 2^n + 2^n (exp(r) - 1).
 * The polynomial is grouped so that its operations do not all wait for one another. */
typedef struct {
    double power;     /* 2^n */
    double remainder; /* exp(r) - 1 */
} exp_parts;

INLINE exp_parts exp_split(double x)
{
    const double shift = 6755399441055744.0;
    x = x < -700.0 ? -700.0 : x;
    x = x > 700.0 ? 700.0 : x;
    const double shifted = x * 1.4426950408889634 + shift;
    const double whole = shifted - shift;
    const double r = (x - whole * 0.6931471803691238) - whole * 1.9082149292705877e-10;
    const double r2 = r * r;
    const double r4 = r2 * r2;
    const double c0 = (0.5 + 1.6666666666666666e-01 * r) + (4.1666666666666664e-02 + 8.333333333333333e-03 * r) * r2;
    const double c4 =
        (1.3888888888888889e-03 + 1.984126984126984e-04 * r) + (2.48015873015873e-05 + 2.7557319223985893e-06 * r) * r2;
    const double c8 =
        (2.755731922398589e-07 + 2.505210838544172e-08 * r) + (2.08767569878681e-09 + 1.6059043836821613e-10 * r) * r2;
    const exp_parts e = {double_of((bits_of(shifted) + 1023u) << 52), r + r2 * (c0 + r4 * (c4 + r4 * c8))};
    return e;
}

/* exp(x) for |x| <= 700 (clamped), within 2 ulp: quicker than exp_exact where little else is to be done. */
INLINE double exp_quick(double x)
{
    const exp_parts e = exp_split(x);
    return e.power + e.power * e.remainder;
}

/* exp(x) - 1 for |x| <= 700 (clamped), within 4 ulp also near 0. */
INLINE double expm1_quick(double x)
{
    const exp_parts e = exp_split(x);
    return e.power * e.remainder + (e.power - 1.0);
}

/* log(x) for normal x > 0, relative error below 1e-8 also near 1: enough for Newton steps, not for results. */
INLINE double log_rough(double x)
{
    const uint64_t half_root = UINT64_C(0x3fe6a09e667f3bcd); /* bits of sqrt(1/2): mantissas in [0.707, 1.414) */
    const uint64_t above = bits_of(x) - half_root + (UINT64_C(1024) << 52);
    const double exponent = double_of((above >> 52) | UINT64_C(0x4330000000000000)) - (0x1p52 + 1024.0);
    const double mantissa = double_of((above & UINT64_C(0x000fffffffffffff)) + half_root);
    const double s = (mantissa - 1.0) / (mantissa + 1.0);
    const double q = s * s;
    double p = 0.18181818181818182;
    p = p * q + 0.2222222222222222;
    p = p * q + 0.2857142857142857;
    p = p * q + 0.4;
    p = p * q + 0.6666666666666666;
    return exponent * 0.6931471805599453 + (p * q + 2.0) * s;
}

#endif
