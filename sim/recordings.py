"""A lab's own measurements: runs of pulses at one voltage, with a reading of the conductance after each.

One run is a device that was brought to some conductance and is then pulsed again and again in one direction: its
response to a pulse of any length from there. What it does later on is no response from the conductances it passes: a
device that is on its way is a fast one just then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim.errors import UserError
from sim.tables import read_csv, write_csv
from sim.units import Floats, Ints

COLUMNS = ("run", "v_V", "t_s", "g_S")
DEVICE_MODEL = "recorded"
"""What stands where results name a device model."""
HELD_OUT = 5
"""Of each direction every fifth run is kept from training, to judge on."""
_FEWEST_RUNS = 2 * HELD_OUT
_OUTLYING = 0.02  # share of the starts that may lie beyond each end of the window
_REACHING = 0.75  # share of the runs that reach its end
_PARTS, _FEWEST_STARTS = 5, 3
"""Into so many parts the window is cut, each of which needs so many starts of each direction."""


@dataclass(frozen=True)
class Recordings:
    """n runs, one after the other, with m readings in all.

    Attributes:
        name: where they come from: the file's name and the start of its SHA-256.
        v_set_V, v_reset_V: the device voltages of all pulses [V].
        first: (n + 1,) the first reading of each run, and m.
        direction: (n,) int8, +1 SET, -1 RESET.
        t_s: (m,) time under pulses since the run's start, 0 at its first reading [s].
        g_S: (m,) the readings [S].
        window_S: the conductances that starts and targets lie between [S].
    """

    name: str
    v_set_V: float
    v_reset_V: float
    first: Ints
    direction: npt.NDArray[np.int8]
    t_s: Floats
    g_S: Floats
    window_S: tuple[float, float]

    def __len__(self) -> int:
        return len(self.direction)

    def run(self, number: int) -> tuple[Floats, Floats]:
        """Times [s] and readings [S] of one run, (k,) each."""
        part = slice(self.first[number], self.first[number + 1])
        return self.t_s[part], self.g_S[part]

    def training(self) -> Recordings:
        """The runs to learn from: of each direction all but every fifth."""
        return self.chosen(~self._is_held_out())

    def held_out(self) -> Recordings:
        """The other runs, to judge on."""
        return self.chosen(self._is_held_out())

    @property
    def g_start_S(self) -> Floats:
        """(n,) first reading of each run [S]."""
        return self.g_S[self.first[:-1]]

    def response_S(self, number: int, after_s: npt.ArrayLike) -> Floats:
        """Conductances of a run after pulses of given widths, linear between readings, the last one beyond them [S]."""
        return np.interp(np.asarray(after_s, dtype=np.float64), *self.run(number))

    def _is_held_out(self) -> npt.NDArray[np.bool_]:
        chosen = np.zeros(len(self), dtype=bool)
        for direction in (1, -1):
            chosen[np.flatnonzero(self.direction == direction)[HELD_OUT - 1 :: HELD_OUT]] = True
        return chosen

    def chosen(self, chosen: npt.NDArray[np.bool_]) -> Recordings:
        """Some of the runs, with the same window."""
        runs = [self.run(i) for i in np.flatnonzero(chosen).tolist()]
        return replace(
            self,
            first=np.concatenate([[0], np.cumsum([len(t) for t, _ in runs])]),
            direction=self.direction[chosen],
            t_s=np.concatenate([t for t, _ in runs]),
            g_S=np.concatenate([g for _, g in runs]),
        )


def read_recordings(path: Path, window_S: tuple[float, float] | None = None) -> Recordings:
    """Read a CSV file with the columns `run,v_V,t_s,g_S`, a line for each reading.

    The lines of a run follow each other: the first one before any pulse, with t_s = 0, then one after each pulse, with
    the time under pulses until then. `run` is a whole number, `v_V` the voltage of the run's pulses; SET is negative.

    Args:
        window_S: unless given, where nearly all starts lie and three of four runs get to the end.

    Raises:
        UserError: what is wrong with the file, and in which run; or starts in the window are few and far between.
    """
    columns = read_csv(path, COLUMNS)
    run, v_V, t_s, g_S = (columns[name] for name in COLUMNS)
    if not len(run):
        raise UserError(f"{path}: no readings below the header")
    first = np.concatenate([[0], np.flatnonzero(np.diff(run)) + 1, [len(run)]])
    numbers = run[first[:-1]]
    if len(np.unique(numbers)) < len(numbers):
        twice = next(n for n in numbers.tolist() if (numbers == n).sum() > 1)
        raise UserError(f"{path}: the lines of run {twice:g} do not follow each other")
    for number, begin, end in zip(numbers.tolist(), first[:-1].tolist(), first[1:].tolist(), strict=True):
        if problem := _problem(v_V[begin:end], t_s[begin:end], g_S[begin:end]):
            raise UserError(f"{path}, run {number:g}: {problem}")
    direction = np.where(v_V[first[:-1]] < 0, 1, -1).astype(np.int8)
    voltages = []
    for name, sign in (("SET (negative v_V)", 1), ("RESET (positive v_V)", -1)):
        count = int((direction == sign).sum())
        if count < _FEWEST_RUNS:
            raise UserError(f"{path}: {count} runs of {name}; record at least {_FEWEST_RUNS}, better 100")
        different = np.unique(v_V[first[:-1]][direction == sign])
        if len(different) > 1:
            raise UserError(
                f"{path}: runs of {name} at {different[0]:g} and {different[1]:g} V; a network has one voltage for each"
            )
        voltages.append(float(different[0]))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"{path.name} {digest[:12]}"
    found = Recordings(name, voltages[0], voltages[1], first, direction, t_s, g_S, window_S or (0.0, 0.0))
    low_S, high_S = window_S or _common_range_S(found)
    if not 0.0 < low_S < high_S:
        raise UserError(
            f"{path}: window {low_S:.3g},{high_S:.3g} S: the lower end must be above 0 and below the upper one"
            + ("" if window_S else "; SET and RESET runs have no range in common: record longer ones")
        )
    edges = np.linspace(low_S, high_S, _PARTS + 1)
    for side, sign in (("SET", 1), ("RESET", -1)):
        counts, _ = np.histogram(found.g_start_S[direction == sign], edges)
        for part in np.flatnonzero(counts < _FEWEST_STARTS):
            raise UserError(
                f"{path}: {counts[part]} {side} runs start between {edges[part]:.3g} and {edges[part + 1]:.3g} S; a"
                f" fifth of the window needs {_FEWEST_STARTS}, better 20: record more, or give a smaller --window"
            )
    return replace(found, window_S=(low_S, high_S))


def _common_range_S(recordings: Recordings) -> tuple[float, float]:
    """Where nearly all starts of both directions lie, and most runs get to the end."""
    lows, highs = [], []
    for sign in (1, -1):
        runs = np.flatnonzero(recordings.direction == sign).tolist()
        starts = recordings.g_start_S[runs]
        reached = [(recordings.run(i)[1] * sign).max() * sign for i in runs]
        lows.append(np.quantile(starts, _OUTLYING))
        highs.append(np.quantile(starts, 1.0 - _OUTLYING))
        (highs if sign > 0 else lows).append(np.quantile(reached, 0.5 - sign * (_REACHING - 0.5)))
    return float(max(lows)), float(min(highs))


def _problem(v_V: Floats, t_s: Floats, g_S: Floats) -> str | None:
    if len(t_s) < 2:
        return "a single reading; a run has one before its pulses and one after each"
    if t_s[0] != 0.0:
        return f"starts at t_s = {t_s[0]:g}; the first reading is that before any pulse, at 0"
    if np.diff(t_s).min() <= 0.0:
        return f"t_s = {t_s[1:][np.diff(t_s) <= 0][0]:g} is not later than the reading before it"
    if g_S.min() <= 0.0:
        return f"g_S = {g_S.min():g}; conductances are positive, in S"
    if v_V[0] == 0.0 or np.any(v_V != v_V[0]):
        return "its pulses must have one voltage, other than 0, on every line"
    return None


def write_recordings(path: Path, v_V: Sequence[float], t_s: Sequence[Floats], g_S: Sequence[Floats]) -> None:
    """Write runs, numbered from 0, as `read_recordings` takes them: their voltages, times and readings."""
    lengths = [len(t) for t in t_s]
    write_csv(
        path,
        {
            "run": np.repeat(np.arange(len(lengths)), lengths),
            "v_V": np.repeat(np.asarray(v_V, dtype=np.float64), lengths),
            "t_s": np.concatenate(list(t_s)),
            "g_S": np.concatenate(list(g_S)),
        },
    )
