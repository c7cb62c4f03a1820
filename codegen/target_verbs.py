"""`codegen boards`, `codegen elf` and `codegen emulate`: firmware as it is flashed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from codegen.boards import board_names, load_board
from codegen.cross import COMPILER_NAMES
from codegen.emulation import MOST_DEVICES, emulate_built
from codegen.target import build_elf, is_buildable, load_built, size_report
from sim.counter_rng import SEED_HIGHEST
from sim.errors import UserError
from sim.noise import load_preset

Folder = click.Path(file_okay=False, path_type=Path)
FIRMWARE, ELF = Path("build/firmware"), Path("build/elf")


@click.command()
def boards() -> None:
    """List the boards there are: processor core, QEMU machine, whether an ELF can be built."""
    click.echo(f"{'board':16} {'core':15} {'emulator':18} {'elf':4} description")
    for name in board_names():
        board = load_board(name)
        target = board.target
        elf = "yes" if is_buildable(board) else "no"
        click.echo(f"{name:16} {target.cpu:15} {target.emulator or '-':18} {elf:4} {board.description}")


@click.command()
@click.argument("folder", type=Folder)
@click.option("--board", "board_name", help="Board that FOLDER must have been made for.")
@click.option("--compiler", type=click.Choice(COMPILER_NAMES), help="[the first there is]")
@click.option("-o", "--output", type=Folder, required=True, help="Folder to write, whole or not at all.")
def elf(folder: Path, board_name: str | None, compiler: str | None, output: Path) -> None:
    """Build what is flashed from the firmware in FOLDER: ELF, HEX, BIN, UF2 where it is taken, map, sizes."""
    built = build_elf(folder, output, compiler, board_name)
    click.echo(f"{output}: {size_report(built).strip()}")


@click.command()
@click.option("--board", "board_name", required=True, help="Board to emulate.")
@click.option(
    "--trials", default=100, type=click.IntRange(1, MOST_DEVICES), help="Devices to program one-shot."
)
@click.option(
    "--verify-trials", default=20, type=click.IntRange(0, MOST_DEVICES), help="And with write-and-verify."
)
@click.option("--noise", default="ouroboros", help="Noise preset, or a .toml file.")
@click.option(
    "--seed", default=1, type=click.IntRange(0, SEED_HIGHEST), help="Seed of trials, devices and bench."
)
@click.option("--firmware", "firmware_folder", type=Folder, help="[build/firmware/BOARD]")
@click.option("--elf", "elf_folder", type=Folder, help="What codegen elf wrote  [build/elf/BOARD].")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def emulate(
    board_name: str,
    trials: int,
    verify_trials: int,
    noise: str,
    seed: int,
    firmware_folder: Path | None,
    elf_folder: Path | None,
    as_json: bool,
) -> None:
    """Run the ELF in QEMU on simulated devices; every pulse must be the integer reference's. If not: status 2."""
    load_board(board_name)
    firmware_folder, elf_folder = firmware_folder or FIRMWARE / board_name, elf_folder or ELF / board_name
    built = load_built(elf_folder, firmware_folder, board_name)
    found = emulate_built(built, firmware_folder, load_preset(noise), seed, trials, verify_trials)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        one_shot, verified = found["one_shot"], found["write_and_verify"]
        click.echo(
            f"{board_name} in QEMU's {found['machine']}, {trials} one-shot trials: mean RPD {one_shot['mean_rpd']:.4f},"
            f" {one_shot['within_50']:.1%} within 50 %\n"
            f"{found['pulses_differing_from_reference']} pulses differ from the integer reference\n"
            f"write-and-verify: {verified['converged']} of {verified['devices']} within 5 %,"
            f" {verified['differing']} differ from the same controller on the host"
        )
    if found["pulses_differing_from_reference"] or found["write_and_verify"]["differing"]:
        raise UserError("the emulated firmware differs from its reference; please report this")
