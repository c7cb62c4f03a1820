"""`python -m codegen faults`: every fault tried, the table of outcomes, and the section of docs/faults.md."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from codegen.boards import Board
from codegen.build import host_library
from codegen.controllers import ControllerBank
from codegen.faults import FAULTS, Fault
from codegen.faults_serial import LINE_FAULTS, LineOutcome, try_line_fault
from codegen.faults_trials import REQUESTS, FaultOutcome, try_fault
from codegen.firmware import Firmware, load_firmware, network_sha256
from codegen.qmodel import Voltages
from sim.closed_loop import draw_trials
from sim.command_line import jobs_option, progress_bar
from sim.counter_rng import SEED_HIGHEST
from sim.document import replace_section, require_section
from sim.errors import UserError
from sim.noise import NoisePreset, load_preset

BEGIN, END = "<!-- faults: written by `make faults` -->", "<!-- end of faults -->"


@dataclass(frozen=True)
class FaultTable:
    """All outcomes of one firmware, and what they were found with."""

    board: Board
    voltages: Voltages
    network: str
    noise_preset: str
    seed: int
    trials: int
    faults: list[FaultOutcome]
    line_faults: list[LineOutcome]

    @property
    def failed(self) -> list[str]:
        """The faults that ended unsafely, with an untrue status, or with a pulse beyond the limits."""
        modes = [f"{found.fault} ({found.mode})" for found in self.faults if not found.is_good]
        return modes + [f"{found.fault} (serial line)" for found in self.line_faults if not found.is_good]

    def as_json(self) -> dict[str, Any]:
        """Provenance and every outcome."""
        return {
            "board": self.board.name,
            "network": self.network,
            "noise_preset": self.noise_preset,
            "seed": self.seed,
            "trials": self.trials,
            "faults": [found.as_json() for found in self.faults],
            "line_faults": [found.as_json() for found in self.line_faults],
        }


def try_all(
    firmware: Firmware,
    noise: NoisePreset,
    seed: int,
    n_trials: int,
    jobs: int | None = None,
    faults: tuple[Fault, ...] = FAULTS,
    progress: Callable[[], object] = lambda: None,
) -> FaultTable:
    """Every fault of `faults` in both modes, and every fault of the serial line, on the same `n_trials` trials."""
    library, board = host_library(firmware.folder), firmware.board
    bank, trials = ControllerBank(library), draw_trials(n_trials, noise, seed)

    def hardware(case: tuple[str, Fault]) -> FaultOutcome:
        mode, fault = case
        found = try_fault(bank, firmware, fault, mode, trials, jobs=1)
        progress()
        return found

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        found = pool.map(hardware, [(mode, fault) for mode in REQUESTS for fault in faults])
        lines = pool.map(lambda fault: try_line_fault(library, board, fault, trials), LINE_FAULTS)
        network = network_sha256(firmware.folder)[:12]
        voltages = firmware.model.voltages
        return FaultTable(board, voltages, network, noise.name, seed, n_trials, list(found), list(lines))


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--trials", default=50, type=click.IntRange(1, 10_000), help="Devices for each fault.")
@click.option("--noise", default="ouroboros", help="Noise preset, or a .toml file.")
@click.option(
    "--seed", default=1, type=click.IntRange(0, SEED_HIGHEST), help="Seed of devices, bench, faults."
)
@jobs_option
@click.option(
    "--page", type=click.Path(dir_okay=False, path_type=Path), help="Document whose section to rewrite."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcomes as JSON.")
def faults(
    folder: Path, trials: int, noise: str, seed: int, jobs: int | None, page: Path | None, as_json: bool
) -> None:
    """Break the hardware around the firmware in FOLDER, fault by fault, on simulated devices.

    Prints how each ended: status, outputs, pulses beyond the limits, error. An unsafe end, an untrue status or a
    pulse beyond the limits: status 2.
    """
    if page is not None:
        require_section(page, BEGIN, END)
    firmware, preset = load_firmware(folder), load_preset(noise)
    with progress_bar(len(REQUESTS) * len(FAULTS), "faults", "fault") as bar:
        table = try_all(firmware, preset, seed, trials, jobs, progress=bar.update)
    click.echo(json.dumps(table.as_json(), indent=2) if as_json else markdown(table))
    if table.failed:
        raise UserError(f"not safe or not true: {', '.join(table.failed)}; please report this")
    if page is not None:
        replace_section(page, BEGIN, END, markdown(table))


def markdown(table: FaultTable) -> str:
    """The tables, as they stand in docs/faults.md."""
    limits = table.board.limits
    margin = limits.v_max_uV / max(table.voltages.v_reset_uV, -table.voltages.v_set_uV) - 1
    hardware = table.faults
    total = sum(found.pulses for found in hardware) + sum(found.pulses for found in table.line_faults)
    asked = sum(found.beyond_limits for found in hardware)
    asked += sum(found.beyond_limits for found in table.line_faults)
    at_device = sum(found.beyond_at_device for found in hardware)
    lines = [
        f"Board '{table.board.name}', network {table.network}, noise preset '{table.noise_preset}', "
        f"seed {table.seed}; {table.trials} trials of every line.",
        f"**{total:,} pulses, {asked} asked for beyond a limit, {at_device} beyond one at the device** "
        f"({limits.v_max_uV / 1e6:g} V, {limits.max_pulse_ticks:,} ticks).",
        f"A driver whose gain error nobody reads back stays within it up to +{margin:.0%}.",
    ]
    for mode in REQUESTS:
        lines += [
            "",
            f"### {mode.capitalize()}",
            "| fault | what the status said | ended safe | status true | pulses | asked beyond limits "
            "| beyond at the device | error: median | 90 % |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_fault_line(found) for found in hardware if found.mode == mode]
    lines += [
        "",
        "### Serial line",
        "| damage | CRC | done as sent | refused, with an error | done, not as sent | silent | ended safe | pulses "
        "| asked beyond limits |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_line_line(found) for found in table.line_faults),
    ]
    return "\n".join(lines) + "\n"


def _fault_line(found: FaultOutcome) -> str:
    statuses = ", ".join(f"{count} `{name}`" for name, count in found.statuses.items())
    return (
        f"| {found.fault}: {found.text} | {statuses} | {found.safe} | {found.trials - found.untrue} | {found.pulses} "
        f"| {found.beyond_limits} | {found.beyond_at_device} | {found.median_rpd:.1%} | {found.p90_rpd:.1%} |"
    )


def _line_line(found: LineOutcome) -> str:
    return (
        f"| {found.fault}: {found.text} | {'on' if found.crc else 'off'} | {found.as_sent} | {found.refused} "
        f"| {found.altered} | {found.silent} | {found.safe} | {found.pulses} | {found.beyond_limits} |"
    )
