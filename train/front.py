"""The precision-delay front: what the error is when a pulse may last so long, for the floor and for predictors."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt

from codegen.boards import Board
from codegen.build import host_library
from codegen.controllers import ControllerBank, Request
from codegen.firmware import Firmware, make_firmware, predictor_name
from sim.accuracy import accuracy_record
from sim.closed_loop import Trials, draw_trials
from sim.errors import UserError
from sim.output_files import whole_file
from train.floor import statistics_of
from train.voltage import Levels, floor_within, sequences_within

BUDGETS_S = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


@dataclass(frozen=True)
class FrontPoint:
    """One predictor, or the floor, within one budget.

    Attributes:
        budget_s: longest pulse, or all pulses together where there are several [s].
        median_time_s, mean_time_s: pulse times really given, or best ones of the floor [s].
        optimistic_rpd: the floor's mean RPD on the devices it was chosen on; None for predictors.
    """

    name: str
    realisation: str
    pulses: int
    reads_between: bool
    budget_s: float
    mean_rpd: float
    mean_rpd_ci95: tuple[float, float]
    median_rpd: float | None
    within_50: float | None
    within_10: float
    median_time_s: float | None
    mean_time_s: float | None
    optimistic_rpd: float | None = None


@dataclass(frozen=True)
class Front:
    """All points, and the conditions they were measured under."""

    conditions: str
    points: list[FrontPoint]


def measure_front(
    levels: Levels,
    targets: int,
    budgets_s: Sequence[float],
    models: Sequence[Path],
    board: Board,
    *,
    trials: int,
    seed: int,
    jobs: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Front:
    """The floor of every budget from responses at several voltages, and every network as compiled C on fresh devices.

    Args:
        progress: called when a point of the floor or of a model is done, `len(budgets_s) * (1 + len(models))` times.

    Raises:
        UserError: a network file that cannot be used, or a budget that the board's timer cannot keep.
    """
    noise = levels[0].params.noise
    for budget_s in budgets_s:
        board.budget_ticks(budget_s)
    points: list[FrontPoint] = []
    for budget_s in budgets_s:
        points += _floor_points(levels, targets, budget_s)
        progress()
    drawn = draw_trials(trials, noise, seed)
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            name = predictor_name(model)
            firmware = make_firmware(model, board, Path(folder) / name, None, force=False)
            for budget_s in budgets_s:
                points += _measured(name, firmware, drawn, budget_s, jobs)
                progress()
    params = levels[0].params
    conditions = (
        f"noise '{noise.name}' every {noise.cadence_s:g} s, model {params.device_model}; floor: {params.starts} x"
        f" {targets} pairs, {params.devices} devices each, {len(levels)} voltages; predictors: {trials} trials,"
        f" board '{board.name}', seed {seed}"
    )
    return Front(conditions, points)


def _floor_points(levels: Levels, targets: int, budget_s: float) -> list[FrontPoint]:
    """The floor with one pulse, and with two without a reading between them."""
    floor, two = floor_within(levels, targets, budget_s), sequences_within(levels, targets, budget_s)
    found = statistics_of(floor.rpd)
    one = FrontPoint(
        name="floor",
        realisation="oracle",
        pulses=1,
        reads_between=False,
        budget_s=budget_s,
        mean_rpd=found["mean_rpd"][0],
        mean_rpd_ci95=found["mean_rpd"][1],
        median_rpd=found["median_rpd"][0],
        within_50=found["within_50"][0],
        within_10=found["within_10"][0],
        median_time_s=float(np.median(floor.time_s)),
        mean_time_s=float(floor.time_s.mean()),
        optimistic_rpd=float(floor.optimistic_rpd.mean()),
    )
    sequence = FrontPoint(
        name="floor",
        realisation="oracle",
        pulses=2,
        reads_between=False,
        budget_s=budget_s,
        mean_rpd=two.best_mean_rpd,
        mean_rpd_ci95=two.best_mean_rpd_ci95,
        median_rpd=None,
        within_50=None,
        within_10=two.best_within_10,
        median_time_s=None,
        mean_time_s=None,
    )
    return [one, sequence]


def _measured(
    name: str, firmware: Firmware, drawn: Trials, budget_s: float, jobs: int | None
) -> list[FrontPoint]:
    """The compiled C within a budget: one pulse; where it chooses the voltage, two with a reading between as well."""
    bank = ControllerBank(host_library(firmware.folder))
    chooses = firmware.model.voltages.greatest_reduction_uV > 0
    found = []
    for pulses in (1, 2) if chooses else (1,):
        budget_ticks = firmware.board.budget_ticks(budget_s / pulses)
        bench = drawn.bench(firmware.board.bench_params(), jobs)
        run = bank.run(bench, drawn.g_target_nS, Request(max_iterations=pulses, budget_ticks=budget_ticks))
        if run.unsafe:
            raise UserError(f"{name}: {run.unsafe} controllers broke a safety rule; please report this")
        record = accuracy_record(name, "c", firmware.board.name, drawn, run.trace, budget_s)
        time_s = run.trace.ticks.sum(axis=0) * firmware.board.tick_s
        found.append(
            FrontPoint(
                name=name,
                realisation="c",
                pulses=pulses,
                reads_between=pulses > 1,
                budget_s=budget_s,
                mean_rpd=record.mean_rpd,
                mean_rpd_ci95=record.mean_rpd_ci95,
                median_rpd=record.median_rpd,
                within_50=record.within_50,
                within_10=record.within_10,
                median_time_s=float(np.median(time_s)),
                mean_time_s=float(time_s.mean()),
            )
        )
    return found


def title(point: FrontPoint) -> str:
    """What a point is, in words."""
    how = (
        ""
        if point.pulses == 1
        else ", two pulses, " + ("read between" if point.reads_between else "not read")
    )
    return f"{point.name}{how}"


def text_table(front: Front) -> str:
    """The points as a Markdown table, one block per budget."""
    lines = [
        "| longest pulse | | mean RPD | x floor | within 50 % | within 10 % | median time |",
        "|---|---|---|---|---|---|---|",
    ]
    floors = {p.budget_s: p.mean_rpd for p in front.points if p.name == "floor" and p.pulses == 1}
    for p in sorted(front.points, key=lambda p: p.budget_s):
        low, high = p.mean_rpd_ci95
        most = "" if p.within_50 is None else f"{p.within_50:.1%}"
        time = "" if p.median_time_s is None else f"{1e3 * p.median_time_s:.3g} ms"
        lines.append(
            f"| {1e3 * p.budget_s:g} ms | {title(p)} | {p.mean_rpd:.4f} ({low:.4f} - {high:.4f})"
            f" | {p.mean_rpd / floors[p.budget_s]:.2f} | {most} | {p.within_10:.1%} | {time} |"
        )
    return "\n".join(lines) + "\n"


def draw(front: Front, path: Path) -> None:
    """Write a PNG: mean RPD and share beyond 10 % against the budget."""
    figure, panels = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    for name in dict.fromkeys(title(p) for p in front.points):
        chosen = sorted((p for p in front.points if title(p) == name), key=lambda p: p.budget_s)
        budget_ms = [1e3 * p.budget_s for p in chosen]
        style = "--" if chosen[0].name == "floor" else "-"
        mean, (low, high) = [p.mean_rpd for p in chosen], zip(*(p.mean_rpd_ci95 for p in chosen), strict=True)
        (line,) = panels[0].plot(budget_ms, mean, style, marker="o", ms=3, lw=1, label=name)
        panels[0].fill_between(budget_ms, low, high, color=line.get_color(), alpha=0.15, lw=0)
        beyond = [100 * (1 - p.within_10) for p in chosen]
        panels[1].plot(budget_ms, beyond, style, marker="o", ms=3, lw=1, color=line.get_color())
    for axes, label in zip(panels, ("mean RPD", "more than 10 % off [%]"), strict=True):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("longest pulse (several: all together) [ms]")
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(fontsize=7, frameon=False)
    figure.suptitle(front.conditions, fontsize=6)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
