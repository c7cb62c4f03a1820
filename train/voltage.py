"""The pulse voltage as a knob: responses at several amplitudes, the network that knows them all, and its floor.

A lower amplitude makes a longer pulse, over which the rate's noise averages out: precision is bought with time. The
network maps (start, change, reduction of the amplitude) to the pulse time; given a time budget, the firmware takes the
lowest amplitude whose pulse fits (`codegen.voltage_choice`). The floor of a budget is the best that any choice of
voltage and time reaches for each pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from sim.accuracy import CONFIDENCE
from sim.population import DT_S
from sim.units import Floats, Ints
from train.expected import ExpectedRpd, fit_expected
from train.export import metadata_of_dataset, write_network
from train.floor import TOLERANCES, Errors, cross_fitted, fold_of, pair_errors, targets_of
from train.loop import Progress
from train.recipes import ExpectedRecipe
from train.responses import DIRECTIONS, ResponseParams, Responses, recorded, total_steps

LONGEST_S = 1e-2
DEVICES = (
    64  # per start, direction and level: the levels together hold as many as the fixed voltages' responses
)


@dataclass(frozen=True)
class VoltageRange:
    """Amplitudes from the full ones down, at evenly spaced levels.

    Attributes:
        v_set_V, v_reset_V: the full voltages, SET negative [V].
        set_reduction_V, reset_reduction_V: how far the lowest amplitudes lie below them [V].
        levels: amplitudes recorded, both ends included.
    """

    v_set_V: float = -0.39
    v_reset_V: float = 0.80
    set_reduction_V: float = 0.135
    reset_reduction_V: float = 0.26
    levels: int = 9

    def reductions_V(self) -> list[tuple[float, float]]:
        """(SET, RESET) reduction of every level [V]."""
        shares = [level / (self.levels - 1) for level in range(self.levels)]
        return [(share * self.set_reduction_V, share * self.reset_reduction_V) for share in shares]

    def params(self, base: ResponseParams) -> list[ResponseParams]:
        """`base` at every level's voltages, up to the longest pulse."""
        return [
            replace(
                base,
                v_set_V=round(self.v_set_V + set_V, 9),
                v_reset_V=round(self.v_reset_V - reset_V, 9),
                longest_pulse_s=LONGEST_S,
            )
            for set_V, reset_V in self.reductions_V()
        ]


Levels = list[Responses]


def record_levels(
    folder: Path,
    voltages: VoltageRange,
    base: ResponseParams,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda n_steps: None,
) -> Levels:
    """The responses of every level, from `folder` where they are there; an interrupted run continues.

    Args:
        progress: called with the number of device-steps just finished or found.
    """
    params = voltages.params(base)
    return [recorded(folder / f"{p.sha256()[:16]}.h5", p, jobs, progress) for p in params]


def steps_to_record(voltages: VoltageRange, base: ResponseParams) -> int:
    """Device-steps of all levels."""
    return sum(total_steps(p) for p in voltages.params(base))


def train_voltage(
    levels: Levels,
    voltages: VoltageRange,
    path: Path,
    recipe: ExpectedRecipe,
    seed: int,
    progress: Progress = lambda: None,
) -> None:
    """Train the network on all levels and write its file."""
    told = [
        (responses, (reduction,))
        for responses, reduction in zip(levels, voltages.reductions_V(), strict=True)
    ]
    pairs = ExpectedRpd.of_levels(told, recipe.targets, recipe.scaling)
    weights = fit_expected(pairs, seed=seed, schedule=recipe.schedule, sizes=recipe.sizes, progress=progress)
    params = levels[0].params
    parameters = {
        **asdict(params),
        "noise": params.noise.model_dump(),
        "v_set_V": voltages.v_set_V,
        "v_reset_V": voltages.v_reset_V,
    }
    reductions = {
        "set_reduction_V": voltages.set_reduction_V,
        "reset_reduction_V": voltages.reset_reduction_V,
    }
    write_network(path, weights, metadata_of_dataset(recipe.scaling, parameters, reductions))


@dataclass(frozen=True)
class BudgetFloor:
    """The best that any choice of voltage and time does within a budget.

    Attributes:
        budget_s: longest pulse [s].
        rpd: (pairs, devices), each device's RPD with what is best on the other folds (`train.floor`).
        optimistic_rpd: (pairs,) mean RPD on the devices that voltage and time were chosen on.
        time_s: (pairs,) the best times [s].
    """

    budget_s: float
    rpd: Errors
    optimistic_rpd: Floats
    time_s: Floats


def floor_within(levels: Levels, targets: int, budget_s: float) -> BudgetFloor:
    """The floor of every recorded start with `targets` targets each, within a budget."""
    folds = fold_of(levels[0].params.devices)
    widths = _fitting(levels[0].step, budget_s)
    width_s = np.tile(np.concatenate([[0.0], widths * DT_S]), len(levels))
    rpd, optimistic, time_s = [], [], []
    for together in _level_errors(levels, targets, len(widths)):
        mean = together.mean(axis=1, dtype=np.float64)
        rpd.append(cross_fitted(together, folds))
        optimistic.append(mean.min(axis=1))
        time_s.append(width_s[mean.argmin(axis=1)])
    return BudgetFloor(budget_s, *map(np.concatenate, (rpd, optimistic, time_s)))


@dataclass(frozen=True)
class WishFloor:
    """The shortest of all choices of voltage and time that can be expected to keep a wish, else the most precise one.

    Attributes:
        rpd: (pairs, devices), each device's RPD with what the other folds choose.
        promised: (pairs, devices), whether these expect it to keep the wish.
        time_s: (pairs, devices), the times chosen [s].
    """

    rpd: Errors
    promised: npt.NDArray[np.bool_]
    time_s: Floats


def floors_wishing(
    levels: Levels,
    targets: int,
    budget_s: float,
    wishes: Sequence[float],
    progress: Callable[[], None] = lambda: None,
) -> list[WishFloor]:
    """For each wish what it costs and brings where every pair's errors are known, within a budget.

    Args:
        wishes: RPDs.
        progress: called after each recorded start and direction.
    """
    folds = fold_of(levels[0].params.devices)
    widths = _fitting(levels[0].step, budget_s)
    width_s = np.tile(np.concatenate([[0.0], widths * DT_S]), len(levels))
    shortest_first = np.argsort(width_s, kind="stable")
    found: list[list[tuple[Errors, npt.NDArray[np.bool_], Floats]]] = [[] for _ in wishes]
    for together in _level_errors(levels, targets, len(widths)):
        means = _means_of_others(together, folds)
        for wish, parts in zip(wishes, found, strict=True):
            rpd = np.empty(together.shape[:2], dtype=np.float32)
            promised, time_s = np.empty(rpd.shape, dtype=np.bool_), np.empty(rpd.shape)
            for fold, mean in enumerate(means):
                keeps = mean[:, shortest_first] <= wish
                first = shortest_first[keeps.argmax(axis=1)]
                kept: npt.NDArray[np.bool_] = np.asarray(keeps.any(axis=1))
                chosen = np.where(kept, first, mean.argmin(axis=1))
                inside = folds == fold
                rpd[:, inside] = together[np.arange(len(mean)), :, chosen][:, inside]
                promised[:, inside] = kept[:, None]
                time_s[:, inside] = width_s[chosen][:, None]
            parts.append((rpd, promised, time_s))
        progress()
    return [WishFloor(*(np.concatenate(column) for column in zip(*parts, strict=True))) for parts in found]


def _means_of_others(errors: Errors, folds: Ints) -> list[Floats]:
    """Mean errors (t, choices) over the devices outside each fold."""
    total = errors.sum(axis=1, dtype=np.float64)
    return [
        (total - errors[:, folds == fold].sum(axis=1, dtype=np.float64)) / int((folds != fold).sum())
        for fold in range(int(folds.max()) + 1)
    ]


def _level_errors(levels: Levels, targets: int, widths: int) -> Iterator[Errors]:
    """RPD (t, devices, levels x (1 + widths)) of each start and direction: no pulse and every width at every level."""
    for pairs in zip(*(pair_errors(each, targets) for each in levels), strict=True):
        yield np.concatenate([errors[:, :, : 1 + widths] for _, _, _, errors in pairs], axis=2)


def _fitting(step: Ints, budget_s: float) -> Ints:
    return step[step * DT_S <= budget_s * (1 + 1e-9)]


@dataclass(frozen=True)
class SequenceFloor:
    """One pulse against two in a row without a reading between them, within one budget of time.

    Judged on devices that neither was chosen on. `share_of_two` is that of pairs where two pulses win.
    """

    budget_s: float
    one_mean_rpd: float
    one_within_10: float
    best_mean_rpd: float
    best_mean_rpd_ci95: tuple[float, float]
    best_within_10: float
    share_of_two: float


def sequences_within(levels: Levels, targets: int, budget_s: float, every: int = 3) -> SequenceFloor:
    """What an open-loop second pulse adds: for each pair the best single pulse and the best two.

    The second pulse's responses are those recorded from the nearest starts, in proportion: the noise of two pulses is
    taken as independent, and conductances beyond the outermost starts as theirs. Half of the devices choose, the other
    half judge.

    Args:
        every: of the recorded widths, every n-th is tried.
    """
    responses, g_start_S = levels[0], levels[0].g_start_S
    numbers = np.flatnonzero(responses.step * DT_S <= budget_s * (1 + 1e-9))[::-1][::every][::-1]
    time_s = np.tile(responses.step[numbers] * DT_S, len(levels) * len(DIRECTIONS))
    g_S = np.concatenate(
        [each.g_S[row][:, :, numbers] for each in levels for row in range(len(DIRECTIONS))], axis=2
    )
    halves = [np.ascontiguousarray(g_S[:, half::2].transpose(2, 0, 1)) for half in (0, 1)]
    landing = [_landing(half, g_start_S) for half in halves]
    too_long = time_s[:, None] + time_s[None, :] > budget_s * (1 + 1e-9)
    judged: list[tuple[float, float, float, float, bool]] = []
    goals = targets_of(responses.params, 0, targets).astype(np.float32)
    for goal in goals:
        error = [np.abs(half - goal) / goal for half in halves]
        mean = [each.mean(axis=2) for each in error]
        near = [(each <= TOLERANCES["within_10"]).mean(axis=2, dtype=np.float32) for each in error]
        for number in range(len(g_start_S)):
            one = int(mean[0][:, number].argmin())
            expected = landing[0][:, number] @ mean[0].T
            expected[too_long] = np.inf
            first, second = divmod(int(expected.argmin()), len(time_s))
            wins = bool(expected[first, second] < mean[0][one, number])
            single = (float(mean[1][one, number]), float(near[1][one, number]))
            reached = landing[1][first, number]
            double = (float(reached @ mean[1][second]), float(reached @ near[1][second]))
            judged.append((*single, *(double if wins else single), wins))
    table = np.array(judged, dtype=np.float64)
    one_mean, one_within, best_mean, best_within, share = map(float, table.mean(axis=0))
    # Within a pair all devices count, between pairs the plane is sampled evenly: the pairs' scatter bounds the error.
    margin = float(stats.norm.ppf(0.5 + CONFIDENCE / 2) * table[:, 2].std(ddof=1) / len(table) ** 0.5)
    return SequenceFloor(
        budget_s,
        one_mean_rpd=one_mean,
        one_within_10=one_within,
        best_mean_rpd=best_mean,
        best_mean_rpd_ci95=(max(0.0, best_mean - margin), best_mean + margin),
        best_within_10=best_within,
        share_of_two=share,
    )


def _landing(g_S: npt.NDArray[np.float32], g_start_S: Floats) -> npt.NDArray[np.float32]:
    """Where pulses land, as shares of the recorded starts around.

    Args:
        g_S: (pulses, starts, devices).

    Returns:
        (pulses, starts, starts); each row adds up to 1.
    """
    last = len(g_start_S) - 1
    place = np.clip((g_S - g_start_S[0]) / (g_start_S[1] - g_start_S[0]), 0, last)
    below = np.minimum(place.astype(np.int64), last - 1)
    share = (place - below).astype(np.float32) / g_S.shape[2]
    found = np.zeros((*g_S.shape[:2], len(g_start_S)), dtype=np.float32)
    pulse, start = np.ogrid[: g_S.shape[0], : g_S.shape[1]]
    pulse, start = pulse[:, :, None], start[:, :, None]
    np.add.at(found, (pulse, start, below), np.float32(1 / g_S.shape[2]) - share)
    np.add.at(found, (pulse, start, below + 1), share)
    return found
