"""Wishing for precision: what an expected error costs in time, and whether expectations are honest.

With a wish the firmware gives each move the shortest pulse that can be expected to keep it, so that easy moves take
little time and difficult ones much; with a budget alone all take about the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from scipy import stats

from codegen.boards import Board
from codegen.build import host_library
from codegen.controllers import ControllerBank, ControllerRun
from codegen.firmware import make_firmware, predictor_name
from codegen.onnx_import import FloatNetwork, load_network
from codegen.status import Status
from codegen.voltage_choice import Bools
from codegen.wish_option import permille_of
from sim.accuracy import CONFIDENCE, accuracy_record, relative_difference
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.output_files import whole_file
from sim.units import Floats, nS_to_S
from train.floor import statistics_of
from train.front import Front
from train.voltage import LONGEST_S, Levels, floors_wishing

WISHES = (0.02, 0.05, 0.1, 0.2, 0.3)
GROUPS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 1.0)
"""Borders of expected RPDs, by which trials are grouped."""


@dataclass(frozen=True)
class WishPoint:
    """One predictor, or the floor, with one wish; pulses of `train.voltage.LONGEST_S` at most.

    Attributes:
        wish: RPD wished for.
        promised: share of the pulses that could be expected to keep the wish.
        promised_rpd: mean RPD of these; None without any.
        median_time_s, mean_time_s: pulse times [s].
        rpd_at_equal_time: mean RPD within the budget that makes pulses of the same mean time.
        time_at_equal_rpd_s: mean time within the budget of the same mean RPD. None beyond the budgets that were tried.
    """

    name: str
    realisation: str
    wish: float
    promised: float
    promised_rpd: float | None
    mean_rpd: float
    mean_rpd_ci95: tuple[float, float]
    within_10: float
    median_time_s: float
    mean_time_s: float
    rpd_at_equal_time: float | None
    time_at_equal_rpd_s: float | None


@dataclass(frozen=True)
class Expectation:
    """Trials whose expected RPD lies within `lowest` .. `highest`: mean of what was expected, and of what came."""

    name: str
    rule: str
    lowest: float
    highest: float
    trials: int
    expected_rpd: float
    mean_rpd: float
    mean_rpd_ci95: tuple[float, float]


@dataclass(frozen=True)
class Wishes:
    """All points, how honest the expectations were, and the conditions."""

    conditions: str
    points: list[WishPoint]
    expectations: list[Expectation]


def knowing(models: Sequence[Path]) -> list[Path]:
    """Those network files that know the errors of their pulses.

    Raises:
        UserError: a file that cannot be used.
    """
    return [path for path in models if load_network(path).metadata.expected_error is not None]


def measure_wishes(
    levels: Levels,
    targets: int,
    wishes: Sequence[float],
    models: Sequence[Path],
    board: Board,
    front: Front,
    *,
    trials: int,
    seed: int,
    jobs: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Wishes:
    """The floor from responses at several voltages, and networks that know their errors as compiled C on fresh devices.

    Args:
        front: what budgets do, to compare with.
        progress: called when a wish of the floor or of a model is done, or a model without a wish:
            `len(wishes) + len(models) * (1 + len(wishes))` times.

    Raises:
        UserError: a network file that cannot be used, or a board whose timer cannot keep the longest pulse.
    """
    points = []
    for wish, floor in zip(wishes, floors_wishing(levels, targets, LONGEST_S, wishes), strict=True):
        found = statistics_of(floor.rpd)
        results = {n: found[n][0] for n in ("mean_rpd", "within_10")} | {
            "mean_rpd_ci95": found["mean_rpd"][1]
        }
        points.append(
            _point(
                "floor",
                "oracle",
                wish,
                results,
                floor.rpd.astype(np.float64),
                floor.promised,
                floor.time_s,
                front,
            )
        )
        progress()
    drawn = draw_trials(trials, levels[0].params.noise, seed)
    expectations = []
    with tempfile.TemporaryDirectory() as folder:
        for path in models:
            name, network = predictor_name(path), load_network(path)
            bank = ControllerBank(
                host_library(make_firmware(path, board, Path(folder) / name, None, force=False).folder)
            )
            met: dict[str, list[tuple[Floats, Floats]]] = {"budget": [], "wish": []}
            for wish in (0.0, *wishes):
                permille = permille_of(wish) if wish else 0
                bench = drawn.bench(board.bench_params(), jobs)
                run = bank.one_shot(bench, drawn.g_target_nS, board.budget_ticks(LONGEST_S), permille)
                if run.unsafe:
                    raise UserError(
                        f"{name}: {run.unsafe} controllers broke a safety rule; please report this"
                    )
                rpd, time_s = relative_difference(run.trace), run.trace.ticks[0] * board.tick_s
                met["wish" if wish else "budget"].append(_expected(network, run, rpd))
                if wish:
                    record = accuracy_record(name, "c", board.name, drawn, run.trace, LONGEST_S, permille)
                    promised = run.status != Status.NOT_PROMISED
                    points.append(_point(name, "c", wish, asdict(record), rpd, promised, time_s, front))
                progress()
            for rule, pairs in met.items():
                expected, reached = (np.concatenate(column) for column in zip(*pairs, strict=True))
                expectations += _grouped(name, rule, expected, reached)
    conditions = f"{front.conditions}; pulses of {1e3 * LONGEST_S:g} ms at most"
    return Wishes(conditions, points, expectations)


def _point(
    name: str,
    realisation: str,
    wish: float,
    results: Mapping[str, Any],
    rpd: Floats,
    promised: Bools,
    time_s: Floats,
    front: Front,
) -> WishPoint:
    mean_rpd, mean_time_s = results["mean_rpd"], float(time_s.mean())
    rpd_at_equal_time, time_at_equal_rpd_s = at_equal(front, name, mean_time_s, mean_rpd)
    return WishPoint(
        name=name,
        realisation=realisation,
        wish=wish,
        promised=float(promised.mean()),
        promised_rpd=float(rpd[promised].mean()) if promised.any() else None,
        mean_rpd=mean_rpd,
        mean_rpd_ci95=results["mean_rpd_ci95"],
        within_10=results["within_10"],
        median_time_s=float(np.median(time_s)),
        mean_time_s=mean_time_s,
        rpd_at_equal_time=rpd_at_equal_time,
        time_at_equal_rpd_s=time_at_equal_rpd_s,
    )


def _expected(network: FloatNetwork, run: ControllerRun, rpd: Floats) -> tuple[Floats, Floats]:
    """Expected and reached RPD of the trials whose pulse is the network's own, not one cut to the budget."""
    window, pulse = network.metadata.window, network.metadata.pulse
    start_S = np.clip(nS_to_S(run.trace.g_read_nS[0]), window.g_min_S, window.g_max_S)
    target_S, v_V = nS_to_S(run.trace.g_target_nS), 1e-6 * run.trace.v_uV[0]
    reduction_V = np.where(v_V < 0, v_V - pulse.v_set_V, pulse.v_reset_V - v_V)
    further = [reduction_V] if network.metadata.chooses_voltage else []
    own = (run.trace.direction[0] != 0) & (network.width_s(start_S, target_S, *further) <= LONGEST_S)
    return network.expected_rpd(start_S, target_S, *further)[own], rpd[own]


def _grouped(name: str, rule: str, expected: Floats, reached: Floats) -> list[Expectation]:
    found = []
    for lowest, highest in pairwise(GROUPS):
        inside = (expected >= lowest) & (expected < highest)
        count = int(inside.sum())
        if count < 2:
            continue
        mean = float(reached[inside].mean())
        margin = float(stats.norm.ppf(0.5 + CONFIDENCE / 2) * reached[inside].std(ddof=1) / count**0.5)
        interval = (max(0.0, mean - margin), mean + margin)
        found.append(
            Expectation(name, rule, lowest, highest, count, float(expected[inside].mean()), mean, interval)
        )
    return found


def at_equal(
    front: Front, name: str, mean_time_s: float, mean_rpd: float
) -> tuple[float | None, float | None]:
    """What a budget does: its mean RPD at the same mean time, and its mean time [s] at the same mean RPD.

    Between the budgets that were tried logarithms are interpolated; None beyond them.
    """
    curve = _budgets_of(front, name)
    times_s, rpds = zip(*curve, strict=True)
    times, errors = np.log(np.array(times_s)), np.log(np.array(rpds))
    falling = np.minimum.accumulate(errors)[::-1]
    return (
        _between(np.log(mean_time_s), times, errors),
        _between(np.log(mean_rpd), falling, times[::-1]),
    )


def _budgets_of(front: Front, name: str) -> list[tuple[float, float]]:
    """Mean time [s] and mean RPD of one pulse within each budget, the shortest first."""
    points = [p for p in front.points if p.name == name and p.pulses == 1]
    return [
        (p.mean_time_s, p.mean_rpd)
        for p in sorted(points, key=lambda p: p.budget_s)
        if p.mean_time_s is not None
    ]


def _between(x: float, xs: Floats, ys: Floats) -> float | None:
    return float(np.exp(np.interp(x, xs, ys))) if xs[0] <= x <= xs[-1] else None


def text_table(found: Wishes) -> str:
    """Wishes, and the honesty of expectations, as two Markdown tables."""
    lines = [
        "| wish | | promised | mean RPD of these | mean RPD of all | within 10 % | median time | mean time"
        " | mean RPD, budget of equal mean time | mean time, budget of equal mean RPD |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for p in sorted(found.points, key=lambda p: p.wish):
        low, high = p.mean_rpd_ci95
        lines.append(
            f"| {p.wish:g} | {p.name} | {p.promised:.1%} | {_or_none(p.promised_rpd, '.4f')}"
            f" | {p.mean_rpd:.4f} ({low:.4f} - {high:.4f}) | {p.within_10:.1%} | {_ms(p.median_time_s)}"
            f" | {_ms(p.mean_time_s)} | {_or_none(p.rpd_at_equal_time, '.4f')} | {_ms(p.time_at_equal_rpd_s)} |"
        )
    lines += [
        "",
        "| expected RPD | pulses of | trials | mean expected | mean reached |",
        "|---|---|---|---|---|",
    ]
    for e in found.expectations:
        low, high = e.mean_rpd_ci95
        lines.append(
            f"| {e.lowest:g} - {e.highest:g} | {e.name}, {RULES[e.rule]} | {e.trials} | {e.expected_rpd:.4f}"
            f" | {e.mean_rpd:.4f} ({low:.4f} - {high:.4f}) |"
        )
    return "\n".join(lines) + "\n"


RULES = {"budget": "no wish", "wish": "wishes"}


def _ms(time_s: float | None) -> str:
    return "" if time_s is None else f"{1e3 * time_s:.3g} ms"


def _or_none(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


def draw(found: Wishes, front: Front, path: Path) -> None:
    """Write a PNG: mean RPD against mean pulse time with budgets and wishes, and what came of expectations."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    for number, name in enumerate(dict.fromkeys(p.name for p in found.points)):
        wishes = [(p.mean_time_s, p.mean_rpd) for p in found.points if p.name == name]
        for rule, style, curve in (("budgets", "--", _budgets_of(front, name)), ("wishes", "-", wishes)):
            time_ms, mean = [1e3 * time_s for time_s, _ in curve], [rpd for _, rpd in curve]
            label = f"{name}, {rule}"
            left.plot(time_ms, mean, style, marker="o", ms=3, lw=1, color=f"C{number}", label=label)
    left.set_xlabel("mean pulse time [ms]")
    left.set_ylabel("mean RPD")
    for number, (name, rule) in enumerate(dict.fromkeys((e.name, e.rule) for e in found.expectations)):
        groups = [e for e in found.expectations if (e.name, e.rule) == (name, rule)]
        x, y = [e.expected_rpd for e in groups], [e.mean_rpd for e in groups]
        margin = [e.mean_rpd_ci95[1] - e.mean_rpd for e in groups]
        label = f"{name}, {RULES[rule]}"
        right.errorbar(x, y, margin, fmt="o-", ms=3, lw=1, color=f"C{number}", label=label)
    right.axline((0.1, 0.1), slope=1.0, color="0.7", lw=1, zorder=0)
    right.set_xlabel("expected RPD")
    right.set_ylabel("mean RPD reached")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False)
    figure.suptitle(found.conditions, fontsize=6)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
