"""Work for the processes of test_parallel.py; imported in them by name, hence a module of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sim.errors import UserError
from sim.output_files import whole_file

Progress = Callable[[], None]

if os.environ["TASKS_PARENT"] != str(os.getpid()):
    # Ctrl-C, which the whole process group gets, while this process is still importing what its task needs.
    os.kill(os.getpid(), signal.SIGINT)


def record(log: Path, name: str, seconds: float, progress: Progress) -> None:
    """Note start and end in `log`, one line each."""
    for event in ("start", "end"):
        with log.open("a", encoding="utf-8") as stream:
            stream.write(f"{event} {name}\n")
        if event == "start":
            time.sleep(seconds)
    progress()


def count(epochs: int, progress: Progress) -> None:
    for _ in range(epochs):
        progress()


def fail(message: str, after: Path | None, progress: Progress) -> None:
    """Fail as bad input does, once the file `after` is there."""
    while after is not None and not any(after.parent.glob(after.name)):
        time.sleep(0.01)
    raise UserError(message)


def full_disk(path: Path, progress: Progress) -> None:
    raise OSError(28, "No space left on device", str(path))


def bug(progress: Progress) -> None:
    raise ZeroDivisionError("nobody thought of that")


def die(progress: Progress) -> None:
    sys.stdout.flush()
    os._exit(3)


def write_slowly(path: Path, progress: Progress) -> None:
    """Be in the middle of writing `path` for longer than anybody waits."""
    with whole_file(path):
        time.sleep(600)
