"""Firmware, host C and boards compile without a warning: gcc and clang, on the host and for every core.

`test_target.py` builds every board's ELF with GCC and zig's clang under the same flags; here is the host.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codegen.boards import load_board
from codegen.build import WARNINGS
from codegen.cores import CORES
from codegen.firmware import make_firmware
from codegen.kernels import kernel_of
from codegen.misra import all_boards
from codegen.target import buildable_boards
from firmware_templates import HOST, HOST_PROGRAMS

HOST_COMPILERS = ("gcc", "clang")
ONE_OF_EACH_KERNEL = {kernel_of(board.target.cpu): board for board in all_boards()}


@pytest.fixture(scope="module")
def network(networks: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warnings")
    path: Path = networks.write(folder / "net.onnx", networks.layers((2, 16, 16, 1)), "log10_s")
    return path


def compile_strictly(compiler: str, sources: list[Path], include: list[Path], folder: Path) -> str:
    """What the compiler complains about."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    command = [compiler, "-std=c11", *WARNINGS, "-O2", *(f"-I{path}" for path in include)]
    done = subprocess.run(
        [*command, "-c", *map(str, sources)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


@pytest.mark.parametrize("compiler", HOST_COMPILERS)
@pytest.mark.parametrize("kernel", ONE_OF_EACH_KERNEL)
def test_firmware_and_host_c(compiler: str, kernel: str, network: Path, tmp_path: Path) -> None:
    src = make_firmware(network, ONE_OF_EACH_KERNEL[kernel], tmp_path / "fw", None, False).folder / "src"
    sources = [*src.glob("*.c"), *HOST.glob("*.c"), *HOST_PROGRAMS.glob("*.c")]
    assert compile_strictly(compiler, sources, [src, HOST], tmp_path) == ""


@pytest.mark.parametrize("compiler", HOST_COMPILERS)
def test_what_only_networks_that_know_their_devices_need(
    compiler: str, networks: Any, tmp_path: Path
) -> None:
    network = networks.write_device_aware(tmp_path / "net.onnx")
    src = make_firmware(network, load_board("generic"), tmp_path / "fw", None, False).folder / "src"
    sources = [*src.glob("*.c"), *HOST.glob("*.c"), *HOST_PROGRAMS.glob("*.c")]
    assert "OURO_STATE_ROWS" in (src / "ouro_config.h").read_text()
    assert compile_strictly(compiler, sources, [src, HOST], tmp_path) == ""


@pytest.mark.parametrize("compiler", HOST_COMPILERS)
@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        ("static int f(void) { return 0; }", "-Wunused-function"),
        ("int f(unsigned a); int f(unsigned a) { return a; }", "-Wsign-conversion"),
        ("int f(int a); int f(int a) { { int a = 1; (void)a; } return a; }", "-Wshadow"),
    ],
)
def test_a_warning_is_an_error(compiler: str, function: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "f.c").write_text(f"{function}\n")
    assert complaint.removeprefix("-W") in compile_strictly(compiler, [tmp_path / "f.c"], [], tmp_path)


def test_every_core_is_a_board_s() -> None:
    """`test_target.py` builds each board with every compiler there is, under the same warnings."""
    assert {load_board(name).target.cpu for name in buildable_boards()} == set(CORES)
