"""What the realisations of a predictor (float, reference, C) hand back, and the refusals they share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codegen.fixed import INT32_MAX, INT32_MIN, Int64Array
from codegen.voltage_choice import MOST_MODEST
from sim.closed_loop import Pulses
from sim.errors import UserError

Int8Array = npt.NDArray[np.int8]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Predictions:
    """One pulse per pair, (n,) each: direction -1, 0 or +1; ticks and voltage, 0 without a pulse; `Status` codes."""

    direction: Int8Array
    ticks: Int64Array
    v_uV: Int64Array
    status: Int32Array

    def pulses(self) -> Pulses:
        """As the programming loop takes them."""
        return Pulses(self.direction, self.ticks, self.v_uV)


def as_int32_pairs(g_start_nS: npt.ArrayLike, g_target_nS: npt.ArrayLike) -> tuple[Int64Array, Int64Array]:
    """Both as int64 arrays of one shape (n,), every value within int32.

    Raises:
        UserError: not whole numbers, or outside int32.
    """
    start, target = np.broadcast_arrays(np.atleast_1d(g_start_nS), np.atleast_1d(g_target_nS))
    for name, values in (("g_start_nS", start), ("g_target_nS", target)):
        if values.dtype.kind not in "iu":
            raise UserError(f"{name} must be whole numbers of nanosiemens, not {values.dtype}")
        if values.size and (values.min() < INT32_MIN or values.max() > INT32_MAX):
            raise UserError(f"{name} must fit a 32-bit integer")
    return start.astype(np.int64).ravel(), target.astype(np.int64).ravel()


def require_budget(budget_ticks: int | None, min_ticks: int) -> None:
    """Refuse a time budget in which no pulse fits.

    Raises:
        UserError: it is shorter than the shortest pulse.
    """
    if budget_ticks is not None and budget_ticks < min_ticks:
        raise UserError(
            f"a pulse budget of {budget_ticks} ticks is below the timer's shortest pulse, {min_ticks} ticks"
        )


def require_wish(wish_permille: int) -> None:
    """Refuse what is no share.

    Raises:
        UserError: it is outside 0 .. 1000.
    """
    if not 0 <= wish_permille <= MOST_MODEST:
        raise UserError(f"a wish of {wish_permille} permille is outside 0 .. {MOST_MODEST}; 0 is none")


def require_known_error(wish_permille: int, outputs: int, source: Path | str) -> None:
    """Refuse a wish to a network that cannot promise anything.

    Args:
        outputs: of the network.

    Raises:
        UserError: there is a wish, but no expected error among the outputs.
    """
    if wish_permille and outputs == 1:
        raise UserError(
            f"{source}: the network does not know the errors of its pulses, and so can promise no wish; "
            "`python -m train voltage` trains one that does"
        )


def require_targets_in_window(g_target_nS: Int64Array, g_min_nS: int, g_max_nS: int) -> None:
    """Refuse targets the network was not trained for.

    Raises:
        UserError: the first such target.
    """
    outside = (g_target_nS < g_min_nS) | (g_target_nS > g_max_nS)
    if outside.any():
        value = int(g_target_nS[np.argmax(outside)])
        raise UserError(f"target {value} nS is outside the trained window {g_min_nS} .. {g_max_nS} nS")
