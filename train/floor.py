"""The floor: the best that any predictor can do which sees only start and target, at one pair of pulse voltages.

For a pair of conductances one fixed pulse time has the smallest expected RPD over the devices' noise. A Monte Carlo
of recorded responses finds it. Choosing and judging a time on the same devices would flatter it, so the devices are
split into folds: each fold is judged with the time that is best on the others (cross-fitting). On average that is
no better than the true floor, and `optimistic_rpd`, judged on the devices it was chosen on, no worse: both together
enclose it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from sim.accuracy import CONFIDENCE, AccuracyRecord
from sim.errors import UserError
from sim.population import DT_S
from sim.units import Floats, Ints
from train.responses import DIRECTIONS, ResponseParams, Responses

PREDICTOR, REALISATION = "floor", "oracle"
FOLDS = 16
TOLERANCES = {"within_50": 0.5, "within_20": 0.2, "within_10": 0.1}
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)

Errors = npt.NDArray[np.float32]


def _share_within(limit: float) -> Callable[[Errors], float]:
    return lambda rpd: float((rpd <= limit).mean())


STATISTICS: dict[str, Callable[[Errors], float]] = {
    "mean_rpd": lambda rpd: float(rpd.mean(dtype=np.float64)),
    "median_rpd": lambda rpd: float(np.median(rpd)),
    **{name: _share_within(limit) for name, limit in TOLERANCES.items()},
}


@dataclass(frozen=True)
class Floor:
    """The floor of p pairs.

    Attributes:
        g_start_S, g_target_S: (p,) the pairs [S].
        best_time_s: (p,) signed, + SET; 0 where no pulse is best [s].
        rpd: (p, devices) float32, each device's RPD with the time chosen on the other folds.
        optimistic_rpd: (p,) smallest mean RPD on all devices.
        optimistic_within_50: (p,) largest share within 50 % on all devices, at a time of its own.
        at_longest: share of pairs whose best time is the longest recorded: the record should go on there.
    """

    params: ResponseParams
    g_start_S: Floats
    g_target_S: Floats
    best_time_s: Floats
    rpd: Errors
    optimistic_rpd: Floats
    optimistic_within_50: Floats
    at_longest: float

    def record(self) -> AccuracyRecord:
        """The floor as a record beside those of the predictors; intervals from the spread between folds."""
        values: dict[str, float | tuple[float, float]] = {}
        for name, (value, interval) in statistics_of(self.rpd).items():
            values[name], values[f"{name}_ci95"] = value, interval
        return AccuracyRecord(
            predictor=PREDICTOR,
            realisation=REALISATION,
            noise_preset=self.params.noise.name,
            cadence_s=self.params.noise.cadence_s,
            seed=self.params.seed,
            trials=self.rpd.size,
            board="none",
            device_model=self.params.device_model,
            wrong_direction=0.0,
            wrong_direction_ci95=(0.0, 0.0),
            **values,  # type: ignore[arg-type]
        )

    def pairs(self) -> dict[str, Floats]:
        """The table by columns, (p,) each: the pair, its best time, and the errors there."""
        devices = self.rpd.shape[1]
        return {
            "g_start_S": self.g_start_S,
            "g_target_S": self.g_target_S,
            "best_time_s": self.best_time_s,
            "rpd": self.rpd.mean(axis=1, dtype=np.float64),
            "rpd_standard_error": self.rpd.std(axis=1, ddof=1, dtype=np.float64) / devices**0.5,
            "optimistic_rpd": self.optimistic_rpd,
            **{name: (self.rpd <= limit).mean(axis=1) for name, limit in TOLERANCES.items()},
        }

    def means(self) -> dict[str, Any]:
        """Conditions and means, as JSON values; `records` is what `train report` reads."""
        record = asdict(self.record())
        return {
            "device_model": self.params.device_model,
            "noise_preset": record["noise_preset"],
            "cadence_s": record["cadence_s"],
            "v_set_V": self.params.v_set_V,
            "v_reset_V": self.params.v_reset_V,
            "longest_pulse_s": self.params.longest_pulse_s,
            "best_time_is_longest": self.at_longest,
            "seed": self.params.seed,
            "devices": self.params.devices,
            **{key: record[key] for name in STATISTICS for key in (name, f"{name}_ci95")},
            "optimistic_mean_rpd": float(self.optimistic_rpd.mean()),
            "optimistic_within_50": float(self.optimistic_within_50.mean()),
            "records": [record],
        }

    def as_json(self) -> dict[str, Any]:
        """The means, and every pair of the table."""
        columns = self.pairs()
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        return {**self.means(), "pairs": [dict(zip(columns, row, strict=True)) for row in rows]}


def statistics_of(rpd: Errors) -> dict[str, tuple[float, tuple[float, float]]]:
    """Every statistic of errors (pairs, devices), and its 95 % interval from the spread between the folds."""
    folds = fold_of(rpd.shape[1])
    groups = [rpd[:, folds == fold] for fold in range(int(folds.max()) + 1)]
    wide = stats.t.ppf(0.5 + CONFIDENCE / 2, len(groups) - 1) / len(groups) ** 0.5
    found = {}
    for name, statistic in STATISTICS.items():
        value = float(statistic(rpd))
        margin = float(wide * np.std([statistic(group) for group in groups], ddof=1))
        highest = 1.0 if name in TOLERANCES else np.inf
        found[name] = (value, (max(0.0, value - margin), min(highest, value + margin)))
    return found


def floor_of(responses: Responses, targets: int) -> Floor:
    """The floor of every recorded start with `targets` targets each.

    Raises:
        UserError: fewer than two targets.
    """
    if targets < 2:
        raise UserError(f"targets per start = {targets}: give at least 2")
    p, folds = responses.params, fold_of(responses.params.devices)
    width_s = np.concatenate([[0.0], responses.step * DT_S])
    start, target, best, rpd, optimistic, most, longest = [], [], [], [], [], [], []
    for g_start_S, g_target_S, direction, errors in pair_errors(responses, targets):
        mean = errors.mean(axis=1, dtype=np.float64)
        chosen = mean.argmin(axis=1)
        start.append(np.full(len(g_target_S), g_start_S))
        target.append(g_target_S)
        best.append(direction * width_s[chosen])
        optimistic.append(mean.min(axis=1))
        most.append((errors <= TOLERANCES["within_50"]).mean(axis=1).max(axis=1))
        longest.append(chosen == len(width_s) - 1)
        rpd.append(cross_fitted(errors, folds))
    return Floor(
        params=p,
        g_start_S=np.concatenate(start),
        g_target_S=np.concatenate(target),
        best_time_s=np.concatenate(best),
        rpd=np.concatenate(rpd),
        optimistic_rpd=np.concatenate(optimistic),
        optimistic_within_50=np.concatenate(most),
        at_longest=float(np.concatenate(longest).mean()),
    )


def pair_errors(responses: Responses, targets: int) -> Iterator[tuple[float, Floats, int, Errors]]:
    """Every start with its targets above it, then with those below: start [S], targets (t,) [S], direction, and
    RPD (t, devices, 1 + k) without a pulse and after each recorded width."""
    for number, g_start_S in enumerate(responses.g_start_S):
        g_target_S = targets_of(responses.params, number, targets)
        for row, direction in enumerate(DIRECTIONS):
            wanted = g_target_S[(g_target_S - g_start_S) * direction > 0]
            if wanted.size:
                g_S = responses.g_S[row, number]
                untouched = np.full((len(g_S), 1), g_start_S, dtype=np.float32)
                g = np.concatenate([untouched, g_S], axis=1)
                goal = wanted.astype(np.float32)[:, None, None]
                yield float(g_start_S), wanted, direction, np.abs(g - goal) / goal


def targets_of(params: ResponseParams, number: int, targets: int) -> Floats:
    """Targets of start number `number` [S], evenly spread over the window, ascending.

    Each start has them shifted by another fraction of their distance, so that all starts together sample the plane
    evenly: the mean over all pairs is that over uniform random trials.
    """
    low, high = params.window_S()
    shift = ((number + 1) * _GOLDEN) % 1.0
    return np.asarray(low + (high - low) * (np.arange(targets) + shift) / targets)


def fold_of(devices: int) -> Ints:
    """Fold of each device, (devices,)."""
    return np.arange(devices) % min(FOLDS, devices)


def cross_fitted(errors: Errors, folds: Ints) -> Errors:
    """Each device's error with the time that is best on the other folds, (t, devices)."""
    total = errors.sum(axis=1, dtype=np.float64)
    found = np.empty(errors.shape[:2], dtype=np.float32)
    for fold in range(int(folds.max()) + 1):
        part = errors[:, folds == fold]
        # The number of devices left does not matter for which time is best.
        chosen = (total - part.sum(axis=1, dtype=np.float64)).argmin(axis=1)
        found[:, folds == fold] = part[np.arange(len(part)), :, chosen]
    return found
