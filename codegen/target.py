"""Build what is flashed: firmware, serial protocol, the board's HAL and start-up, as ELF, HEX and BIN."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from intelhex import IntelHex

from codegen.boards import Board
from codegen.cross import cross_compiler, link, load_core
from codegen.firmware import Firmware, load_firmware
from firmware_templates import BOARDS, TARGETS
from sim.errors import UserError
from sim.output_files import whole_directory

NAME = "ouroboros"


@dataclass(frozen=True)
class Built:
    """A folder with `ouroboros.elf`, `.hex`, `.bin`, `.map` and `size.txt`; sizes in bytes."""

    folder: Path
    board: Board
    compiler: str
    flash_bytes: int
    ram_bytes: int

    @property
    def elf(self) -> Path:
        """What is flashed and emulated."""
        return self.folder / f"{NAME}.elf"


def build_elf(firmware_folder: Path, output: Path, compiler_name: str | None = None) -> Built:
    """Compile a firmware folder for the board that it was made for, whole or not at all.

    Raises:
        UserError: the board has no hal.c here, no compiler, or sources that it refuses.
    """
    firmware = load_firmware(firmware_folder)
    board = firmware.board
    family = require_target(board)
    compiler = cross_compiler(compiler_name)
    with whole_directory(output) as folder, tempfile.TemporaryDirectory() as temporary:
        elf = folder / f"{NAME}.elf"
        script = Path(temporary) / "flash.ld"
        script.write_text(_linker_script(board, family), encoding="utf-8")
        link(
            compiler,
            load_core(board.target.cpu),
            _sources(firmware, family),
            [firmware_folder / "include", TARGETS],
            script,
            elf,
            [f"-Wl,-Map={folder / f'{NAME}.map'}"],
        )
        flash_bytes, ram_bytes = _write_images(elf, folder)
        built = Built(output, board, compiler.version(), flash_bytes, ram_bytes)
        (folder / "size.txt").write_text(size_report(built), encoding="utf-8")
    return built


def require_target(board: Board) -> Path:
    """The folder of the board's core family.

    Raises:
        UserError: the board is described for calculation only.
    """
    hal, target = BOARDS / board.name / "hal.c", board.target
    if (
        target.startup is None
        or target.flash_origin is None
        or target.ram_origin is None
        or not hal.is_file()
    ):
        raise UserError(
            f"board '{board.name}' has no hal.c or no memory map: it can be simulated, not built; boards that can:"
            f" {', '.join(buildable_boards()) or 'none'} (docs/boards.md says how to add one)"
        )
    return TARGETS / target.startup


def buildable_boards() -> list[str]:
    """Names of the boards with a HAL of their own."""
    return sorted(path.parent.name for path in BOARDS.glob("*/hal.c"))


def size_report(built: Built) -> str:
    """A few lines for people."""
    target = built.board.target
    return (
        f"board {built.board.name}, {built.compiler}\n"
        f"flash {built.flash_bytes} of {target.flash_bytes} bytes ({built.flash_bytes / target.flash_bytes:.1%})\n"
        f"RAM   {built.ram_bytes} of {target.ram_bytes} bytes ({built.ram_bytes / target.ram_bytes:.1%}), stack apart\n"
    )


def _sources(firmware: Firmware, family: Path) -> list[Path]:
    return [
        *sorted((firmware.folder / "src").glob("*.c")),
        *sorted(TARGETS.glob("*.c")),
        *sorted(family.glob("*.c")),
        BOARDS / firmware.board.name / "hal.c",
    ]


def _linker_script(board: Board, family: Path) -> str:
    text = (family / "flash.ld").read_text(encoding="utf-8")
    target = board.target
    for name, value in (
        ("FLASH_ORIGIN", target.flash_origin),
        ("FLASH_BYTES", target.flash_bytes),
        ("RAM_ORIGIN", target.ram_origin),
        ("RAM_BYTES", target.ram_bytes),
    ):
        text = text.replace(f"@{name}@", f"{value:#x}")
    return text


def _write_images(elf: Path, folder: Path) -> tuple[int, int]:
    """HEX and BIN of an ELF; bytes of flash and of RAM that it takes."""
    image = IntelHex()
    ram_bytes = 0
    with elf.open("rb") as file:
        for segment in ELFFile(file).iter_segments():
            if segment["p_type"] != "PT_LOAD":
                continue
            content = segment.data()
            image.puts(segment["p_paddr"], content) if content else None
            ram_bytes += segment["p_memsz"] if segment["p_flags"] & 2 else 0
    text = io.StringIO()
    image.write_hex_file(text)
    (folder / f"{NAME}.hex").write_text(text.getvalue(), encoding="ascii")
    binary = image.tobinstr()
    (folder / f"{NAME}.bin").write_bytes(binary)
    return len(binary), int(ram_bytes)
