"""The figure of a run: how often each predictor lands within 50, 20 and 10 % of its target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt

from sim.output_files import whole_file
from train.report import TITLES, Record, conditions, shown

REALISATION_TITLES = {"c": "compiled C", "float": "float", "oracle": "Monte Carlo oracle"}
TOLERANCES = (
    ("within_50", "within 50 %", "#9ecae1"),
    ("within_20", "20 %", "#4292c6"),
    ("within_10", "10 %", "#08519c"),
)


def draw_accuracy(records: Sequence[Record], path: Path) -> None:
    """Write a PNG: one group of bars per predictor (as C where there is C), with 95 % intervals."""
    rows = shown(records)
    y = np.arange(len(rows))[::-1]
    figure, axes = plt.subplots(figsize=(8.5, 0.8 + 0.62 * len(rows)), layout="constrained")
    for k, (name, label, colour) in enumerate(TOLERANCES):
        value = np.array([r[name] for r in rows])
        interval = np.array([r[f"{name}_ci95"] for r in rows])
        error = np.abs(interval.T - value)
        at = y + 0.26 * (1 - k)
        axes.barh(at, value * 100, 0.25, xerr=error * 100, color=colour, label=label, error_kw={"lw": 0.8})
        for position, v in zip(at, value, strict=True):
            axes.text(v * 100 + 1.2, position, f"{v * 100:.1f}", va="center", fontsize=7)
    labels = [
        f"{TITLES.get(r['predictor'], r['predictor'])}\n{REALISATION_TITLES[r['realisation']]}" for r in rows
    ]
    axes.set_yticks(y, labels, fontsize=8)
    axes.set_xlim(0, 106)
    axes.set_xlabel("trials that end within the tolerance of their target after one pulse [%]")
    axes.set_title(conditions(records).split(", board")[0], fontsize=9, loc="right")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
