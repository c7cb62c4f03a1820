/* Fixed-point power of two, for networks that predict the logarithm of the pulse width. */
#ifndef OURO_EXP2_H
#define OURO_EXP2_H

#include <stdint.h>

/* 2**(exponent_q16 / 65536), rounded to an integer, limited to 0 .. INT32_MAX. Any int32_t is allowed.
 * Relative error below 2e-5 before the rounding to an integer; never decreases with the exponent. */
uint32_t ouro_exp2_q16(int32_t exponent_q16);

#endif
