"""`codegen cosim` and `codegen demo`: what the compiled controllers do on simulated devices."""

from __future__ import annotations

from pathlib import Path

import click

from codegen.boards import load_board
from codegen.build import host_library
from codegen.controllers import ControllerBank
from codegen.cosim import Cosimulation, as_json, cosimulate
from codegen.firmware import load_firmware
from codegen.profile_option import profile_option
from codegen.profiles import Profile
from codegen.programming_demo import ITERATIONS, STARTS, run_demo, table, write_demo
from codegen.wish_option import wish_option
from sim.command_line import jobs_option, progress_bar, recordings_options
from sim.counter_rng import SEED_HIGHEST
from sim.errors import UserError
from sim.noise import load_preset
from sim.output_files import write_json
from sim.replay import recorded_or

SOURCE = click.Path(exists=True, path_type=Path)
SEED = click.IntRange(0, SEED_HIGHEST)


@click.command(short_help="One-shot accuracy of C and integer reference.")
@click.argument("sources", metavar="NETWORK_OR_FIRMWARE...", nargs=-1, required=True, type=SOURCE)
@click.option("--board", default="generic", show_default=True, help="Board to program with.")
@click.option("--noise", default="ouroboros", show_default=True, help="Noise preset, or a .toml file.")
@click.option("--cadence", "cadence_s", type=float, help="Time between noise draws, s [the preset's].")
@recordings_options
@click.option("--seed", default=1, show_default=True, type=SEED, help="Seed of trials, devices and bench.")
@click.option("--trials", default=10_000, show_default=True, type=click.IntRange(1, 2**24), help="Devices.")
@click.option("--longest", "longest_s", type=float, help="Longest pulse, s [the timer's].")
@wish_option
@click.option("--calibration", type=SOURCE, help="Data set for quantising network files [a grid].")
@profile_option
@jobs_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="JSON file to write.")
def cosim(
    sources: tuple[Path, ...],
    board: str,
    noise: str,
    cadence_s: float | None,
    recordings: Path | None,
    window_S: tuple[float, float] | None,
    seed: int,
    trials: int,
    longest_s: float | None,
    wish_permille: int,
    calibration: Path | None,
    profile: Profile,
    jobs: int | None,
    output: Path,
) -> None:
    """One-shot accuracy of the integer reference and of the compiled C on fresh noisy devices, or recorded ones.

    Sources are network files (.onnx), quantised as `codegen firmware` does, or firmware folders. Fails when
    the C differs from its reference in any number of any trial.
    """
    devices = recorded_or(load_preset(noise, cadence_s), recordings, window_S)
    with progress_bar(len(sources), "co-simulation", "predictor") as bar:
        found = cosimulate(
            sources,
            load_board(board),
            devices,
            seed,
            trials,
            calibration=calibration,
            longest_s=longest_s,
            wish_permille=wish_permille,
            jobs=jobs,
            progress=lambda name: bar.update(),
            profile=profile,
        )
    write_json(output, as_json(found))
    click.echo(accuracy_table(found))
    click.echo(f"the C equals its integer reference in all {trials} trials of each; written to {output}")


@click.command(short_help="Write-and-verify with the C: figure, table.")
@click.argument("firmware", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--noise", default="ouroboros", show_default=True, help="Noise preset, or a .toml file.")
@click.option("--cadence", "cadence_s", type=float, help="Time between noise draws, s [the preset's].")
@click.option("--seed", default=1, show_default=True, type=SEED, help="Seed of devices and bench.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write to.")
def demo(firmware: Path, noise: str, cadence_s: float | None, seed: int, output: Path) -> None:
    """Write-and-verify with the compiled C controller: 50 devices, 20 iterations, targets 100, 220 and 340 uS."""
    loaded, preset = load_firmware(firmware), load_preset(noise, cadence_s)
    bank = ControllerBank(host_library(firmware))
    found = run_demo(bank, loaded.board.bench_params(), preset, seed)
    if unsafe := sum(run.unsafe for run in found.runs.values()):
        raise UserError(f"{unsafe} controllers broke a safety rule; please report this")
    provenance = {
        "board": loaded.board.name,
        "noise_preset": preset.name,
        "cadence_s": preset.cadence_s,
        "seed": seed,
    }
    written = write_demo(found, output, provenance)
    click.echo(
        f"{STARTS} devices, {ITERATIONS} iterations each, board '{loaded.board.name}', {preset.name} noise"
    )
    click.echo(table(found.convergence))
    click.echo(f"written: {', '.join(map(str, written))}")


def accuracy_table(found: list[Cosimulation]) -> str:
    """The records of the C as text."""
    lines = [f"{'predictor':<24} mean RPD  median   within 50 %  20 %   10 %   wrong direction"]
    for record in (result.c for result in found):
        lines.append(
            f"{record.predictor:<24} {record.mean_rpd:<9.4f} {record.median_rpd:<8.4f} "
            f"{record.within_50:<12.2%} {record.within_20:<6.1%} {record.within_10:<6.1%} "
            f"{record.wrong_direction:.2%}"
        )
    return "\n".join(lines)
