#include "ouro_exp2.h"

#include "ouro_flash.h"

#define EXPONENT_BITS 16U /* fraction bits of the exponent */
#define INDEX_BITS 6U     /* of these, the upper ones choose the table's interval, */
#define STEP_BITS 10U     /* the lower ones the place inside it */
#define MANTISSA_BITS 20U

/* 2**(fraction_q16 / 65536) in Q20, by linear interpolation; fraction_q16: 0 .. 65535. */
static uint32_t exp2_fraction_q20(uint32_t fraction_q16)
{
    /* round(2**(i / 64) * 2**20), i = 0 .. 64 */
    static const OURO_FLASH uint32_t mantissa_q20[(1U << INDEX_BITS) + 1U] = {
        1048576, 1059994, 1071537, 1083205, 1095000, 1106924, 1118978, 1131163, 1143480, 1155932, 1168519,
        1181244, 1194106, 1207109, 1220254, 1233542, 1246974, 1260553, 1274279, 1288155, 1302182, 1316362,
        1330696, 1345187, 1359835, 1374642, 1389611, 1404743, 1420040, 1435503, 1451135, 1466937, 1482910,
        1499058, 1515382, 1531883, 1548564, 1565427, 1582474, 1599706, 1617125, 1634735, 1652536, 1670531,
        1688722, 1707110, 1725700, 1744491, 1763488, 1782691, 1802103, 1821727, 1841564, 1861617, 1881889,
        1902381, 1923097, 1944038, 1965207, 1986607, 2008240, 2030108, 2052214, 2074562, 2097152,
    };
    const uint32_t index = fraction_q16 >> STEP_BITS;
    const uint32_t place = fraction_q16 & ((UINT32_C(1) << STEP_BITS) - 1U);
    const uint32_t step = mantissa_q20[index + 1U] - mantissa_q20[index];

    return mantissa_q20[index] + (((step * place) + (UINT32_C(1) << (STEP_BITS - 1U))) >> STEP_BITS);
}

uint32_t ouro_exp2_q16(int32_t exponent_q16)
{
    /* Arithmetic shift: the integer part is the floor, the fraction is never negative. */
    const int32_t whole = exponent_q16 >> EXPONENT_BITS;
    const uint32_t fraction_q16 = (uint32_t)exponent_q16 & ((UINT32_C(1) << EXPONENT_BITS) - 1U);

    if (whole < -1) {
        return 0U; /* below one half */
    }
    if (whole > 30) {
        return (uint32_t)INT32_MAX;
    }

    const uint32_t mantissa = exp2_fraction_q20(fraction_q16);

    if (whole >= (int32_t)MANTISSA_BITS) {
        return mantissa << ((uint32_t)whole - MANTISSA_BITS);
    }

    const int32_t dropped = (int32_t)MANTISSA_BITS - whole; /* 1 .. 21 */
    const uint32_t shift = (uint32_t)dropped;

    return (mantissa + (UINT32_C(1) << (shift - 1U))) >> shift;
}
