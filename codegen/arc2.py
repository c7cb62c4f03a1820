"""An ArC TWO as the bench of the compiled firmware, through pyarc2 0.6 (optional, from pip).

The firmware's pulse gate has passed every pulse that comes here: this module knows no limits of its own. All channels
are at hard ground except during one read or one pulse, and a pulse is sent as one buffer that ends in that ground: its
end does not depend on this computer.
"""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sim.bench import BenchParams
from sim.errors import UserError
from sim.units import Ints

CHANNELS = 64
PULSE_TIMEOUT_S = 5.0  # beyond the pulse's own length
POLL_S = 1e-4

Result = TypeVar("Result")


@dataclass(frozen=True)
class Mapping:
    """Which channels lead to the array: row r is bit line `bits[r]`, column c is word line `words[c]`."""

    bits: tuple[int, ...]
    words: tuple[int, ...]

    @property
    def cells(self) -> int:
        """Rows times columns."""
        return len(self.bits) * len(self.words)


PLCC_32X32 = Mapping(
    bits=tuple(channel for k in range(16) for channel in (15 - k, 32 + k)),
    words=tuple(channel for k in range(16) for channel in (16 + k, 63 - k)),
)
"""The package socket of the instrument's daughterboard, as ArC2Control's `standard32.toml` has it."""


def read_mapping(path: Path) -> Mapping:
    """A mapping in ArC2Control's format: TOML, channels of the lines in `mapping.words` and `mapping.bits`.

    Raises:
        UserError: it cannot be read, or channels are missing, unknown or used twice.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))["mapping"]
        bits, words = found["bits"], found["words"]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no mapping: a [mapping] with words = [...] and bits = [...]") from None
    for name, lines in (("bits", bits), ("words", words)):
        if not isinstance(lines, list) or not lines or not all(type(line) is int for line in lines):
            raise UserError(f"{path}: mapping.{name} must be a list of channels")
    channels = [*bits, *words]
    for channel in channels:
        if not 0 <= channel < CHANNELS:
            raise UserError(f"{path}: channel {channel} is outside 0 .. {CHANNELS - 1}")
        if channels.count(channel) > 1:
            raise UserError(f"{path}: channel {channel} is used twice")
    return Mapping(tuple(bits), tuple(words))


class Arc2Bench:
    """Reads and pulses crosspoints of an ArC TWO; device `r * columns + c` is cell (r, c) of the mapping.

    Voltages are those of the word line against the bit line, or the other way round when `inverted`: a SET pulse is
    negative in the firmware's sense.
    """

    def __init__(self, arc: Any, params: BenchParams, mapping: Mapping, inverted: bool = False) -> None:
        """Use an open `pyarc2.Instrument`."""
        self._arc = arc
        self._idle = import_module("pyarc2").IdleMode.HardGnd
        self._params = params
        self._mapping = mapping
        self._sign = -1.0 if inverted else 1.0

    def __len__(self) -> int:
        return self._mapping.cells

    def read_codes(self, index: int) -> Ints:
        """One reading of a cell as the firmware's ADC code, (1,); 0 and the highest code mean saturation.

        Raises:
            UserError: the instrument failed.
        """
        low, high = self._channels(index)
        v_V = self._sign * self._params.v_read_uV * 1e-6

        def read() -> float:
            self._release()
            found = float(self._arc.read_one(low, high, v_V))
            self.ground()
            return found

        current_A = self._guarded("read", index, read)
        if not math.isfinite(current_A):
            raise UserError(f"ArC TWO: the reading of {self._cell(index)} is {current_A}")
        # Which sign a current has depends on how the library counts it: ArC2Control takes magnitudes, too.
        g_nS = abs(current_A / v_V) * 1e9
        p = self._params
        code = math.floor(g_nS / p.adc_full_scale_nS * (1 << p.adc_bits) + 0.5)
        return np.array([min(code, p.highest_code)], dtype=np.int64)

    def pulse(self, v_uV: int, ticks: int, index: int) -> Ints:
        """Give a cell one pulse; the ticks given, (1,).

        Raises:
            UserError: the instrument failed, or does not end.
        """
        low, high = self._channels(index)
        nanos = round(ticks * self._params.tick_s * 1e9)
        v_V = self._sign * v_uV * 1e-6

        def pulse() -> None:
            self._release().pulse_one(low, high, v_V, nanos)
            self.ground()  # ends and sends the buffer
            deadline = time.monotonic() + nanos * 1e-9 + PULSE_TIMEOUT_S
            while self._arc.busy():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"still busy {PULSE_TIMEOUT_S:g} s after the pulse")
                time.sleep(POLL_S)

        self._guarded("pulse", index, pulse)
        return np.array([ticks], dtype=np.int64)

    def ground(self) -> None:
        """Every channel at hard ground."""
        self._arc.finalise_operation(self._idle)

    def _release(self) -> Any:
        """Take the ground off and leave all lines floating, so that only the chosen cell sees a voltage."""
        return self._arc.connect_to_gnd([]).float_all()

    def _guarded(self, what: str, index: int, operation: Callable[[], Result]) -> Result:
        """Do it; whatever goes wrong, ground and say so in one line."""
        try:
            return operation()
        except (KeyboardInterrupt, SystemExit):
            self._ground_if_possible()
            raise
        except BaseException as error:  # pyarc2's panics are no Exception
            self._ground_if_possible()
            raise UserError(f"ArC TWO: the {what} of {self._cell(index)} failed: {_line(error)}") from None

    def _ground_if_possible(self) -> None:
        with suppress(BaseException):
            self.ground()

    def _channels(self, index: int) -> tuple[int, int]:
        """Low and high channel of a cell."""
        row, column = divmod(index, len(self._mapping.words))
        return self._mapping.bits[row], self._mapping.words[column]

    def _cell(self, index: int) -> str:
        row, column = divmod(index, len(self._mapping.words))
        return f"cell ({row}, {column})"


@contextmanager
def arc_two(
    bitstream: Path, number: int | None, params: BenchParams, mapping: Mapping, inverted: bool
) -> Iterator[Arc2Bench]:
    """Connect to an instrument; all its channels are at hard ground at the beginning and at the end.

    Args:
        bitstream: the instrument's own firmware, which comes with it.
        number: which one, where several are connected.

    Raises:
        UserError: pyarc2 is not installed, or no or several instruments are there, or it refuses.
    """
    try:
        pyarc2 = import_module("pyarc2")
    except ImportError:
        raise UserError("pyarc2 is not installed: pip install pyarc2 (Linux and Windows on x86-64)") from None
    if not bitstream.is_file():
        raise UserError(f"{bitstream} is no file: give the instrument's firmware (.bin) that came with it")
    try:
        numbers = [int(found) for found in pyarc2.find_ids()]
        if number is None and len(numbers) > 1:
            raise UserError(f"ArC TWOs {', '.join(map(str, numbers))} are connected: choose one with --id")
        if not numbers or number not in (None, *numbers):
            which = "" if number is None else f" {number}"
            raise UserError(f"no ArC TWO{which} is connected: check its USB cable and power")
        arc = pyarc2.Instrument(numbers[0] if number is None else number, str(bitstream))
        bench = Arc2Bench(arc, params, mapping, inverted)
        bench.ground()
    except pyarc2.ArC2Error as error:
        raise UserError(f"the ArC TWO cannot be used: {_line(error)}") from None
    try:
        yield bench
    finally:
        with suppress(pyarc2.ArC2Error):
            bench.ground()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
