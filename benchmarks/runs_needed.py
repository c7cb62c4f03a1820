"""How many recorded runs a network needs: accuracy on fresh devices against the number of runs it learned from.

A simulated lab records runs; networks are trained on more and more of them, and tried on devices that nobody recorded,
beside one that was trained on the device model itself. The table of docs/own-measurements.md.
"""

from __future__ import annotations

import os

# As on the command line: one BLAS thread. Before NumPy and torch are imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from codegen.boards import load_board
from codegen.float_predictor import FloatPredictor
from codegen.onnx_import import load_network
from sim.accuracy import accuracy_record
from sim.closed_loop import Trials, draw_trials, one_shot
from sim.document import replace_section
from sim.noise import load_preset
from sim.recordings import Recordings, read_recordings
from sim.replay import replay_trials
from train.expected import fit_expected
from train.export import write_network
from train.recipes import EXPECTED
from train.recorded import metadata_of, recorded_pairs

RUNS = (25, 50, 100, 200, 400, 800)
TRIALS, SEED = 20_000, 20_240_312
MODEL_NETWORK = Path("docs/examples/log_expected.onnx")
PAGE = Path("docs/own-measurements.md")
BEGIN, END = "<!-- table: written by benchmarks/runs_needed.py -->", "<!-- end of table -->"
Row = tuple[str, float, tuple[float, float], float, float]


def main() -> None:
    """Record, train, try; write the table into the page."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "runs.csv"
        command = (
            sys.executable,
            "-m",
            "sim",
            "record",
            "--runs",
            str(max(RUNS)),
            "--seed",
            "11",
            "-o",
            file,
        )
        subprocess.run(command, check=True)
        every = read_recordings(file)
        trials = inside(draw_trials(TRIALS, load_preset("ouroboros"), SEED), every.window_S)
        rows = []
        for runs in RUNS:
            part = first_runs(every, runs)
            network = Path(folder) / f"{runs}.onnx"
            pairs = recorded_pairs(part.training())
            weights = fit_expected(pairs, seed=1, schedule=EXPECTED.schedule)
            write_network(network, weights, metadata_of(part, pairs.scaling, 1))
            rows.append((f"{runs} runs of SET, {runs} of RESET", *accuracy(network, trials, part)))
        rows.append(("the device model, `log_expected`", *accuracy(MODEL_NETWORK, trials, every)))
    table = markdown(rows, len(trials.g_start_S), every.window_S)
    print(table)
    replace_section(PAGE, BEGIN, END, table)


def first_runs(recordings: Recordings, count: int) -> Recordings:
    """The first runs of each direction."""
    chosen = np.zeros(len(recordings), dtype=bool)
    for direction in (1, -1):
        chosen[np.flatnonzero(recordings.direction == direction)[:count]] = True
    return recordings.chosen(chosen)


def inside(trials: Trials, window_S: tuple[float, float]) -> Trials:
    """Those whose start and target lie in the window."""
    low, high = window_S
    kept = (trials.g_start_S > low) & (trials.g_start_S < high)
    kept &= (trials.g_target_nS > low * 1e9) & (trials.g_target_nS < high * 1e9)
    return replace(trials, g_start_S=trials.g_start_S[kept], g_target_nS=trials.g_target_nS[kept])


def accuracy(network: Path, trials: Trials, recordings: Recordings) -> tuple[str, str, str, str]:
    """Mean RPD on fresh devices with its interval, shares within 50 and 10 %, mean RPD on held-out runs."""
    board = load_board("generic")
    predictor = FloatPredictor(load_network(network), board)
    trace = one_shot(trials.bench(board.bench_params()), predictor, trials.g_target_nS)
    fresh = accuracy_record(network.stem, "float", board.name, trials, trace)
    replayed = replay_trials(recordings, TRIALS, SEED)
    trace = one_shot(replayed.bench(board.bench_params()), predictor, replayed.g_target_nS)
    held_out = accuracy_record(network.stem, "float", board.name, replayed, trace)
    return (
        with_interval(fresh.mean_rpd, fresh.mean_rpd_ci95),
        f"{fresh.within_50:.1%}",
        f"{fresh.within_10:.1%}",
        with_interval(held_out.mean_rpd, held_out.mean_rpd_ci95),
    )


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """A figure and its 95 % interval."""
    return f"{value:.3f} ({interval[0]:.3f} - {interval[1]:.3f})"


def markdown(rows: list[tuple[str, str, str, str, str]], trials: int, window_S: tuple[float, float]) -> str:
    """The table, and what it holds for."""
    low, high = (g_S * 1e6 for g_S in window_S)
    lines = [
        f"{trials:,} one-shot trials on fresh devices of the preset `ouroboros` between {low:.0f} and {high:.0f} uS,"
        f" board `generic`, seed {SEED}; and trials on the runs that were held out.",
        "",
        "| learned from | mean RPD, fresh devices | within 50 % | within 10 % | mean RPD, held-out runs |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
