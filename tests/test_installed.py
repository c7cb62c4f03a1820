"""The project without its checkout: built as a wheel, installed elsewhere, run from elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from codegen.boards import load_board
from codegen.firmware import make_firmware
from codegen.reference import ReferencePredictor

ROOT = Path(__file__).parents[1]
PACKAGES = ("sim", "train", "codegen", "firmware_templates")
NOT_SOURCE = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.o", "_jart_kernel.c", "*.egg-info")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what makes the wheel: building in the checkout could pick up, and leave, other builds."""
    folder = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=NOT_SOURCE)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", str(folder), str(wheel)], check=True)
    return folder


@pytest.fixture
def run(installed: Path, tmp_path: Path):
    """Run Python from an empty folder, on the installed packages."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        cache = str(tmp_path / "cache")  # nothing compiled from the checkout
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed), "XDG_CACHE_HOME": cache},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(source: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        path.relative_to(source).as_posix()
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for needed in (
        "firmware_templates/boards/generic/board.toml",
        "firmware_templates/generated/_header.j2",
        "firmware_templates/host/programs/predict_stream.c",
        "firmware_templates/project/LICENSE",
        "firmware_templates/project/examples/SerialPulse/SerialPulse.ino",
        "firmware_templates/project/zephyr/Kconfig",
        "firmware_templates/project/zephyr/module.yml",
        "firmware_templates/static/ouro_fixed.h",
        "sim/presets/ouroboros.toml",
    ):
        assert needed in expected
    (kernel,) = {name for name in names if name.startswith("sim/kernel/_jart_kernel.")} - expected
    assert names - {kernel} == expected


def test_the_packages_are_those_that_were_installed(run, installed: Path) -> None:
    # The editable installation of the checkout must not stand in for a package that is missing in the wheel.
    modules = [*PACKAGES, "sim.kernel._jart_kernel"]
    done = run("-c", f"import {', '.join(modules)}, sys\nfor m in {modules}: print(sys.modules[m].__file__)")
    assert done.returncode == 0, done.stderr
    files = done.stdout.split()
    assert len(files) == len(modules)
    assert [path for path in files if not Path(path).is_relative_to(installed)] == []


def test_commands_find_their_data(run) -> None:
    for arguments, expected in (
        (("sim", "models"), "jart-fit"),
        (("sim", "presets"), "ouroboros"),
        (("codegen", "boards"), "openmena"),
        (("train", "--help"), "evaluate"),
    ):
        done = run("-m", *arguments)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def test_firmware_is_made_compiled_and_run(networks, run, tmp_path: Path) -> None:
    networks.write(tmp_path / "net.onnx", networks.layers((2, 8, 1)))
    done = run("-m", "codegen", "firmware", "net.onnx", "--board", "generic", "-o", "fw")
    assert done.returncode == 0, done.stderr
    ours = make_firmware(tmp_path / "net.onnx", load_board("generic"), tmp_path / "ours", None, False)
    for path in (path for path in ours.folder.rglob("*") if path.is_file()):
        assert (tmp_path / "fw" / path.relative_to(ours.folder)).read_bytes() == path.read_bytes(), path.name

    start, target = np.linspace(94_450, 559_300, 50).astype(np.int64), np.full(50, 300_000)
    pairs = "".join(f"{s},{t}\n" for s, t in zip(start, target, strict=True))
    (tmp_path / "pairs.csv").write_text(f"g_start_nS,g_target_nS\n{pairs}")
    done = run("-m", "codegen", "predict", "fw", "pairs.csv", "-o", "pulses.csv")
    assert done.returncode == 0, done.stderr
    direction, ticks, _ = ReferencePredictor(ours.model).predict(start, target)
    pulses = np.loadtxt(tmp_path / "pulses.csv", dtype=np.int64, delimiter=",", skiprows=1)
    assert pulses.tolist() == [[t, d] for t, d in zip(ticks.tolist(), direction.tolist(), strict=True)]
