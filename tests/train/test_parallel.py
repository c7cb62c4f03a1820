"""Training processes: order, progress, errors as one, and a clean end whatever happens.

Every process here gets a Ctrl-C while it is still importing: answering it is the parent's business.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sim.errors import UserError
from train.parallel import Task, run_tasks


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module of tasks, found by the processes too; none of them may be left."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("TASKS_PARENT", str(os.getpid()))
    yield importlib.import_module("parallel_tasks")
    assert multiprocessing.active_children() == []


def task(name: str, call: Callable[..., None], *arguments: object, after: tuple[str, ...] = ()) -> Task:
    return Task(name, frozenset(after), call, arguments)


def nothing() -> None:
    pass


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_wait_for_those_they_need_and_for_a_free_worker(
    work: Any, tmp_path: Path, workers: int
) -> None:
    log = tmp_path / "log"
    tasks = [
        task("parent", work.record, log, "parent", 0.3),
        task("other", work.record, log, "other", 0.1),
        task("child", work.record, log, "child", 0.0, after=("parent",)),
    ]
    ended: list[int] = []
    run_tasks(tasks, workers, lambda: ended.append(1))
    events = log.read_text().split("\n")[:-1]
    assert len(events) == 6 and len(ended) == 3
    assert events.index("end parent") < events.index("start child")
    running = most = 0
    for event in events:
        running += 1 if event.startswith("start") else -1
        most = max(most, running)
    assert most <= workers


def test_no_epoch_is_lost(work: Any) -> None:
    epochs: list[int] = []
    run_tasks([task(name, work.count, 500) for name in "ab"], 2, lambda: epochs.append(1))
    assert len(epochs) == 1000


def test_bad_input_stops_the_others_in_the_middle_of_writing(work: Any, tmp_path: Path) -> None:
    tasks = [
        task("slow", work.write_slowly, tmp_path / "net.onnx"),
        task("bad", work.fail, "no data set", tmp_path / ".net.onnx.*"),
        task("never", work.record, tmp_path / "log", "never", 0.0, after=("slow",)),
    ]
    with pytest.raises(UserError, match=r"^no data set$"):
        run_tasks(tasks, 2, nothing)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_of_the_user_that_names_the_file(work: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(UserError, match=rf"^No space left on device {path}$"):
        run_tasks([task(name, work.full_disk, path) for name in "ab"], 2, nothing)


def test_a_bug_keeps_its_traceback(work: Any) -> None:
    with pytest.raises(RuntimeError, match=r"Traceback(.|\n)*ZeroDivisionError: nobody thought of that"):
        run_tasks([task("a", work.bug), task("b", work.count, 1)], 2, nothing)


def test_a_process_that_dies_is_named(work: Any) -> None:
    with pytest.raises(RuntimeError, match="training process for a ended with status 3"):
        run_tasks([task("a", work.die), task("b", work.count, 1)], 2, nothing)


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_to_do(workers: int) -> None:
    run_tasks([], workers, lambda: pytest.fail("no epoch was run"))
