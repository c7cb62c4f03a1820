"""The ways to flash a board, as its board.toml names them in `[[flash]]` tables: what each needs and what it runs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from codegen.boards import Text
from codegen.flash_devices import Device, UsbDevice, drives, is_drive, serial_ports, usb_devices
from codegen.flash_steps import Compare, CopyToDrive, Run, Step
from codegen.target import NAME
from codegen.validation import StrictModel, first_problem
from sim.errors import UserError

QUERY_TIMEOUT_S = 60.0
ST_LINKS = ("3744", "3748", "374b", "374d", "374e", "374f", "3752", "3753", "3754")  # products of vendor 0483
BESIDE_PYTHON = Path(sys.executable).parent  # where pip puts tools, in PATH or not

# What manifests hold ends up on command lines, as one word each.
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./:-]{0,79}$")]
UsbId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}$")]


class NotReadyError(UserError):
    """A method cannot be used now; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class Image:
    """What `codegen elf` wrote, and where in the controller's memory it goes."""

    folder: Path
    start: int

    def file(self, suffix: str) -> Path:
        """The image in one of its formats: "hex", "bin", "uf2", "elf"."""
        return self.folder / f"{NAME}.{suffix}"

    @property
    def bytes(self) -> str:
        """How many bytes are written; a name in their place before there is an image."""
        binary = self.file("bin")
        return str(binary.stat().st_size) if binary.is_file() else "BYTES"

    @property
    def readback(self) -> Path:
        """Where tools put what they read back."""
        return self.folder / "readback.bin"


class Method(StrictModel):
    """One way to flash. Subclasses hold what a manifest says about it."""

    method: str
    """What METHOD calls it."""

    TOOL: ClassVar[str] = ""
    """Name of the program it needs, if it does."""
    INSTALL: ClassVar[str] = ""
    """How to get that."""
    PLUG_IN: ClassVar[str] = ""
    FORMAT: ClassVar[str] = "bin"

    def plug_in(self) -> str:
        """What to do when no device is found."""
        return self.PLUG_IN

    def format(self) -> str:
        """Which file is written."""
        return self.FORMAT

    def find_tool(self) -> str:
        """The program's path.

        Raises:
            NotReadyError: it is not installed.
        """
        found = shutil.which(self.TOOL) or shutil.which(self.TOOL, path=str(BESIDE_PYTHON))
        if found is None:
            raise NotReadyError(f"{self.TOOL} is not installed ({self.INSTALL})")
        return found

    @abstractmethod
    def devices(self) -> list[Device] | None:
        """What the board can be flashed through now; None where that cannot be told, then the tool looks itself.

        Raises:
            NotReadyError: something else is missing.
        """

    @abstractmethod
    def steps(self, tool: str, image: Image, device: str | None) -> list[Step]:
        """Write and verify, through `device` or the only one there is. Changes nothing itself."""

    def named_device(self, name: str) -> Device | None:
        """The device that a user means by `name` though it was not found."""
        return None


class Pyocd(Method):
    """A debug probe (CMSIS-DAP, ST-Link, J-Link) through pyOCD; `target` is the part in `pyocd list --targets`."""

    method: Literal["pyocd"]
    target: Word

    TOOL = "pyocd"
    INSTALL = "pip install pyocd"
    PLUG_IN = "connect a debug probe by USB"
    FORMAT = "hex"

    def devices(self) -> list[Device] | None:
        tool = self.find_tool()
        boards = _pyocd(tool, "--probes", "boards")
        if boards:
            self._known_target(tool)
        return [Device(board["unique_id"], board["info"]) for board in boards]

    def steps(self, tool: str, image: Image, device: str | None) -> list[Step]:
        probe = ["-u", device] if device else []
        target = self._known_target(tool) if device else self.target
        common = ["-W", *probe, "-t", target]
        halted = [*common, "-O", "resume_on_disconnect=false"]
        save = f"savemem {image.start:#x} {image.bytes} {shlex.quote(image.readback.as_posix())}"
        return [
            Run((tool, "flash", *halted, "--no-reset", str(image.file("hex")))),
            Run((tool, "cmd", *halted, "-c", save)),
            Compare(image.file("bin"), image.readback),
            Run((tool, "reset", *common)),  # not before: an unverified firmware is not started
        ]

    def _known_target(self, tool: str) -> str:
        """pyOCD's own name of the part: packs add a package's letters to it."""
        names = sorted(target["name"] for target in _pyocd(tool, "--targets", "targets"))
        fitting = [name for name in names if name == self.target or name.startswith(self.target)]
        if not fitting:
            raise NotReadyError(
                f"pyocd does not know the part {self.target} yet (pyocd pack install {self.target})"
            )
        return str(fitting[0])


class OpenOcd(Method):
    """A debug probe through OpenOCD; `config` are its script files for the part or the board.

    `interface` is the script of the probe that usually goes with the board, for systems that do not list USB devices.
    `transport` is what a probe speaks that can speak several.
    """

    method: Literal["openocd"]
    config: Annotated[list[Word], Field(min_length=1)]
    interface: Word = "interface/stlink.cfg"
    transport: Literal["swd", "jtag"] = "swd"

    TOOL = "openocd"
    INSTALL = "apt install openocd, brew install open-ocd"
    PLUG_IN = "connect a debug probe by USB"
    FORMAT = "elf"

    def devices(self) -> list[Device] | None:
        self.find_tool()
        usb = usb_devices()
        if usb is None:
            return None
        return [
            Device(probe.serial or probe.id, probe.product or "debug probe")
            for probe in usb
            if self._interface(probe)
        ]

    def steps(self, tool: str, image: Image, device: str | None) -> list[Step]:
        probe = next((p for p in usb_devices() or [] if device and device in (p.serial, p.id)), None)
        scripts = [(self._interface(probe) if probe else None) or self.interface, *self.config]
        options = [word for script in scripts for word in ("-f", script)]
        serial = probe.serial if probe else device or ""
        if re.fullmatch(r"[A-Za-z0-9_-]+", serial):  # old ST-Links have one that cannot be written down
            options[2:2] = ["-c", f"adapter serial {serial}"]
        if "jlink" in scripts[0]:
            options[2:2] = ["-c", f"transport select {self.transport}"]
        write = f"program {{{image.file('elf').as_posix()}}} verify reset exit"
        return [Run((tool, *options, "-c", write), "verified by OpenOCD")]

    def _interface(self, probe: UsbDevice) -> str | None:
        """OpenOCD's script for a USB device; None when it is no debug probe."""
        if probe.id in [f"0483:{product}" for product in ST_LINKS]:
            return "interface/stlink.cfg"
        if "CMSIS-DAP" in probe.product:
            return "interface/cmsis-dap.cfg"
        return "interface/jlink.cfg" if probe.id.startswith("1366:") else None


class Stm32flash(Method):
    """The boot ROM of an STM32 on a serial line. Which port leads there only the user knows."""

    method: Literal["stm32flash"]

    TOOL = "stm32flash"
    INSTALL = "apt install stm32flash, brew install stm32flash"
    PLUG_IN = "set BOOT0 high, reset, and name the serial port: PROBE=/dev/ttyUSB0"

    def devices(self) -> list[Device] | None:
        self.find_tool()
        return []

    def named_device(self, name: str) -> Device | None:
        return _port(name)

    def steps(self, tool: str, image: Image, device: str | None) -> list[Step]:
        write = ("-w", str(image.file("bin")), "-v", "-S", f"{image.start:#x}", "-g", f"{image.start:#x}")
        return [Run((tool, *write, device or "PORT"), "verified by stm32flash")]


class DfuUtil(Method):
    """The USB boot ROM of an STM32 (DfuSe); `usb` is its id."""

    method: Literal["dfu-util"]
    usb: UsbId = "0483:df11"

    TOOL = "dfu-util"
    INSTALL = "apt install dfu-util, brew install dfu-util"
    PLUG_IN = "set BOOT0 high and connect the controller's own USB port"

    def devices(self) -> list[Device] | None:
        self.find_tool()
        return _usb(self.usb, "USB boot ROM")

    def steps(self, tool: str, image: Image, device: str | None) -> list[Step]:
        common = (tool, "-d", self.usb, *(("-S", device) if device else ()), "-a", "0")
        start = f"{image.start:#010x}"
        return [
            Run((*common, "-s", start, "-D", str(image.file("bin")))),
            Run((*common, "-s", f"{start}:{image.bytes}", "-U", str(image.readback))),
            Compare(image.file("bin"), image.readback),
            Run((*common, "-s", f"{start}:1:leave", "-U", str(image.readback))),  # leaves by reading a byte
        ]


class Picotool(Method):
    """The USB boot ROM of an RP2040 or RP2350 through picotool; `usb` is its id."""

    method: Literal["picotool"]
    usb: UsbId = "2e8a:0003"

    TOOL = "picotool"
    INSTALL = "https://github.com/raspberrypi/picotool; Debian 13: apt install picotool"
    PLUG_IN = "hold BOOTSEL while connecting the board by USB"
    FORMAT = "uf2"

    def devices(self) -> list[Device] | None:
        self.find_tool()
        return _usb(self.usb, "USB boot ROM")

    def steps(self, tool: str, image: Image, device: str | None) -> list[Step]:
        at = next(
            (p for p in usb_devices() or [] if p.id == self.usb and device in (p.serial, _place(p))), None
        )
        select = ("--bus", str(at.bus), "--address", str(at.address)) if at else ()
        return [Run((tool, "load", "-v", "-x", str(image.file("uf2")), *select), "verified by picotool")]


class Drive(Method):
    """A boot loader's drive that files are copied to.

    It is told by its file `marker` (INFO_UF2.TXT, DETAILS.TXT), which holds one of the texts `contains`. `file` is the
    format it takes. One that `returns` after a copy then tells a failure in FAIL.TXT.
    """

    method: Literal["drive"]
    file: Literal["uf2", "hex", "bin"]
    marker: Word
    contains: Annotated[list[Text], Field(min_length=1)]
    returns: bool = False
    start: Text = "connect the board by USB with its boot loader running"
    """How to make the drive appear."""

    def plug_in(self) -> str:
        return f"{self.start}, and see that its drive is mounted"

    def format(self) -> str:
        return self.file

    def find_tool(self) -> str:
        return ""

    def devices(self) -> list[Device] | None:
        return drives(self.marker, self.contains)

    def named_device(self, name: str) -> Device | None:
        return Device(name, self.marker) if is_drive(Path(name), self.marker, self.contains) else None

    def steps(self, tool: str, image: Image, device: str | None) -> list[Step]:
        return [CopyToDrive(image.file(self.file), Path(device or "DRIVE"), self.returns)]


class Avrdude(Method):
    """An AVR's serial boot loader; `part`, `programmer` and `baud` as avrdude names them, `usb` the board's ids."""

    method: Literal["avrdude"]
    part: Word
    programmer: Word = "arduino"
    baud: Annotated[int, Field(ge=1, le=4_000_000)] = 115_200
    usb: list[UsbId]

    TOOL = "avrdude"
    INSTALL = "apt install avrdude, brew install avrdude"
    PLUG_IN = "connect the board by USB, or name its serial port: PROBE=/dev/ttyUSB0"
    FORMAT = "hex"

    def devices(self) -> list[Device] | None:
        self.find_tool()
        return serial_ports(self.usb)

    def named_device(self, name: str) -> Device | None:
        return _port(name)

    def steps(self, tool: str, image: Image, device: str | None) -> list[Step]:
        board = ("-p", self.part, "-c", self.programmer, "-P", device or "PORT", "-b", str(self.baud))
        write = ("-D", "-U", f"flash:w:{image.file('hex')}:i")
        return [Run((tool, *board, *write), "verified by avrdude")]


class Bossac(Method):
    """The boot ROM of a SAM controller (SAM-BA), entered as on an Arduino; `usb` are the board's ids."""

    method: Literal["bossac"]
    usb: list[UsbId]

    TOOL = "bossac"
    INSTALL = "apt install bossa-cli, brew install bossa"
    PLUG_IN = "connect the board's programming port by USB, or name its serial port: PROBE=/dev/ttyACM0"

    def devices(self) -> list[Device] | None:
        self.find_tool()
        return serial_ports(self.usb)

    def named_device(self, name: str) -> Device | None:
        return _port(name)

    def steps(self, tool: str, image: Image, device: str | None) -> list[Step]:
        port = (device or "PORT").removeprefix("/dev/")
        return [
            Run(
                (tool, "-a", "-p", port, "-e", "-w", "-v", "-b", "-R", str(image.file("bin"))),
                "verified by bossac",
            )
        ]


AnyMethod = Annotated[
    Pyocd | OpenOcd | Stm32flash | DfuUtil | Picotool | Drive | Avrdude | Bossac,
    Field(discriminator="method"),
]
METHODS: TypeAdapter[list[AnyMethod]] = TypeAdapter(list[AnyMethod])


def methods_from_fields(tables: object, source: Path | str) -> list[Method]:
    """Validate a manifest's `[[flash]]` tables, in their order of preference.

    Raises:
        UserError: the first rule that is broken.
    """
    try:
        return list(METHODS.validate_python(tables))
    except ValidationError as error:
        raise UserError(f"{source}: flash.{first_problem(error)}") from None


def _pyocd(tool: str, what: str, key: str) -> list[dict[str, Any]]:
    """One of pyOCD's lists."""
    try:
        done = subprocess.run(
            [tool, "json", what], capture_output=True, text=True, timeout=QUERY_TIMEOUT_S, check=False
        )
        answer = json.loads(done.stdout)
        found = answer[key] if answer["status"] == 0 else None
    except (OSError, ValueError, LookupError, TypeError, subprocess.TimeoutExpired):
        found = None
    if not isinstance(found, list):
        raise NotReadyError(f"pyocd does not work here: try 'pyocd json {what}'")
    return found


def _usb(usb_id: str, description: str) -> list[Device] | None:
    """USB devices with an id; None where the system does not list any."""
    found = usb_devices()
    if found is None:
        return None
    return [Device(p.serial or _place(p), p.product or description) for p in found if p.id == usb_id]


def _place(device: UsbDevice) -> str:
    """A name for a USB device without a serial number."""
    return f"{device.bus}:{device.address}"


def _port(name: str) -> Device | None:
    """A serial port by its name."""
    is_port = name.upper().startswith("COM") or (name.startswith("/dev/") and Path(name).exists())
    return Device(name, "serial port") if is_port else None
