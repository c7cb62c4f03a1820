"""What a device's state is worth in use: one-shot after one-shot, each from where the last one ended.

docs/device-aware.md measures one shot from uniform random starts, at which devices are put after their calibration. No
board can put a device: here the compiled controllers of `make devices` do everything themselves. Two populations of
the same devices get the same targets; one has no states, the other is calibrated first and learns on.
"""

from __future__ import annotations

import os

# As on the command line: one BLAS thread. Before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
from pathlib import Path

from codegen.build import host_library
from codegen.controllers import CALIBRATE, ONE_SHOT, ControllerBank, Request
from codegen.device_state import DeviceStates
from codegen.firmware import load_firmware
from sim.accuracy import accuracy_record
from sim.closed_loop import Trials, draw_trials
from sim.document import replace_section
from sim.noise import load_preset

CELLS, SHOTS, SEED = 10_000, 6, 20_240_312
FIRMWARE = Path("build/devices/ouroboros-devices/firmware/device_aware")
PAGE = Path("docs/device-aware.md")
BEGIN, END = "<!-- in use: written by benchmarks/states_in_use.py -->", "<!-- end of table -->"


def main() -> None:
    """Program the cells both ways; write the table into the page."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FIRMWARE
    first = draw_trials(CELLS, load_preset("ouroboros-devices"), SEED)
    unknown, known = (shots(folder, first, calibrated=calibrated) for calibrated in (False, True))
    lines = [
        f"{CELLS:,} cells, noise 'ouroboros-devices' every 10 ns, board 'generic', seed {SEED}.",
        "",
        "| one-shot | mean RPD, nothing known | within 50 %"
        " | mean RPD, 3 calibration pulses and all since | within 50 % |",
        "|---|---|---|---|---|",
        *(f"| {k} | {a} | {b} |" for k, (a, b) in enumerate(zip(unknown, known, strict=True), start=1)),
    ]
    table = "\n".join(lines) + "\n"
    print(table)
    replace_section(PAGE, BEGIN, END, table)


def shots(folder: Path, first: Trials, *, calibrated: bool) -> list[str]:
    """Mean RPD with its interval, and the share within 50 %, of one one-shot after the other."""
    board = load_firmware(folder).board
    bank = ControllerBank(host_library(folder))
    bench = first.bench(board.bench_params())
    states = DeviceStates.fresh(CELLS)
    if calibrated:
        bank.run(bench, first.g_target_nS, Request(mode=CALIBRATE, max_iterations=3), states)
    rows = []
    for shot in range(SHOTS):
        targets = draw_trials(CELLS, first.noise, SEED + shot).g_target_nS
        if not calibrated:
            states = DeviceStates.fresh(CELLS)
        run = bank.run(bench, targets, Request(mode=ONE_SHOT, max_iterations=1), states)
        record = accuracy_record("device_aware", "c", board.name, first, run.trace)
        low, high = record.mean_rpd_ci95
        rows.append(f"{record.mean_rpd:.3f} ({low:.3f} - {high:.3f}) | {record.within_50:.1%}")
    return rows


if __name__ == "__main__":
    main()
