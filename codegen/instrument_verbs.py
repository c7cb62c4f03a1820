"""`python -m codegen instrument`: a virtual board to talk to."""

from __future__ import annotations

from pathlib import Path

import click

from codegen.emulation import ARRAY_SIDE, MOST_DEVICES, emulator
from codegen.firmware import load_firmware
from codegen.instrument import serve_pty, serve_tcp, simulated_instrument
from codegen.target import load_built
from sim.closed_loop import draw_trials
from sim.counter_rng import SEED_HIGHEST
from sim.errors import UserError
from sim.noise import load_preset


@click.command(short_help="A virtual board on a TCP port or pseudo-terminal.")
@click.argument("folder", metavar="FIRMWARE", type=click.Path(path_type=Path))
@click.option("--tcp", "port", type=click.IntRange(0, 65535), help="Port to listen on; 0: any free one.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--pty", is_flag=True, help="Instead: a pseudo-terminal.")
@click.option(
    "--elf", type=click.Path(path_type=Path), help="Run what codegen elf wrote, in QEMU: 64 x 64 cells."
)
@click.option("--noise", default="ouroboros", help="Noise preset, or a .toml file.")
@click.option("--cadence", "cadence_s", type=float, help="Time between noise draws, s [the preset's].")
@click.option("--seed", default=1, type=click.IntRange(0, SEED_HIGHEST), help="Seed of devices and bench.")
@click.option("--devices", default=1024, type=click.IntRange(1, 2**24), help="Cells of the array.")
@click.option("--columns", default=32, type=click.IntRange(1, 2**16), help="Columns of the array.")
def instrument(
    folder: Path,
    port: int | None,
    host: str,
    pty: bool,
    elf: Path | None,
    noise: str,
    cadence_s: float | None,
    seed: int,
    devices: int,
    columns: int,
) -> None:
    """Be a board with the firmware in FIRMWARE and simulated memristors, until Ctrl-C.

    The C is compiled for this machine, or runs in QEMU as it is flashed, and speaks its own protocol
    (docs/protocol.md). The devices are those that `codegen cosim` meets at the same seed; cell (row, column) is
    device row * columns + column.
    """
    if pty == (port is not None):
        raise UserError("say either --tcp PORT or --pty")
    preset = load_preset(noise, cadence_s)

    def ready(url: str, rows: int, columns: int) -> None:
        click.echo(f"{url}: {rows} x {columns} devices, {preset.name} noise, seed {seed}; Ctrl-C ends it")

    if elf is not None:
        if port is None:
            raise UserError("--elf needs --tcp PORT")
        built = load_built(elf, folder, load_firmware(folder).board.name)
        bench = draw_trials(MOST_DEVICES, preset, seed).bench(built.board.bench_params(), jobs=1)
        with emulator(built.elf, built.board) as emulated:
            emulated.use(bench)
            serve_tcp(emulated.relay, host, port, lambda url: ready(url, ARRAY_SIDE, ARRAY_SIDE))
        return
    board = simulated_instrument(folder, preset, seed, devices, columns)
    if port is None:
        serve_pty(board, lambda url: ready(url, board.rows, board.columns))
    else:
        serve_tcp(board.relay, host, port, lambda url: ready(url, board.rows, board.columns))
