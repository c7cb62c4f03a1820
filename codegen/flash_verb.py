"""`python -m codegen flash`: the firmware onto the board."""

from __future__ import annotations

from pathlib import Path

import click

from codegen.flash import dry_run as dry_run_flash
from codegen.flash import flash as flash_board
from sim.command_line import EXIT_INTERRUPTED

Folder = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--board", "board_name", required=True, help="Board to flash.")
@click.option(
    "--probe", help="Serial number of a probe or its start, serial port, or drive  [the only one there is]."
)
@click.option(
    "--method", "method_name", help="One of those in the board's board.toml  [the first that works now]."
)
@click.option("--dry-run", is_flag=True, help="Print the commands and change nothing.")
@click.option("--firmware", "firmware_folder", type=Folder, help="[build/firmware/BOARD]")
@click.option("--elf", "elf_folder", type=Folder, help="Where the ELF is, or is built  [build/elf/BOARD].")
@click.option("--compiler", type=click.Choice(["arm-none-eabi-gcc", "zig"]), help="[the first there is]")
def flash(
    board_name: str,
    probe: str | None,
    method_name: str | None,
    dry_run: bool,
    firmware_folder: Path | None,
    elf_folder: Path | None,
    compiler: str | None,
) -> None:
    """Write the firmware to the board and verify it; build the ELF first where it is missing or out of date.

    How: docs/flashing.md. Says what is missing when nothing is connected or installed.
    """
    elf_folder = elf_folder or Path("build/elf") / board_name
    if dry_run:
        commands, choice = dry_run_flash(board_name, elf_folder, probe, method_name)
        for line in choice.missing:
            click.echo(f"not ready, {line}", err=True)
        click.echo("\n".join(commands))
        return
    firmware_folder = firmware_folder or Path("build/firmware") / board_name
    try:
        done = flash_board(
            board_name,
            firmware_folder,
            elf_folder,
            probe,
            method_name,
            compiler,
            lambda line: click.echo(line, err=True),
        )
    except KeyboardInterrupt:
        click.echo(
            "codegen: interrupted; if writing had begun, the board has no whole firmware: flash again",
            err=True,
        )
        raise SystemExit(EXIT_INTERRUPTED) from None
    click.echo(done)
