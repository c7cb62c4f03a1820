"""How small may the predictor be: accuracy of the compiled C against flash bytes and multiply-accumulates.

Networks of several sizes, trained alike on expected RPD, quantised, compiled and run by the C controller on fresh
noisy devices; beside them the look-up table, which is the rival to beat with two inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from codegen.boards import Board
from codegen.cosim import cosimulate
from codegen.firmware import make_firmware
from codegen.kernels import PORTABLE, table_bytes
from sim.output_files import whole_file
from train.evaluate import FittedTable, evaluate
from train.expected import ExpectedRpd, fit_expected
from train.export import metadata_of_dataset, write_network
from train.loop import Progress
from train.model import PAPER_SIZES
from train.parallel import Task, run_tasks
from train.recipes import EXPECTED
from train.responses import load, parameters_of
from train.table import NAME as TABLE
from train.table import NODES, TablePredictor

SIZES = (
    (2, 8, 1),
    (2, 6, 6, 1),
    (2, 8, 8, 1),
    (2, 12, 12, 1),
    (2, 16, 16, 1),
    (2, 24, 24, 1),
    (2, 16, 32, 16, 1),
    PAPER_SIZES,
)
TABLE_BYTES = 2 * NODES * NODES * 2
TABLE_MACS = 4


@dataclass(frozen=True)
class Point:
    """One predictor: what it takes and what it does. `realisation` is `c`, or `float` for the table."""

    predictor: str
    realisation: str
    table_bytes: int
    macs: int
    mean_rpd: float
    mean_rpd_ci95: tuple[float, float]
    within_50: float
    within_50_ci95: tuple[float, float]


def pareto(
    responses: Path,
    folder: Path,
    board: Board,
    sizes: Sequence[tuple[int, ...]],
    *,
    training_seed: int,
    trials: int,
    seed: int,
    divide_epochs: int = 1,
    jobs: int,
    progress: Callable[[str], None] = lambda what: None,
) -> list[Point]:
    """Train, generate and co-simulate every size; networks and firmware stay in `folder`.

    Args:
        progress: called with a predictor's name when it is done, `len(sizes) + 1` times.

    Raises:
        UserError: the responses are missing or damaged, or do not suit the board.
    """
    noise = load(responses).params.noise
    paths = [folder / "networks" / f"{name_of(each)}.onnx" for each in sizes]
    tasks = [
        Task(path.stem, frozenset(), train_size, (responses, path, each, training_seed, divide_epochs))
        for path, each in zip(paths, sizes, strict=True)
    ]
    run_tasks(tasks, jobs, lambda: None)
    points = []
    for path, each in zip(paths, sizes, strict=True):
        made = make_firmware(path, board, folder / "firmware" / path.stem, None, force=True)
        (found,) = cosimulate([made.folder], board, noise, seed, trials, jobs=jobs)
        record = asdict(found.c)
        points.append(
            _point(record, table_bytes(made.model, PORTABLE), sum(a * b for a, b in pairwise(each)))
        )
        progress(path.stem)
    table = TablePredictor(FittedTable.fitted(responses).table(), board.bench_params())
    (record_of_table,) = evaluate({TABLE: table}, board, noise, trials=trials, seed=seed, jobs=jobs)
    points.append(_point(asdict(record_of_table), TABLE_BYTES, TABLE_MACS))
    progress(TABLE)
    return points


def name_of(sizes: Sequence[int]) -> str:
    """Name of a network by its layers, such as mlp_2-16-16-1."""
    return "mlp_" + "-".join(map(str, sizes))


def train_size(
    responses: Path, path: Path, sizes: tuple[int, ...], seed: int, divide_epochs: int, progress: Progress
) -> None:
    """Train one size as `log_expected` is trained, and write its network; a task of its own process."""
    pairs = ExpectedRpd.of(load(responses), EXPECTED.targets, EXPECTED.scaling)
    epochs = max(1, EXPECTED.epochs // divide_epochs)
    schedule = type(EXPECTED.schedule)(epochs, EXPECTED.schedule.rate, batch=EXPECTED.schedule.batch)
    weights = fit_expected(pairs, seed=seed, schedule=schedule, sizes=sizes, progress=progress)
    write_network(path, weights, metadata_of_dataset(EXPECTED.scaling, parameters_of(responses)))


def _point(record: dict[str, object], flash_bytes: int, macs: int) -> Point:
    names = ("predictor", "realisation", "mean_rpd", "mean_rpd_ci95", "within_50", "within_50_ci95")
    return Point(table_bytes=flash_bytes, macs=macs, **{name: record[name] for name in names})  # type: ignore[arg-type]


def draw(points: Sequence[Point], floor_rpd: float | None, conditions: str, path: Path) -> None:
    """Write a PNG: mean RPD against bytes of tables and against multiply-accumulates, the floor as a line."""
    figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained", sharey=True)
    for axes, name, label in zip(
        panels, ("table_bytes", "macs"), ("weights and tables [bytes of flash]", "multiply-accumulates"), strict=True
    ):  # fmt: skip
        for p in points:
            low, high = p.mean_rpd_ci95
            colour = "#d94801" if p.predictor == TABLE else "#08519c"
            x, error = getattr(p, name), [[p.mean_rpd - low], [high - p.mean_rpd]]
            axes.errorbar(x, p.mean_rpd, yerr=error, fmt="o", color=colour, ms=4, elinewidth=1)
            axes.annotate(
                p.predictor.removeprefix("mlp_"),
                (x, high),
                (0, 4),
                textcoords="offset points",
                rotation=90,
                ha="center",
                va="bottom",
                fontsize=7,
            )
        if floor_rpd is not None:
            axes.axhline(floor_rpd, color="0.5", lw=1, ls="--", label="floor")
            axes.legend(loc="upper right", fontsize=8, frameon=False)
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean RPD, one shot")
    figure.suptitle(conditions, fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)


def text_table(points: Sequence[Point], floor_rpd: float | None) -> str:
    """The points as a Markdown table."""
    lines = [
        "| predictor | as | flash bytes | MACs | mean RPD | x floor | within 50 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for p in points:
        distance = "" if floor_rpd is None else f"{p.mean_rpd / floor_rpd:.2f}"
        low, high = p.mean_rpd_ci95
        lines.append(
            f"| {p.predictor} | {'C' if p.realisation == 'c' else p.realisation} | {p.table_bytes} | {p.macs}"
            f" | {p.mean_rpd:.3f} ({low:.3f} - {high:.3f}) | {distance} | {p.within_50:.1%} |"
        )
    return "\n".join(lines) + "\n"
