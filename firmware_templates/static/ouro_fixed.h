/* The numeric law: every shift, rounding and saturation of the predictor is one of these functions.
 *
 * One rounding rule everywhere: to nearest, halves towards plus infinity. codegen/fixed.py states the same law
 * in Python; the two are tested against each other and, through codegen verify, on whole networks.
 */
#ifndef OURO_FIXED_H
#define OURO_FIXED_H

#include <stdint.h>

#define OURO_RUNTIME_VERSION 3

/* ISO C leaves the right shift of negative numbers to the compiler; the law needs the arithmetic one. */
_Static_assert((INT32_C(-5) >> 1) == INT32_C(-3), "right shift of int32_t must be arithmetic");
_Static_assert((INT64_C(-5) >> 1) == INT64_C(-3), "right shift of int64_t must be arithmetic");

/* floor((value + 2**(shift - 1)) / 2**shift). shift: 1 .. 30; value + 2**(shift - 1) must fit int32_t, which
 * the generator has proven for every accumulator. */
static inline int32_t ouro_rshift_round(int32_t value, uint32_t shift)
{
    const uint32_t half = UINT32_C(1) << (shift - 1U);

    return (value + (int32_t)half) >> shift;
}

/* The same in 64 bits. shift: 1 .. 62; value + 2**(shift - 1) must fit int64_t. */
static inline int64_t ouro_rshift_round64(int64_t value, uint32_t shift)
{
    const uint64_t half = UINT64_C(1) << (shift - 1U);

    return (value + (int64_t)half) >> shift;
}

/* value limited to lowest .. highest; lowest must not exceed highest. */
static inline int32_t ouro_clamp(int32_t value, int32_t lowest, int32_t highest)
{
    if (value < lowest) {
        return lowest;
    }
    return (value > highest) ? highest : value;
}

/* value limited to lowest .. INT16_MAX, where lowest >= INT16_MIN: saturation, and ReLU with lowest = 0. */
static inline int16_t ouro_sat16(int32_t value, int32_t lowest)
{
    return (int16_t)ouro_clamp(value, lowest, INT16_MAX);
}

#endif
