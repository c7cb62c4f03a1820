"""Tables and figure of `python -m train pareto`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from sim.accuracy import PairedDifference
from sim.output_files import whole_file
from train.pareto import TUNED, Point, Rounding

KINDS = (
    ("network, 16-bit weights", "#08519c", "o", lambda p: p.predictor.startswith("mlp") and p.weight_bits == 16),
    ("network, 8-bit weights", "#6baed6", "s", lambda p: p.weight_bits == 8 and not p.predictor.endswith(TUNED)),
    ("8-bit, trained on with rounding", "#74c476", "D", lambda p: p.predictor.endswith(TUNED)),
    ("look-up table", "#d94801", "^", lambda p: p.predictor.startswith("table")),
)  # fmt: skip
Kind = tuple[str, str, str, Callable[[Point], bool]]


def draw(points: Sequence[Point], floor_rpd: float | None, conditions: str, path: Path) -> None:
    """Write a PNG: mean RPD against flash and against instructions of the first core, the floor as a line.

    Without a core, against the bytes of weights and tables alone.
    """
    quantities: list[tuple[str, Callable[[Point], int]]] = [
        ("weights and tables [bytes of flash]", lambda p: p.table_bytes)
    ]
    if points[0].costs:
        core = points[0].costs[0].core
        quantities = [
            (f"code and tables on {core} [bytes of flash]", lambda p: p.costs[0].network_flash_bytes),
            (f"executed instructions on {core}", lambda p: p.costs[0].instructions),
        ]
    figure, panels = plt.subplots(
        1, len(quantities), figsize=(5.2 * len(quantities), 4.6), layout="constrained", sharey=True, squeeze=False
    )  # fmt: skip
    for axes, (label, quantity) in zip(panels[0], quantities, strict=True):
        for kind in KINDS:
            _scatter(axes, [p for p in points if kind[3](p)], quantity, kind)
        if floor_rpd is not None:
            axes.axhline(floor_rpd, color="0.5", lw=1, ls="--", label="floor")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("mean RPD, one shot")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    figure.suptitle(conditions, fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)


def _scatter(axes: Axes, points: Sequence[Point], quantity: Callable[[Point], int], kind: Kind) -> None:
    if not points:
        return
    label, colour, marker, _ = kind
    x, y = [quantity(p) for p in points], [p.mean_rpd for p in points]
    error = [
        [p.mean_rpd - p.mean_rpd_ci95[0] for p in points],
        [p.mean_rpd_ci95[1] - p.mean_rpd for p in points],
    ]
    axes.errorbar(x, y, yerr=error, fmt=marker, color=colour, ms=4, elinewidth=0.8, label=label)
    for p, at in zip(points, x, strict=True):
        if p.weight_bits == 8:
            continue
        is_table = p.predictor.startswith("table")
        side = -1 if p is points[0] else 1  # tables of several sizes take equal time: labels beside them
        axes.annotate(
            p.predictor.removeprefix("mlp_").removeprefix("table_"),
            (at, p.mean_rpd if is_table else p.mean_rpd_ci95[1]),
            (4 * side, 0) if is_table else (0, 4),
            textcoords="offset points",
            rotation=0 if is_table else 90,
            ha="center" if not is_table else "right" if side < 0 else "left",
            va="center" if is_table else "bottom",
            fontsize=7,
            color=colour,
        )


def text_table(points: Sequence[Point], floor_rpd: float | None) -> str:
    """The points as a Markdown table."""
    cores = [cost.core for cost in points[0].costs]
    heads = ["predictor", "tables", *(f"{core}: flash | instructions" for core in cores)]
    lines = [
        "| " + " | ".join([*heads, "mean RPD", "x floor", "within 50 %"]) + " |",
        "|" + "---|" * (len(heads) + len(cores) + 3),
    ]
    for p in points:
        distance = "" if floor_rpd is None else f"{p.mean_rpd / floor_rpd:.2f}"
        low, high = p.mean_rpd_ci95
        costs = [f"{c.network_flash_bytes:,} | {c.instructions:,}" for c in p.costs]
        cells = [p.predictor, f"{p.table_bytes:,}", *costs, f"{p.mean_rpd:.3f} ({low:.3f} - {high:.3f})"]
        lines.append("| " + " | ".join([*cells, distance, f"{p.within_50:.1%}"]) + " |")
    return "\n".join(lines) + "\n"


def rounding_table(roundings: Sequence[Rounding]) -> str:
    """What 8-bit weights do, as a Markdown table of paired differences."""
    lines = [
        "| network | 8-bit weights | mean RPD, percentage points | within 50 %, percentage points |",
        "|---|---|---|---|",
    ]
    for r in roundings:
        lines.append(
            f"| {r.network} | {r.weights} | {_hundredths(r.mean_rpd)} | {_hundredths(r.within_50)} |"
        )
    return "\n".join(lines) + "\n"


def _hundredths(found: PairedDifference) -> str:
    low, high = (100 * end for end in found.ci95)
    return f"{100 * found.difference:+.3f} ({low:+.3f} to {high:+.3f})"
