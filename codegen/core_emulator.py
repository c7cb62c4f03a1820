"""Runs the compiled predictor instruction by instruction on an emulated Cortex-M core (Unicorn).

Unicorn executes the machine code that would be flashed; it shows every instruction except those that a false
condition in an IT block skips, which real cores step through too: they are counted from the gaps.
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
from unicorn import arm_const

from codegen.cross import Core
from codegen.fixed import Int64Array
from sim.errors import UserError

RAM_ADDRESS, RAM_BYTES = 0x2000_0000, 0x4_0000
STOP_ADDRESS = 0x0FFF_0000  # the return address of the call
STACK_TOP = RAM_ADDRESS + RAM_BYTES
PULSE_ADDRESS = STACK_TOP - 0x1_0000  # above an image's own memory, below the stack
MOST_INSTRUCTIONS = 10_000_000
_PAGE = 0x1000
_NOT_THE_NETWORK = ("ouro_exp2", "exp2_", "mantissa_", "__")
_MODELS = {
    "cortex-m0": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex-m0plus": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex-m3": arm_const.UC_CPU_ARM_CORTEX_M3,
    "cortex-m4": arm_const.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm_const.UC_CPU_ARM_CORTEX_M7,
}


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
                segments=tuple((int(s["p_vaddr"]), bytes(s.data())) for s in loaded),
                symbols=symbols,
                flash_bytes=int(sum(fixed)),
                other_flash_bytes=other,
                ram_bytes=int(sum(writable)),
            )
    except Exception as error:
        raise UserError(f"{path} is no readable ELF file: {error}") from None


class CoreEmulator:
    """Calls `ouro_predict` of an image on one core."""

    def __init__(self, image: Image, core: Core) -> None:
        self._entry = image.symbols["ouro_predict"] | 1
        self._uc: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(_MODELS[core.name])
        self._uc.mem_map(RAM_ADDRESS, RAM_BYTES)
        self._uc.mem_map(STOP_ADDRESS, _PAGE)
        for first, last in _pages(image):
            if not RAM_ADDRESS <= first < last <= RAM_ADDRESS + RAM_BYTES:
                self._uc.mem_map(first, last - first)
        for address, content in image.segments:
            self._uc.mem_write(address, content)
        self._decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
        self._decoder.detail = True
        self._kinds: dict[int, _Kind] = {}
        self._uc.hook_add(unicorn.UC_HOOK_CODE, self._step)
        self._reset()

    def predict(self, g_start_nS: int, g_target_nS: int) -> tuple[int, int, int, Cost]:
        """Status, direction, ticks and cost of one call."""
        uc = self._uc
        self._reset()
        uc.mem_write(PULSE_ADDRESS, b"\xaa" * 8)
        values = (g_start_nS & 0xFFFFFFFF, g_target_nS & 0xFFFFFFFF, PULSE_ADDRESS)
        for register, value in zip(
            (arm_const.UC_ARM_REG_R0, arm_const.UC_ARM_REG_R1, arm_const.UC_ARM_REG_R2), values, strict=True
        ):
            uc.reg_write(register, value)
        uc.reg_write(arm_const.UC_ARM_REG_SP, STACK_TOP)
        uc.reg_write(arm_const.UC_ARM_REG_LR, STOP_ADDRESS | 1)
        try:
            uc.emu_start(self._entry, STOP_ADDRESS, count=MOST_INSTRUCTIONS)
        except unicorn.UcError as error:
            at = uc.reg_read(arm_const.UC_ARM_REG_PC)
            raise UserError(f"the predictor faulted at {at:#x}: {error}") from None
        status = _signed(uc.reg_read(arm_const.UC_ARM_REG_R0), 32)
        raw = bytes(uc.mem_read(PULSE_ADDRESS, 8))
        # Enumerations take the smallest type under the bare-metal ABI: the direction is one signed byte.
        direction, ticks = struct.unpack("<bxxxI", raw)
        cost = Cost(
            self._instructions,
            self._words,
            self._branches,
            self._multiplications,
            STACK_TOP - self._lowest_sp,
        )
        return _signed(status & 0xFF, 8), int(direction), int(ticks), cost

    def _reset(self) -> None:
        self._instructions = self._words = self._branches = self._multiplications = 0
        self._lowest_sp = STACK_TOP
        self._expected = self._entry & ~1
        self._last_branches = True

    def _step(self, uc: Any, address: int, size: int, _: object) -> None:
        kind = self._kinds.get(address) or self._decode(address, size)
        if address != self._expected:
            if self._last_branches:
                self._branches += 1
            else:
                self._instructions += self._skipped(self._expected, address)
        self._instructions += 1
        self._words += kind.words
        self._multiplications += kind.multiplies
        self._expected, self._last_branches = address + size, kind.branches
        if kind.moves_sp:
            self._lowest_sp = min(self._lowest_sp, kind.sp_change + uc.reg_read(arm_const.UC_ARM_REG_SP))

    def _skipped(self, begin: int, end: int) -> int:
        """Instructions of an IT block that were stepped over, from `begin` to `end`."""
        count = 0
        while begin < end:
            half = int.from_bytes(self._uc.mem_read(begin, 2), "little")
            begin += 4 if half >> 11 in (0b11101, 0b11110, 0b11111) else 2
            count += 1
        return count

    def _decode(self, address: int, size: int) -> _Kind:
        code = bytes(self._uc.mem_read(address, size))
        (instruction,) = self._decoder.disasm(code, address)
        kind = self._kinds[address] = _Kind.of(instruction)
        return kind


@dataclass(frozen=True)
class _Kind:
    words: int
    branches: bool
    multiplies: int
    moves_sp: bool
    sp_change: int

    @classmethod
    def of(cls, instruction: Any) -> _Kind:
        name, text = instruction.mnemonic, instruction.op_str
        words = 0
        if name.startswith(("ldm", "stm", "push", "pop")):
            words = len([o for o in instruction.operands if o.type == capstone.arm.ARM_OP_REG]) - (
                0 if name.startswith(("push", "pop")) else 1
            )
        elif name.startswith(("ldrd", "strd")):
            words = 2
        elif name.startswith(("ldr", "str")):
            words = 1
        writes_pc = any(
            o.type == capstone.arm.ARM_OP_REG and o.reg == capstone.arm.ARM_REG_PC
            for o in instruction.operands
        )
        branches = (name[0] == "b" and not name.startswith(("bic", "bfc", "bfi", "bkpt"))) or name[:2] == "cb"
        sp_change = 0
        if name.startswith("push"):
            sp_change = -4 * words
        elif name.startswith("sub") and text.startswith("sp"):
            sp_change = -int(instruction.operands[-1].imm)
        elif name.startswith("str") and "[sp, #-" in text:
            sp_change = -int(text.split("#-")[1].split("]")[0], 0)
        return cls(
            words=words,
            branches=branches or writes_pc or name.startswith("tb"),
            multiplies=int(name.startswith(("mul", "mla", "mls", "sml", "umul", "uml", "smul"))),
            moves_sp=sp_change != 0,
            sp_change=sp_change,
        )


def _pages(image: Image) -> list[tuple[int, int]]:
    """Page-aligned ranges that cover the segments, joined where they touch."""
    ranges: list[tuple[int, int]] = []
    for address, content in sorted(each for each in image.segments if each[1]):
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
