"""Which of a board's pulse voltages to use, as `ouro_predictor.c` finds it.

A lower voltage makes a longer pulse, over which the device's noise averages out. Without a wish it is the lowest whose
pulse fits the budget; with a wish the highest whose pulse can be expected to keep it. Both searches are bisections over
the DAC's steps; wherever widths do not grow or errors not fall with every step, they still end at one that fits, and
that keeps the wish.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codegen.fixed import Int64Array
from codegen.qmodel import Voltages

Numbers = npt.NDArray[np.float64] | Int64Array
Bools = npt.NDArray[np.bool_]

PPM = 1_000_000
"""Expected errors count in millionths of the target, wishes in thousandths."""
UNKNOWN_PPM = 2**32 - 1
"""The error to expect where the network does not know it: no wish is that modest."""
MOST_MODEST = 1000
"""The largest wish, in permille."""


@dataclass(frozen=True)
class Wanted:
    """What a pulse has to keep to, in the unit of its width: at least `shortest`, at most `budget`; the wish in ppm.

    A wish of 0 is none.
    """

    shortest: int
    budget: int
    wish_ppm: int = 0


@dataclass(frozen=True)
class Choice:
    """For each pulse the chosen step, 0 .. steps, its width there and whether it keeps the wish, (n,) each."""

    step: Int64Array
    width: Numbers
    promised: Bools


def calmest(
    width_at: Callable[[Int64Array], Numbers], steps: Int64Array, budget: int
) -> tuple[Int64Array, Numbers]:
    """The chosen step of each pulse, 0 .. steps, and its width there, (n,) each.

    Args:
        width_at: widths at one step per pulse, (n,) -> (n,), in the unit of `budget`.
        steps: how far each pulse may go, (n,).
        budget: longest width; where not even step 0 fits, that is the one chosen.
    """
    fits = np.zeros_like(steps)
    beyond = steps + 1
    width = width_at(fits)
    while (searching := beyond - fits > 1).any():
        middle = np.where(searching, (fits + beyond) // 2, fits)
        found = width_at(middle)
        good = searching & (found <= budget)
        fits = np.where(good, middle, fits)
        width = np.where(good, found, width)
        beyond = np.where(searching & ~good, middle, beyond)
    return fits, width


def choose(
    pulse_at: Callable[[Int64Array], tuple[Numbers, Numbers]], steps: Int64Array, wanted: Wanted
) -> Choice:
    """The calmest pulse within the budget; with a wish that it keeps, the shortest that keeps it too.

    Args:
        pulse_at: widths and expected errors [ppm] at one step per pulse, (n,) -> (n,), (n,).
        steps: how far each pulse may go, (n,).
    """
    calm, width = calmest(lambda step: pulse_at(step)[0], steps, wanted.budget)
    if not wanted.wish_ppm:
        return Choice(calm, width, np.ones(len(steps), dtype=np.bool_))

    def keeps(width: Numbers, error: Numbers) -> Bools:
        long_enough = (width >= wanted.shortest) & (width <= wanted.budget)
        return np.asarray(long_enough & (error <= wanted.wish_ppm))

    promised = keeps(*pulse_at(calm))
    below, step = np.zeros_like(calm), calm
    while (searching := promised & (below < step)).any():
        middle = np.where(searching, (below + step) // 2, step)
        found, error = pulse_at(middle)
        good = searching & keeps(found, error)
        step, width = np.where(good, middle, step), np.where(good, found, width)
        below = np.where(searching & ~good, middle + 1, below)
    return Choice(step, width, promised)


def reduction_uV(voltages: Voltages, direction: npt.ArrayLike, step: Int64Array) -> Int64Array:
    """What the network sees of a pulse's voltage: how far it lies below the full one of the training [uV], (n,)."""
    is_set = np.asarray(direction) > 0
    return np.where(
        is_set,
        voltages.v_set_off_uV + step * voltages.set_step_uV,
        voltages.v_reset_off_uV + step * voltages.reset_step_uV,
    )


def voltage_uV(voltages: Voltages, direction: npt.ArrayLike, step: npt.ArrayLike) -> Int64Array:
    """Signed voltage of each pulse, 0 for direction 0 [uV]."""
    d = np.asarray(direction, dtype=np.int64)
    k = np.asarray(step, dtype=np.int64)
    set_uV = voltages.v_set_uV + k * voltages.set_step_uV
    reset_uV = voltages.v_reset_uV - k * voltages.reset_step_uV
    return np.where(d > 0, set_uV, np.where(d < 0, reset_uV, 0))


def steps_of(voltages: Voltages, direction: npt.ArrayLike) -> Int64Array:
    """How many steps each pulse's voltage may be lowered by, (n,)."""
    return np.where(np.asarray(direction) > 0, voltages.set_steps, voltages.reset_steps).astype(np.int64)
