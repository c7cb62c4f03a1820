"""Build what is flashed: firmware, serial protocol, the board's HAL and start-up, as ELF, HEX, BIN and UF2."""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from intelhex import IntelHex

from codegen.boards import Board
from codegen.cores import load_core
from codegen.cross import cross_compiler, link
from codegen.firmware import Firmware, load_firmware, manifest_sha256
from codegen.uf2 import uf2_image
from firmware_templates import BOARDS, TARGETS
from sim.errors import UserError
from sim.output_files import whole_directory, write_json

NAME = "ouroboros"
RECORD = "build.json"


@dataclass(frozen=True)
class Built:
    """A folder with `ouroboros.elf`, `.hex`, `.bin`, some `.uf2`, `.map`, `size.txt`, `build.json`; sizes in bytes."""

    folder: Path
    board: Board
    compiler: str
    flash_bytes: int
    ram_bytes: int

    @property
    def elf(self) -> Path:
        """What is flashed and emulated."""
        return self.folder / f"{NAME}.elf"


def build_elf(
    firmware_folder: Path, output: Path, compiler_name: str | None = None, board_name: str | None = None
) -> Built:
    """Compile a firmware folder for the board that it was made for, whole or not at all.

    Args:
        board_name: refuse a firmware made for another board.

    Raises:
        UserError: the board has no hal.c here, no compiler, or sources that it refuses.
    """
    firmware = load_firmware(firmware_folder)
    board = firmware.board
    if board_name not in (None, board.name):
        raise UserError(f"{firmware_folder} was made for board '{board.name}', not '{board_name}'")
    family = require_target(board)
    core = load_core(board.target.cpu)
    compiler = cross_compiler(compiler_name, core.family)
    with whole_directory(output) as folder, tempfile.TemporaryDirectory() as temporary:
        elf = folder / f"{NAME}.elf"
        script = Path(temporary) / "flash.ld"
        script.write_text(_linker_script(board, family), encoding="utf-8")
        link(
            compiler,
            core,
            target_sources(firmware),
            [firmware_folder / "src", TARGETS, family],
            script,
            elf,
        )
        flash_bytes, ram_bytes = _write_images(elf, folder, board)
        built = Built(output, board, compiler.version(), flash_bytes, ram_bytes)
        (folder / f"{NAME}.map").write_text(_map(elf), encoding="utf-8")
        (folder / "size.txt").write_text(size_report(built), encoding="utf-8")
        write_json(folder / RECORD, _record(built, firmware_folder))
    return built


def load_built(folder: Path, firmware_folder: Path, board_name: str) -> Built:
    """What `build_elf` wrote, if it is that of this firmware and board.

    Raises:
        UserError: nothing was built, or from another firmware.
    """
    firmware = load_firmware(firmware_folder)
    advice = f"build it: make elf BOARD={board_name}"
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        built = Built(folder, firmware.board, found["compiler"], found["flash_bytes"], found["ram_bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder} holds no ELF; {advice}") from None
    if firmware.board.name != board_name or found != _record(built, firmware_folder):
        raise UserError(f"{folder} was not built from {firmware_folder} for board '{board_name}'; {advice}")
    return built


def _record(built: Built, firmware_folder: Path) -> dict[str, Any]:
    return {
        "board": built.board.name,
        "compiler": built.compiler,
        "flash_bytes": built.flash_bytes,
        "ram_bytes": built.ram_bytes,
        "manifest_sha256": manifest_sha256(firmware_folder),
    }


def require_target(board: Board) -> Path:
    """The folder of the board's core family.

    Raises:
        UserError: the board is described for calculation only.
    """
    if not is_buildable(board):
        raise UserError(
            f"board '{board.name}' has no hal.c or no memory map: it can be simulated, not built; boards that can:"
            f" {', '.join(buildable_boards())} (docs/boards.md says how to add one)"
        )
    assert board.target.startup is not None
    return TARGETS / board.target.startup


def is_buildable(board: Board) -> bool:
    """Whether the board has a HAL and a memory map, so that an ELF can be built."""
    target = board.target
    needed = (target.startup, target.flash_origin, target.ram_origin)
    return None not in needed and (BOARDS / board.name / "hal.c").is_file()


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


def target_sources(firmware: Firmware) -> list[Path]:
    """Every C file of a board's ELF.

    Raises:
        UserError: as `require_target`.
    """
    family = require_target(firmware.board)
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


def _map(elf: Path) -> str:
    """Functions and objects by address. Read off the ELF, as not every linker writes a map."""
    lines = [f"{'address':10} {'bytes':>7} {'section':8} symbol"]
    with elf.open("rb") as file:
        content = ELFFile(file)
        table: Any = content.get_section_by_name(".symtab")
        symbols = [symbol for symbol in table.iter_symbols() if symbol["st_size"]]
        for symbol in sorted(symbols, key=lambda s: (s["st_value"], s.name)):
            section = content.get_section(symbol["st_shndx"]).name
            address = (
                symbol["st_value"] & ~1 if symbol["st_info"]["type"] == "STT_FUNC" else symbol["st_value"]
            )
            lines.append(f"{address:#010x} {symbol['st_size']:7} {section:8} {symbol.name}")
    return "\n".join(lines) + "\n"


def _write_images(elf: Path, folder: Path, board: Board) -> tuple[int, int]:
    """HEX, BIN and where the chip takes it UF2 of an ELF; bytes of flash and of RAM that it takes."""
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
    if (family := board.target.uf2_family) is not None:
        (folder / f"{NAME}.uf2").write_bytes(uf2_image(binary, image.minaddr(), family))
    return len(binary), int(ram_bytes)
