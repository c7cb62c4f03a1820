"""What is flashed: built with every compiler there is, and run in QEMU on simulated devices."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from intelhex import IntelHex

from codegen.__main__ import main
from codegen.boards import load_board
from codegen.cross import find_cross_compilers
from codegen.emulation import emulate_built
from codegen.firmware import make_firmware
from codegen.scpi_client import ScpiClient, VerifySettings
from codegen.target import Built, build_elf, buildable_boards, load_built
from sim.errors import UserError
from sim.noise import load_preset

COMPILERS = [compiler.name for compiler in find_cross_compilers()]
needs_compiler = pytest.mark.skipif(
    not COMPILERS, reason="no cross compiler: scripts/targets.sh installs one"
)


@pytest.fixture(scope="module", params=buildable_boards())
def made(request, networks, tmp_path_factory) -> tuple[str, Path]:
    """A board and a firmware for it."""
    folder = tmp_path_factory.mktemp("target")
    network = networks.write(folder / "net.onnx", networks.layers((2, 16, 16, 1)), "log10_s")
    make_firmware(network, load_board(request.param), folder / "firmware", None, force=False)
    return request.param, folder / "firmware"


@pytest.fixture(scope="module", params=COMPILERS)
def built(request, made, tmp_path_factory) -> Built:
    return build_elf(made[1], tmp_path_factory.mktemp("elf") / request.param, request.param)


def emulator_of(board: str) -> None:
    machine = load_board(board).target.emulator
    if machine is None or shutil.which("qemu-system-arm") is None:
        pytest.skip("no emulator for it: scripts/targets.sh installs QEMU")


@needs_compiler
def test_hex_and_bin_hold_the_same_bytes_and_start_with_a_vector_table(built):
    target = built.board.target
    image = IntelHex(str(built.folder / "ouroboros.hex"))
    binary = (built.folder / "ouroboros.bin").read_bytes()
    assert image.minaddr() == target.flash_origin
    assert image.tobinstr() == binary and len(binary) == built.flash_bytes
    stack, reset = np.frombuffer(binary[:8], dtype="<u4")
    assert stack == target.ram_origin + target.ram_bytes
    assert reset % 2 == 1 and target.flash_origin < reset < target.flash_origin + built.flash_bytes


@needs_compiler
def test_the_map_names_controller_and_predictor(built):
    lines = (built.folder / "ouroboros.map").read_text().splitlines()
    symbols = {line.split()[-1] for line in lines[1:]}
    assert {"main", "ouro_predict", "ouro_controller_step", "board_pulse_start"} <= symbols
    assert built.compiler in (built.folder / "size.txt").read_text()


@needs_compiler
def test_every_pulse_of_the_emulated_firmware_is_the_reference_s(built, made):
    emulator_of(made[0])
    found = emulate_built(built, made[1], load_preset("ouroboros"), seed=3, trials=20, verify_trials=5)
    network = json.loads((made[1] / "manifest.json").read_text())["network"]["sha256"][:12]
    assert found["identity"].startswith(f"Ouroboros,{made[0]},{network},")
    assert sum(found["statuses"].values()) == 20
    assert found["pulses_differing_from_reference"] == found["conductances_differing_from_reference"] == 0
    assert found["write_and_verify"]["devices"] == 5 and found["write_and_verify"]["differing"] == 0


@needs_compiler
@pytest.mark.parametrize("built", COMPILERS[:1], indirect=True)
def test_the_client_finds_the_same_on_the_emulated_board_as_on_the_virtual_one(built, made):
    emulator_of(made[0])

    def results(*options):
        command = [sys.executable, "-m", "codegen", "instrument", str(made[1]), "--tcp", "0", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                url = process.stdout.readline().rsplit(": ", 1)[0]
                with ScpiClient(url, crc=True) as board:
                    once = [board.program_one_shot(0, k, 250_000 + 1000 * k) for k in range(3)]
                    settings = VerifySettings(tolerance_permille=10, max_iterations=4)
                    often = [board.program_verify(1, k, 250_000, settings) for k in range(3)]
                    refused = []
                    for cell in ((64, 0), (0, 70000)):
                        with pytest.raises(UserError) as error:
                            board.measure(*cell)
                        refused.append(str(error.value).removeprefix(url))
                    return [*once, *often, board.measure(0, 0), refused]
            finally:
                process.terminate()

    assert results("--elf", str(built.folder)) == results("--devices", "4096", "--columns", "64")


@needs_compiler
def test_an_emulated_firmware_with_another_network_is_noticed(built, made, networks, tmp_path):
    emulator_of(made[0])
    layers = networks.layers((2, 16, 16, 1), seed=1)
    network = networks.write(tmp_path / "other.onnx", layers, "log10_s")
    make_firmware(network, load_board(made[0]), tmp_path / "other", None, force=False)
    found = emulate_built(
        built, tmp_path / "other", load_preset("ouroboros"), seed=3, trials=10, verify_trials=0
    )
    assert found["pulses_differing_from_reference"] > 0


@needs_compiler
def test_the_commands_build_and_emulate(made, tmp_path):
    board, firmware = made
    emulator_of(board)
    elf = ["elf", str(firmware), "--board", board, "-o", str(tmp_path / "elf")]
    subprocess.run([sys.executable, "-m", "codegen", *elf], check=True, capture_output=True)
    command = ["emulate", "--board", board, "--trials", "2", "--verify-trials", "1", "--json"]
    done = CliRunner().invoke(main, [*command, "--firmware", str(firmware), "--elf", str(tmp_path / "elf")])
    assert json.loads(done.output)["pulses_differing_from_reference"] == 0


def test_what_cannot_be_built_or_run_is_refused_with_advice(made, tmp_path, networks):
    board, firmware = made
    with pytest.raises(UserError, match=f"make elf BOARD={board}"):
        load_built(tmp_path, firmware, board)
    with pytest.raises(UserError, match=f"was made for board '{board}', not 'generic'"):
        build_elf(firmware, tmp_path / "elf", board_name="generic")
    network = networks.write(tmp_path / "net.onnx", networks.layers((2, 4, 1)), "log10_s")
    make_firmware(network, load_board("generic"), tmp_path / "generic", None, force=False)
    with pytest.raises(UserError, match="it can be simulated, not built"):
        build_elf(tmp_path / "generic", tmp_path / "elf")
    assert not (tmp_path / "elf").exists()


def test_boards_are_listed_with_core_and_emulator():
    lines = CliRunner().invoke(main, ["boards"]).output.splitlines()
    assert any(line.split()[:4] == ["stm32f405", "cortex-m4", "netduinoplus2", "yes"] for line in lines)
    assert any(line.split()[:4] == ["generic", "cortex-m4", "-", "no"] for line in lines)
