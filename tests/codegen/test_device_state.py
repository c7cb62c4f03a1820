"""The two bytes a controller keeps of each device: integers that find a device's rate from its pulses."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codegen.device_state import (
    BYTES_PER_DEVICE,
    CELLS,
    DeviceStates,
    ReferenceTimes,
    calibration_target_nS,
    log2_q8,
    reference_ticks,
    updated,
)

G_MIN, G_MAX = 100_000, 550_000
TIMES = np.rint(16 * 60_000 * np.linspace(0, 1, CELLS + 1) ** 3).astype(int)
REFERENCE = ReferenceTimes(G_MIN, G_MAX, 300, tuple(TIMES.tolist()), tuple(TIMES[::-1].tolist()))


def column(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_an_array_of_64_x_64_devices_fits_8_KiB() -> None:
    states = DeviceStates.fresh(64 * 64)
    assert states.log2_rate_q4.nbytes + states.pulses.nbytes == 64 * 64 * BYTES_PER_DEVICE == 8 * 1024


def test_log2_is_within_a_64th_of_an_octave_and_never_falls() -> None:
    values = np.unique(
        np.concatenate([np.arange(1, 5000), np.geomspace(1, 2**31 - 1, 5000).astype(np.int64)])
    )
    found = log2_q8(values)
    assert np.abs(found / 256 - np.log2(values)).max() < 1 / 64
    assert np.diff(found).min() >= 0
    np.testing.assert_array_equal(log2_q8(1 << np.arange(31)), 256 * np.arange(31))


@given(st.integers(G_MIN, G_MAX), st.integers(G_MIN, G_MAX))
@example(100_113, 100_000)
def test_reference_widths_are_differences_of_the_table(here: int, there: int) -> None:
    direction = np.array([np.sign(there - here) or 1], dtype=np.int8)
    places = (np.array([here, there]) - G_MIN) / (G_MAX - G_MIN) * CELLS
    table = TIMES if direction[0] > 0 else TIMES[::-1]
    at = np.interp(places, np.arange(CELLS + 1), table) / 16
    width_ticks = at[1] - at[0]
    # a place is rounded down to 1/256 of a cell, a time to 1/16 of a tick
    slack_ticks = np.abs(np.diff(table)).max() / 16 / 256 + 1 / 16
    found = REFERENCE.log2_width_q8(column(here), column(there), direction)[0] / 256
    assert found >= np.log2(max(width_ticks - slack_ticks, 1 / 16)) - 0.04
    assert found <= np.log2(max(width_ticks + slack_ticks, 1 / 16)) + 0.04


@pytest.mark.parametrize("rate", [-4.0, -1.0, 0.0, 0.6, 3.0])
def test_pulses_reveal_the_rate_and_the_next_width_follows_it(rate: float) -> None:
    start, end = column(150_000), column(450_000)
    up = np.array([1], dtype=np.int8)
    width = 2.0 ** (REFERENCE.log2_width_q8(start, end, up)[0] / 256 - rate)
    states = DeviceStates.fresh(1)
    for _ in range(3):
        states = updated(states, REFERENCE, start, end, up, column(round(width)))
    assert states.pulses[0] == 3
    assert abs(states.log2_rate_q4[0] / 16 - rate) < 0.1
    assert abs(np.log2(reference_ticks(REFERENCE, states, start, end)[0] / width)) < 0.15


def test_surprises_are_averaged_then_fade() -> None:
    start, end, up = column(150_000), column(450_000), np.array([1], dtype=np.int8)
    nominal = 2.0 ** (REFERENCE.log2_width_q8(start, end, up)[0] / 256)
    states, seen = DeviceStates.fresh(1), []
    for octaves in (2, 0, 1, 1, 1, 1, 1, 1, 1, 1):
        states = updated(states, REFERENCE, start, end, up, column(round(nominal / 2**octaves)))
        seen.append(states.log2_rate_q4[0] / 16)
    assert seen[:3] == pytest.approx([2.0, 1.0, 1.0], abs=0.1)
    assert abs(seen[-1] - 1.0) < 0.1


def test_a_pulse_without_effect_makes_the_next_one_longer_until_one_shows() -> None:
    """Whatever wrong estimate a controller starts from: it must not wait for ever."""
    here, target = column(120_000), column(130_000)
    states = DeviceStates(np.array([127], dtype=np.int8), np.array([9], dtype=np.uint8))
    widths = []
    for _ in range(60):
        ticks = np.maximum(reference_ticks(REFERENCE, states, here, target), 1)
        widths.append(int(ticks[0]))
        states = updated(states, REFERENCE, here, here, np.array([1], dtype=np.int8), ticks)
    assert widths[-1] > 1000 * widths[0]
    assert all(b >= a for a, b in pairwise(widths[2:]))


def test_no_pulse_teaches_nothing() -> None:
    states = DeviceStates(np.array([5], dtype=np.int8), np.array([2], dtype=np.uint8))
    for direction, ticks in ((0, 100), (1, 0)):
        way = np.array([direction], dtype=np.int8)
        found = updated(states, REFERENCE, column(200_000), column(300_000), way, column(ticks))
        assert (found.log2_rate_q4[0], found.pulses[0]) == (5, 2)


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.sampled_from([-1, 0, 1]),
    st.integers(0, 2**31 - 1),
    st.integers(-128, 127),
    st.integers(0, 255),
)
def test_states_stay_in_their_bytes_for_any_reading(
    before: int, after: int, way: int, ticks: int, rate: int, pulses: int
) -> None:
    states = DeviceStates(np.array([rate], dtype=np.int8), np.array([pulses], dtype=np.uint8))
    direction = np.array([way], dtype=np.int8)
    found = updated(states, REFERENCE, column(before), column(after), direction, column(ticks))
    taught = way != 0 and ticks > 0
    assert found.pulses[0] == min(pulses + taught, 255)
    assert taught or found.log2_rate_q4[0] == rate


def test_calibration_crosses_the_window() -> None:
    g_nS = np.linspace(G_MIN, G_MAX, 100).astype(np.int64)
    target = calibration_target_nS(REFERENCE, g_nS)
    assert np.abs(target - g_nS).min() >= (G_MAX - G_MIN) // 2 - (G_MAX - G_MIN) // 12 - 1
    assert target.min() > G_MIN and target.max() < G_MAX


@pytest.mark.parametrize("times", [(0,) * CELLS, (*TIMES[1:].tolist(), 0), tuple((TIMES * 1000).tolist())])
def test_tables_that_32_bits_cannot_hold_are_refused(times: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not a table"):
        ReferenceTimes(G_MIN, G_MAX, 300, times, REFERENCE.reset_q4)
