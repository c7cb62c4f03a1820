"""What flashing consists of: run a tool, compare what was read back, copy to a drive. `str(step)` is the command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codegen.flash_devices import drive_source, is_mounted
from sim.errors import UserError

TOOL_TIMEOUT_S = 300.0
DRIVE_TIMEOUT_S = 20.0
LOOK_AGAIN_S = 0.1
COMPLAINT = re.compile(
    r"\berror\b|fail|cannot|could not|unable|mismatch|\bno .*(device|probe)", re.IGNORECASE
)


class Step(Protocol):
    """One step; carried out in order, each raises UserError when it fails."""

    def carry_out(self) -> str:
        """Do it. Returns how it was verified that the board holds the firmware, empty when this step does not."""
        ...


@dataclass(frozen=True)
class Run:
    """Run a tool to its end. `proof` says what its success proves."""

    command: tuple[str, ...]
    proof: str = ""

    def __str__(self) -> str:
        return shlex.join(self.command)

    def carry_out(self) -> str:
        name = Path(self.command[0]).name
        try:
            done = subprocess.run(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=TOOL_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"{name} was stopped: not done after {TOOL_TIMEOUT_S:g} s") from None
        except OSError as error:
            raise UserError(f"cannot run {self.command[0]}: {error.strerror}") from None
        if done.returncode != 0:
            raise UserError(f"{name} failed with status {done.returncode}: {_complaint(done.stdout)}")
        return self.proof


@dataclass(frozen=True)
class Compare:
    """Compare what a tool has read back with what was to be written, then remove it."""

    wanted: Path
    found: Path

    def __str__(self) -> str:
        return shlex.join(["cmp", str(self.wanted), str(self.found)])

    def carry_out(self) -> str:
        wanted = self.wanted.read_bytes()
        try:
            found = self.found.read_bytes()
        except OSError as error:
            raise UserError(f"nothing was read back to verify the board: {error.strerror}") from None
        self.found.unlink()
        if found[: len(wanted)] != wanted:  # some tools read whole blocks
            pairs = enumerate(zip(wanted, found, strict=False))
            at = next((k for k, (a, b) in pairs if a != b), min(len(wanted), len(found)))
            raise UserError(
                f"verification failed: the board differs from {self.wanted} at byte {at}; flash again"
            )
        return "read back and compared"


@dataclass(frozen=True)
class CopyToDrive:
    """Copy a file to a boot loader's drive and wait until the board has taken it.

    Such a drive cannot be read back: the boot loader ends it, and starts the firmware, only after the whole file has
    come undamaged. One that `returns` then holds a file FAIL.TXT if the board refused the firmware.
    """

    source: Path
    drive: Path
    returns: bool

    def __str__(self) -> str:
        return shlex.join(["cp", str(self.source), f"{self.drive}/"])

    def carry_out(self) -> str:
        is_drive, device = is_mounted(self.drive), drive_source(self.drive)
        content = self.source.read_bytes()
        copy = self.drive / self.source.name
        try:
            with copy.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"cannot copy to the drive {self.drive}: {error.strerror}; flash again") from None
        if not is_drive:  # a folder: nobody takes the file, but it can be read back
            if copy.read_bytes() != content:
                raise UserError(f"verification failed: {copy} differs from {self.source}")
            return "read back and compared"

        def is_gone() -> bool:
            self._require_no_failure()
            return not is_mounted(self.drive) or (device is not None and not device.exists())

        if not _within(DRIVE_TIMEOUT_S, is_gone):
            raise UserError(
                f"the board did not take {self.source} within {DRIVE_TIMEOUT_S:g} s: "
                "start its boot loader again and flash again"
            )
        if self.returns and not _within(DRIVE_TIMEOUT_S, lambda: is_mounted(self.drive)):
            return "taken by the boot loader; its drive has not come back, look for a file FAIL.TXT on it"
        self._require_no_failure()
        return "taken by the boot loader, which checked it and restarted the board"

    def _require_no_failure(self) -> None:
        try:
            text = (self.drive / "FAIL.TXT").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        raise UserError(
            f"the board refused {self.source}: {text.strip().splitlines()[0] if text.strip() else 'FAIL.TXT'}"
        )


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether `condition` holds before the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_AGAIN_S)
    return True


def _complaint(output: str) -> str:
    """The line of a tool's output that says best why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if COMPLAINT.search(line)), lines[-1] if lines else "it said nothing")
