"""`python -m codegen arctwo`: the firmware on an ArC TWO."""

from __future__ import annotations

from pathlib import Path

import click

from codegen.arc2 import PLCC_32X32, arc_two, read_mapping
from codegen.build import host_library
from codegen.firmware import load_firmware
from codegen.instrument import Instrument, serve_pty, serve_tcp
from sim.errors import UserError

Input = click.Path(path_type=Path)
BOARD = "arc-two"


@click.command(short_help="The firmware on an ArC TWO, as a board to talk to.")
@click.argument("folder", metavar="FIRMWARE", type=Input)
@click.option("--bitstream", required=True, type=Input, help="The ArC TWO's own firmware (.bin).")
@click.option("--id", "number", type=click.IntRange(min=0), help="Which ArC TWO  [the only one there is].")
@click.option(
    "--mapping", "mapping_file", type=Input, help="ArC2Control's channel mapping  [its PLCC 32x32]."
)
@click.option("--invert", is_flag=True, help="SET and RESET are of the other polarity.")
@click.option("--tcp", "port", type=click.IntRange(0, 65535), help="Port to listen on; 0: any free one.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--pty", is_flag=True, help="Instead: a pseudo-terminal.")
def arctwo(
    folder: Path,
    bitstream: Path,
    number: int | None,
    mapping_file: Path | None,
    invert: bool,
    port: int | None,
    host: str,
    pty: bool,
) -> None:
    """Be a board with the firmware in FIRMWARE whose cells are those of an ArC TWO, until Ctrl-C.

    The C, made for the board 'arc-two', runs on this machine and speaks its protocol (docs/protocol.md).
    Row r and column c are the bit and word lines of the mapping.
    """
    if pty == (port is not None):
        raise UserError("say either --tcp PORT or --pty")
    board = load_firmware(folder).board
    if board.name != BOARD:
        raise UserError(f"{folder} was made for board '{board.name}': make it with --board {BOARD}")
    mapping = read_mapping(mapping_file) if mapping_file else PLCC_32X32
    library = host_library(folder)
    with arc_two(bitstream, number, board.bench_params(), mapping, invert) as bench:
        instrument = Instrument(library, bench, len(mapping.words))

        def ready(url: str) -> None:
            click.echo(f"{url}: ArC TWO, {instrument.rows} x {instrument.columns} cells; Ctrl-C ends it")

        if port is None:
            serve_pty(instrument, ready)
        else:
            serve_tcp(instrument.relay, host, port, ready)
