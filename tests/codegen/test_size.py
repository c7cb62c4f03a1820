"""Machine code of the predictor on emulated cores: equal to the integer reference, counted exactly, within budget."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from codegen import cross
from codegen.__main__ import main
from codegen.boards import load_board
from codegen.core_emulator import CoreEmulator, read_image
from codegen.cross import CORES, compile_predictor, find_cross_compilers
from codegen.firmware import load_firmware, make_firmware
from codegen.kernels import ARMV7EM, PORTABLE, kernel_of, padded, stream
from codegen.size import measure, require_within, run
from codegen.target import build_elf
from firmware_templates import BUDGETS
from sim.errors import UserError

COMPILERS = {compiler.name: compiler for compiler in find_cross_compilers()}
SHAPES = {"paper": (2, 32, 64, 32, 1), "odd": (2, 7, 5, 19, 3, 1), "single": (2, 1), "wide": (2, 17, 40, 1)}


def compiler(name: str) -> cross.CrossCompiler:
    if name not in COMPILERS:
        pytest.skip(f"no {name}")
    return COMPILERS[name]


@pytest.fixture(scope="module", params=["generic", "openmena"])
def paper(request, networks, tmp_path_factory) -> Path:
    return firmware(networks, tmp_path_factory.mktemp("size"), "paper", request.param)


def firmware(networks, folder: Path, shape: str, board: str, encoding: str = "log10_s") -> Path:
    path = networks.write(folder / "net.onnx", networks.layers(SHAPES[shape], seed=3, spread=1.0), encoding)
    make_firmware(path, load_board(board), folder / "fw", None, True)
    return folder / "fw"


@pytest.mark.parametrize("name", ["arm-none-eabi-gcc", "zig"])
@pytest.mark.parametrize("core", sorted(CORES))
def test_every_core_computes_the_reference(paper: Path, core: str, name: str, tmp_path: Path) -> None:
    """`run` compares status, direction and ticks of every call."""
    compile_predictor(paper, CORES[core], tmp_path / "p.elf", compiler(name))
    emulator = CoreEmulator(read_image(tmp_path / "p.elf"), CORES[core])
    assert len(run(emulator, load_firmware(paper).model, count=30)) == 41


@pytest.mark.parametrize("shape", ["odd", "single", "wide"])
@pytest.mark.parametrize("encoding", ["linear_s", "log10_s"])
@pytest.mark.parametrize("name", ["arm-none-eabi-gcc", "zig"])
def test_the_dual_mac_kernel_takes_any_shape(
    networks, shape: str, encoding: str, name: str, tmp_path: Path
) -> None:
    folder = firmware(networks, tmp_path, shape, "generic", encoding)
    compile_predictor(folder, CORES["cortex-m4"], tmp_path / "p.elf", compiler(name))
    emulator = CoreEmulator(read_image(tmp_path / "p.elf"), CORES["cortex-m4"])
    run(emulator, load_firmware(folder).model, count=200)


def test_wrong_machine_code_is_caught(paper: Path, tmp_path: Path) -> None:
    """One weight changed: the figures of code that computes something else are not given."""
    source = paper / "src" / "ouro_network.c"
    text = source.read_text()
    first = re.compile(r"((?:bias_1|stream_1)\[.*?\] = \{(?:\s*/\*.*?\*/)?\s*)(-?\w+)", re.DOTALL)
    source.write_text(first.sub(r"\g<1>0x01234567", text, count=1))
    try:
        with pytest.raises(UserError, match=r"machine code gives .* the integer reference"):
            measure(paper, CORES["cortex-m4"], next(iter(COMPILERS), None))
    finally:
        source.write_text(text)


def test_the_count_is_that_of_the_instructions(tmp_path: Path) -> None:
    """A function whose instructions are counted by hand, with a skipped IT block in it."""
    chosen = compiler("arm-none-eabi-gcc")
    (tmp_path / "f.s").write_text(
        ".syntax unified\n.thumb\n.global ouro_predict\n.thumb_func\nouro_predict:\n"
        "push {r4, lr}\n"  # 1, two words
        "cmp r0, #0\n"  # 2
        "itte eq\n"  # 3
        "moveq r3, #1\n"  # 4, skipped for r0 != 0
        "moveq r4, #2\n"  # 5, skipped
        "movne r4, #3\n"  # 6
        "str r4, [r2]\n"  # 7, one word
        "movs r0, #0\n"  # 8
        "pop {r4, pc}\n"  # 9, two words
    )
    command = [*chosen.command, "-mcpu=cortex-m4", "-mthumb", "-nostdlib", "-Wl,-Ttext=0x08000000"]
    subprocess.run(
        [*command, "-Wl,-e,ouro_predict", str(tmp_path / "f.s"), "-o", str(tmp_path / "f.elf")], check=True
    )
    emulator = CoreEmulator(read_image(tmp_path / "f.elf"), CORES["cortex-m4"])
    for start in (0, 7):
        _, _, _, cost = emulator.predict(start, 1)
        assert (cost.instructions, cost.words_moved, cost.stack_bytes) == (9, 5, 8)


def test_the_stream_holds_the_layer(networks, tmp_path: Path) -> None:
    model = load_firmware(firmware(networks, tmp_path, "odd", "generic")).model
    for layer in model.layers:
        columns = padded(layer.columns, ARMV7EM) if layer.columns > 8 else 8
        for pair, words in enumerate(stream(layer)):
            assert len(words) == 2 + columns + 1
            halves = np.array(words[2:-1], dtype=np.uint32).view(np.int16).reshape(-1, 2, 8)
            for k in range(2):
                row, weights = 2 * pair + k, halves[:, k].ravel()
                wanted = layer.weights[row] if row < layer.rows else (0,) * layer.columns
                assert (
                    weights[: layer.columns].tolist() == list(wanted) and not weights[layer.columns :].any()
                )


def test_kernels_follow_the_core() -> None:
    assert kernel_of("cortex-m4") == kernel_of("Cortex-M7") == ARMV7EM
    assert kernel_of("cortex-m3") == kernel_of("anything") == PORTABLE


@pytest.mark.skipif(not COMPILERS, reason="no cross compiler")
def test_the_default_budget_holds_and_a_smaller_one_fails(paper: Path, tmp_path: Path) -> None:
    core = load_firmware(paper).board.target.cpu
    found = measure(paper, CORES[core])
    require_within(found, BUDGETS)
    (tmp_path / "b.toml").write_text(f"[{core}]\ninstructions = {found.instructions - 1}\n")
    with pytest.raises(UserError, match=f"over budget on {core}: instructions = {found.instructions}, limit"):
        require_within(found, tmp_path / "b.toml")


@pytest.mark.skipif(not COMPILERS, reason="no cross compiler")
def test_the_command(paper: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["size", str(paper), "--core", "cortex-m3", "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.output)
    assert figures["core"] == "cortex-m3" and figures["ram_bytes"] == 0
    assert 0 < figures["table_bytes"] < figures["network_flash_bytes"] <= figures["flash_bytes"]
    assert 4192 < figures["instructions"] < figures["cycles"]
    for arguments, complaint in (
        (["--core", "z80"], "unknown core 'z80'; known: cortex-m0"),
        (["--budget", str(tmp_path / "none.toml")], "cannot read"),
        (["--elf", str(paper / "manifest.json")], "no readable ELF"),
    ):
        done = CliRunner().invoke(main, ["size", str(paper), *arguments])
        assert isinstance(done.exception, UserError) and complaint in str(done.exception)


def test_without_a_compiler_the_way_to_one_is_said(paper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross, "find_cross_compilers", list)
    with pytest.raises(
        UserError, match=r"pip install .* brings zig, apt install gcc-arm-none-eabi brings GCC"
    ):
        measure(paper, CORES["cortex-m4"])


@pytest.mark.skipif(not COMPILERS, reason="no cross compiler")
def test_a_board_s_elf_is_measured_as_it_is(networks, tmp_path: Path) -> None:
    """The predictor inside what is flashed takes as many instructions as it does alone."""
    folder = firmware(networks, tmp_path, "paper", "stm32f405")
    build_elf(folder, tmp_path / "elf")
    whole = measure(folder, CORES["cortex-m4"], elf=tmp_path / "elf" / "ouroboros.elf")
    alone = measure(folder, CORES["cortex-m4"])
    assert whole.instructions == alone.instructions and whole.flash_bytes > alone.flash_bytes
