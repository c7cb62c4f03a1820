"""Which of a board's pulse voltages to use: the lowest whose pulse fits the budget, as `ouro_predictor.c` finds it.

A lower voltage makes a longer pulse, over which the device's noise averages out. The search is a bisection over the
DAC's steps; wherever widths do not grow with every step it still ends at one that fits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from codegen.fixed import Int64Array
from codegen.qmodel import Voltages

Numbers = npt.NDArray[np.float64] | Int64Array


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
