"""The commands as users type them: results, one-line errors, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from sim import command_line
from train.__main__ import main
from train.networks import Workplace

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]
VERBS = (
    "networks",
    "fit",
    "finetune",
    "baselines",
    "evaluate",
    "calibrate",
    "floor",
    "ablation",
    "pareto",
    "page",
    "paper",
    "ranges",
    "report",
)


def start(*arguments: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd or ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run` without the seconds that a new Python takes to start: what `python -m train` calls."""

    def call(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        status = 0
        with monkeypatch.context() as patch:
            patch.chdir(cwd or ROOT)
            patch.setattr(sys, "argv", ["train", *map(str, arguments)])
            try:
                command_line.run(main, "train")
            except SystemExit as end:
                status = end.code
        return subprocess.CompletedProcess(sys.argv, status, *capsys.readouterr())

    return call


def is_gone(group: int) -> bool:
    """Whether every process of the group ends within a few seconds."""
    for _ in range(50):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_help_names_every_verb() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(f"  {verb} " in done.stdout for verb in VERBS)


def test_from_data_set_to_report(call: Run, trained: Workplace, tmp_path: Path) -> None:
    networks = tmp_path / "networks"
    quick = (trained.dataset, "--responses", trained.responses, "--divide-epochs", 100, "-o", networks)
    done = run("networks", *quick, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": trained; validation RPD") == 8
    for path in trained.directory.iterdir():  # the seeds are the same, so the bytes are
        assert (networks / path.name).read_bytes() == path.read_bytes()
    again = call("networks", *quick)
    assert again.stdout.count(": already there; validation RPD") == 8

    baselines, records = tmp_path / "baselines.json", tmp_path / "records.json"
    fitted = call("baselines", trained.dataset, "-o", baselines)
    assert fitted.returncode == 0, fitted.stderr
    models = networks / "log_mlp.onnx", networks / "table_16x16.onnx"
    done = run(
        "evaluate", *models, "--baselines", baselines, "--noise", "prototype", "--trials", 40, "--json", "-o", records
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(records.read_text())

    done = call("report", records, "-o", tmp_path / "results.json", "--figure", tmp_path / "accuracy.png")
    assert done.returncode == 0, done.stderr
    names = [r["predictor"] for r in json.loads((tmp_path / "results.json").read_text())]
    assert names == ["noise_free_inverse", "noise_free_scaled", "log_mlp", "table_16x16"]
    assert all(name in done.stdout for name in names)
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")


# Arguments, and what the complaint must say.
MOST_LIKELY = [
    (["networks", "none.h5", "-o", "out"], "data set not found: none.h5"),
    (["networks", "cut.h5", "-o", "out"], "truncated or damaged"),
    (["evaluate", "none.onnx", "-o", "out"], "cannot read network none.onnx"),
    (["networks", "other.h5", "-o", "out"], "not a pulse data set"),
    (["evaluate", "cut.onnx", "-o", "out"], "cut.onnx"),
    (["evaluate", "--baselines", "cut.json", "-o", "out"], "`python -m train baselines` wrote"),
]
ALSO = [
    (["networks", "text.h5", "-o", "out"], "truncated or damaged"),
    (["fit", "none.h5", "-o", "out"], "data set not found"),
    (["finetune", "none.h5", "-o", "out"], "data set not found"),
    (["baselines", "cut.h5", "-o", "out"], "truncated or damaged"),
    (["evaluate", "text.h5", "-o", "out"], "not an ONNX file"),
    (["evaluate", "--baselines", "text.h5", "-o", "out"], "`python -m train baselines` wrote"),
    (["evaluate", "good.onnx", "--noise", "loud", "-o", "out"], "unknown noise preset 'loud'"),
    (["evaluate", "good.onnx", "--noise", "none", "--seed", 3, "-o", "out"], "choose another"),
    (["report", "text.h5", "-o", "out"], "cannot read records from text.h5"),
    (["calibrate", "--base", "loud", "-o", "out"], "unknown noise preset 'loud'"),
    (["evaluate", "--baselines", "none.json", "-o", "out"], "cannot read baselines none.json"),
]


@pytest.fixture(scope="module")
def spoilt(trained: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are not what they should be, and a good network."""
    folder = tmp_path_factory.mktemp("spoilt")
    content = trained.dataset.read_bytes()
    (folder / "cut.h5").write_bytes(content[: len(content) // 2])
    (folder / "text.h5").write_text("not this")
    with h5py.File(folder / "other.h5", "w") as file:
        file["measurements"] = [1.0, 2.0]
    shutil.copy(trained.network("log_mlp"), folder / "good.onnx")
    content = trained.network("log_mlp").read_bytes()
    (folder / "cut.onnx").write_bytes(content[: len(content) // 2])
    (folder / "cut.json").write_text('{"v_set_V": -0.342, "v_res')
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(call: Run, verb: str) -> None:
    done = call(verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: train {verb} [OPTIONS]")
    assert "--output" in done.stdout


def require_refused(run: Run, spoilt: Path, tmp_path: Path, arguments: list[object], complaint: str) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(spoilt, folder)
    done = run(*arguments, cwd=folder)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert complaint in line
    assert not done.stdout
    assert sorted(path.name for path in folder.rglob("*")) == sorted(path.name for path in spoilt.iterdir())


@pytest.mark.parametrize(("arguments", "complaint"), MOST_LIKELY)
def test_bad_input_is_one_line_and_writes_nothing(
    spoilt: Path, tmp_path: Path, arguments: list[object], complaint: str
) -> None:
    require_refused(run, spoilt, tmp_path, arguments, complaint)


@pytest.mark.parametrize(("arguments", "complaint"), ALSO)
def test_other_bad_input_is_one_line_and_writes_nothing(
    call: Run, spoilt: Path, tmp_path: Path, arguments: list[object], complaint: str
) -> None:
    require_refused(call, spoilt, tmp_path, arguments, complaint)


@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["as a terminal does", "to the command alone"])
def test_ctrl_c_leaves_finished_networks_only_and_the_next_run_completes(
    call: Run, trained: Workplace, tmp_path: Path, send: Callable[[int, int], None]
) -> None:
    folder = tmp_path / "networks"
    what = (trained.dataset, "--responses", trained.responses, "-o", folder)
    process = start("networks", *what, "--divide-epochs", 10, "--jobs", 2)
    deadline = time.monotonic() + 60
    while not (folder.is_dir() and list(folder.glob("*.json"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    send(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.strip().splitlines()[-1] == "train: interrupted; nothing was left half-written"
    assert is_gone(process.pid)
    files = [path.name for path in folder.iterdir()]
    assert all(name.endswith((".onnx", ".json")) and not name.startswith(".") for name in files)
    done = call("networks", *what, "--divide-epochs", 100, "--jobs", 1)
    assert done.returncode == 0
    assert all((folder / path.name).read_bytes() == path.read_bytes() for path in trained.directory.iterdir())
