"""A stand-in for pyarc2 0.6.0 with instruments that tests plug in; test_arc2.py holds it against the real one.

Names, order, units and types of arguments, results and exceptions are those of pyarc2, behaviour that of libarc2 as far
as it matters here: calls gather in a buffer until `execute`; `read_one` sends the buffer first and then has 0 V; a
hard-grounded channel takes no voltage; a pulse is 40 ns at least, in steps of 10 ns. Rounding by the DACs is left out.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

import numpy as np

LIBARC2_VERSION = "0.6.0"


class ArC2Error(Exception):
    """What the instrument or the library complains about."""


class PanicException(BaseException):
    """What a failed read raises: libarc2's error is not caught on its way."""


class IdleMode(Enum):
    Float = 0b01
    SoftGnd = 0b10
    HardGnd = 0b11


class Crossbar:
    """What is connected to the 64 channels: 250 uS everywhere, which nothing changes."""

    def current_A(self, low: int, high: int, v_V: float) -> float:
        return 250e-6 * v_V

    def pulse(self, low: int, high: int, v_V: float, nanos: int) -> None:
        pass


CONNECTED: list[Crossbar] = [Crossbar()]
OPENED: list[Instrument] = []


def find_ids() -> list[int]:
    return list(range(len(CONNECTED)))


class Instrument:
    def __init__(self, port: int, firmware: str, init: bool = True) -> None:
        if operator.index(port) >= len(CONNECTED):
            raise ArC2Error(f"Invalid ArC2 device id: {port}")
        if not isinstance(firmware, str):
            raise TypeError("argument 'firmware': 'Path' object cannot be converted to 'PyString'")
        self.crossbar = CONNECTED[port]
        self.grounded: set[int] = set()
        self.floating: set[int] = set()
        self.pulses: list[tuple[int, int, float, int]] = []
        self.misuse: list[str] = []
        self.failure: BaseException | None = None  # raised by the next read or pulse
        self.is_stuck = False
        self._buffer: list[Callable[[], None]] = []
        self._polls_until_done = 0
        OPENED.append(self)

    # --- instructions, sent by execute ---

    def connect_to_gnd(self, chans: Iterable[int]) -> Instrument:
        channels = set(np.array(chans, dtype=np.uint64).tolist())
        return self._later(lambda: self._ground(channels))

    def float_all(self) -> Instrument:
        return self._later(lambda: self.floating.update(range(64)))

    def ground_all_fast(self) -> Instrument:
        return self._later(lambda: None)  # 0 V on every channel; no voltage outlasts a call here anyhow

    def pulse_one(self, low: int, high: int, voltage: float, nanos: int) -> Instrument:
        low, high, nanos = _channel(low), _channel(high), operator.index(nanos)
        v_V = float(np.float32(voltage))
        if nanos < 0:
            raise OverflowError("can't convert negative int to unsigned")
        self._fail()
        given = max(nanos, 40) // 10 * 10 if nanos else 0
        return self._later(lambda: self._pulse(low, high, v_V, given))

    def execute(self) -> Instrument:
        buffer, self._buffer = self._buffer, []
        for instruction in buffer:
            instruction()
        self._polls_until_done = 2
        return self

    def finalise_operation(self, mode: IdleMode | None = None, control: Any = None) -> None:
        if mode == IdleMode.HardGnd:
            self.ground_all_fast().float_all().connect_to_gnd(np.arange(64, dtype=np.uint64)).execute()
        elif mode is not None:
            raise NotImplementedError(mode)

    # --- answers ---

    def read_one(self, low: int, high: int, vread: float) -> float:
        low, high = _channel(low), _channel(high)
        v_V = float(np.float32(vread))
        self._fail()
        self.execute()
        self._require_free(low, high)
        return float(np.float32(self.crossbar.current_A(low, high, v_V)))

    def busy(self) -> bool:
        self._polls_until_done -= 1
        return self.is_stuck or self._polls_until_done > 0

    def wait(self) -> None:
        while self.busy():
            pass

    # --- the instrument ---

    @property
    def is_safe(self) -> bool:
        """Every channel at hard ground, nothing left to send."""
        return self.grounded == set(range(64)) and not self._buffer

    def _ground(self, channels: set[int]) -> None:
        self.grounded = channels

    def _pulse(self, low: int, high: int, v_V: float, nanos: int) -> None:
        self._require_free(low, high)
        if self.floating != set(range(64)):
            self.misuse.append("pulse with other lines not floating")
        self.pulses.append((low, high, v_V, nanos))
        self.crossbar.pulse(low, high, v_V, nanos)

    def _require_free(self, low: int, high: int) -> None:
        if self.grounded & {low, high}:
            self.misuse.append(f"voltage on grounded channels {low}, {high}")

    def _later(self, instruction: Callable[[], None]) -> Instrument:
        self._buffer.append(instruction)
        return self

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def _channel(number: int) -> int:
    """Rust's usize, and an index into 64 channels."""
    number = operator.index(number)
    if number < 0:
        raise OverflowError("can't convert negative int to unsigned")
    if number > 63:
        raise PanicException(f"index out of bounds: the len is 64 but the index is {number}")
    return number
