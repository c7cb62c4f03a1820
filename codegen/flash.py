"""Flashing: choose the way that works now, build what is out of date, write, verify."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codegen.boards import Board, load_board
from codegen.firmware import load_firmware
from codegen.flash_devices import Device
from codegen.flash_methods import Image, Method, NotReadyError, methods_from_fields
from codegen.flash_steps import Step
from codegen.target import build_elf, load_built, require_target
from firmware_templates import BOARDS, TARGETS
from sim.errors import UserError


@dataclass(frozen=True)
class Choice:
    """What to flash with and through; `missing` says what keeps it from working now."""

    method: Method
    tool: str
    device: Device | None
    missing: tuple[str, ...] = ()

    def steps(self, image: Image) -> list[Step]:
        """What is to be done."""
        return self.method.steps(self.tool, image, self.device.name if self.device else None)

    def __str__(self) -> str:
        return f"{self.method.method}, {self.device}" if self.device else self.method.method


def flash_methods(board: Board) -> list[Method]:
    """The ways to flash a board that its manifest names, the preferred one first.

    Raises:
        UserError: it cannot be built, or names none, or names one wrongly.
    """
    require_target(board)
    path = BOARDS / board.name / "board.toml"
    tables = tomllib.loads(path.read_text(encoding="utf-8")).get("flash", [])
    methods = methods_from_fields(tables, path)
    if not methods:
        raise UserError(
            f"board '{board.name}' names no way to flash it: it has no [[flash]] in its board.toml (docs/flashing.md)"
        )
    return methods


def choose(board: Board, probe: str | None, method_name: str | None, dry_run: bool) -> Choice:
    """The first of the board's methods whose tool is installed and whose device is connected.

    Args:
        probe: the device to flash through: a serial number or its start, a serial port, a drive's folder.
        method_name: use this method.
        dry_run: when none is ready, return the first all the same, with what is `missing`.

    Raises:
        UserError: nothing is ready (the message says what each method lacks), or two devices are.
    """
    methods = flash_methods(board)
    names = [method.method for method in methods]
    if method_name is not None:
        methods = [method for method in methods if method.method == method_name]
        if not methods:
            raise UserError(
                f"board '{board.name}' is not flashed with {method_name} but with: {', '.join(names)}"
            )
    missing = []
    for method in methods:
        try:
            tool = method.find_tool()
            found = method.devices()
        except NotReadyError as error:
            missing.append(f"{method.method}: {error}")
            continue
        if probe is not None:
            found = _named(method, found, probe)
        if found is None:
            return Choice(method, tool, None)
        if len(found) > 1:
            which = ", ".join(map(str, found))
            raise UserError(
                f"{len(found)} devices are connected, choose one with PROBE=NAME (--probe): {which}"
            )
        if found:
            return Choice(method, tool, found[0])
        missing.append(
            f"{method.method}: {'no such device' if probe else 'nothing found'} ({method.plug_in()})"
        )
    if dry_run:
        return Choice(methods[0], methods[0].TOOL, None, tuple(missing))
    through = f" through '{probe}'" if probe else ""
    raise UserError(f"board '{board.name}' cannot be flashed{through} now. {'; '.join(missing)}")


def flash(
    board_name: str,
    firmware_folder: Path,
    elf_folder: Path,
    probe: str | None,
    method_name: str | None,
    compiler: str | None,
    tell: Callable[[str], None],
) -> str:
    """Write the firmware of a board to it and verify; build what is written when it is missing or out of date.

    Args:
        tell: called with a line about what is done next.

    Returns:
        One line: what was written, through what, how verified.

    Raises:
        UserError: something is missing or failed; says what.
    """
    board = load_board(board_name)
    choice = choose(board, probe, method_name, dry_run=False)
    image = _fresh_image(board, firmware_folder, elf_folder, compiler, tell)
    source = image.file(choice.method.format())
    if not source.is_file():
        raise UserError(f"{elf_folder} has no {source.name}, which {choice.method.method} needs")
    tell(f"writing {source} ({choice})")
    proof = ""
    image.readback.unlink(missing_ok=True)  # of a run that was killed: dfu-util would not replace it
    try:
        for step in choice.steps(image):
            proof = step.carry_out() or proof
    finally:
        image.readback.unlink(missing_ok=True)
    return f"{source}: {image.bytes} bytes written ({choice}), {proof}"


def dry_run(
    board_name: str, elf_folder: Path, probe: str | None, method_name: str | None
) -> tuple[list[str], Choice]:
    """The commands that `flash` would run now, and the choice behind them; changes nothing."""
    board = load_board(board_name)
    choice = choose(board, probe, method_name, dry_run=True)
    return [str(step) for step in choice.steps(_image(board, elf_folder))], choice


def _image(board: Board, folder: Path) -> Image:
    assert board.target.flash_origin is not None  # or it could not be built
    return Image(folder, board.target.flash_origin)


def _fresh_image(
    board: Board, firmware_folder: Path, folder: Path, compiler: str | None, tell: Callable[[str], None]
) -> Image:
    try:
        load_firmware(firmware_folder)
    except UserError as error:
        raise UserError(f"{error}, for example with: make firmware BOARD={board.name}") from None
    if not _is_fresh(board, firmware_folder, folder):
        tell(f"building {folder}")
        build_elf(firmware_folder, folder, compiler, board.name)
    return _image(board, folder)


def _is_fresh(board: Board, firmware_folder: Path, folder: Path) -> bool:
    """Whether `folder` was built from this firmware and no source has changed since."""
    try:
        built = load_built(folder, firmware_folder, board.name)
    except UserError:
        return False
    sources = [
        path
        for root in (firmware_folder, TARGETS, BOARDS / board.name)
        for path in root.rglob("*")
        if path.is_file()
    ]
    return built.elf.is_file() and max(p.stat().st_mtime for p in sources) <= built.elf.stat().st_mtime


def _named(method: Method, found: list[Device] | None, name: str) -> list[Device] | None:
    """The devices that a user may mean by `name`."""
    if found is None:
        return [Device(name, "not checked")]
    exact = [device for device in found if device.name == name]
    starting = [device for device in found if device.name.startswith(name)]
    named = method.named_device(name)
    return exact or starting or ([named] if named else [])
