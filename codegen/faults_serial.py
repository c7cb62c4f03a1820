"""Damage on the serial line: what a board makes of commands that did not arrive as they were sent."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codegen.boards import Board
from codegen.faults import FAULTS
from codegen.faults_bench import FaultyBench
from codegen.instrument import Instrument
from sim.closed_loop import Trials

Generator = np.random.Generator
END = b"\n"
GARBAGE_LONGEST = 200
CHANGES_MOST = 3


@dataclass(frozen=True)
class LineFault:
    """Damage to one command line, without its end; `has_crc`: the line is protected by the protocol's CRC."""

    name: str
    text: str
    damage: Callable[[Generator, bytes], bytes]
    has_crc: bool = False


@dataclass(frozen=True)
class LineOutcome:
    """What became of the commands. `altered`: carried out, but not as sent. `silent`: neither a reply nor an error.

    `safe` counts commands after which the board rested in the safe state, no rule of the HAL ever broken;
    `beyond_limits` pulses beyond a limit of the board.
    """

    fault: str
    text: str
    crc: bool
    commands: int
    as_sent: int
    refused: int
    altered: int
    silent: int
    safe: int
    pulses: int
    beyond_limits: int

    @property
    def is_good(self) -> bool:
        """Always safe, never silent, no pulse beyond the limits; under CRC nothing carried out but what was sent."""
        is_safe = self.safe == self.commands and self.beyond_limits == 0
        return is_safe and self.silent == 0 and not (self.crc and self.altered)

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def _bytes(draw: Generator, count: int) -> bytes:
    return draw.integers(0, 256, count, dtype=np.uint8).tobytes()


def _garbage_line_first(draw: Generator, line: bytes) -> bytes:
    return _bytes(draw, int(draw.integers(1, GARBAGE_LONGEST))) + END + line


def _garbage_first(draw: Generator, line: bytes) -> bytes:
    return _bytes(draw, int(draw.integers(1, GARBAGE_LONGEST))) + line


def _only_garbage(draw: Generator, line: bytes) -> bytes:
    return _bytes(draw, int(draw.integers(1, GARBAGE_LONGEST)))


def _at_places(change: Callable[[Generator, int], bytes]) -> Callable[[Generator, bytes], bytes]:
    """Up to `CHANGES_MOST` bytes of a line, each replaced by what `change` makes of it."""

    def damage(draw: Generator, line: bytes) -> bytes:
        places = draw.choice(len(line), int(draw.integers(1, CHANGES_MOST + 1)), replace=False)
        return b"".join(change(draw, byte) if k in places else bytes([byte]) for k, byte in enumerate(line))

    return damage


_CHANGED = _at_places(lambda draw, byte: _bytes(draw, 1))
_FLIPPED = _at_places(lambda draw, byte: bytes([byte ^ (1 << int(draw.integers(8)))]))
_LOST = _at_places(lambda draw, byte: b"")
_DOUBLED = _at_places(lambda draw, byte: bytes([byte, byte]))
_FEW = f"of 1 to {CHANGES_MOST} bytes of each line"

LINE_FAULTS = (
    LineFault("garbage lines", f"up to {GARBAGE_LONGEST} random bytes and a line end before each", _garbage_line_first),
    LineFault("garbage", f"up to {GARBAGE_LONGEST} random bytes before each, without a line end", _garbage_first),
    LineFault("nothing but garbage", f"up to {GARBAGE_LONGEST} random bytes in place of each", _only_garbage),
    *(
        LineFault(name, text, damage, has_crc)
        for name, text, damage in (
            ("bytes changed", f"any others in place {_FEW}", _CHANGED),
            ("bits flipped", f"one bit {_FEW}", _FLIPPED),
            ("bytes lost", "1 to 3 of each line", _LOST),
            ("bytes doubled", "1 to 3 of each line", _DOUBLED),
        )
        for has_crc in (False, True)
    ),
)  # fmt: skip


def try_line_fault(library: Path, board: Board, fault: LineFault, trials: Trials) -> LineOutcome:
    """Send one damaged `PROG:VER` or `PROG:ONES` for each device of `trials`, and ask for the error."""
    n = len(trials.g_target_nS)
    bench = FaultyBench(trials, board, FAULTS[0], None)
    instrument = Instrument(library, bench, columns=n)
    if fault.has_crc:
        instrument.exchange(b"CONF:CRC 1\n")
    counts = dict.fromkeys(("as_sent", "refused", "altered", "silent", "safe"), 0)
    for device, target_nS in enumerate(trials.g_target_nS.tolist()):
        draw = np.random.default_rng([trials.seed, device])
        sent = _protected(f"PROG:{'VER' if device % 2 else 'ONES'} 0,{device},{target_nS}", fault)
        arrived = fault.damage(draw, sent)
        instrument.exchange(_protected("*CLS", fault) + END)
        replies = instrument.exchange(arrived + END).split(END)[:-1]
        error = instrument.exchange(_protected("SYST:ERR?", fault) + END)
        if replies:
            counts["as_sent" if _as_read(arrived) == _as_read(sent) else "altered"] += 1
        else:
            counts["silent" if error.startswith(b"0,") else "refused"] += 1
        counts["safe"] += instrument.is_safe
    return LineOutcome(
        fault=fault.name,
        text=fault.text,
        crc=fault.has_crc,
        commands=n,
        **counts,
        pulses=sum(record.pulses_ever for record in bench.records),
        beyond_limits=sum(record.beyond_limits for record in bench.records),
    )


def _protected(line: str, fault: LineFault) -> bytes:
    content = line.encode("ascii")
    return content + f"*{binascii.crc_hqx(content, 0xFFFF):04X}".encode("ascii") * fault.has_crc


def _as_read(arrived: bytes) -> bytes:
    """The last line as the parser reads it: in any case, without carriage returns."""
    return arrived.split(END)[-1].replace(b"\r", b"").upper()
