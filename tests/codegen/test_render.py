"""The generated sources: reproducible, as the golden files say, clean under every warning."""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from codegen import VERSION
from codegen.boards import board_names, load_board
from codegen.firmware import make_firmware
from codegen.render import templates_sha256

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "firmware"
GENERATED = (
    "CMakeLists.txt",
    "README.md",
    "library.json",
    "library.properties",
    "src/ouro_config.h",
    "src/ouro_network.c",
    "src/ouro_network.h",
    "zephyr/CMakeLists.txt",
)
CASES = {"linear_generic": ("linear_s", "generic"), "log_openmena": ("log10_s", "openmena")}


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request, networks, tmp_path):
    """Name of a golden case and its freshly rendered firmware."""
    encoding, board = CASES[request.param]
    path = networks.write(tmp_path / "net.onnx", networks.layers((2, 4, 3, 1), seed=7), encoding)
    make_firmware(path, load_board(board), tmp_path / "fw", None, False)
    return request.param, tmp_path / "fw"


def test_equals_the_golden_files(case, update_golden):
    name, folder = case
    for relative in (*GENERATED, "quantized_model.json"):
        # Static sources are reviewed as they are: their hash is not pinned here.
        found = (folder / relative).read_text().replace(templates_sha256(), "0" * 64)
        golden = GOLDEN / name / relative
        if update_golden:
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_text(found, newline="\n")
        assert found == golden.read_text(), f"{golden} differs; rewrite with --update-golden and review"


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_another_process_elsewhere_gives_identical_bytes(case, networks, tmp_path):
    name, folder = case
    encoding, board = CASES[name]
    elsewhere = tmp_path / "another place"
    elsewhere.mkdir()
    networks.write(elsewhere / "renamed.onnx", networks.layers((2, 4, 3, 1), seed=7), encoding)
    command = [sys.executable, "-m", "codegen", "firmware", "renamed.onnx", "--board", board, "-o", "out"]
    people = {"USER": "somebody", "LOGNAME": "somebody", "HOME": str(elsewhere), "HOSTNAME": "somewhere"}
    places = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "12345", "TMPDIR": str(elsewhere)}
    environment = {**os.environ, **people, **places, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=elsewhere, env=environment, check=True)
    made = contents(folder)
    assert "manifest.json" in made
    assert contents(elsewhere / "out") == made
    # Equality shows that no user, path or second is in it; the day was the same.
    text = "".join(content.decode() for content in made.values())
    days = [time.strftime(form) for form in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%b %d %Y", "%d %b %Y")]
    assert [day for day in days if day in text] == []


def test_sources_use_no_float_no_heap_and_no_recursion_prone_library(case):
    _, folder = case
    for source in folder.glob("src/*.[ch]"):
        code = re.sub(r"/\*.*?\*/|\"[^\"]*\"", "", source.read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(float|double|malloc|calloc|free|goto|setjmp|printf)\b", code), source.name
        included = set(re.findall(r"#include <(\S+)>", code))
        assert included <= {"stdint.h", "stdbool.h", "stddef.h"}, source.name


@pytest.mark.parametrize("board", board_names())
def test_the_manifest_names_everything(networks, tmp_path, board):
    path = networks.write(tmp_path / "net.onnx")
    make_firmware(path, load_board(board), tmp_path / "fw", None, False)
    manifest = json.loads((tmp_path / "fw" / "manifest.json").read_text())
    assert manifest["generator"] == VERSION
    assert manifest["board"]["name"] == board
    assert manifest["network"]["topology"] == "2-32-64-32-1"
    assert len(manifest["quantisation"]["layers"]) == 4
    files = {p.relative_to(tmp_path / "fw").as_posix() for p in (tmp_path / "fw").rglob("*") if p.is_file()}
    assert set(manifest["files"]) == files - {"manifest.json"}


def test_the_version_is_the_package_version():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
