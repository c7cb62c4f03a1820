"""The paper's figures, drawn from our measurements: one PNG each, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib import pyplot as plt

from codegen.programming_demo import TARGETS_nS
from sim import dataset as sim_dataset
from sim.dataset import PulseDataset
from sim.output_files import whole_file
from sim.population import DT_S
from sim.units import Floats, nS_to_S
from train.evaluate import NOISE_FREE
from train.features import LINEAR_SCALING
from train.history import HistoryMap, recorded_response
from train.paper.claims import seeds_interval
from train.paper.experiment import CONVERGED
from train.paper.quantities import ONE_SHOT, PROGRAMMED, SWITCHING, Table, window_S

LABELS = {
    NOISE_FREE: "noise-free model",
    "mlp_rpd_t": "MSE on t, saved by RPD of t",
    "mlp_rpd_g": "MSE on t, saved by RPD of G",
    "ft_unsmoothed": "fine-tuned, unsmoothed",
    "ft_smoothed": "fine-tuned, smoothed",
}
COLOURS = {  # Okabe and Ito's, told apart by everybody
    NOISE_FREE: "#7f7f7f",
    "mlp_rpd_t": "#e69f00",
    "mlp_rpd_g": "#0072b2",
    "ft_unsmoothed": "#cc79a7",
    "ft_smoothed": "#009e73",
}
KERNELS = (11, 101, 1001)
KERNEL_COLOURS = ("#e69f00", "#0072b2", "#009e73")
START_BINS, SURFACE_BINS = 24, 20
DPI = 100


@dataclass(frozen=True)
class Observations:
    """What the figures show: each table of every seed, and of all seeds together; one seed's data set."""

    tables: Mapping[str, Sequence[Table]]
    pools: Mapping[str, Table]
    dataset: PulseDataset


def draw_all(observed: Observations, folder: Path) -> list[Path]:
    """Write every figure into `folder`; return the files."""
    return [draw(observed, folder / f"{name}.png") for name, draw in FIGURES.items()]


def draw_switching(observed: Observations, path: Path) -> Path:
    """Fig. 2(b): conductance under one long SET and one long RESET pulse, first seed."""
    rows = observed.tables[SWITCHING][0]
    with _figure(path, 1, 2, (8.5, 3.2), sharey=True) as panels:
        for axes, up in zip(panels, (True, False), strict=True):
            chosen = (rows["device.g_S"][:, -1] > rows["g_start_S"]) == up
            for t_s, g_S in zip(rows["device.t_s"][chosen], rows["device.g_S"][chosen], strict=True):
                axes.plot(t_s * 1e3, g_S * 1e6, linewidth=0.8)
            axes.set_title(f"{'SET' if up else 'RESET'}, {chosen.sum()} devices", fontsize=9)
            axes.set_xlabel("time under voltage [ms]")
            axes.set_xscale("log")
        panels[0].set_ylabel("G [µS]")
    return path


def draw_from_scratch(observed: Observations, path: Path) -> Path:
    """Fig. 3: networks trained from the ground up against the baseline."""
    return _draw_rpd(observed, (NOISE_FREE, "mlp_rpd_t", "mlp_rpd_g"), path)


def draw_fine_tuned(observed: Observations, path: Path) -> Path:
    """Fig. 6: the fine-tuned family against its parent and the baseline."""
    return _draw_rpd(observed, (NOISE_FREE, "mlp_rpd_g", "ft_unsmoothed", "ft_smoothed"), path)


def draw_surfaces(observed: Observations, path: Path) -> Path:
    """Fig. 4: mean RPD over start and target, trained network and baseline."""
    rows = observed.pools[ONE_SHOT]
    edges = np.linspace(*window_S(), SURFACE_BINS + 1)
    with _figure(path, 1, 2, (8.5, 3.6), sharey=True) as panels:
        for axes, name in zip(panels, ("mlp_rpd_g", NOISE_FREE), strict=True):
            count, _, _ = np.histogram2d(rows["g_target_S"], rows["g_start_S"], bins=(edges, edges))
            total, _, _ = np.histogram2d(
                rows["g_target_S"], rows["g_start_S"], bins=(edges, edges), weights=_rpd(rows, name)
            )
            with np.errstate(invalid="ignore"):
                mean = total / count
            mesh = axes.pcolormesh(edges * 1e6, edges * 1e6, mean, vmin=0.0, vmax=1.0, cmap="viridis")
            axes.set_title(LABELS[name], fontsize=9)
            axes.set_xlabel("G start [µS]")
            axes.set_aspect("equal")
        panels[0].set_ylabel("G target [µS]")
        panels[0].figure.colorbar(mesh, ax=panels, label="mean RPD", extend="max", shrink=0.9)
    return path


def draw_history(observed: Observations, path: Path) -> Path:
    """Fig. 5: one history smoothed with three kernels, and the gradients that training sees."""
    data = observed.dataset
    sample = example_sample(data)
    histories = HistoryMap.from_arrays(
        data.history_offset, data.history_step, data.history_g_S, np.array([sample])
    )
    end = float(histories.end_step[0])
    t = torch.linspace(-0.15 * end, 1.25 * end, 3000, dtype=torch.float64)
    with _figure(path, 1, 2, (8.5, 3.2)) as panels:
        for number, (kernel, colour) in enumerate(zip(KERNELS, KERNEL_COLOURS, strict=True)):
            g_S, gradient = _mapping(histories, t, kernel)
            microseconds = t.numpy() * data.dt_s * 1e6
            shift_uS = 25.0 * (number - 1)
            label = f"kernel {kernel}" + (f", {shift_uS:+g} µS" if shift_uS else "")
            panels[0].plot(microseconds, g_S * 1e6 + shift_uS, color=colour, linewidth=1.0, label=label)
            panels[1].plot(microseconds, gradient, color=colour, linewidth=0.8, label=f"kernel {kernel}")
        for axes in panels:
            axes.axvspan(0.0, end * data.dt_s * 1e6, color="#000000", alpha=0.05, linewidth=0)
            axes.set_xlabel("pulse time predicted [µs]; recorded: shaded")
            axes.legend(fontsize=7, frameon=False)
        panels[0].set_ylabel("G out [µS]")
        panels[1].set_ylabel("gradient of G out, normalised")
        panels[1].set_yscale("symlog", linthresh=1.0)
    return path


def draw_write_and_verify(observed: Observations, path: Path) -> Path:
    """Fig. 7: where devices end after 20 iterations, and the histories of three targets."""
    pool, first = observed.pools[PROGRAMMED], observed.tables[PROGRAMMED][0]
    with _figure(path, 2, 2, (8.5, 6.2), dpi=80) as panels:
        mapping, *histories = panels.ravel()
        targets = np.unique(pool["g_target_S"])
        mapping.plot(targets * 1e6, targets * 1e6, color="#000000", linewidth=0.8, linestyle="--")
        for name in CONVERGED:
            ends = [pool[f"{name}.g_end_S"][pool["g_target_S"] == target] for target in targets]
            mean, spread = (np.array([f(end) * 1e6 for end in ends]) for f in (np.mean, np.std))
            mapping.plot(targets * 1e6, mean, color=COLOURS[name], linewidth=1.2, label=LABELS[name])
            mapping.fill_between(
                targets * 1e6, mean - spread, mean + spread, color=COLOURS[name], alpha=0.18, linewidth=0
            )
        mapping.set_title("after 20 iterations: mean ± standard deviation", fontsize=9)
        mapping.set_xlabel("G target [µS]")
        mapping.set_ylabel("G end [µS]")
        mapping.legend(fontsize=7, frameon=False)
        for axes, target_S in zip(histories, nS_to_S(TARGETS_nS), strict=True):
            chosen = np.isclose(first["g_target_S"], target_S, rtol=1e-9, atol=0.0)
            reads_uS = first["ft_smoothed.g_read_S"][chosen] * 1e6
            for reads, colour in zip(
                reads_uS, plt.get_cmap("viridis")(np.linspace(0.0, 0.92, len(reads_uS))), strict=True
            ):
                axes.plot(reads, color=colour, linewidth=0.6, alpha=0.8)
            axes.axhline(target_S * 1e6, color="crimson", linewidth=1.2, linestyle="--")
            axes.set_title(f"{LABELS['ft_smoothed']}, target {target_S * 1e6:.0f} µS", fontsize=9)
            axes.set_xlabel("iteration")
            axes.set_ylabel("G read [µS]")
    return path


FIGURES: dict[str, Callable[[Observations, Path], Path]] = {
    "fig2b_switching": draw_switching,
    "fig3_from_scratch": draw_from_scratch,
    "fig4_surfaces": draw_surfaces,
    "fig5_history": draw_history,
    "fig6_fine_tuned": draw_fine_tuned,
    "fig7_write_and_verify": draw_write_and_verify,
}


def example_sample(data: PulseDataset) -> int:
    """A test sample for Fig. 5: a long way up within about 30 us, so that all three kernels show."""
    candidates = np.flatnonzero((data.split == sim_dataset.TEST) & (data.t_pulse_s > 0))
    if candidates.size == 0:
        candidates = np.flatnonzero(data.t_pulse_s > 0)
    rise_S = data.g_target_S[candidates] - data.g_start_S[candidates]
    off = np.abs(np.log(data.t_pulse_s[candidates] / 30e-6))
    return int(candidates[np.argmax(rise_S / 100e-6 - off)])


def _mapping(histories: HistoryMap, t: torch.Tensor, kernel: int) -> tuple[Floats, Floats]:
    """G out in S, and its gradient as the paper's backward gives it, at times `t` in steps of a SET history."""
    scale = LINEAR_SCALING.output.scale / DT_S
    y = (t / scale).clone().requires_grad_(True)
    zeros = torch.zeros(len(t), dtype=torch.int64)
    direction = torch.ones(len(t), dtype=torch.float64)
    g_scale_S = LINEAR_SCALING.g_start.scale
    out = recorded_response(histories, zeros, y, t, torch.full_like(t, scale), direction, kernel, g_scale_S)
    (gradient,) = torch.autograd.grad(out.sum(), y)
    # Before the record the backward makes any loss lengthen the pulse: shown as a slope, that is + 1.
    shown = torch.where(t < 0, -gradient, gradient)
    return out.detach().numpy() * g_scale_S, shown.numpy()


def _draw_rpd(observed: Observations, names: Sequence[str], path: Path) -> Path:
    """RPD against G_start - mean over seeds with its interval - and the histograms of all trials."""
    edges = np.linspace(*window_S(), START_BINS + 1)
    centres_uS = 0.5 * (edges[1:] + edges[:-1]) * 1e6
    with _figure(path, 1, 2, (8.5, 3.4)) as (by_start, histogram):
        for name in names:
            curves = np.array([_mean_in_bins(rows, name, edges) for rows in observed.tables[ONE_SHOT]])
            by_start.plot(centres_uS, curves.mean(axis=0), color=COLOURS[name], label=LABELS[name])
            intervals = [seeds_interval(column) for column in curves.T]
            if all(intervals):
                low, high = np.array(intervals).T
                by_start.fill_between(centres_uS, low, high, color=COLOURS[name], alpha=0.2, linewidth=0)
            rpd = _rpd(observed.pools[ONE_SHOT], name)
            bins = np.linspace(0.0, 1.5, 61)
            share, _ = np.histogram(np.minimum(rpd, 1.4999), bins=bins)
            label = f"{(rpd <= 0.5).mean():.1%} within 50 %"
            histogram.stairs(share / len(rpd) * 100, bins * 100, color=COLOURS[name], label=label)
        by_start.set_xlabel("G start [µS]")
        by_start.set_ylabel("mean RPD")
        by_start.set_ylim(bottom=0.0)
        by_start.legend(fontsize=7, frameon=False)
        histogram.axvline(50.0, color="#000000", linewidth=0.8, linestyle="--")
        histogram.set_yscale("log")
        histogram.set_xlabel("RPD [%]; the last bin holds everything above")
        histogram.set_ylabel("trials [%]")
        histogram.legend(fontsize=7, frameon=False)
    return path


def _mean_in_bins(rows: Table, name: str, edges: Floats) -> Floats:
    """Mean RPD of the trials that start in each bin; NaN in an empty one."""
    count, _ = np.histogram(rows["g_start_S"], edges)
    total, _ = np.histogram(rows["g_start_S"], edges, weights=_rpd(rows, name))
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count, dtype=np.float64)


def _rpd(rows: Table, name: str) -> Floats:
    return np.asarray(np.abs(rows[f"{name}.g_end_S"] / rows["g_target_S"] - 1.0), dtype=np.float64)


@contextmanager
def _figure(
    path: Path, rows: int, columns: int, size: tuple[float, float], dpi: int = DPI, **options: Any
) -> Iterator[Any]:
    """Yield the panels of a figure; write it when the block ends."""
    figure, panels = plt.subplots(rows, columns, figsize=size, layout="constrained", **options)
    try:
        for axes in np.atleast_1d(panels).ravel():
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=8)
        yield panels
        with whole_file(path) as temporary:
            figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})
    finally:
        plt.close(figure)
