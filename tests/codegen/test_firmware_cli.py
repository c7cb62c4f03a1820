"""The commands as users type them: results, one-line errors, nothing left behind."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import codegen.build
from codegen.build import host_library
from codegen.host import HostLibrary, load_library
from codegen.onnx_import import load_network
from sim.errors import UserError

ROOT = Path(__file__).parents[2]


def run(*arguments, cwd=None, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-m", "codegen", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def made(networks, tmp_path_factory):
    """A folder with net.onnx and its firmware in fw."""
    folder = tmp_path_factory.mktemp("cli")
    networks.write(folder / "net.onnx", networks.layers(seed=3), "log10_s")
    done = run("firmware", folder / "net.onnx", "--board", "generic", "-o", folder / "fw")
    assert done.returncode == 0, done.stderr
    return folder


def assert_refused(done, complaint):
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["none.onnx", "--board", "generic"], "cannot read network none.onnx"),
        (["garbage.onnx", "--board", "generic"], "not an ONNX file"),
        (["nan.onnx", "--board", "generic"], "holds NaN or infinite"),
        (["net.onnx", "--board", "nucleo"], "unknown board 'nucleo'; known boards: "),
        (["net.onnx", "--board", "generic", "--calibration", "none.h5"], "no such file"),
        (["net.onnx", "--board", "generic", "--calibration", "garbage.onnx"], "not a data set"),
    ],
)
def test_bad_input_writes_nothing(networks, tmp_path, arguments, complaint):
    networks.write(tmp_path / "net.onnx")
    (tmp_path / "garbage.onnx").write_bytes(b"\xff" * 100)
    layers = networks.layers()
    layers[0][0][0, 0] = np.nan
    networks.write(tmp_path / "nan.onnx", layers)
    before = sorted(tmp_path.rglob("*"))
    assert_refused(run("firmware", *arguments, "-o", "fw", cwd=tmp_path), complaint)
    assert sorted(tmp_path.rglob("*")) == before


def test_only_untouched_output_is_replaced(networks, tmp_path):
    networks.write(tmp_path / "net.onnx")
    command = ["firmware", "net.onnx", "--board", "generic", "-o", "fw"]
    folder = tmp_path / "fw"
    folder.mkdir()
    for _ in range(2):  # into an empty folder, then over its own output
        assert run(*command, cwd=tmp_path).returncode == 0
    (folder / "src" / "notes.txt").write_text("mine")
    assert_refused(run(*command, cwd=tmp_path), "changed by hand (src/notes.txt)")
    (folder / "src" / "notes.txt").unlink()
    (folder / "README.md").write_text("mine")
    assert_refused(run(*command, cwd=tmp_path), "changed by hand (README.md)")
    assert (folder / "README.md").read_text() == "mine"
    assert run(*command, "--force", cwd=tmp_path).returncode == 0
    assert (folder / "README.md").read_text() != "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    assert_refused(run(*command[:-1], "other", cwd=tmp_path), "is not a firmware folder")
    assert_refused(run(*command[:-1], "net.onnx", cwd=tmp_path), "is not a folder")


def test_predict(made, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("g_start_nS,g_target_nS\n100000,300000\n300000,100000\n200000,200000\n")
    done = run("predict", made / "fw", pairs, "-o", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "out.csv").read_text().splitlines()
    direction, ticks, _ = HostLibrary(made / "fw").predict(
        np.array([100_000, 300_000, 200_000]), np.array([300_000, 100_000, 200_000])
    )
    assert lines[0] == "ticks,direction"
    assert lines[1:] == [f"{t},{d}" for t, d in zip(ticks, direction, strict=True)]
    assert direction.tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("g_start_nS,g_target_nS\n100000,300000\n100000,559301\n", "line 3: target 559301 nS is outside"),
        ("g_start_nS,g_target_nS\n100000\n", "line 2: 1 values instead of 2"),
        ("g_start_nS,g_target_nS\n100000,2e5\n", "line 2: '100000,2e5' are not two whole numbers"),
        ("g_start_nS,g_target_nS\n3000000000,200000\n", "line 2: start 3000000000 nS does not fit"),
        ("start,target\n1,2\n", "line 1: the columns must be g_start_nS,g_target_nS"),
        ("g_start_nS,g_target_nS\n", "no pairs"),
        ("", "line 1"),
    ],
)
def test_predict_refuses_unusable_pairs(made, tmp_path, text, complaint):
    (tmp_path / "pairs.csv").write_text(text)
    done = run("predict", made / "fw", tmp_path / "pairs.csv", "-o", tmp_path / "out.csv")
    assert_refused(done, complaint)
    assert not (tmp_path / "out.csv").exists()


def test_verify_and_host(made, tmp_path):
    done = run("verify", made / "fw", "--random", "20000", "-o", tmp_path / "verified.json")
    verified = json.loads((tmp_path / "verified.json").read_text())
    assert (verified["compared"], verified["what"]) == (20_000, "random pairs")
    assert (
        verified["manifest_sha256"]
        == hashlib.sha256((made / "fw" / "manifest.json").read_bytes()).hexdigest()
    )
    assert done.returncode == 0 and "equals the integer model on 20,000 random pairs" in done.stdout
    done = run("verify", made / "fw", "--sanitize", "--random", "5000")
    assert done.returncode == 0 and "5,000 random pairs under sanitizers" in done.stdout
    done = run("host", made / "fw", "-o", tmp_path / "libouro.so")
    assert done.returncode == 0
    load_library(tmp_path / "libouro.so")


@pytest.mark.parametrize(
    "verb", [["verify"], ["host", "-o", "x.so"], ["predict", "-o", "x.csv", "pairs.csv"]]
)
def test_what_is_no_firmware_folder_is_refused(tmp_path, verb):
    done = run(verb[0], tmp_path, *verb[1:], cwd=tmp_path)
    assert_refused(done, "is not a firmware folder")
    done = run(verb[0], tmp_path / "none", *verb[1:], cwd=tmp_path)
    assert_refused(done, "is not a firmware folder")


def test_a_damaged_integer_model_is_refused(made, tmp_path):
    import shutil

    shutil.copytree(made / "fw", tmp_path / "fw")
    (tmp_path / "fw" / "quantized_model.json").write_text("{}")
    assert_refused(run("verify", tmp_path / "fw"), "quantized_model.json")


def test_without_a_compiler_it_says_what_to_install(made, tmp_path):
    done = run("verify", made / "fw", PATH=str(tmp_path), CC="")
    assert_refused(done, "no C compiler (cc, gcc or clang): install one")
    done = run("verify", made / "fw", CC="mycc")
    assert_refused(done, "named by CC is not there: mycc")


def test_a_compiler_error_is_one_line(made, tmp_path):
    import shutil

    shutil.copytree(made / "fw", tmp_path / "fw")
    (tmp_path / "fw" / "src" / "ouro_dense.c").write_text("int x = ;\n")
    assert_refused(run("verify", tmp_path / "fw"), "the C compiler refused the firmware:")


def test_the_cache_is_keyed_by_content(made, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = host_library(made / "fw")
    assert first.is_relative_to(tmp_path)
    calls = []
    monkeypatch.setattr(codegen.build, "_run", calls.append)
    assert host_library(made / "fw") == first and not calls
    monkeypatch.chdir(made)
    for other_way in (Path("fw"), Path("..") / made.name / "fw"):  # sort after and before absolute paths
        assert host_library(other_way) == first and not calls
    extra = tmp_path / "extra.c"
    extra.write_text("int ouro_extra(void);\nint ouro_extra(void) { return 7; }\n")
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    second = host_library(made / "fw", extra_sources=[extra])
    assert second != first
    (tmp_path / "extra.h").write_text("int ouro_extra(void);\n")
    _, lib = load_library(second, tmp_path / "extra.h")
    assert lib.ouro_extra() == 7


def test_a_full_disk_leaves_nothing(made, tmp_path, monkeypatch):
    from codegen.boards import load_board
    from codegen.firmware import make_firmware

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    written = Path.write_text
    monkeypatch.setattr(
        Path, "write_text", lambda self, *a, **k: (full if self.suffix == ".json" else written)(self, *a, **k)
    )
    with pytest.raises(OSError, match="No space"):
        make_firmware(made / "net.onnx", load_board("generic"), tmp_path / "out" / "fw", None, False)
    assert list((tmp_path / "out").iterdir()) == []


def test_boards_and_help():
    done = run("boards")
    assert done.returncode == 0 and "\ngeneric " in done.stdout
    done = run("--help")
    for verb in ("firmware", "host", "predict", "verify", "boards"):
        assert verb in done.stdout
        assert run(verb, "--help").returncode == 0


def test_a_library_that_is_none_is_refused(tmp_path):
    (tmp_path / "lib.so").write_text("no")
    with pytest.raises(UserError, match="cannot load the host library"):
        load_library(tmp_path / "lib.so")


def test_importing_codegen_does_not_import_torch(made):
    code = "import sys, codegen.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    assert load_network(made / "net.onnx").metadata.output.encoding == "log10_s"
