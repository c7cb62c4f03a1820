"""Tasks that depend on each other, in a few processes, with one progress bar and a clean way out.

Every task does its work and writes its own output; nothing comes back but progress and errors, so results
cannot depend on how many tasks ran at once.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from typing import Any

from sim.errors import UserError

Progress = Callable[[], None]
POLL_s = 0.2


@dataclass(frozen=True)
class Task:
    """A call `work(*arguments, progress)` that may start once all tasks named in `after` have ended."""

    name: str
    after: frozenset[str]
    work: Callable[..., None]
    arguments: tuple[Any, ...]


def run_tasks(tasks: Sequence[Task], workers: int, progress: Progress) -> None:
    """Run all tasks, at most `workers` at once; in this process when one is enough.

    Tasks are started in the order given, which must put a task behind those it waits for.

    Raises:
        UserError: of the first task that fails with one; the others are stopped.
    """
    if workers == 1 or len(tasks) == 1:
        for task in tasks:
            task.work(*task.arguments, progress)
        return
    # Threads inside torch do not survive a fork.
    context = multiprocessing.get_context("spawn")
    messages: multiprocessing.Queue[tuple[str, str]] = context.Queue()
    waiting = list(tasks)
    running: dict[str, SpawnProcess] = {}
    try:
        while waiting or running:
            unfinished = {task.name for task in waiting} | set(running)
            for task in list(waiting):
                if len(running) < workers and not task.after & unfinished:
                    waiting.remove(task)
                    running[task.name] = context.Process(target=_run_one, args=(task, messages), daemon=True)
                    with _ctrl_c_held_back():
                        running[task.name].start()
            _drain(messages, progress)
            for name, process in list(running.items()):
                if process.exitcode is not None:
                    _drain(messages, progress)
                    if process.exitcode != 0:
                        raise RuntimeError(
                            f"training process for {name} ended with status {process.exitcode}"
                        )
                    del running[name]
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.join()


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Delay Ctrl-C here; a process started meanwhile never sees one, not even while it is still importing."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _drain(messages: multiprocessing.Queue[tuple[str, str]], progress: Progress) -> None:
    """Handle what the tasks have reported, waiting a moment for the first message."""
    timeout = POLL_s
    while True:
        try:
            kind, text = messages.get(timeout=timeout)
        except queue.Empty:
            return
        timeout = 0.01
        if kind == "epoch":
            progress()
        elif kind == "user error":
            raise UserError(text)
        else:
            raise RuntimeError(text)


def _run_one(task: Task, messages: multiprocessing.Queue[tuple[str, str]]) -> None:
    """Run a task in its own process."""
    # Ctrl-C reaches the whole process group; the parent answers it and terminates its tasks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def leave(*_: object) -> None:
        messages.cancel_join_thread()  # nobody reads them any more
        sys.exit(1)

    signal.signal(signal.SIGTERM, leave)  # through all `finally`, so that no half-written file stays
    try:
        task.work(*task.arguments, lambda: messages.put(("epoch", "")))
    except UserError as error:
        messages.put(("user error", str(error)))
    except OSError as error:
        messages.put(("user error", f"{error.strerror or error} {error.filename or ''}".strip()))
    except Exception:
        messages.put(("bug", traceback.format_exc()))
    finally:  # raised while the interpreter shuts down, `SystemExit` would be printed as an ignored exception
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
