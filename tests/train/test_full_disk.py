"""A full disk under every command that writes: one line, status 2, and all files as they were before."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from codegen.boards import load_board
from sim import command_line
from sim.noise import load_preset
from train.__main__ import main
from train.evaluate import evaluate, network_predictors
from train.networks import Workplace
from train.report import BEGIN, END

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")

ROOM = 512  # bytes that a file may grow to


@contextmanager
def full_disk() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def prepared(trained: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, its networks without the fine-tuned ones, records, and an earlier result, out."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copy(trained.dataset, folder / "dataset.h5")
    shutil.copy(trained.responses, folder / "responses.h5")
    shutil.copytree(trained.directory, folder / "networks")
    for path in (folder / "networks").glob("*smoothed*"):
        path.unlink()
    board = load_board("generic")
    predictors = network_predictors([trained.network("log_mlp")], board, evaluation_seed=1)
    records = evaluate(predictors, board, load_preset("none"), trials=20, seed=1)
    (folder / "records.json").write_text(json.dumps([asdict(record) for record in records]))
    (folder / "README.md").write_text(f"{BEGIN}\n{END}\n" + ROOM * "x")
    (folder / "out").write_text("an earlier result")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, temporary and hidden ones included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (
            "networks dataset.h5 --responses responses.h5 --divide-epochs 100 --jobs 1 -o networks",
            "networks/ft_smoothed.onnx",
        ),
        ("fit dataset.h5 --divide-epochs 100 -o new", "new/mlp_rpd_t.onnx"),
        ("evaluate networks/log_mlp.onnx --noise none --trials 20 -o out", "out"),
        ("report records.json -o out", "out"),
        ("report records.json -o out --readme README.md", "README.md"),
    ],
)
def test_a_full_disk_is_one_line_and_changes_nothing(
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    output: str,
) -> None:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", *arguments.split()])
    with full_disk(), pytest.raises(SystemExit) as end:
        command_line.run(main, "train")
    stdout, stderr = capsys.readouterr()
    assert end.value.code == 2
    # The progress bar ends before the complaint.
    lines = [line for line in stderr.splitlines() if line.strip() and "%|" not in line]
    assert lines == [f"train: error: File too large ({output})"]
    assert not stdout
    assert contents(tmp_path) == contents(prepared)
