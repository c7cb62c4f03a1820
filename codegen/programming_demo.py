"""The write-and-verify demonstration (paper, section IV-A and Fig. 7b-d) with the compiled C controller."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codegen.controllers import ControllerBank, ControllerRun, status_counts
from sim.bench import Bench, BenchParams
from sim.device import DeviceArray
from sim.jart_fit import read_conductance
from sim.noise import NoisePreset
from sim.output_files import whole_file, write_json
from sim.params import OperatingWindow
from sim.units import Floats, Ints, nS_to_S

ITERATIONS = 20
STARTS = 50
TARGETS_nS = (100_000, 220_000, 340_000)


@dataclass(frozen=True)
class Convergence:
    """How the devices of one target converged.

    Fractions are of all devices. "Reached" counts iterations until a reading lies within the tolerance for the
    first time; quartiles are over the devices that reached it (None when none did). Final values are true
    conductances after the last iteration.
    """

    target_uS: float
    devices: int
    iterations: int
    reached_5: float
    median_iterations_to_5: float | None
    slowest_quarter_iterations_to_5: float | None
    reached_10: float
    median_iterations_to_10: float | None
    slowest_quarter_iterations_to_10: float | None
    final_mean_uS: float
    final_std_uS: float
    final_within_5: float
    final_within_10: float
    statuses: dict[str, int]


@dataclass(frozen=True)
class Demo:
    """The runs of all targets."""

    runs: dict[int, ControllerRun]
    convergence: list[Convergence]


def run_demo(bank: ControllerBank, params: BenchParams, noise: NoisePreset, seed: int) -> Demo:
    """Program 50 devices from starts across the window to each target, 20 iterations each."""
    runs = {}
    for number, target_nS in enumerate(TARGETS_nS):
        # Device numbers continue from target to target: every run meets noise of its own.
        first = number * STARTS
        devices = DeviceArray(STARTS, noise, seed, start_conductances(), first_device=first)
        targets = np.full(STARTS, target_nS, dtype=np.int64)
        runs[target_nS] = bank.write_and_verify(Bench(devices, params, seed), targets, ITERATIONS)
    return Demo(runs, [convergence(run) for run in runs.values()])


def start_conductances() -> Floats:
    """Evenly spaced over the operating window, its ends left out [S]."""
    window = OperatingWindow()
    low, high = read_conductance(np.array([window.n_low_1e26, window.n_high_1e26]))
    return np.linspace(low, high, STARTS + 2)[1:-1]


def convergence(run: ControllerRun) -> Convergence:
    """Summarise the run of one target."""
    trace = run.trace
    target_S = float(nS_to_S(trace.g_target_nS[0]))
    read_rpd = np.abs(nS_to_S(trace.g_read_nS) / target_S - 1.0)
    final_rpd = np.abs(trace.g_end_S / target_S - 1.0)
    reached_5, median_5, slow_5 = _iterations_to(read_rpd, 0.05)
    reached_10, median_10, slow_10 = _iterations_to(read_rpd, 0.10)
    return Convergence(
        target_uS=target_S * 1e6,
        devices=len(final_rpd),
        iterations=len(trace.ticks),
        reached_5=reached_5,
        median_iterations_to_5=median_5,
        slowest_quarter_iterations_to_5=slow_5,
        reached_10=reached_10,
        median_iterations_to_10=median_10,
        slowest_quarter_iterations_to_10=slow_10,
        final_mean_uS=float(trace.g_end_S.mean() * 1e6),
        final_std_uS=float(trace.g_end_S.std(ddof=1) * 1e6),
        final_within_5=float((final_rpd <= 0.05).mean()),
        final_within_10=float((final_rpd <= 0.10).mean()),
        statuses=status_counts(run),
    )


def _iterations_to(read_rpd: Floats, tolerance: float) -> tuple[float, float | None, float | None]:
    """Fraction of devices ever within `tolerance`; median and upper quartile of the iterations they needed."""
    within = read_rpd <= tolerance
    reached = within.any(axis=0)
    if not reached.any():
        return 0.0, None, None
    first: Ints = within.argmax(axis=0)[reached]
    return float(reached.mean()), float(np.median(first)), float(np.percentile(first, 75))


def table(rows: list[Convergence]) -> str:
    """The convergence table as text."""
    lines = [
        "target   iterations to 5 %     iterations to 10 %    final mean +- std   final within",
        "uS       median  75 %  reached  median  75 %  reached  uS                  5 %    10 %",
    ]
    for row in rows:
        to_5 = _cells(row.median_iterations_to_5, row.slowest_quarter_iterations_to_5, row.reached_5)
        to_10 = _cells(row.median_iterations_to_10, row.slowest_quarter_iterations_to_10, row.reached_10)
        final = f"{row.final_mean_uS:.1f} +- {row.final_std_uS:.1f}"
        lines.append(
            f"{row.target_uS:<8.0f} {to_5}  {to_10}  {final:<19} "
            f"{row.final_within_5:<6.0%} {row.final_within_10:.0%}"
        )
    return "\n".join(lines)


def _cells(median: float | None, slow: float | None, reached: float) -> str:
    numbers = ["-" if value is None else f"{value:g}" for value in (median, slow)]
    return f"{numbers[0]:<7} {numbers[1]:<5} {reached:<6.0%}"


def write_demo(demo: Demo, folder: Path, provenance: dict[str, Any]) -> list[Path]:
    """Write `convergence.json`, `write_and_verify.png` and `.svg`; the same inputs give the same bytes."""
    rows = [asdict(row) for row in demo.convergence]
    write_json(folder / "convergence.json", {**provenance, "targets": rows})
    written = [folder / "convergence.json"]
    for name in ("write_and_verify.png", "write_and_verify.svg"):
        with whole_file(folder / name) as path:
            _draw(demo, path, name.rsplit(".", 1)[1])
        written.append(folder / name)
    return written


def _draw(demo: Demo, path: Path, kind: str) -> None:
    """Conductance against iteration, one panel per target, one line per device coloured by its start."""
    import matplotlib  # slow to import, and only this verb draws

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with matplotlib.rc_context({"svg.hashsalt": "ouroboros", "svg.fonttype": "path"}):
        figure, axes = plt.subplots(1, len(demo.runs), figsize=(11, 3.6), sharey=True, layout="constrained")
        for axis, (target_nS, run) in zip(np.atleast_1d(axes), demo.runs.items(), strict=True):
            g_uS = run.trace.g_read_nS * 1e-3
            colours = plt.get_cmap("viridis")(np.linspace(0.0, 0.92, g_uS.shape[1]))
            for device, colour in enumerate(colours):
                axis.plot(g_uS[:, device], color=colour, linewidth=0.7, alpha=0.8)
            axis.axhline(target_nS * 1e-3, color="crimson", linewidth=1.2, linestyle="--")
            axis.set_title(f"target {target_nS / 1000:g} µS")
            axis.set_xlabel("iteration")
            axis.set_xlim(0, len(g_uS) - 1)
            axis.grid(alpha=0.25)
        np.atleast_1d(axes)[0].set_ylabel("conductance read, µS")
        # Dates and versions in the metadata would change the bytes from run to run.
        metadata: dict[str, None] = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        figure.savefig(path, format=kind, dpi=150, metadata=metadata)
        plt.close(figure)
