"""Compile the predictor of a firmware folder for a controller's core, with what compiler there is."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen.build import WARNINGS
from codegen.cores import CORTEX_M, FAMILIES, Core, Family
from firmware_templates import PREDICTOR_LINKER_SCRIPT
from sim.errors import UserError

PREDICTOR_SOURCES = ("ouro_predictor.c", "ouro_dense.c", "ouro_exp2.c", "ouro_network.c")
_MORE_OF_THE_KERNEL = "ouro_dense_"  # forms of layers that only some networks have
_COMMON = (
    "-std=c11",
    *WARNINGS,
    "-O2",
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
)
# Controllers call another function of the predictor; `codegen size` calls this one, in a whole board's ELF too.
_LINK = ("-static", "-Wl,--gc-sections", "-Wl,-u,ouro_predict")
ZIG = "zig"
COMPILER_NAMES = (*(family.gcc for family in FAMILIES), ZIG)


@dataclass(frozen=True)
class CrossCompiler:
    """A compiler for the cores of a family."""

    name: str
    command: tuple[str, ...]

    def flags(self, core: Core) -> tuple[str, ...]:
        """What names the core to this compiler."""
        return (*(core.zig_flags if self.name == ZIG else core.gcc_flags), *core.family.flags)

    def version(self) -> str:
        """First line of what it says of itself."""
        if self.name == ZIG:
            command = [*self.command[:-1], "version"]
            return f"zig {_run(command).strip()}"
        return _run([*self.command, "--version"]).splitlines()[0]


def find_cross_compilers(family: Family = CORTEX_M) -> list[CrossCompiler]:
    """Those there are for a family, the preferred one first."""
    found = []
    if gcc := shutil.which(family.gcc):
        found.append(CrossCompiler(family.gcc, (gcc,)))
    if family.has_zig and importlib.util.find_spec("ziglang"):
        found.append(CrossCompiler(ZIG, (sys.executable, "-m", "ziglang", "cc")))
    return found


def cross_compiler(name: str | None = None, family: Family = CORTEX_M) -> CrossCompiler:
    """The preferred compiler for a family, or the one named.

    Raises:
        UserError: there is none; the message says how to get one.
    """
    for compiler in find_cross_compilers(family):
        if name in (None, compiler.name):
            return compiler
    names = (family.gcc, ZIG) if family.has_zig else (family.gcc,)
    if name not in (None, *names):
        raise UserError(f"{name} does not compile for {family.title}: choose {' or '.join(names)}")
    pip = "pip install 'ouroboros-firmware[target]' brings zig, " if family.has_zig else ""
    raise UserError(f"no {name or 'cross compiler'} found: {pip}apt install {family.gcc_package} brings GCC")


def is_predictor_source(name: str) -> bool:
    """Whether a C file of a firmware folder belongs to the predictor, which needs no HAL."""
    return name in PREDICTOR_SOURCES or (name.startswith(_MORE_OF_THE_KERNEL) and name.endswith(".c"))


def compile_predictor(folder: Path, core: Core, output: Path, compiler: CrossCompiler) -> None:
    """Link the predictor alone, `ouro_predict` as the entry, code and tables at the start of flash.

    Raises:
        UserError: the folder is no firmware folder, or the compiler refuses it.
    """
    sources = [folder / "src" / name for name in PREDICTOR_SOURCES]
    if missing := [path for path in sources if not path.is_file()]:
        raise UserError(f"{folder} is not a firmware folder: it has no {missing[0].relative_to(folder)}")
    sources += sorted((folder / "src").glob(f"{_MORE_OF_THE_KERNEL}*.c"))
    link(compiler, core, sources, [folder / "src"], PREDICTOR_LINKER_SCRIPT, output)


def link(
    compiler: CrossCompiler,
    core: Core,
    sources: Sequence[Path],
    include: Sequence[Path],
    linker_script: Path,
    output: Path,
) -> None:
    """Compile and link C files for a core, without a C library.

    Raises:
        UserError: the compiler refuses them.
    """
    # 64-bit products of small cores are functions of the compiler's: zig links its own by itself.
    libraries = ("-nostdlib", "-lgcc") if compiler.name != ZIG else ()
    _run(
        [
            *compiler.command,
            *_COMMON,
            *compiler.flags(core),
            *_LINK,
            "-T",
            str(linker_script),
            *(f"-I{path}" for path in include),
            *map(str, sources),
            "-o",
            str(output),
            *libraries,
        ]
    )


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise UserError(
            f"the cross compiler refused the firmware: {lines[0].strip() if lines else command[0]}"
        )
    return done.stdout
