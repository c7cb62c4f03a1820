"""The ELF that would be flashed, running in QEMU, programming simulated devices over its serial lines.

QEMU executes the machine code of controller, predictor and protocol. Its first serial line carries commands and
replies; over the second, the bench link (firmware_templates/targets/ouro_target_hal.h), the firmware reads and pulses
the same `sim.bench.Bench` as the host's co-simulation. A board with one line has both on it: bytes of the link have
bit 7 set (firmware_templates/targets/ouro_shared_line.h).
"""

from __future__ import annotations

import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codegen.boards import Board
from codegen.build import host_library
from codegen.controllers import ControllerBank, Request
from codegen.cores import load_core
from codegen.device_state import DeviceStates
from codegen.firmware import Firmware, load_firmware
from codegen.reference import ReferencePredictor
from codegen.status import Status
from codegen.target import Built
from sim.accuracy import accuracy_record
from sim.bench import Bench
from sim.closed_loop import ProgramTrace, Trials, draw_trials, one_shot
from sim.errors import UserError
from sim.noise import NoisePreset
from sim.units import Ints

ARRAY_SIDE = 64  # cells of the boards' selectors
MOST_DEVICES = ARRAY_SIDE**2
PATIENCE_S = 60.0  # without a byte from the emulator
START_TRY_S = 0.5
LINK_BIT = 0x80
# A host's byte that would be the link's becomes one that is no text either.
_NO_LINK = bytes(min(byte, LINK_BIT - 1) for byte in range(256))


@dataclass(frozen=True)
class Outcome:
    """The firmware's answer to one program: the fields of the protocol's result line."""

    status: int
    g_start_nS: int
    g_last_nS: int
    iterations: int
    pulses: int
    direction: int
    last_ticks: int
    total_ticks: int
    last_v_uV: int


class _SilentError(UserError):
    """No reply came in time."""


class Emulated:
    """A running emulator: sends commands to the firmware and serves its bench link until the reply has come."""

    def __init__(self, lines: list[socket.socket], process: subprocess.Popen[bytes]) -> None:
        self._host, self._link, self._process = lines[0], lines[-1], process
        self._is_shared = len(lines) == 1
        self._replies, self._requests = bytearray(), bytearray()
        self._selector = selectors.DefaultSelector()
        for line in lines:
            line.setblocking(False)
            self._selector.register(line, selectors.EVENT_READ)
        self.bench: Bench | None = None
        self.reads: dict[int, list[int]] = {}
        self.pulses: dict[int, list[tuple[int, int, int]]] = {}

    def use(self, bench: Bench) -> None:
        """Fresh devices: device k at row k // 64, column k % 64."""
        self.bench, self.reads, self.pulses = bench, {}, {}

    def ask(self, command: str) -> str:
        """Send a command that has a reply, and return it.

        Raises:
            UserError: the emulator stopped or is silent.
        """
        _send(self._host, f"{command}\n".encode())
        return self._reply()

    def tell(self, command: str) -> None:
        """Send a command without a reply and see that it left no error."""
        _send(self._host, f"{command}\n".encode())
        error = self.ask("SYST:ERR?")
        if not error.startswith("0,"):
            raise UserError(f"the firmware refused '{command}': {error}")

    def enable_link(self) -> None:
        """Switch the bench link on, once the firmware answers: what comes before it has set up its lines is lost."""
        for _ in range(int(PATIENCE_S / START_TRY_S)):
            _send(self._host, b"*IDN?\n")
            with suppress(_SilentError):
                self._reply(START_TRY_S)
                break
        _send(self._host, b"*CLS\nSYST:ERR?\n")
        while not self._reply().startswith("0,"):  # late answers to *IDN?, if it was asked again
            pass
        self._answer("LINK")
        for _ in range(2):  # turns of the firmware's loop, in which it takes the line
            self.ask("*IDN?")

    def relay(self, client: socket.socket) -> None:
        """Be the firmware's serial line for `client` until it hangs up, and serve the bench link.

        Raises:
            UserError: the emulator stopped.
        """
        self._selector.register(client, selectors.EVENT_READ)
        try:
            while True:
                for key, _ in self._selector.select(timeout=0.1):
                    if key.fileobj is not client:
                        self._receive(key.fileobj)  # type: ignore[arg-type]
                    elif received := client.recv(4096):
                        _send(self._host, received.translate(_NO_LINK) if self._is_shared else received)
                    else:
                        return
                self._serve_link()
                client.sendall(bytes(self._replies))
                self._replies.clear()
        finally:
            self._selector.unregister(client)

    def program(self, command: str, device: int, target_nS: int) -> Outcome:
        """Run PROG:ONES or PROG:VER on one device."""
        row, column = divmod(device, ARRAY_SIDE)
        reply = self.ask(f"{command} {row},{column},{target_nS}")
        try:
            return Outcome(*(int(field) for field in reply.split(",")))
        except (TypeError, ValueError):
            raise UserError(f"the firmware answered '{reply}' to {command}") from None

    def state(self, device: int) -> tuple[int, int]:
        """What the firmware knows of a device: log rate and pulses, as in `codegen.device_state`."""
        row, column = divmod(device, ARRAY_SIDE)
        rate, pulses = self.ask(f"DEV:STAT? {row},{column}").split(",")
        return int(rate), int(pulses)

    def _reply(self, patience_s: float = PATIENCE_S) -> str:
        silent_since = time.monotonic()
        while True:
            line = _take_line(self._replies)
            if line is not None:
                return line.decode("ascii", "replace").strip()
            ready = self._selector.select(timeout=0.1)
            for key, _ in ready:
                self._receive(key.fileobj)  # type: ignore[arg-type]
                silent_since = time.monotonic()
            self._serve_link()
            if time.monotonic() - silent_since > patience_s:
                raise _SilentError(f"the emulated firmware has been silent for {patience_s:g} s")

    def _receive(self, source: socket.socket) -> None:
        content = source.recv(4096)
        if not content:
            raise UserError("the emulator closed a serial line")
        if self._is_shared:
            self._replies += bytes(byte for byte in content if byte < LINK_BIT)
            self._requests += bytes(byte - LINK_BIT for byte in content if byte >= LINK_BIT)
        elif source is self._host:
            self._replies += content
        else:
            self._requests += content

    def _serve_link(self) -> None:
        """Answer what has come on the bench link."""
        while (request := _take_line(self._requests)) is not None:
            self._serve(request.decode("ascii", "replace"))
        if self._process.poll() is not None:
            raise UserError(f"the emulator stopped with status {self._process.returncode}")

    def _serve(self, request: str) -> None:
        """Answer one line of the bench link."""
        kind, _, rest = request.partition(" ")
        if kind == "S":
            return
        assert self.bench is not None
        numbers = [int(field) for field in rest.split(",")]
        if kind == "V":
            self._answer(f"{int(self.bench.params.dac_uV(numbers[0]))}")
            return
        row, column, v_uV, number = numbers
        device = row * ARRAY_SIDE + column
        index = np.array([device])
        if kind == "R":
            (code,) = self.bench.read_codes(index)
            g_nS = int(self.bench.params.code_to_nS(code))
            self.reads.setdefault(device, []).append(g_nS)
            saturated = int(code in (0, self.bench.params.highest_code))
            self._answer(f"{g_nS},{saturated}")
        elif kind == "P":
            (given,) = self.bench.pulse(np.array([v_uV]), np.array([number]), index)
            self.pulses.setdefault(device, []).append((1 if v_uV < 0 else -1, int(given), v_uV))
            self._answer(f"{int(given)}")
        else:
            raise UserError(f"the firmware sent '{request}' on its bench link")

    def _answer(self, line: str) -> None:
        """Send a line on the bench link."""
        content = f"{line}\n".encode()
        _send(self._link, bytes(byte | LINK_BIT for byte in content) if self._is_shared else content)


@contextmanager
def emulator(elf: Path, board: Board) -> Iterator[Emulated]:
    """Start a board's emulator with an ELF; it is stopped when the block ends, by SIGTERM too.

    Raises:
        UserError: the board has no emulator, or QEMU is not installed.
    """
    machine = board.target.emulator
    if machine is None:
        raise UserError(f"board '{board.name}' has no emulator")
    family = load_core(board.target.cpu).family
    program = shutil.which(family.qemu)
    if program is None:
        raise UserError(f"{family.qemu} is not installed: scripts/targets.sh installs it, or says how")
    with ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(board.target.serial_lines)
        ]
        lines = [f"tcp:127.0.0.1:{server.getsockname()[1]},nodelay=on" for server in servers]
        command = [
            program,
            "-M",
            machine,
            *family.qemu_image,
            str(elf),
            "-display",
            "none",
            "-monitor",
            "none",
        ]
        command += [word for line in lines for word in ("-serial", line)]
        stack.enter_context(_sigterm_as_interrupt())
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        connections: list[socket.socket] = []
        try:
            for server in servers:
                server.settimeout(PATIENCE_S)
                connection, _ = server.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections.append(connection)
            emulated = Emulated(connections, process)
            emulated.enable_link()
            yield emulated
        except TimeoutError:
            raise UserError("the emulator did not connect its serial lines") from None
        finally:
            process.kill()
            process.communicate()
            for connection in connections:
                connection.close()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Within the block SIGTERM ends this process as Ctrl-C does, so that what it has started does not outlive it."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def emulate_built(
    built: Built, firmware_folder: Path, noise: NoisePreset, seed: int, trials: int, verify_trials: int
) -> dict[str, Any]:
    """One-shot and write-and-verify in the emulator, compared with the integer reference and the host's controllers.

    Returns:
        JSON values: the one-shot record, and counts of what differs, which are 0.
    """
    if not 1 <= trials <= MOST_DEVICES or not 0 <= verify_trials <= MOST_DEVICES:
        raise UserError(
            f"trials must be 1 .. {MOST_DEVICES}: the boards select {ARRAY_SIDE} x {ARRAY_SIDE} cells"
        )
    board, firmware = built.board, load_firmware(firmware_folder)
    drawn = draw_trials(trials, noise, seed)
    with emulator(built.elf, board) as emulated:
        identity = emulated.ask("*IDN?")
        trace, outcomes = _one_shots(emulated, drawn.bench(board.bench_params()), drawn)
        verified = _write_and_verify(emulated, firmware, noise, seed + 1, verify_trials)
    wanted = one_shot(
        drawn.bench(board.bench_params()), ReferencePredictor(firmware.model), drawn.g_target_nS
    )
    pulse_differs = (trace.ticks != wanted.ticks) | (trace.v_uV != wanted.v_uV)
    record = accuracy_record(firmware.folder.name, "emulated", board.name, drawn, trace)
    return {
        "board": board.name,
        "machine": board.target.emulator,
        "compiler": built.compiler,
        "identity": identity,
        "one_shot": asdict(record),
        "statuses": {
            Status(value).name: int(count)
            for value, count in zip(*np.unique([o.status for o in outcomes], return_counts=True), strict=True)
        },
        "pulses_differing_from_reference": int(pulse_differs.sum()),
        "conductances_differing_from_reference": int((trace.g_end_S != wanted.g_end_S).sum()),
        "write_and_verify": verified,
    }


def _one_shots(emulated: Emulated, bench: Bench, drawn: Trials) -> tuple[ProgramTrace, list[Outcome]]:
    emulated.use(bench)
    targets = drawn.g_target_nS
    outcomes = [emulated.program("PROG:ONES", k, int(target)) for k, target in enumerate(targets)]
    pulses = [emulated.pulses.get(k, [(0, 0, 0)]) for k in range(len(targets))]
    first = np.array([emulated.reads[k][0] for k in range(len(targets))])
    trace = ProgramTrace(
        g_target_nS=targets,
        g_read_nS=np.stack([first, bench.read_nS()]),
        g_end_S=bench.devices.g_S,
        direction=np.array([[p[0][0] for p in pulses]], dtype=np.int8),
        ticks=np.array([[p[0][1] for p in pulses]], dtype=np.int64),
        v_uV=np.array([[p[0][2] for p in pulses]], dtype=np.int64),
    )
    return trace, outcomes


def _write_and_verify(
    emulated: Emulated, firmware: Firmware, noise: NoisePreset, seed: int, count: int
) -> dict[str, int]:
    """Programs to within 5 %, 20 iterations at most, in the emulator and by the host's controllers.

    Where the network knows its devices, nothing is known at the beginning, and what was learned is compared too.
    """
    if count == 0:
        return {"devices": 0, "differing": 0, "converged": 0}
    request, drawn = Request(tolerance_permille=50, max_iterations=20), draw_trials(count, noise, seed)
    emulated.use(drawn.bench(firmware.board.bench_params()))
    for setting in (
        "CONF:TOL 0",
        "CONF:TOL:REL 50",
        "CONF:ITER 20",
        f"CONF:STUC {request.stuck_pulses},{request.stuck_move_nS}",
    ):
        emulated.tell(setting)
    states = DeviceStates.fresh(count) if firmware.model.knows_device else None
    if states is not None:
        emulated.tell("DEV:RES")
    targets: Ints = drawn.g_target_nS[:count]
    found = [emulated.program("PROG:VER", k, int(target)) for k, target in enumerate(targets)]
    wanted = ControllerBank(host_library(firmware.folder)).run(
        drawn.bench(firmware.board.bench_params()), drawn.g_target_nS, request, states
    )
    differing = sum(
        (o.status, o.iterations, o.pulses, o.g_start_nS, o.g_last_nS)
        != (
            int(wanted.status[k]),
            int(wanted.iterations[k]),
            int(wanted.pulses[k]),
            int(wanted.g_start_nS[k]),
            int(wanted.g_last_nS[k]),
        )
        for k, o in enumerate(found)
    )
    if states is not None:
        differing += sum(
            emulated.state(k) != (states.log2_rate_q4[k], states.pulses[k]) for k in range(count)
        )
    converged = sum(o.status == Status.CONVERGED for o in found)
    return {"devices": count, "differing": int(differing), "converged": int(converged)}


def _send(to: socket.socket, content: bytes) -> None:
    to.setblocking(True)
    to.sendall(content)
    to.setblocking(False)


def _take_line(buffer: bytearray) -> bytes | None:
    end = buffer.find(b"\n")
    if end < 0:
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 1]
    return line
