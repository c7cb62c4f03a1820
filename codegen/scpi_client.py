"""Client of the firmware's text protocol (docs/protocol.md), over anything pyserial opens.

with ScpiClient("/dev/ttyACM0") as board:          # or COM3, socket://localhost:5025, rfc2217://...
    result = board.program_verify(0, 3, 220_000)
"""

from __future__ import annotations

import binascii
import time
from dataclasses import astuple, dataclass
from types import TracebackType

import serial

from codegen.status import Status
from sim.errors import UserError

MANUFACTURER = "Ouroboros"
ATTEMPT_S = 1.0  # a board that was reset by the port's opening does not hear the first words
LONGEST_LINE = 512
NO_ERROR = '0,"No error"'
UNDEFINED_HEADER = '-113,"Undefined header"'
DEVICE_COMMANDS = ("CAL:", "DEV:")
DEVICE_OUTCOMES = (Status.ERR_READ_SATURATED, Status.ERR_STUCK, Status.ERR_NOT_CONVERGED)
"""Errors that say something about the device and nothing about the board or the request: results, not exceptions."""


@dataclass(frozen=True)
class Identity:
    """Which firmware answers. `network` is the start of its model's SHA-256, as in `manifest.json`."""

    manufacturer: str
    board: str
    network: str
    versions: str

    def __str__(self) -> str:
        return ",".join(astuple(self))


@dataclass(frozen=True)
class VerifySettings:
    """What write-and-verify aims at; ranges as in `ouro_request_t`.

    A reading is on target within either tolerance; both 0 always give `max_iterations` iterations. A device is stuck
    after `stuck_pulses` pulses (0: never) that moved it by less than `stuck_move_nS`. Pulses last at most
    `budget_ticks`, and where there is a wish they are the shortest whose expected error keeps it; those of one-shot
    programs too. None: the board's default.
    """

    tolerance_nS: int | None = None
    tolerance_permille: int | None = None
    max_iterations: int | None = None
    stuck_pulses: int | None = None
    stuck_move_nS: int = 1000
    budget_ticks: int | None = None
    wish_permille: int | None = None

    def commands(self) -> list[str]:
        """The lines that set these on a board with default settings."""
        found = []
        if self.tolerance_nS is not None:
            found.append(f"CONF:TOL {self.tolerance_nS}")
        if self.tolerance_permille is not None:
            found.append(f"CONF:TOL:REL {self.tolerance_permille}")
        if self.max_iterations is not None:
            found.append(f"CONF:ITER {self.max_iterations}")
        if self.stuck_pulses is not None:
            found.append(f"CONF:STUC {self.stuck_pulses},{self.stuck_move_nS}")
        if self.budget_ticks is not None:
            found.append(f"CONF:BUDG {self.budget_ticks}")
        if self.wish_permille is not None:
            found.append(f"CONF:PREC {self.wish_permille}")
        return found


@dataclass(frozen=True)
class DeviceState:
    """What a board with a device-aware network knows of one device (docs/device-aware.md).

    Attributes:
        log2_rate_q4: how much faster than the network's reference the device moves, in 1/16 octave, -128 .. 127.
        pulses: how many pulses have told, 0 .. 255; 0: nothing is known.
    """

    log2_rate_q4: int
    pulses: int


UNKNOWN = DeviceState(0, 0)


@dataclass(frozen=True)
class Programmed:
    """How a program ended. Conductances are readings, -1 when there was none; direction +1 SET, -1 RESET, 0 none.

    Direction, ticks and voltage are those of the last pulse.
    """

    status: Status
    g_start_nS: int
    g_last_nS: int
    iterations: int
    pulses: int
    direction: int
    last_ticks: int
    total_ticks: int
    last_v_uV: int


class ScpiClient:
    """One board. Use it in a `with` block; leaving it stops a program under way and frees the port."""

    def __init__(self, port: str, *, baud: int = 115_200, timeout_s: float = 10.0, crc: bool = False) -> None:
        """Open `port` and find the firmware there; whatever was under way is stopped, all settings are the default.

        Args:
            port: a serial device or a URL of pyserial's.
            timeout_s: longest wait for a reply; a program gives pulses of the whole length within it.
            crc: secure every line by a CRC, both ways.

        Raises:
            UserError: the port cannot be opened, or no such firmware answers.
        """
        self.port = port
        self.timeout_s = timeout_s
        self._has_crc = False
        self._settings = VerifySettings()
        try:
            self._line = serial.serial_for_url(
                port, baudrate=baud, timeout=timeout_s, write_timeout=timeout_s
            )
        except (serial.SerialException, ValueError, OSError) as error:
            raise UserError(f"cannot open port {port}: {error}") from None
        try:
            self.identity = self._find()
            if crc:
                self._command("CONF:CRC 1")
        except BaseException:
            self._line.close()
            raise

    def __enter__(self) -> ScpiClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._write("ABOR")
        except UserError:
            pass  # the line is gone: nobody hears
        finally:
            self._line.close()

    def measure(self, row: int, column: int) -> int:
        """One reading of cell (row, column) [nS]; gives no pulse.

        Raises:
            UserError: the board refused, the reading is saturated, or the line failed.
        """
        status, g_nS = self.reading(row, column)
        if status != Status.OK:
            raise UserError(f"{self.port}: cell ({row}, {column}): {status.name}")
        return g_nS

    def reading(self, row: int, column: int) -> tuple[Status, int]:
        """As `measure`, for callers that go on after a saturated reading, which has a status of its own.

        Raises:
            UserError: the board refused, or the line failed.
        """
        line = f"MEAS:COND? {row},{column}"
        number, g_nS = self._result(line, 2)
        return self._require_outcome(line, Status(number)), g_nS

    def program_one_shot(
        self, row: int, column: int, g_target_nS: int, settings: VerifySettings | None = None
    ) -> Programmed:
        """One reading, one pulse towards `g_target_nS`.

        `g_last_nS` is the reading before the pulse; where the network knows its devices, the one after it.

        Args:
            settings: for this and later calls [those of the call before, at first the board's defaults].

        Raises:
            UserError: the board refused or failed, or the line did. What the device did is in `status`.
        """
        self._configure(settings)
        return self._program(f"PROG:ONES {row},{column},{g_target_nS}")

    def program_verify(
        self, row: int, column: int, g_target_nS: int, settings: VerifySettings | None = None
    ) -> Programmed:
        """Pulses and readings until `g_target_nS` is met.

        Args:
            settings: for this and later calls [those of the call before, at first the board's defaults].

        Raises:
            UserError: as `program_one_shot`, or a setting out of the board's range.
        """
        self._configure(settings)
        return self._program(f"PROG:VER {row},{column},{g_target_nS}")

    def calibrate_device(self, row: int, column: int, pulses: int = 3) -> Programmed:
        """Give cell (row, column) the pulses that reveal most of it; the board learns from each.

        They take the cell across its window, and last no longer than the budget in force.

        Raises:
            UserError: as `program_one_shot`, or the board's network does not know its devices.
        """
        return self._program(f"CAL:DEV {row},{column},{pulses}")

    def device_state(self, row: int, column: int) -> DeviceState:
        """What the board knows of cell (row, column).

        Raises:
            UserError: the board refused, its network does not know its devices, or the line failed.
        """
        found, _ = self._answer(f"DEV:STAT? {row},{column}", 2)
        return DeviceState(*found)

    def set_device_state(self, row: int, column: int, state: DeviceState) -> None:
        """Restore what was known of cell (row, column), for a board forgets it without power.

        Raises:
            UserError: as `device_state`, or a value out of its range.
        """
        self._command(f"DEV:STAT {row},{column},{state.log2_rate_q4},{state.pulses}")

    def forget_devices(self) -> None:
        """Nothing is known of any device any more, as after another array was connected.

        Raises:
            UserError: the board's network does not know its devices, or the line failed.
        """
        self._command("DEV:RES")

    def abort(self) -> None:
        """Outputs safe, now."""
        self._command("ABOR")

    def _configure(self, settings: VerifySettings | None) -> None:
        """Send settings that are not those in force."""
        if settings is not None and settings != self._settings:
            for line in ("*RST", *settings.commands()):
                self._command(line)
            self._settings = settings

    def _program(self, line: str) -> Programmed:
        status, *numbers = self._result(line, 9)
        return Programmed(self._require_outcome(line, Status(status)), *numbers)

    def _require_outcome(self, line: str, status: Status) -> Status:
        """`status` when it is about the device only."""
        if status.is_error and status not in DEVICE_OUTCOMES:
            raise UserError(f"{self.port}: '{line}' ended with {status.name}")
        return status

    def _command(self, line: str) -> None:
        """A line without a reply."""
        self._write(line, "SYST:ERR?")
        self._require_no_error(line, self._read(line))

    def _result(self, line: str, numbers: int) -> list[int]:
        """The numbers that `line` is answered with, the first of them a status."""
        found, error = self._answer(line, numbers)
        try:
            is_error = Status(found[0]).is_error
        except ValueError:
            raise self._damaged(line, ",".join(map(str, found))) from None
        if is_error and error == NO_ERROR:  # asked before the program had ended
            self._write("SYST:ERR?")
            self._read("SYST:ERR?")
        return found

    def _answer(self, line: str, numbers: int) -> tuple[list[int], str]:
        """The numbers that `line` is answered with, and the error that it left.

        The error queue is asked at once: a refused line has no other answer, so that it is told from a slow one.
        """
        self._write(line, "SYST:ERR?")
        found: list[int] = []
        error = ""
        while not found or not error:
            reply = self._read(line)
            if '"' in reply:
                error = reply
                if reply.startswith("-"):
                    self._require_no_error(line, reply)
            else:
                found = self._numbers(line, reply, numbers)
        return found, error

    def _numbers(self, line: str, reply: str, numbers: int) -> list[int]:
        try:
            found = [int(number) for number in reply.split(",")]
        except ValueError:
            found = []
        if len(found) != numbers:
            raise self._damaged(line, reply)
        return found

    def _damaged(self, line: str, reply: str) -> UserError:
        return UserError(f"{self.port}: '{line}' was answered with '{reply}': try again, with CRC")

    def _require_no_error(self, line: str, reply: str) -> None:
        if reply == UNDEFINED_HEADER and line.startswith(DEVICE_COMMANDS):
            raise UserError(
                f"{self.port}: the board refused '{line}': its network does not know its devices; make the firmware "
                "from one that does (docs/device-aware.md)"
            )
        if reply != NO_ERROR:
            raise UserError(f"{self.port}: the board refused '{line}': {reply}")

    def _find(self) -> Identity:
        """Bring the board to its start from any state: mid-line, mid-program, CRC on or off."""
        deadline = time.monotonic() + self.timeout_s
        self._line.timeout = min(ATTEMPT_S, self.timeout_s)
        while time.monotonic() < deadline:
            self._line.reset_input_buffer()
            self._send("\nABOR\n" + _secured("ABOR") + _secured("CONF:CRC 0") + "*RST\n*CLS\n*IDN?\n")
            while reply := self._receive():
                fields = reply.split(",")
                if len(fields) == 4 and fields[0] == MANUFACTURER:
                    self._line.timeout = self.timeout_s
                    return Identity(*fields)
        raise UserError(
            f"no {MANUFACTURER} firmware answered on {self.port} within {self.timeout_s:g} s: "
            "check port, cable and baud rate"
        )

    def _write(self, *lines: str) -> None:
        text = ""
        for line in lines:
            text += _secured(line) if self._has_crc else f"{line}\n"
            self._has_crc = {"CONF:CRC 0": False, "CONF:CRC 1": True}.get(line, self._has_crc)
        self._send(text)

    def _send(self, text: str) -> None:
        try:
            self._line.write(text.encode("ascii"))
        except (serial.SerialException, OSError) as error:
            raise UserError(f"{self.port}: the line broke: {error}") from None

    def _read(self, line: str) -> str:
        """The next reply, its CRC checked and removed."""
        while True:
            reply = text = self._receive()
            if not text:
                raise UserError(f"{self.port}: no answer to '{line}' within {self.timeout_s:g} s")
            if self._has_crc:
                reply = text.rpartition("*")[0]
                if _secured(reply) != f"{text}\n":
                    raise UserError(f"{self.port}: the answer to '{line}' came damaged: '{text}'")
            if not reply.startswith(f"{MANUFACTURER},"):  # else a late answer to an attempt of _find
                return reply

    def _receive(self) -> str:
        """One line without its end; empty when none came in time."""
        try:
            received = self._line.read_until(b"\n", LONGEST_LINE)
        except (serial.SerialException, OSError) as error:
            raise UserError(f"{self.port}: the line broke: {error}") from None
        text = str(received.decode("ascii", errors="replace"))
        return text.strip() if text.endswith("\n") else ""


def _secured(line: str) -> str:
    return f"{line}*{binascii.crc_hqx(line.encode('ascii'), 0xFFFF):04X}\n"
