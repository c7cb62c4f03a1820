"""Runs the compiled predictor and the update of states instruction by instruction on an emulated core (Unicorn).

Unicorn executes the machine code that would be flashed; it shows every instruction except those that a false
condition skips in an Arm core's IT block, which real cores step through too: they are counted from the gaps.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import capstone
import numpy as np
import unicorn
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from codegen.core_engines import Kind, engine_of
from codegen.cores import Core
from codegen.fixed import Int64Array
from sim.errors import UserError

STACK_ADDRESS, STACK_BYTES = 0x7000_0000, 0x1_0000  # where no image lies
STACK_TOP = STACK_ADDRESS + STACK_BYTES
PULSE_ADDRESS = STACK_ADDRESS  # far below the stack; a device's state, too
STOP_ADDRESS = 0x7FFF_0000  # the return address of the call
MOST_INSTRUCTIONS = 10_000_000
_PAGE = 0x1000
_STATE = struct.Struct("<bB")
_NOT_THE_NETWORK = ("ouro_exp2", "exp2_", "mantissa_", "__")


@dataclass(frozen=True)
class Cost:
    """What one call took. `words_moved` counts loads and stores, a word each of a multiple one."""

    instructions: int
    words_moved: int
    branches_taken: int
    multiplications: int
    stack_bytes: int


@dataclass(frozen=True)
class Image:
    """An ELF's loadable parts, its functions and its sizes in bytes."""

    segments: tuple[tuple[int, bytes], ...]
    symbols: dict[str, int]
    flash_bytes: int
    other_flash_bytes: int
    """Of these, the decoder's and the compiler's own functions and tables: what is not the network."""
    ram_bytes: int


def read_image(path: Path) -> Image:
    """Parts of an ELF file.

    Raises:
        UserError: not an ELF file.
    """
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            loaded = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_memsz"] > 0]
            sections = [s for s in elf.iter_sections() if s["sh_flags"] & 2 and s["sh_size"] > 0]
            writable = [s["sh_size"] for s in sections if s["sh_flags"] & 1]
            fixed = [
                s["sh_size"] for s in sections if not s["sh_flags"] & 1 and s["sh_type"] == "SHT_PROGBITS"
            ]
            tables = [s for s in elf.iter_sections() if isinstance(s, SymbolTableSection)]
            named = [x for table in tables for x in table.iter_symbols() if x.name]
            symbols = {x.name: int(x["st_value"]) for x in named}
            other = sum(int(x["st_size"]) for x in named if x.name.startswith(_NOT_THE_NETWORK))
            return Image(
                segments=tuple((int(s["p_vaddr"]), s.data().ljust(s["p_memsz"], b"\0")) for s in loaded),
                symbols=symbols,
                flash_bytes=int(sum(fixed)),
                other_flash_bytes=other,
                ram_bytes=int(sum(writable)),
            )
    except Exception as error:
        raise UserError(f"{path} is no readable ELF file: {error}") from None


class CoreEmulator:
    """Calls functions of an image on one core."""

    def __init__(self, image: Image, core: Core) -> None:
        self._engine = engine = engine_of(core)
        self._pulse = struct.Struct(core.family.pulse_format)
        self._symbols = image.symbols
        self._uc: Any = unicorn.Uc(*engine.unicorn)
        self._uc.ctl_set_cpu_model(engine.models[core.name])
        self._uc.mem_map(STACK_ADDRESS, STACK_BYTES)
        self._uc.mem_map(STOP_ADDRESS, _PAGE)
        for first, last in _pages(image):
            self._uc.mem_map(first, last - first)
        for address, content in image.segments:
            self._uc.mem_write(address, content)
        self._decoder = capstone.Cs(*engine.capstone)
        self._decoder.detail = True
        self._kinds: dict[int, Kind] = {}
        self._uc.hook_add(unicorn.UC_HOOK_CODE, self._step)

    def predict(self, g_start_nS: int, g_target_nS: int) -> tuple[int, int, int, Cost]:
        """Status, direction, ticks and cost of one call of `ouro_predict`."""
        self._uc.mem_write(PULSE_ADDRESS, b"\xaa" * self._pulse.size)
        status, cost = self._call("ouro_predict", g_start_nS, g_target_nS, PULSE_ADDRESS)
        direction, ticks = self._pulse.unpack(bytes(self._uc.mem_read(PULSE_ADDRESS, self._pulse.size)))
        return _signed(status & 0xFF, 8), int(direction), int(ticks), cost

    def update_state(
        self, log2_rate_q4: int, pulses: int, g_before_nS: int, g_after_nS: int, direction: int, ticks: int
    ) -> tuple[int, int, Cost]:
        """Log rate, pulses and cost after one call of `ouro_device_state_update`."""
        self._uc.mem_write(PULSE_ADDRESS, _STATE.pack(log2_rate_q4, pulses))
        arguments = (PULSE_ADDRESS, g_before_nS, g_after_nS, direction, ticks)
        _, cost = self._call("ouro_device_state_update", *arguments)
        rate, told = _STATE.unpack(bytes(self._uc.mem_read(PULSE_ADDRESS, _STATE.size)))
        return int(rate), int(told), cost

    def _call(self, function: str, *arguments: int) -> tuple[int, Cost]:
        """What the function leaves in the result's register, and its cost."""
        uc, engine = self._uc, self._engine
        entry = self._symbols[function] & ~engine.code_bit
        values = [value & 0xFFFFFFFF for value in arguments]
        in_registers = len(engine.arguments)
        on_stack = values[in_registers:]
        stack = STACK_TOP - (16 if on_stack else 0)  # stays aligned
        uc.mem_write(stack, b"".join(value.to_bytes(4, "little") for value in on_stack))
        self._reset(entry, stack)
        for register, value in zip(engine.arguments, values[:in_registers], strict=False):
            uc.reg_write(register, value)
        uc.reg_write(engine.stack_pointer, stack)
        uc.reg_write(engine.return_address, STOP_ADDRESS | engine.code_bit)
        try:
            uc.emu_start(entry | engine.code_bit, STOP_ADDRESS, count=MOST_INSTRUCTIONS)
        except unicorn.UcError as error:
            at = uc.reg_read(engine.program_counter)
            raise UserError(f"{function} faulted at {at:#x}: {error}") from None
        cost = Cost(
            self._instructions,
            self._words,
            self._branches,
            self._multiplications,
            stack - self._lowest_sp,
        )
        return int(uc.reg_read(engine.result)), cost

    def _reset(self, entry: int, stack: int) -> None:
        self._instructions = self._words = self._branches = self._multiplications = 0
        self._lowest_sp = stack
        self._expected = entry
        self._last = Kind(words=0, branches=True, multiplies=0, moves_sp=False)

    def _step(self, uc: Any, address: int, size: int, _: object) -> None:
        kind = self._kinds.get(address) or self._decode(address, size)
        if address != self._expected:
            if self._last.branches:
                self._branches += 1
            else:
                gap = uc.mem_read(self._expected, address - self._expected)
                self._instructions += self._engine.skipped(bytes(gap))
        if self._last.moves_sp:
            self._lowest_sp = min(self._lowest_sp, uc.reg_read(self._engine.stack_pointer))
        self._instructions += 1
        self._words += kind.words
        self._multiplications += kind.multiplies
        self._expected, self._last = address + size, kind

    def _decode(self, address: int, size: int) -> Kind:
        (instruction,) = self._decoder.disasm(bytes(self._uc.mem_read(address, size)), address)
        kind = self._kinds[address] = self._engine.kind_of(instruction)
        return kind


def _pages(image: Image) -> list[tuple[int, int]]:
    """Page-aligned ranges that cover the segments, joined where they touch."""
    ranges: list[tuple[int, int]] = []
    for address, content in sorted(image.segments):
        first, last = address // _PAGE * _PAGE, -(-(address + len(content)) // _PAGE) * _PAGE
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(last, ranges[-1][1]))
        else:
            ranges.append((first, last))
    return ranges


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def predict_batch(
    emulator: CoreEmulator, g_start_nS: Int64Array, g_target_nS: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array, list[Cost]]:
    """Statuses, directions, ticks and costs of many calls."""
    found = [emulator.predict(int(a), int(b)) for a, b in zip(g_start_nS, g_target_nS, strict=True)]
    status, direction, ticks = (np.array([x[k] for x in found], dtype=np.int64) for k in range(3))
    return status, direction, ticks, [x[3] for x in found]
