"""Write-and-verify methods to compare with: what laboratories and chips do today, and our predictors.

All share one loop (`train.programming`): read, stop within the tolerance, else one pulse. A method says which; the
board's DAC and timer round it. Every method but ours has settings, chosen on devices of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Protocol

import numpy as np

from codegen.device_state import DeviceStates, ReferenceTimes, updated
from sim.bench import BenchParams
from sim.closed_loop import Directions, Pulses
from sim.units import Floats, Ints, nS_to_S
from train.baselines import NoiseFreeInverse
from train.device_aware import StatePredictor


class Method(Protocol):
    """One way to choose the next pulse of each of n cells; made anew for every run."""

    def pulses(self, index: Ints, g_nS: Ints, g_target_nS: Ints) -> Pulses:
        """The next pulse of the cells at `index`, (m,), whose last readings and targets are given."""
        ...

    def observe(self, index: Ints, before_nS: Ints, after_nS: Ints, given: Pulses) -> None:
        """Learn from what the pulses did."""
        ...


def towards(g_nS: Ints, g_target_nS: Ints) -> Directions:
    """+1 SET, -1 RESET."""
    return np.where(g_target_nS > g_nS, 1, -1).astype(np.int8)


def full_uV(board: BenchParams, direction: Directions) -> Ints:
    """The board's pulse voltage of each direction."""
    return np.where(direction > 0, board.v_set_uV, board.v_reset_uV)


@dataclass
class FixedPulses:
    """The same pulse again and again, in the direction of the target."""

    board: BenchParams
    width_ticks: int

    def pulses(self, index: Ints, g_nS: Ints, g_target_nS: Ints) -> Pulses:
        direction = towards(g_nS, g_target_nS)
        ticks = np.full(len(index), self.width_ticks)
        return Pulses(direction, ticks, full_uV(self.board, direction))

    def observe(self, index: Ints, before_nS: Ints, after_nS: Ints, given: Pulses) -> None:
        pass


LEVELS = 11
"""Amplitudes of incremental pulses, evenly from 0.7 to 1.3 of the board's voltages."""


@dataclass
class IncrementalPulses:
    """Pulses of one width and rising amplitude (ISPP); a change of direction starts again from the lowest.

    With `falls_back` set the amplitude steps depend on the range instead, after RADAR (Le et al. 2021,
    10.1109/TED.2021.3097975): `coarse` levels at a time while further than 20 % from the target, one when nearer, and
    a change of direction falls back by so many levels rather than to the start.
    """

    board: BenchParams
    n: int
    width_ticks: int
    coarse: int = 1
    falls_back: int | None = None
    level: Ints = field(init=False)
    last: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.level = np.full(self.n, -1, dtype=np.int64)
        self.last = np.zeros(self.n, dtype=np.int64)

    def pulses(self, index: Ints, g_nS: Ints, g_target_nS: Ints) -> Pulses:
        direction = towards(g_nS, g_target_nS)
        far = np.abs(g_target_nS - g_nS) > 0.2 * g_target_nS
        risen = self.level[index] + np.where(far, self.coarse, 1)
        turned = (self.last[index] != 0) & (self.last[index] != direction)
        begun = 0 if self.falls_back is None else np.maximum(self.level[index] - self.falls_back, 0)
        level = np.clip(np.where(turned, begun, risen), 0, LEVELS - 1)
        self.level[index], self.last[index] = level, direction
        share = 0.7 + 0.6 * level / (LEVELS - 1)
        v_uV = np.rint(full_uV(self.board, direction) * share).astype(np.int64)
        return Pulses(direction, np.full(len(index), self.width_ticks), v_uV)

    def observe(self, index: Ints, before_nS: Ints, after_nS: Ints, given: Pulses) -> None:
        pass


@dataclass
class PulseWidthPI:
    """A PI controller of the pulse width, as OpenMENA ships (arXiv 2511.03747): width = Kp |e| + Ki |sum of e|.

    e is the relative distance to the target; the sum starts again when the target is passed.
    """

    board: BenchParams
    n: int
    proportional_ticks: float
    integral_ticks: float
    total: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.total = np.zeros(self.n)

    def pulses(self, index: Ints, g_nS: Ints, g_target_nS: Ints) -> Pulses:
        error = (g_target_nS - g_nS) / g_target_nS
        total = self.total[index]
        total = np.where(total * error < 0.0, 0.0, total) + error
        self.total[index] = total
        width = np.abs(self.proportional_ticks * error + self.integral_ticks * total)
        ticks = np.clip(np.rint(width), self.board.min_ticks, self.board.max_ticks).astype(np.int64)
        direction = towards(g_nS, g_target_nS)
        return Pulses(direction, ticks, full_uV(self.board, direction))

    def observe(self, index: Ints, before_nS: Ints, after_nS: Ints, given: Pulses) -> None:
        pass


@dataclass
class ModelWithGain:
    """The noise-free model's width times a gain that follows each device (after Schroedter et al. 2026).

    The gain of a device moves by `share` of the logarithm of what the model would have needed for the change seen over
    what was given; separate gains for SET and RESET.
    """

    board: BenchParams
    n: int
    inverse: NoiseFreeInverse
    share: float
    log_gain: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.log_gain = np.zeros((2, self.n))

    def _model_ticks(self, g_nS: Ints, g_to_nS: Ints) -> Floats:
        return np.abs(self.inverse.pulse_s(nS_to_S(g_nS), nS_to_S(g_to_nS))) * self.board.timer_Hz

    def pulses(self, index: Ints, g_nS: Ints, g_target_nS: Ints) -> Pulses:
        direction = towards(g_nS, g_target_nS)
        gain = np.exp(self.log_gain[np.where(direction > 0, 0, 1), index])
        width = np.rint(self._model_ticks(g_nS, g_target_nS) * gain)
        ticks = np.clip(width, self.board.min_ticks, self.board.max_ticks).astype(np.int64)
        return Pulses(direction, ticks, full_uV(self.board, direction))

    def observe(self, index: Ints, before_nS: Ints, after_nS: Ints, given: Pulses) -> None:
        direction = given.direction.astype(np.int64)
        moved = np.maximum(
            (after_nS - before_nS) * direction, 500
        )  # no move, or a backward one: slower than seen
        seconds = self._model_ticks(before_nS, before_nS + direction * moved)
        surprise = np.log(np.maximum(given.ticks, 1) / np.maximum(seconds, 1e-3))
        row = np.where(direction > 0, 0, 1)
        change = np.clip(surprise - self.log_gain[row, index], -3.0, 3.0)
        self.log_gain[row, index] += self.share * change


@dataclass
class Predictor:
    """Ours: the network's pulse; with a reference it learns each device's rate, without one it knows nothing."""

    network: StatePredictor
    states: DeviceStates
    reference: ReferenceTimes | None = None

    def pulses(self, index: Ints, g_nS: Ints, g_target_nS: Ints) -> Pulses:
        return self.network.predict(g_nS, g_target_nS, self.states.take(index))

    def observe(self, index: Ints, before_nS: Ints, after_nS: Ints, given: Pulses) -> None:
        if self.reference is not None:
            known = self.states.take(index)
            self.states.put(
                index,
                updated(known, self.reference, before_nS, after_nS, given.direction, given.ticks),
            )


@dataclass(frozen=True)
class Candidate:
    """A method with some settings: how it is called, what the settings are, how it is made for n cells."""

    method: str
    settings: str
    make: Callable[[int], Method]


def baselines(board: BenchParams, inverse: NoiseFreeInverse) -> Iterable[Candidate]:
    """Every baseline with every setting to choose from."""
    per_us = 1e-6 * board.timer_Hz

    def ticks(microseconds: float) -> int:
        return max(board.min_ticks, round(microseconds * per_us))

    for us in (0.3, 1.0, 3.0, 10.0, 30.0):
        yield Candidate("fixed pulses", f"{us:g} us", partial(_fixed, board, ticks(us)))
    for us in (0.1, 0.3, 1.0, 3.0):
        yield Candidate("ISPP", f"{us:g} us", partial(_incremental, board, ticks(us), 1, None))
    for us, back in product((0.1, 0.3, 1.0), (1, 2, 4)):
        settings = f"{us:g} us, 2 levels when far, back by {back}"
        yield Candidate("RADAR-like", settings, partial(_incremental, board, ticks(us), 2, back))
    for proportional, integral in product((3.0, 10.0), (1.0, 3.0, 10.0, 30.0)):
        settings = f"Kp {proportional:g} us, Ki {integral:g} us"
        yield Candidate(
            "PI on pulse width", settings, partial(_pi, board, proportional * per_us, integral * per_us)
        )
    for share in (0.25, 0.5, 1.0):
        yield Candidate("model, adaptive gain", f"share {share:g}", partial(_gain, board, inverse, share))


def _fixed(board: BenchParams, width_ticks: int, n: int) -> Method:
    return FixedPulses(board, width_ticks)


def _incremental(board: BenchParams, width_ticks: int, coarse: int, falls_back: int | None, n: int) -> Method:
    return IncrementalPulses(board, n, width_ticks, coarse, falls_back)


def _pi(board: BenchParams, proportional_ticks: float, integral_ticks: float, n: int) -> Method:
    return PulseWidthPI(board, n, proportional_ticks, integral_ticks)


def _gain(board: BenchParams, inverse: NoiseFreeInverse, share: float, n: int) -> Method:
    return ModelWithGain(board, n, inverse, share)
