"""`python -m codegen bench`: program a list of cells on a board, real or virtual."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from codegen.batch import Devices, require_free, run_batch
from codegen.scpi_client import ScpiClient, VerifySettings
from codegen.targets_csv import MODES, read_targets
from sim.command_line import progress_bar

Input = click.Path(path_type=Path)


@click.command(short_help="Program a list of cells on a board.")
@click.argument("targets", metavar="TARGETS.csv", type=Input)
@click.option(
    "--port", required=True, help="Serial port or URL: /dev/ttyACM0, COM3, socket://localhost:5025."
)
@click.option("--baud", default=115_200, type=click.IntRange(min=1), help="Of a serial port.")
@click.option("--mode", default="verify", type=click.Choice(MODES), help="Of lines that name none.")
@click.option("--tolerance-permille", type=int, help="Write-and-verify: relative tolerance [the board's].")
@click.option("--tolerance-ns", "tolerance_nS", type=int, help="Absolute tolerance, nS [the board's].")
@click.option("--iterations", type=int, help="Most iterations [the board's].")
@click.option(
    "--states", type=Input, help="What is known of the devices (.h5): restored before, saved after."
)
@click.option(
    "--calibrate",
    "calibration_pulses",
    default=0,
    type=click.IntRange(0, 255),
    help="Calibration pulses for each cell of which nothing is known.",
)
@click.option("--crc", is_flag=True, help="Secure every line by a CRC.")
@click.option(
    "--timeout", "timeout_s", default=10.0, type=click.FloatRange(0.1, 3600), help="Longest wait, s."
)
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
@click.option("-o", "--output", type=Input, required=True, help="Results to write: .h5 or .csv.")
def bench(
    targets: Path,
    port: str,
    baud: int,
    mode: str,
    tolerance_permille: int | None,
    tolerance_nS: int | None,
    iterations: int | None,
    states: Path | None,
    calibration_pulses: int,
    crc: bool,
    timeout_s: float,
    force: bool,
    output: Path,
) -> None:
    """Bring the cells of TARGETS.csv (columns r,c,g_target_nS and, if wanted, mode) to their conductances.

    Results are kept line by line beside the output; the same command goes on where a stopped one ended. --states and
    --calibrate are for boards whose network knows its devices (docs/device-aware.md).
    """
    require_free(output, force)
    cells = read_targets(targets, mode)
    sha256 = hashlib.sha256(targets.read_bytes()).hexdigest()
    settings = VerifySettings(tolerance_nS, tolerance_permille, iterations)
    devices = Devices(states, calibration_pulses)
    with (
        ScpiClient(port, baud=baud, timeout_s=timeout_s, crc=crc) as board,
        progress_bar(len(cells), str(board.identity), "cell") as bar,
    ):
        batch = run_batch(board, cells, sha256, settings, output, devices, bar.update)
    outcomes = ", ".join(f"{count} {status}" for status, count in batch.statuses().items())
    click.echo(f"{batch.provenance['identity']}: {outcomes}; written to {output}")
