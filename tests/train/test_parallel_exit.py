"""A training process that is stopped after its task, while the interpreter shuts down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import atexit, time
from pathlib import Path
from sim.errors import UserError
from train.parallel import Task, run_tasks

def leave_slowly():
    Path("leaving").touch()
    time.sleep(60)

def done(progress):
    atexit.register(leave_slowly)

def fail(progress):
    while not Path("leaving").exists():
        time.sleep(0.01)
    raise UserError("cannot go on")

if __name__ == "__main__":
    tasks = [Task("done", frozenset(), done, ()), Task("fail", frozenset(), fail, ())]
    try:
        run_tasks(tasks, 2, lambda: None)
    except UserError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_it_ends_at_once_and_silently(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "cannot go on\n", "")
