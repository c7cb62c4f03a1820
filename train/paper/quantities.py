"""What is measured: statistics over rows of trials, named by terms "STATISTIC PREDICTOR WHERE".

A table holds one row per trial, device or curve in arrays that all have the same first axis, so that a bootstrap
over rows is indexing. Columns of a predictor are called `PREDICTOR.COLUMN`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.jart_fit import read_conductance
from sim.params import OperatingWindow
from sim.units import Floats

Array = npt.NDArray[Any]
Table = Mapping[str, Array]
Mask = npt.NDArray[np.bool_]

ONE_SHOT, PROGRAMMED, SWITCHING = "one_shot", "programmed", "switching"
BANDS = {"all": (0.0, 1.0), "lowest": (0.0, 0.1), "middle": (1 / 3, 2 / 3), "highest": (0.9, 1.0)}
SETTLED_WITHIN = 0.1  # of the conductance that a device ends at
LAST_READS = 5


def window_S() -> tuple[float, float]:
    """Ends of the operating window [S]."""
    window = OperatingWindow()
    low, high = read_conductance(np.array([window.n_low_1e26, window.n_high_1e26]))
    return float(low), float(high)


def band_S(name: str) -> tuple[float, float]:
    """Ends of a named part of the operating window [S]."""
    low, high = window_S()
    begin, end = BANDS[name]
    return low + begin * (high - low), low + end * (high - low)


def band(name: str, g_S: Array) -> Mask:
    """Rows whose conductance lies in a named part of the window, or equals a conductance such as `220uS`."""
    if name.endswith("uS"):
        return np.asarray(np.isclose(g_S, float(name.removesuffix("uS")) * 1e-6, rtol=1e-9, atol=0.0))
    if name == "all":
        return np.ones(len(g_S), dtype=np.bool_)
    low, high = band_S(name)
    return np.asarray((g_S >= low) & (g_S <= high))


def _ratio(rows: Table, predictor: str) -> Floats:
    """G_end / G_target, (n,)."""
    return np.asarray(rows[f"{predictor}.g_end_S"] / rows["g_target_S"], dtype=np.float64)


def _rpd(rows: Table, predictor: str) -> Floats:
    return np.abs(_ratio(rows, predictor) - 1.0)


def _by_target(rows: Table, values: Floats, statistic: Callable[[Floats], float]) -> float:
    """Mean over targets of a statistic of each target's rows; NaN unless some target has two rows."""
    targets, number = np.unique(rows["g_target_S"], return_inverse=True)
    groups = [values[number == k] for k in range(len(targets))]
    found = [statistic(group) for group in groups if len(group) > 1]
    return float(np.mean(found)) if found else math.nan


def _spread(values: Floats) -> float:
    return float(values.std(ddof=1))


def _offset(values: Floats) -> float:
    return float(abs(values.mean() - 1.0))


def _settled(rows: Table, predictor: str) -> float:
    reads = rows[f"{predictor}.g_read_S"]
    last = reads[:, -LAST_READS:].mean(axis=1)
    return float((np.abs(reads[:, 10] / last - 1.0) <= SETTLED_WITHIN).mean())


def _wobble(rows: Table, predictor: str) -> float:
    reads = rows[f"{predictor}.g_read_S"]
    return float((reads[:, -10:].std(axis=1, ddof=1) / rows["g_target_S"]).mean())


@dataclass(frozen=True)
class Statistic:
    """A number computed from the rows of a table that `where` selects by the column `by`."""

    table: str
    by: str
    of: Callable[[Table, str], float]


STATISTICS = {
    # One pulse on fresh devices; parts of the window are those of the start.
    "mean_rpd": Statistic(ONE_SHOT, "g_start_S", lambda rows, p: float(_rpd(rows, p).mean())),
    "median_rpd": Statistic(ONE_SHOT, "g_start_S", lambda rows, p: float(np.median(_rpd(rows, p)))),
    "within_50": Statistic(ONE_SHOT, "g_start_S", lambda rows, p: float((_rpd(rows, p) <= 0.5).mean())),
    "within_20": Statistic(ONE_SHOT, "g_start_S", lambda rows, p: float((_rpd(rows, p) <= 0.2).mean())),
    "within_10": Statistic(ONE_SHOT, "g_start_S", lambda rows, p: float((_rpd(rows, p) <= 0.1).mean())),
    "wrong_direction": Statistic(ONE_SHOT, "g_start_S", lambda rows, p: float(rows[f"{p}.wrong"].mean())),
    # Twenty iterations; parts of the window are those of the target.
    "final_rpd": Statistic(PROGRAMMED, "g_target_S", lambda rows, p: float(_rpd(rows, p).mean())),
    "final_within_10": Statistic(
        PROGRAMMED, "g_target_S", lambda rows, p: float((_rpd(rows, p) <= 0.1).mean())
    ),
    "final_spread": Statistic(
        PROGRAMMED, "g_target_S", lambda rows, p: _by_target(rows, _ratio(rows, p), _spread)
    ),
    "final_offset": Statistic(
        PROGRAMMED, "g_target_S", lambda rows, p: _by_target(rows, _ratio(rows, p), _offset)
    ),
    "settled_after_10": Statistic(PROGRAMMED, "g_target_S", _settled),
    "wobble": Statistic(PROGRAMMED, "g_target_S", _wobble),
    # Switching curves of devices.
    "s_shaped": Statistic(SWITCHING, "g_start_S", lambda rows, p: float(rows[f"{p}.s_shaped"].mean())),
}


@dataclass(frozen=True)
class Term:
    """One statistic of one predictor somewhere in the window; NaN where the rows do not define it."""

    statistic: str
    predictor: str
    where: str

    @property
    def table(self) -> str:
        return STATISTICS[self.statistic].table

    def value(self, rows: Table) -> float:
        """The statistic of the rows that the term selects."""
        statistic = STATISTICS[self.statistic]
        chosen = np.flatnonzero(band(self.where, rows[statistic.by]))
        if chosen.size == 0:
            return math.nan
        return statistic.of({name: column[chosen] for name, column in rows.items()}, self.predictor)


@dataclass(frozen=True)
class Quantity:
    """A term, or the difference of two terms over the same table."""

    text: str
    term: Term
    minus: Term | None

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Read "STATISTIC PREDICTOR WHERE", or two of them with " - " between.

        Raises:
            ValueError: it says something else.
        """
        terms = [Term(*part.split()) for part in text.split(" - ")]
        if len(terms) > 2 or len({term.table for term in terms}) > 1:
            raise ValueError(f"'{text}' is not one term, or two over one table")
        return cls(text, terms[0], terms[1] if len(terms) == 2 else None)

    @property
    def table(self) -> str:
        return self.term.table

    def columns(self, rows: Table) -> Table:
        """The columns that the quantity depends on."""
        predictors = {term.predictor for term in (self.term, self.minus) if term}
        return {
            name: column
            for name, column in rows.items()
            if "." not in name or name.split(".")[0] in predictors
        }

    def value(self, rows: Table) -> float:
        """The number measured over `rows`."""
        return self.term.value(rows) - (self.minus.value(rows) if self.minus else 0.0)
