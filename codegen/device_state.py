"""What a controller remembers of each device, in integers: two bytes, updated after every pulse.

`log2_rate_q4` says how much faster a device moves than the reference, in sixteenths of an octave; `pulses` how many
pulses that was learned from, at most 255. The reference is the time that a pulse at the board's voltages would take a
nominal device from the window's end to each conductance: what lies between two of its values, over the width given,
is the rate that a pulse revealed. It moves the estimate by a share that falls with the pulses seen:

    log2_rate += gain(pulses) * (log2(width the reference takes for the change seen) - log2_rate - log2(width given))

Integers only: shifts, one multiplication or two, no division, no exponential. Functions take int64 arrays (n,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codegen.fixed import Int64Array, exp2_q16, rshift_round

RATE_BITS = 4
"""Fraction bits of the log rate: 1/16 octave, 4 % in time."""
LOG2_BITS = 8
TIME_BITS = 4
"""Fraction bits of the reference times in ticks."""
SMALLEST_MOVE_CODES = 2
"""ADC codes by which a reading must have changed to count."""
CELLS_LOG2, PLACE_BITS = 6, 8
CELLS = 1 << CELLS_LOG2
GAIN_Q8 = (256, 128, 85, 64)
"""Share of a surprise that is believed after 0, 1, 2 and more pulses: their mean, then a fading memory."""
UNSEEN_Q8 = -(1 << LOG2_BITS)
"""A pulse without a visible effect was at least an octave too short: else a controller could wait for ever."""
MOST_PULSES = 255
BYTES_PER_DEVICE = 2
SURE_PULSES = 4
"""A network sees no difference between states of more pulses."""
RATE_INPUT_BITS, PULSES_INPUT_BITS = 12, 13
"""Fraction bits of a network's two inputs, which thus fill int16: octaves, and pulses."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DeviceStates:
    """States of n devices, arrays (n,)."""

    log2_rate_q4: npt.NDArray[np.int8]
    pulses: npt.NDArray[np.uint8]

    @classmethod
    def fresh(cls, n: int) -> DeviceStates:
        """Devices nothing is known of."""
        return cls(np.zeros(n, dtype=np.int8), np.zeros(n, dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.pulses)

    def take(self, index: Int64Array) -> DeviceStates:
        """A copy of the states of some devices."""
        return DeviceStates(self.log2_rate_q4[index], self.pulses[index])

    def inputs(self) -> tuple[Int64Array, Int64Array]:
        """What a network sees of them, in the integer units of its two inputs, (n,) each."""
        rate = self.log2_rate_q4.astype(np.int64) << (RATE_INPUT_BITS - RATE_BITS)
        return rate, np.minimum(self.pulses.astype(np.int64), SURE_PULSES) << PULSES_INPUT_BITS

    def put(self, index: Int64Array, states: DeviceStates) -> None:
        """Replace the states of some devices."""
        self.log2_rate_q4[index] = states.log2_rate_q4
        self.pulses[index] = states.pulses


@dataclass(frozen=True)
class ReferenceTimes:
    """The reference's times at `CELLS` + 1 even conductances over the window, in ticks with `TIME_BITS` more bits.

    Attributes:
        set_q4: ascending, since the window's lower end in SET.
        reset_q4: descending, since its upper end in RESET.
        smallest_move_nS: smaller changes drown in the noise of readings; a pulse that shows none tells that a device
            is at most as fast as this change would show.
    """

    g_min_nS: int
    g_max_nS: int
    smallest_move_nS: int
    set_q4: tuple[int, ...]
    reset_q4: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what 32-bit arithmetic could not hold.

        Raises:
            ValueError: a table's length or order is wrong, or two neighbours are too far apart.
        """
        for values, sign in ((self.set_q4, 1), (self.reset_q4, -1)):
            steps = sign * np.diff(values)
            if (
                len(values) != CELLS + 1
                or steps.min() < 0
                or steps.max() >= 1 << 22
                or max(values) >= 1 << 30
            ):
                raise ValueError("not a table of reference times in ticks")

    @property
    def multiplier(self) -> int:
        """Places per nS: place = ((g - g_min) * multiplier) >> 16, in 1 / 2**PLACE_BITS of a cell; below 2**31."""
        return (CELLS << (PLACE_BITS + 16)) // (self.g_max_nS - self.g_min_nS)

    def time_q4(self, g_nS: Int64Array, direction: npt.NDArray[np.int8]) -> Int64Array:
        """The reference's time at conductances within the window, for SET (+1) or RESET (-1)."""
        place = ((g_nS - self.g_min_nS) * self.multiplier) >> 16
        cell, part = place >> PLACE_BITS, place & ((1 << PLACE_BITS) - 1)
        up = np.array([self.set_q4, self.reset_q4], dtype=np.int64)
        row = np.where(direction > 0, 0, 1)
        left, right = up[row, cell], up[row, np.minimum(cell + 1, CELLS)]
        return np.asarray(left + rshift_round((right - left) * part, PLACE_BITS))

    def log2_width_q8(
        self, g_from_nS: Int64Array, g_to_nS: Int64Array, direction: npt.NDArray[np.int8]
    ) -> Int64Array:
        """log2 of the width in ticks that takes the reference from one conductance to the other; at least of 1/16."""
        low, high = (self.time_q4(self._inside(g), direction) for g in (g_from_nS, g_to_nS))
        return log2_q8(np.maximum(high - low, 1)) - (TIME_BITS << LOG2_BITS)

    def _inside(self, g_nS: Int64Array) -> Int64Array:
        return np.clip(g_nS, self.g_min_nS, self.g_max_nS)


def log2_q8(value: Int64Array) -> Int64Array:
    """log2 of 1 .. 2**31 - 1 in 1/256 octave, within 1/64 octave, without a table.

    Between powers of two log2(1 + x) is close to x + 0.347 x (1 - x).
    """
    whole = (
        np.frexp(value.astype(np.float64))[1].astype(np.int64) - 1
    )  # exact: the position of the highest bit
    above = whole - LOG2_BITS
    mantissa = np.where(above >= 0, value >> np.maximum(above, 0), value << np.maximum(-above, 0))
    x = mantissa - (1 << LOG2_BITS)
    return np.asarray((whole << LOG2_BITS) + x + rshift_round(x * ((1 << LOG2_BITS) - x) * 89, 16))


def updated(
    states: DeviceStates,
    reference: ReferenceTimes,
    g_before_nS: Int64Array,
    g_after_nS: Int64Array,
    direction: npt.NDArray[np.int8],
    ticks_given: Int64Array,
) -> DeviceStates:
    """States after one pulse each of `ticks_given` (0: none), in their directions; conductances are readings."""
    along = direction.astype(np.int64)
    moved_nS = (g_after_nS - g_before_nS) * along
    seen = g_before_nS + np.maximum(moved_nS, reference.smallest_move_nS) * along
    expected = reference.log2_width_q8(g_before_nS, seen, direction)
    rate = states.log2_rate_q4.astype(np.int64)
    surprise = expected - log2_q8(np.maximum(ticks_given, 1)) - (rate << (LOG2_BITS - RATE_BITS))
    unseen = moved_nS < reference.smallest_move_nS
    surprise = np.where(unseen, np.minimum(surprise, UNSEEN_Q8), surprise)
    judged = (along != 0) & (ticks_given > 0)
    gain = np.array(GAIN_Q8, dtype=np.int64)[np.minimum(states.pulses, len(GAIN_Q8) - 1)]
    found = np.clip(rate + rshift_round(surprise * gain, 8 + LOG2_BITS - RATE_BITS), -128, 127)
    return DeviceStates(
        np.where(judged, found, rate).astype(np.int8),
        np.minimum(states.pulses.astype(np.int64) + judged, MOST_PULSES).astype(np.uint8),
    )


def calibration_target_nS(reference: ReferenceTimes, g_nS: Int64Array) -> Int64Array:
    """Where a calibration pulse aims: across the middle of the window, to 1/12 of it before its other end.

    A pulse that ends where a device moves slowly shows its rate over several octaves, and lasts long enough to
    average over cycle-to-cycle noise.
    """
    span = reference.g_max_nS - reference.g_min_nS
    low, high = reference.g_min_nS + span // 12, reference.g_max_nS - span // 12
    return np.where(g_nS < reference.g_min_nS + span // 2, high, low)


def reference_ticks(
    reference: ReferenceTimes, states: DeviceStates, g_from_nS: Int64Array, g_to_nS: Int64Array
) -> Int64Array:
    """Width of a pulse by the reference and the state alone, as calibration pulses are given; not yet limited."""
    direction = np.sign(g_to_nS - g_from_nS).astype(np.int8)
    rate_q8 = states.log2_rate_q4.astype(np.int64) << (LOG2_BITS - RATE_BITS)
    return exp2_q16((reference.log2_width_q8(g_from_nS, g_to_nS, direction) - rate_q8) << (16 - LOG2_BITS))
