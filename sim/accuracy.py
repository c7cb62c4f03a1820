"""Programming accuracy with confidence intervals: the records of `results.json`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim import jart_fit
from sim.closed_loop import ProgramTrace, TrialSet
from sim.units import Floats, Ints, nS_to_S

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
    cadence_s: float | None
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
    wish_permille: int = 0
    """RPD that it was to expect of its pulses at most; 0: none."""


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
    from scipy import stats  # slow to import, and most commands judge nothing

    each = found.astype(np.float64) - other
    half = float(stats.norm.ppf(0.5 * (1 + CONFIDENCE))) * float(each.std()) / np.sqrt(len(each))
    mean = float(each.mean())
    return PairedDifference(mean, (mean - half, mean + half))


def accuracy_record(
    predictor: str,
    realisation: str,
    board: str,
    trials: TrialSet,
    trace: ProgramTrace,
    longest_s: float | None = None,
    wish_permille: int = 0,
) -> AccuracyRecord:
    """Summarise a one-shot run.

    A direction is wrong when the pulse pushes away from the target; a trial without a pulse is not wrong.
    Fractions carry Wilson intervals, mean and median percentile bootstrap intervals (seeded, 1000 resamples). Where
    trials share a device, all of them are bootstrap intervals over the devices.
    """
    rpd = relative_difference(trace)
    wanted = np.sign(nS_to_S(trace.g_target_nS) - trials.g_start_S)
    wrong = (trace.direction[0] != 0) & (trace.ticks[0] > 0) & (trace.direction[0] != wanted)
    shares = {
        "within_50": rpd <= 0.5,
        "within_20": rpd <= 0.2,
        "within_10": rpd <= 0.1,
        "wrong_direction": wrong,
    }
    intervals = _independent(rpd, shares) if trials.group is None else _grouped(rpd, trials.group, shares)
    fractions: dict[str, float | tuple[float, float]] = {}
    for name, hits in shares.items():
        fractions[name], fractions[f"{name}_ci95"] = int(hits.sum()) / len(hits), intervals[name]
    return AccuracyRecord(
        predictor=predictor,
        realisation=realisation,
        noise_preset=trials.noise_preset,
        cadence_s=trials.cadence_s,
        seed=trials.seed,
        trials=len(rpd),
        board=board,
        mean_rpd=float(rpd.mean()),
        mean_rpd_ci95=intervals["mean"],
        median_rpd=float(np.median(rpd)),
        median_rpd_ci95=intervals["median"],
        device_model=trials.device_model,
        longest_s=longest_s,
        wish_permille=wish_permille,
        **fractions,  # type: ignore[arg-type]
    )


def _independent(rpd: Floats, fractions: dict[str, Bools]) -> dict[str, tuple[float, float]]:
    """Intervals of all figures: of mean and median from one seeded set of resamples, of fractions Wilson's."""
    generator = np.random.Generator(np.random.Philox(0))
    resamples = rpd[generator.integers(0, len(rpd), size=(BOOTSTRAP_RESAMPLES, len(rpd)))]
    found = {"mean": _interval(resamples.mean(axis=1)), "median": _interval(np.median(resamples, axis=1))}
    return found | {name: _wilson(hits) for name, hits in fractions.items()}


def _wilson(hits: Bools) -> tuple[float, float]:
    from scipy import stats

    ci = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(CONFIDENCE, method="wilson")
    return float(ci.low), float(ci.high)


def _grouped(rpd: Floats, group: Ints, fractions: dict[str, Bools]) -> dict[str, tuple[float, float]]:
    """Intervals of all figures where trials of one group are not independent: groups are resampled, whole."""
    generator = np.random.Generator(np.random.Philox(0))
    names, member = np.unique(group, return_inverse=True)
    times = generator.multinomial(len(names), np.full(len(names), 1.0 / len(names)), BOOTSTRAP_RESAMPLES)
    weight = times[:, member].astype(np.float64)  # of each trial in each resample
    weight /= weight.sum(axis=1, keepdims=True)
    order = np.argsort(rpd)
    middle = (weight[:, order].cumsum(axis=1) >= 0.5).argmax(axis=1)
    found = {"mean": _interval(weight @ rpd), "median": _interval(rpd[order][middle])}
    return found | {name: _interval(weight @ hits.astype(np.float64)) for name, hits in fractions.items()}


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.percentile(values, [50.0 * (1.0 - CONFIDENCE), 50.0 * (1.0 + CONFIDENCE)])
    return float(low), float(high)
