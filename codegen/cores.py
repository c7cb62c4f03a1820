"""Core families: how to compile for them, where memory lies, what emulates them. Only their instructions are elsewhere,
in `core_engines.py`, and start-up and linker scripts, in `firmware_templates/targets/NAME/`."""

from __future__ import annotations

from dataclasses import dataclass

from sim.errors import UserError


@dataclass(frozen=True)
class Family:
    """Cores of one instruction set.

    `flags` are for GCC and, where it can compile for them, zig; `qemu_image` are the options in front of an ELF;
    `pulse_format` is the layout of `ouro_pulse_t` under the family's calling convention, for `struct`: enumerations
    differ in size.
    """

    name: str
    title: str
    gcc: str
    gcc_package: str
    """Debian's."""
    qemu: str
    qemu_image: tuple[str, ...]
    flags: tuple[str, ...]
    pulse_format: str
    has_zig: bool = True


@dataclass(frozen=True)
class Core:
    """A processor core, and how to name it to the compilers."""

    name: str
    family: Family
    description: str
    gcc_flags: tuple[str, ...]
    zig_flags: tuple[str, ...] = ()


CORTEX_M = Family(
    name="cortex_m",
    title="Arm Cortex-M",
    gcc="arm-none-eabi-gcc",
    gcc_package="gcc-arm-none-eabi",
    qemu="qemu-system-arm",
    qemu_image=("-kernel",),
    flags=("-mthumb",),
    pulse_format="<bxxxI",
)
RISCV = Family(
    name="riscv",
    title="RISC-V",
    gcc="riscv64-unknown-elf-gcc",
    gcc_package="gcc-riscv64-unknown-elf",
    qemu="qemu-system-riscv32",
    qemu_image=("-bios", "none", "-kernel"),
    # Relaxation wants a global pointer, which nothing sets up where the predictor is linked alone.
    flags=("-mabi=ilp32", "-msmall-data-limit=0", "-mno-relax"),
    pulse_format="<iI",
)
AVR = Family(
    name="avr",
    title="AVR",
    gcc="avr-gcc",
    gcc_package="gcc-avr",
    qemu="qemu-system-avr",
    qemu_image=("-bios",),
    # Named address spaces, by which tables stay in flash, are GNU C; the flash is small.
    flags=("-std=gnu11", "-Os"),
    pulse_format="<hI",
    has_zig=False,  # 0.17 compiles for AVR, but not its own library of 32-bit arithmetic
)
FAMILIES = (CORTEX_M, RISCV, AVR)


def _cortex_m(name: str, description: str) -> Core:
    zig = ("-target", "thumb-freestanding-eabi", f"-mcpu={name.replace('-', '_')}")
    return Core(name, CORTEX_M, description, (f"-mcpu={name}",), zig)


CORES = {
    core.name: core
    for core in (
        _cortex_m("cortex-m0", "ARMv6-M, as the nRF51"),
        _cortex_m("cortex-m0plus", "ARMv6-M, as the RP2040"),
        _cortex_m("cortex-m3", "ARMv7-M, as the SAM3X8E"),
        _cortex_m("cortex-m4", "ARMv7E-M, as the STM32F4"),
        _cortex_m("cortex-m7", "ARMv7E-M, as the STM32F7"),
        Core(
            "rv32imc",
            RISCV,
            "RISC-V of 32 bits with multiplier and short instructions, as the FE310",
            ("-march=rv32imc",),
            ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+c"),
        ),
        Core(
            "atmega328p",
            AVR,
            "AVR of 8 bits with 32 KiB of flash and 2 KiB of RAM",
            ("-mmcu=atmega328p",),
        ),
    )
}


def load_core(name: str) -> Core:
    """A core by name.

    Raises:
        UserError: there is no such core; the message lists those there are.
    """
    if name not in CORES:
        raise UserError(f"unknown core '{name}'; known: {', '.join(CORES)}")
    return CORES[name]
