"""What is plugged in that a board can be flashed through: USB devices, serial ports, drives. Looks, changes nothing."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

USB_DEVICES = Path("/sys/bus/usb/devices")  # Linux
MOUNTS = Path("/proc/self/mounts")  # Linux
VOLUMES = Path("/Volumes")  # macOS
DRIVE_LETTERS = "DEFGHIJKLMNOPQRSTUVWXYZ"  # Windows


@dataclass(frozen=True)
class Device:
    """Something to flash through. `name` is what PROBE calls it: a serial number, a port or a drive's folder."""

    name: str
    description: str

    def __str__(self) -> str:
        return f"{self.name} ({self.description})"


@dataclass(frozen=True)
class UsbDevice:
    """One USB device; `id` is vendor:product in hexadecimal, `bus` and `address` are where it is now."""

    id: str
    serial: str
    product: str
    bus: int
    address: int


def usb_devices() -> list[UsbDevice] | None:
    """Every USB device there is; None where this program cannot tell, which is anywhere but on Linux."""
    if sys.platform != "linux":
        return None
    found = []
    for folder in sorted(USB_DEVICES.glob("*")):
        vendor, product_id, bus, address = (
            _line(folder / name) for name in ("idVendor", "idProduct", "busnum", "devnum")
        )
        if vendor and product_id and bus.isdecimal() and address.isdecimal():
            serial, product = _line(folder / "serial"), _line(folder / "product")
            found.append(UsbDevice(f"{vendor}:{product_id}", serial, product, int(bus), int(address)))
    return found


def serial_ports(usb_ids: list[str]) -> list[Device]:
    """Serial ports of USB devices with one of these ids, vendor:product in lower-case hexadecimal."""
    found = []
    for port in list_ports.comports():
        if port.vid is not None and f"{port.vid:04x}:{port.pid:04x}" in usb_ids:
            found.append(Device(port.device, port.product or port.description or "serial port"))
    return sorted(found, key=lambda device: device.name)


def drives(marker: str, contains: list[str]) -> list[Device]:
    """Mounted drives that hold a file `marker` with one of the texts `contains` in it."""
    return [Device(str(folder), marker) for folder in _mounted() if is_drive(folder, marker, contains)]


def is_drive(folder: Path, marker: str, contains: list[str]) -> bool:
    """Whether `folder` is such a drive."""
    try:
        text = (folder / marker).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(wanted in text for wanted in contains)


def is_mounted(folder: Path) -> bool:
    """Whether a drive is mounted at `folder`, rather than it being a folder like any other."""
    return folder.is_mount()


def drive_source(folder: Path) -> Path | None:
    """The block device that is mounted at `folder`; None where that cannot be told."""
    return dict(_mounts()).get(folder)


def _mounted() -> list[Path]:
    if sys.platform == "win32":
        return [root for letter in DRIVE_LETTERS if (root := Path(f"{letter}:/")).exists()]
    if sys.platform == "darwin":
        return sorted(VOLUMES.iterdir()) if VOLUMES.is_dir() else []
    return [folder for folder, _ in _mounts()]


def _mounts() -> list[tuple[Path, Path]]:
    """Mount points of block devices and these devices."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = [line.split()[:2] for line in lines]
    return [(Path(_unescaped(at)), Path(source)) for source, at in pairs if source.startswith("/dev/")]


def _unescaped(text: str) -> str:
    """Octal escapes of blanks in /proc/self/mounts undone."""
    for character in " \t\n\\":
        text = text.replace(f"\\{ord(character):03o}", character)
    return text


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
