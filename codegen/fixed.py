"""The numeric law in Python: the same shifts, roundings and saturations as `ouro_fixed.h` and `ouro_exp2.c`.

Functions take Python integers or int64 arrays. Nothing here is floating point but how the exp2 table is made.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

INT16_MIN, INT16_MAX = -(2**15), 2**15 - 1
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

EXP2_INDEX_BITS = 6
EXP2_STEP_BITS = 10
EXP2_MANTISSA_BITS = 20
# Nearest integers; float64 is far more exact than the distance of any of them to a tie.
EXP2_MANTISSA_Q20 = tuple(round(2.0 ** (i / 64) * 2**EXP2_MANTISSA_BITS) for i in range(65))


@overload
def rshift_round(value: int, shift: int) -> int: ...
@overload
def rshift_round(value: Int64Array, shift: int | Int64Array) -> Int64Array: ...
def rshift_round(value: int | Int64Array, shift: int | Int64Array) -> int | Int64Array:
    """`floor((value + 2**(shift - 1)) / 2**shift)`: to nearest, halves up; shift >= 1."""
    return (value + (1 << (shift - 1))) >> shift


def sat16(value: Int64Array, lowest: int = INT16_MIN) -> Int64Array:
    """Limit to `lowest .. INT16_MAX`; `lowest` = 0 is ReLU."""
    return np.clip(value, lowest, INT16_MAX)


def exp2_q16(exponent_q16: Int64Array) -> Int64Array:
    """`2**(exponent_q16 / 65536)` rounded to an integer, 0 .. INT32_MAX, for int32 exponents.

    Linear interpolation between 65 table entries: relative error below 2e-5 before the last rounding.
    """
    whole = exponent_q16 >> 16
    fraction = exponent_q16 & 0xFFFF
    index = fraction >> EXP2_STEP_BITS
    place = fraction & ((1 << EXP2_STEP_BITS) - 1)
    table = np.array(EXP2_MANTISSA_Q20, dtype=np.int64)
    mantissa = table[index] + rshift_round((table[index + 1] - table[index]) * place, EXP2_STEP_BITS)
    up = mantissa << np.clip(whole - EXP2_MANTISSA_BITS, 0, 11)
    down = rshift_round(mantissa, np.clip(EXP2_MANTISSA_BITS - whole, 1, 21))
    result = np.where(whole >= EXP2_MANTISSA_BITS, up, down)
    result = np.where(whole < -1, 0, result)
    return np.where(whole > 30, INT32_MAX, result)
