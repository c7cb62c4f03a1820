"""Programming accuracy with confidence intervals: the records of `results.json`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from sim import jart_fit
from sim.closed_loop import ProgramTrace, Trials
from sim.units import Floats, nS_to_S

Bools = npt.NDArray[np.bool_]

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 1000


@dataclass(frozen=True)
class AccuracyRecord:
    """One-shot accuracy of one predictor in one realisation; every `*_ci95` is (low, high).

    RPD is |G_end - G_target| / G_target on true conductances (paper, equation 1).
    """

    predictor: str
    realisation: str
    noise_preset: str
    cadence_s: float
    seed: int
    trials: int
    board: str
    mean_rpd: float
    mean_rpd_ci95: tuple[float, float]
    median_rpd: float
    median_rpd_ci95: tuple[float, float]
    within_50: float
    within_50_ci95: tuple[float, float]
    within_20: float
    within_20_ci95: tuple[float, float]
    within_10: float
    within_10_ci95: tuple[float, float]
    wrong_direction: float
    wrong_direction_ci95: tuple[float, float]
    device_model: str = jart_fit.NAME
    longest_s: float | None = None
    """Longest pulse that the predictor was allowed; None: the board's."""


def relative_difference(trace: ProgramTrace) -> Floats:
    """RPD of each device at the end of a run, (n,)."""
    g_target_S = nS_to_S(trace.g_target_nS)
    return np.asarray(np.abs(trace.g_end_S - g_target_S) / g_target_S)


@dataclass(frozen=True)
class PairedDifference:
    """How far two predictors are apart on the same trials, on average, and its 95 % interval (low, high)."""

    difference: float
    ci95: tuple[float, float]


def paired_difference(found: Bools | Floats, other: Bools | Floats) -> PairedDifference:
    """Mean of `found` minus `other`, (n,) each: hits or RPDs, trial by trial of the same devices and noise.

    The interval is the normal one of the paired differences.
    """
    each = found.astype(np.float64) - other
    half = float(stats.norm.ppf(0.5 * (1 + CONFIDENCE))) * float(each.std()) / np.sqrt(len(each))
    mean = float(each.mean())
    return PairedDifference(mean, (mean - half, mean + half))


def accuracy_record(
    predictor: str,
    realisation: str,
    board: str,
    trials: Trials,
    trace: ProgramTrace,
    longest_s: float | None = None,
) -> AccuracyRecord:
    """Summarise a one-shot run.

    A direction is wrong when the pulse pushes away from the target; a trial without a pulse is not wrong.
    Fractions carry Wilson intervals, mean and median percentile bootstrap intervals (seeded, 1000 resamples).
    """
    rpd = relative_difference(trace)
    wanted = np.sign(nS_to_S(trace.g_target_nS) - trials.g_start_S)
    wrong = (trace.direction[0] != 0) & (trace.ticks[0] > 0) & (trace.direction[0] != wanted)
    mean_ci, median_ci = _bootstrap(rpd)
    fractions: dict[str, float | tuple[float, float]] = {}
    for name, hits in (
        ("within_50", rpd <= 0.5),
        ("within_20", rpd <= 0.2),
        ("within_10", rpd <= 0.1),
        ("wrong_direction", wrong),
    ):
        fractions[name], fractions[f"{name}_ci95"] = _fraction(hits)
    return AccuracyRecord(
        predictor=predictor,
        realisation=realisation,
        noise_preset=trials.noise.name,
        cadence_s=trials.noise.cadence_s,
        seed=trials.seed,
        trials=len(rpd),
        board=board,
        mean_rpd=float(rpd.mean()),
        mean_rpd_ci95=mean_ci,
        median_rpd=float(np.median(rpd)),
        median_rpd_ci95=median_ci,
        device_model=trials.model.name,
        longest_s=longest_s,
        **fractions,  # type: ignore[arg-type]
    )


def _fraction(hits: Bools) -> tuple[float, tuple[float, float]]:
    k, n = int(hits.sum()), len(hits)
    ci = stats.binomtest(k, n).proportion_ci(CONFIDENCE, method="wilson")
    return k / n, (float(ci.low), float(ci.high))


def _bootstrap(rpd: Floats) -> tuple[tuple[float, float], tuple[float, float]]:
    """Intervals of mean and median from one seeded set of resamples."""
    generator = np.random.Generator(np.random.Philox(0))
    resamples = rpd[generator.integers(0, len(rpd), size=(BOOTSTRAP_RESAMPLES, len(rpd)))]
    tails = [50.0 * (1.0 - CONFIDENCE), 50.0 * (1.0 + CONFIDENCE)]
    mean = np.percentile(resamples.mean(axis=1), tails)
    median = np.percentile(np.median(resamples, axis=1), tails)
    return (float(mean[0]), float(mean[1])), (float(median[0]), float(median[1]))
