"""A virtual board: the compiled firmware, protocol included, on simulated devices; on a socket or pseudo-terminal.

Simulated time costs nothing: a program is over before the next byte is looked at, so that replies depend on what was
sent and never on how fast.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

from codegen.build import host_library
from codegen.firmware import load_firmware
from codegen.host import load_library
from firmware_templates import HOST
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.noise import NoisePreset
from sim.units import Ints

CHUNK = 4096
SIDE_HIGHEST = 2**16


class Cells(Protocol):
    """What an instrument reads and pulses: a `sim.bench.Bench`, or cells that are really there."""

    def __len__(self) -> int: ...

    def read_codes(self, index: int) -> Ints:
        """ADC code of one reading, (1,)."""
        ...

    def pulse(self, v_uV: int, ticks: int, index: int) -> Ints:
        """Give one pulse; the ticks given, (1,)."""
        ...


class Instrument:
    """One board with an array of rows x columns; cell (row, column) is device `row * columns + column` of the bench."""

    def __init__(self, library: Path, bench: Cells, columns: int) -> None:
        """Start the firmware in `library`, a host library, on `bench`.

        Raises:
            UserError: the devices do not fill rows of `columns`, or the library cannot be loaded.
        """
        rows, rest = divmod(len(bench), columns)
        if rest or not 0 < rows <= SIDE_HIGHEST or columns > SIDE_HIGHEST:
            raise UserError(f"{len(bench)} devices do not make 1 .. {SIDE_HIGHEST} whole rows of {columns}")
        self.bench = bench
        self.rows = rows
        self.columns = columns
        ffi, self._lib = load_library(library, HOST / "ouro_lockstep.h", HOST / "ouro_instrument.h")
        board = self._lib.ouro_instrument_new(rows, columns)
        if board == ffi.NULL:
            raise UserError("not enough memory for the instrument")
        self._board = ffi.gc(board, self._lib.ouro_instrument_free)

    def exchange(self, received: bytes) -> bytes:
        """What the board answers to these bytes of its serial line."""
        sent = bytearray()
        for byte in received:
            self._lib.ouro_instrument_feed(self._board, byte)
            self._work()
            while (reply := self._lib.ouro_instrument_take(self._board)) >= 0:
                sent.append(reply)
        return bytes(sent)

    def relay(self, client: socket.socket) -> None:
        """Be the board's serial line for `client` until it hangs up."""
        while received := client.recv(CHUNK):
            client.sendall(self.exchange(received))

    @property
    def is_safe(self) -> bool:
        """At rest without voltage, and no safety rule was ever broken."""
        lib, board = self._lib, self._board
        return bool(lib.ouro_instrument_is_safe(board)) and not lib.ouro_instrument_violations(board)

    def _work(self) -> None:
        """Serve the board's reads and pulses until it rests."""
        lib, board = self._lib, self._board
        while (wait := lib.ouro_instrument_step(board)) != lib.OURO_WAIT_NONE:
            device = lib.ouro_instrument_row(board) * self.columns + lib.ouro_instrument_column(board)
            if wait == lib.OURO_WAIT_READ:
                lib.ouro_instrument_serve_read(board, int(self.bench.read_codes(device)[0]))
            else:
                v_uV, ticks = lib.ouro_instrument_v_uV(board), lib.ouro_instrument_ticks(board)
                lib.ouro_instrument_serve_pulse(board, int(self.bench.pulse(v_uV, ticks, device)[0]))


def simulated_instrument(
    folder: Path, noise: NoisePreset, seed: int, devices: int, columns: int
) -> Instrument:
    """The firmware in `folder` on the devices that `codegen cosim` meets at the same seed.

    Raises:
        UserError: no firmware folder, no compiler, or devices that make no array.
    """
    params = load_firmware(folder).board.bench_params()
    bench = draw_trials(devices, noise, seed).bench(params, jobs=1)
    return Instrument(host_library(folder), bench, columns)


def serve_tcp(
    relay: Callable[[socket.socket], None], host: str, port: int, ready: Callable[[str], None]
) -> None:
    """Be an instrument on a TCP port, for one client after the other, until interrupted.

    Args:
        relay: is the instrument's serial line for one client until that hangs up.
        port: 0 for any free one.
        ready: called with the URL for clients once they can connect.

    Raises:
        UserError: the port cannot be had.
    """
    try:
        server = socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot listen on {host}:{port}: {error}") from None
    with closing(server):
        ready(f"socket://{host}:{server.getsockname()[1]}")
        while True:
            connection, _ = server.accept()
            with closing(connection), suppress(ConnectionError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                relay(connection)


def serve_pty(instrument: Instrument, ready: Callable[[str], None]) -> None:
    """Be the instrument behind a pseudo-terminal, a serial port as good as any, until interrupted.

    Args:
        ready: called with the terminal's path once it can be opened.

    Raises:
        UserError: this system has none.
    """
    try:
        import pty
        import tty
    except ImportError:
        raise UserError("there are no pseudo-terminals on this system: use --tcp PORT") from None
    board, terminal = pty.openpty()
    try:
        tty.setraw(terminal)  # and keep it open: the line stays up between clients
        ready(os.ttyname(terminal))
        while received := os.read(board, CHUNK):
            replies = instrument.exchange(received)
            while replies:
                replies = replies[os.write(board, replies) :]
    finally:
        os.close(board)
        os.close(terminal)
