"""The instruction sets that `CoreEmulator` counts: how Unicorn runs a core, what each instruction does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import capstone
import unicorn
from unicorn import arm_const, riscv_const

from codegen.cores import CORTEX_M, RISCV, Core, Family
from sim.errors import UserError


@dataclass(frozen=True)
class Kind:
    """What one instruction does that is counted. `words` are loaded or stored."""

    words: int
    branches: bool
    multiplies: int
    moves_sp: bool


@dataclass(frozen=True)
class Engine:
    """A family in Unicorn and Capstone; registers are Unicorn's constants."""

    unicorn: tuple[int, int]
    models: dict[str, int]
    """Unicorn's processor model of a core."""
    capstone: tuple[int, int]
    arguments: tuple[int, ...]
    """Registers of the first arguments; further ones lie on the stack."""
    result: int
    stack_pointer: int
    return_address: int
    program_counter: int
    code_bit: int
    """Set in an address of code that is jumped to."""
    kind_of: Callable[[Any], Kind]
    skipped: Callable[[bytes], int]
    """How many instructions lie in code that was stepped over without a branch."""


def has_engine(core: Core) -> bool:
    """Whether the core's instructions can be counted."""
    return core.family in _ENGINES


def engine_of(core: Core) -> Engine:
    """The engine that runs a core.

    Raises:
        UserError: there is none.
    """
    if not has_engine(core):
        raise UserError(f"core '{core.name}' runs in QEMU only: its instructions cannot be counted")
    return _ENGINES[core.family]


def _arm_kind(instruction: Any) -> Kind:
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
        o.type == capstone.arm.ARM_OP_REG and o.reg == capstone.arm.ARM_REG_PC for o in instruction.operands
    )
    branches = (name[0] == "b" and not name.startswith(("bic", "bfc", "bfi", "bkpt"))) or name[:2] == "cb"
    return Kind(
        words=words,
        branches=branches or writes_pc or name.startswith("tb"),
        multiplies=int(name.startswith(("mul", "mla", "mls", "sml", "umul", "uml", "smul"))),
        moves_sp=name.startswith(("push", "sub")) or "[sp, #-" in text,
    )


def _arm_skipped(code: bytes) -> int:
    """Instructions of an IT block, whose condition was false: real cores step through them too."""
    count = at = 0
    while at < len(code):
        half = int.from_bytes(code[at : at + 2], "little")
        at += 4 if half >> 11 in (0b11101, 0b11110, 0b11111) else 2
        count += 1
    return count


_RISCV_MEMORY = ("lb", "lbu", "lh", "lhu", "lw", "sb", "sh", "sw", "lwsp", "swsp")


def _riscv_kind(instruction: Any) -> Kind:
    name = instruction.mnemonic.removeprefix("c.")
    return Kind(
        words=int(name in _RISCV_MEMORY),
        branches=name[0] in "bj" or name == "ret",
        multiplies=int(name.startswith("mul")),
        moves_sp=instruction.op_str.startswith("sp,"),
    )


def _riscv_skipped(code: bytes) -> int:
    raise AssertionError(f"{len(code)} bytes were skipped, but no RISC-V instruction is conditional")


_ENGINES: dict[Family, Engine] = {
    CORTEX_M: Engine(
        unicorn=(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS),
        models={
            "cortex-m0": arm_const.UC_CPU_ARM_CORTEX_M0,
            "cortex-m0plus": arm_const.UC_CPU_ARM_CORTEX_M0,
            "cortex-m3": arm_const.UC_CPU_ARM_CORTEX_M3,
            "cortex-m4": arm_const.UC_CPU_ARM_CORTEX_M4,
            "cortex-m7": arm_const.UC_CPU_ARM_CORTEX_M7,
        },
        capstone=(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS),
        arguments=(
            arm_const.UC_ARM_REG_R0,
            arm_const.UC_ARM_REG_R1,
            arm_const.UC_ARM_REG_R2,
            arm_const.UC_ARM_REG_R3,
        ),
        result=arm_const.UC_ARM_REG_R0,
        stack_pointer=arm_const.UC_ARM_REG_SP,
        return_address=arm_const.UC_ARM_REG_LR,
        program_counter=arm_const.UC_ARM_REG_PC,
        code_bit=1,
        kind_of=_arm_kind,
        skipped=_arm_skipped,
    ),
    RISCV: Engine(
        unicorn=(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32),
        models={"rv32imc": riscv_const.UC_CPU_RISCV32_SIFIVE_E31},
        capstone=(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC),
        arguments=(
            riscv_const.UC_RISCV_REG_A0,
            riscv_const.UC_RISCV_REG_A1,
            riscv_const.UC_RISCV_REG_A2,
            riscv_const.UC_RISCV_REG_A3,
            riscv_const.UC_RISCV_REG_A4,
        ),
        result=riscv_const.UC_RISCV_REG_A0,
        stack_pointer=riscv_const.UC_RISCV_REG_SP,
        return_address=riscv_const.UC_RISCV_REG_RA,
        program_counter=riscv_const.UC_RISCV_REG_PC,
        code_bit=0,
        kind_of=_riscv_kind,
        skipped=_riscv_skipped,
    ),
}
