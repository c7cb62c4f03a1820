"""A full disk and Ctrl-C, through the real commands: one clear line, and all files as they were before."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codegen.boards import load_board
from codegen.build import host_library
from codegen.firmware import make_firmware
from sim.output_files import whole_directory, write_text

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and file size limits are POSIX")

ROOM = 512  # bytes that a file may grow to where the disk is "full"
PATIENCE_S = 60
PAIRS = "g_start_nS,g_target_nS\n" + "".join(f"{g},300000\n" for g in range(100_000, 500_000, 2_000))
PULSE = ("sim", "pulse", "--voltage", "-0.342", "--width", "1e-6", "--g-start", "2e-4", "-o")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of compiled libraries of its own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def prepared(networks, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `place` holds, made once; the firmware's library is in the cache."""
    folder = tmp_path_factory.mktemp("prepared")
    networks.write(folder / "net.onnx", networks.layers((2, 8, 1)))
    networks.write(folder / "other.onnx", networks.layers((2, 8, 1), seed=1))
    (folder / "pairs.csv").write_text(PAIRS)
    (folder / "temporary").mkdir()
    (folder / "out").write_text("an earlier result")
    make_firmware(folder / "net.onnx", load_board("generic"), folder / "fw", None, False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        host_library(folder / "fw")
    return folder


@pytest.fixture
def place(prepared: Path, tmp_path: Path) -> Path:
    """Where commands run: net.onnx, its firmware fw, other.onnx, pairs.csv, and an earlier result, out."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def environment(cache: Path, tmp_path: Path) -> dict[str, str]:
    # Compiled libraries come from the cache: without room, a compiler would fail before the command could.
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "TMPDIR": str(tmp_path / "temporary")}


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *arguments]
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": tmp_path, "env": environment}
        return subprocess.run(command, text=True, check=False, **{**settings, **options})

    return run


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command as a shell does, in a process group that Ctrl-C reaches as a whole."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **more: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
                env={**environment, **more},
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file's bytes and every folder below `folder`, temporary and hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def complaints(stderr: str) -> list[str]:
    """The lines of `stderr` but for blank ones and progress bars."""
    lines = stderr.replace("\r", "\n").splitlines()
    return [line for line in lines if line.strip() and "it/s" not in line and "%|" not in line]


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for `condition` as closely as Python can."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline


def press_ctrl_c(process: subprocess.Popen[str]) -> str:
    """Interrupt and return what the command said, which must be all there is."""
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert not stdout
    return "\n".join(complaints(stderr))


# --- a full disk ------------------------------------------------------------------------------------------


def fill_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ((*PULSE, "out"), "out"),
        (("sim", "dataset", "--pairs", "10", "--noise", "none", "--force", "-o", "out"), "out"),
        (("codegen", "firmware", "other.onnx", "--board", "generic", "-o", "fw"), "fw"),
        (("codegen", "predict", "fw", "pairs.csv", "-o", "out"), "out"),
        (("codegen", "host", "fw", "-o", "out"), "out"),
        (("codegen", "cosim", "fw", "--trials", "10", "-o", "out"), "out"),
        (("codegen", "cosim", "net.onnx", "--trials", "10", "-o", "out"), "net"),  # the firmware in between
    ],
    ids=["pulse", "dataset", "firmware", "predict", "host", "cosim", "cosim of a network"],
)
def test_a_full_disk_is_one_line_and_changes_nothing(
    place: Path, run, arguments: tuple[str, ...], output: str
) -> None:
    before = contents(place)
    done = run(*arguments, preexec_fn=fill_disk)
    assert done.returncode == 2, done.stderr
    (line,) = complaints(done.stderr)
    assert line.startswith(f"{arguments[0]}: error: File too large (")
    assert output in line
    assert not done.stdout
    assert contents(place) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [("sim", "models"), ("codegen", "boards"), ("codegen", "--help")])
def test_a_full_disk_behind_standard_output_is_one_line(run, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(*arguments, stdout=full)
    assert done.returncode == 2
    assert complaints(done.stderr) == [f"{arguments[0]}: error: No space left on device"]


# --- outputs that are in the way --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_refused_instead_of_replaced(run, tmp_path: Path, make) -> None:
    # For root, /dev/null would be such an output.
    make(tmp_path / "out")
    mode = (tmp_path / "out").stat().st_mode
    done = run(*PULSE, "out")
    assert done.returncode == 2
    assert complaints(done.stderr) == ["sim: error: cannot write out: it exists and is not a file"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").stat().st_mode == mode


def test_what_a_link_points_to_is_replaced_not_the_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "file")
    for text in ("first", "second"):  # through a dangling link, then over what is there
        write_text(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert contents(tmp_path / "far") == {"file": text.encode()}


def test_a_foreign_file_is_not_replaced_by_a_data_set(run, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = run("sim", "dataset", "--pairs", "10", "--noise", "none", "-o", "thesis.txt")
    assert done.returncode == 2
    (line,) = complaints(done.stderr)
    assert line.startswith("sim: error: data set thesis.txt is truncated or damaged")
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


# --- Ctrl-C -----------------------------------------------------------------------------------------------

WRITES = 10
INTERRUPTED = "codegen: interrupted; nothing was left half-written"


def test_ctrl_c_while_quantising(networks, place: Path, start) -> None:
    networks.write(place / "wide.onnx", networks.layers((2, 192, 192, 192, 1)))
    os.mkfifo(place / "pipe.onnx")
    content = (place / "wide.onnx").read_bytes()
    before = contents(place)
    process = start("codegen", "firmware", "pipe.onnx", "--board", "generic", "--force", "-o", "fw")
    (place / "pipe.onnx").write_bytes(content)  # returns when the command reads its network
    time.sleep(0.2)
    assert press_ctrl_c(process) == INTERRUPTED
    assert process.returncode == 130
    assert contents(place) == before


def test_ctrl_c_while_writing_leaves_the_old_folder_or_the_new_one(place: Path, start) -> None:
    make_firmware(place / "other.onnx", load_board("generic"), place / "new", None, False)
    shutil.copytree(place / "fw", place / "kept")
    old, new = contents(place / "fw"), contents(place / "new")
    assert old != new
    for _ in range(WRITES):  # on a busy machine one may be over before it is noticed
        process = start("codegen", "firmware", "other.onnx", "--board", "generic", "-o", "fw")
        while not (writing := list(place.glob(".fw.*.tmp"))) and process.poll() is None:
            pass
        if writing:
            break
        assert process.returncode == 0, process.communicate()
        shutil.rmtree(place / "fw")
        shutil.copytree(place / "kept", place / "fw")
    else:
        pytest.fail(f"none of {WRITES} commands was seen writing")
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (0, 130)  # nobody can say how far it was
    assert complaints(stderr) == ([INTERRUPTED] if process.returncode else [])
    assert contents(place / "fw") in (old, new)
    assert not list(place.glob(".fw.*"))


@pytest.mark.parametrize("stopped_at", [1, 2])
def test_a_folder_interrupted_between_its_renames_is_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    folder = tmp_path / "fw"
    folder.mkdir()
    (folder / "file").write_text("old")
    rename, calls = Path.rename, []

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == stopped_at:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), whole_directory(folder) as temporary:
        (temporary / "file").write_text("new")
    assert contents(tmp_path) == {"fw": None, "fw/file": b"old"}


def test_ctrl_c_while_compiling(place: Path, start, tmp_path: Path) -> None:
    compiler = place / "slow-cc"
    compiler.write_text('#!/bin/sh\ncase "$1" in --version) exit;; esac\ntouch started\nexec sleep 60\n')
    compiler.chmod(0o755)
    before = contents(place)
    process = start(
        "codegen", "host", "fw", "-o", "out.so", CC=str(compiler), XDG_CACHE_HOME=str(place / "own")
    )
    until((place / "started").exists, process)
    assert press_ctrl_c(process) == INTERRUPTED
    assert process.returncode == 130
    (place / "started").unlink()
    after = contents(place)
    # The cache may keep its empty folders.
    assert {name: content for name, content in after.items() if not name.startswith("own")} == before
    assert [name for name, content in after.items() if content is not None and name not in before] == []


def test_ctrl_c_while_simulating(place: Path, start) -> None:
    before = contents(place)
    process = start("codegen", "cosim", "net.onnx", "--trials", "20000", "-o", "out.json")
    until(lambda: list((place / "temporary").glob("*/net/manifest.json")), process)
    time.sleep(0.5)
    assert press_ctrl_c(process) == INTERRUPTED
    assert process.returncode == 130
    assert contents(place) == before


def test_ctrl_c_while_verifying(place: Path, start) -> None:
    before = contents(place)
    process = start("codegen", "verify", "fw")
    assert process.stderr is not None
    assert process.stderr.read(len("\rverify")).strip() == "verify"  # the progress bar
    assert press_ctrl_c(process) == INTERRUPTED
    assert process.returncode == 130
    assert contents(place) == before
