"""The numeric law against unlimited integers."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codegen.fixed import INT16_MAX, INT16_MIN, INT32_MAX, INT32_MIN, exp2_q16, rshift_round, sat16
from codegen.proof import Interval, accumulator_bounds

int32 = st.integers(INT32_MIN, INT32_MAX)


@given(value=st.integers(-(2**62), 2**62 - 2**61), shift=st.integers(1, 62))
def test_shift_rounds_to_nearest_halves_up(value, shift):
    expected = math.floor(Fraction(value, 2**shift) + Fraction(1, 2))
    assert rshift_round(value, shift) == expected
    assert rshift_round(np.array([value], dtype=np.int64), shift).tolist() == [expected]


@given(value=int32)
def test_saturation(value):
    assert sat16(np.array([value]))[0] == max(INT16_MIN, min(INT16_MAX, value))
    assert sat16(np.array([value]), lowest=0)[0] == max(0, min(INT16_MAX, value))


@given(exponent=int32)
def test_exp2_is_within_its_stated_error(exponent):
    found = int(exp2_q16(np.array([exponent]))[0])
    if exponent >= 31 << 16:
        assert found == INT32_MAX
    elif exponent < -(1 << 16):
        assert found == 0
    else:
        exact = 2.0 ** (exponent / 65536)
        assert abs(found - exact) <= 0.5 + 2e-5 * exact


def test_exp2_never_decreases_and_is_exact_at_whole_exponents():
    exponents = np.arange(-3 << 16, 32 << 16, dtype=np.int64)
    assert (np.diff(exp2_q16(exponents)) >= 0).all()
    assert exp2_q16(np.arange(31) << 16).tolist() == [2**n for n in range(31)]


@given(
    data=st.data(),
    columns=st.integers(1, 12),
)
def test_no_order_of_additions_leaves_the_proven_bounds(data, columns):
    int16 = st.integers(-INT16_MAX, INT16_MAX)
    weights = data.draw(st.lists(int16, min_size=columns, max_size=columns))
    ends = data.draw(st.lists(st.tuples(int16, int16), min_size=columns, max_size=columns))
    lowest, highest = [min(e) for e in ends], [max(e) for e in ends]
    bias = data.draw(int32)
    bounds = accumulator_bounds(
        np.array([weights]), np.array([bias]), Interval(np.array(lowest), np.array(highest))
    )
    x = [data.draw(st.integers(lo, hi)) for lo, hi in zip(lowest, highest, strict=True)]
    terms = data.draw(st.permutations([bias, *(w * v for w, v in zip(weights, x, strict=True))]))
    total = 0
    for term in terms:
        total += term
        assert bounds.lowest[0] <= total <= bounds.highest[0]


def test_the_proof_is_tight_at_the_extremes():
    weights, bias = np.array([[300, -200, 7]]), np.array([50])
    x = Interval(np.array([-1000, -32768, 0]), np.array([2000, 32767, 32767]))
    bounds = accumulator_bounds(weights, bias, x)
    assert bounds.highest[0] == 300 * 2000 + 200 * 32768 + 7 * 32767 + 50
    assert bounds.lowest[0] == -300 * 1000 - 200 * 32767
