"""What is flashed: built with every compiler there is, and run in QEMU on simulated devices."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from adafruit_uf2 import uf2conv
from click.testing import CliRunner
from elftools.elf.elffile import ELFFile
from intelhex import IntelHex

from codegen.__main__ import main
from codegen.boards import load_board
from codegen.cores import AVR, load_core
from codegen.cross import find_cross_compilers
from codegen.emulation import emulate_built, emulator
from codegen.firmware import make_firmware
from codegen.instrument import simulated_instrument
from codegen.scpi_client import ScpiClient, VerifySettings
from codegen.target import Built, build_elf, buildable_boards, load_built
from codegen.uf2 import uf2_image
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.noise import load_preset

PATIENCE_S = 60.0
BOOT2_BYTES = 256  # RP2040's second stage, before the vector table
EMULATED = [name for name in buildable_boards() if load_board(name).target.emulator]
ONE_AND_TWO_LINES = ["microbit", "stm32f405"]  # of which the bench link shares the host's, or has its own


@pytest.fixture(scope="module", params=buildable_boards())
def made(request, networks, tmp_path_factory) -> tuple[str, Path]:
    """A board and a firmware for it."""
    folder = tmp_path_factory.mktemp("target")
    network = networks.write(folder / "net.onnx", networks.layers((2, 16, 16, 1)), "log10_s")
    make_firmware(network, load_board(request.param), folder / "firmware", None, force=False)
    return request.param, folder / "firmware"


@pytest.fixture(scope="module", params=["gcc", "zig"])
def built(request, made, tmp_path_factory) -> Built:
    """What the board's own GCC or zig makes of it, or the first compiler there is."""
    family = load_core(load_board(made[0]).target.cpu).family
    found = [compiler.name for compiler in find_cross_compilers(family)]
    wanted = {"gcc": family.gcc, "zig": "zig", "first": next(iter(found), "any")}[request.param]
    if wanted == "zig" and not family.has_zig:
        pytest.skip(f"zig does not compile for {family.title}")
    if wanted not in found:
        pytest.skip(f"no compiler {wanted} for {made[0]}: scripts/targets.sh installs one")
    return build_elf(made[1], tmp_path_factory.mktemp("elf") / request.param, wanted)


def needs_emulator(board: str) -> None:
    qemu = load_core(load_board(board).target.cpu).family.qemu
    if shutil.which(qemu) is None:
        pytest.skip(f"no {qemu}: scripts/targets.sh installs it")


def test_hex_and_bin_hold_the_same_bytes_and_start_with_a_vector_table_or_with_the_first_instruction(built):
    target = built.board.target
    image = IntelHex(str(built.folder / "ouroboros.hex"))
    binary = (built.folder / "ouroboros.bin").read_bytes()
    assert image.minaddr() == target.flash_origin
    assert image.tobinstr() == binary and len(binary) == built.flash_bytes
    first = {"riscv": "target_reset", "avr": "target_vectors"}.get(target.startup)
    if first is not None:
        with built.elf.open("rb") as file:
            (entry,) = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name(first)
        assert entry["st_value"] == target.flash_origin
        return
    map_lines = (built.folder / "ouroboros.map").read_text().splitlines()
    (vectors,) = (int(line.split()[0], 16) for line in map_lines if line.endswith(" vectors"))
    begin = vectors - target.flash_origin
    stack, reset = np.frombuffer(binary[begin : begin + 8], dtype="<u4")
    assert begin == (BOOT2_BYTES if target.uf2_family else 0)
    assert stack == target.ram_origin + target.ram_bytes
    assert reset % 2 == 1 and target.flash_origin < reset < target.flash_origin + built.flash_bytes


@pytest.mark.parametrize("made", ["rp2040"], indirect=True)
def test_an_rp2040_s_second_stage_has_the_checksum_that_its_boot_rom_wants(built):
    """CRC-32 without reflection, by zlib's reflected one."""

    def reversed_bits(value: int, bits: int) -> int:
        return int(f"{value:0{bits}b}"[::-1], 2)

    binary = (built.folder / "ouroboros.bin").read_bytes()
    reflected = zlib.crc32(bytes(reversed_bits(byte, 8) for byte in binary[: BOOT2_BYTES - 4])) ^ 0xFFFFFFFF
    stored = int.from_bytes(binary[BOOT2_BYTES - 4 : BOOT2_BYTES], "little")
    assert stored == reversed_bits(reflected, 32) and binary[0] != 0


def test_a_chip_whose_boot_rom_takes_uf2_gets_one_as_microsoft_s_converter_writes_it(built):
    target = built.board.target
    found = built.folder / "ouroboros.uf2"
    assert found.is_file() == (target.uf2_family is not None)
    if target.uf2_family is not None:
        uf2conv.appstartaddr, uf2conv.familyid = target.flash_origin, target.uf2_family
        assert found.read_bytes() == uf2conv.convert_to_uf2((built.folder / "ouroboros.bin").read_bytes())


@pytest.mark.parametrize(("n_bytes", "n_blocks"), [(1, 1), (256, 1), (257, 2), (100_000, 391)])
def test_uf2_holds_the_image_whole_and_says_where_it_goes(n_bytes, n_blocks):
    content = np.random.default_rng(1).bytes(n_bytes)
    image = uf2_image(content, 0x1000_0000, 0xE48B_FF56)
    assert len(image) == 512 * n_blocks
    uf2conv.appstartaddr, uf2conv.familyid = 0, 0xE48B_FF56
    assert uf2conv.convert_from_uf2(image) == content.ljust(256 * n_blocks, b"\0")
    assert uf2conv.appstartaddr == 0x1000_0000


def test_the_map_names_controller_and_predictor(built):
    lines = (built.folder / "ouroboros.map").read_text().splitlines()
    symbols = {line.split()[-1] for line in lines[1:]}
    assert {"main", "ouro_predict", "ouro_controller_step", "board_pulse_start"} <= symbols
    assert built.compiler in (built.folder / "size.txt").read_text()


@pytest.mark.parametrize("made", EMULATED, indirect=True)
def test_every_pulse_of_the_emulated_firmware_is_the_reference_s(built, made):
    needs_emulator(made[0])
    found = emulate_built(built, made[1], load_preset("ouroboros"), seed=3, trials=20, verify_trials=5)
    network = json.loads((made[1] / "manifest.json").read_text())["network"]["sha256"][:12]
    assert found["identity"].startswith(f"Ouroboros,{made[0]},{network},")
    assert sum(found["statuses"].values()) == 20
    assert found["pulses_differing_from_reference"] == found["conductances_differing_from_reference"] == 0
    assert found["write_and_verify"]["devices"] == 5 and found["write_and_verify"]["differing"] == 0


@pytest.mark.parametrize("made", ONE_AND_TWO_LINES[:1], indirect=True)
def test_states_of_devices_on_the_emulated_board_are_the_reference_s(made, networks, tmp_path):
    needs_emulator(made[0])
    noise, firmware = load_preset("ouroboros-devices"), tmp_path / "firmware"
    make_firmware(
        networks.write_device_aware(tmp_path / "net.onnx"), load_board(made[0]), firmware, None, False
    )
    built = build_elf(firmware, tmp_path / "elf")
    assert built.ram_bytes > 2 * 64 * 64
    found = emulate_built(built, firmware, noise, seed=3, trials=6, verify_trials=2)
    assert found["pulses_differing_from_reference"] == found["conductances_differing_from_reference"] == 0
    assert found["write_and_verify"]["differing"] == 0
    virtual = simulated_instrument(firmware, noise, 5, 64, 64)
    calibrated = (("CAL:DEV", ",3"), ("PROG:ONES", ",250uS"), ("DEV:STAT?", ""))
    with emulator(built.elf, built.board) as emulated:
        emulated.use(draw_trials(64, noise, 5).bench(built.board.bench_params(), jobs=1))
        for line in (
            *(f"{line} 0,{k}{rest}\n" for k in range(3) for line, rest in calibrated),
            "DEV:STAT 0,9,-128,255\nDEV:STAT? 0,9\n",
            "CAL:DEV 0,9,1\n",
            "DEV:RES\nDEV:STAT? 0,9\n",
            "DEV:STAT? 64,0\nSYST:ERR?\n",
        ):
            assert emulated.ask(line.strip()) == virtual.exchange(line.encode()).decode().strip()


@pytest.mark.parametrize("made", ["arduino-uno"], indirect=True)
@pytest.mark.parametrize("shape", [(2, 1), (2, 3, 5, 1), (2, 32, 64, 32, 1)])
def test_an_int_of_16_bits_computes_the_reference_too(made, networks, tmp_path, shape):
    """Linear widths, whose decoding takes 64 bits, and weights at the ends of their range."""
    needs_emulator(made[0])
    if not find_cross_compilers(AVR):
        pytest.skip("no avr-gcc: scripts/targets.sh installs it")
    network = networks.write(tmp_path / "net.onnx", networks.layers(shape, seed=5, spread=3.0), "linear_s")
    make_firmware(network, load_board(made[0]), tmp_path / "firmware", None, force=False)
    built = build_elf(tmp_path / "firmware", tmp_path / "elf")
    found = emulate_built(
        built, tmp_path / "firmware", load_preset("ouroboros"), 4, trials=30, verify_trials=0
    )
    assert found["pulses_differing_from_reference"] == found["conductances_differing_from_reference"] == 0
    assert found["statuses"]["OK"] > 20


@pytest.mark.parametrize("made", ONE_AND_TWO_LINES, indirect=True)
@pytest.mark.parametrize("built", ["first"], indirect=True)
def test_the_client_finds_the_same_on_the_emulated_board_as_on_the_virtual_one(built, made):
    needs_emulator(made[0])

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


@pytest.mark.parametrize("made", ["stm32f405"], indirect=True)
@pytest.mark.parametrize("built", ["first"], indirect=True)
def test_sigterm_ends_the_emulator_too(built, made):
    needs_emulator(made[0])
    options = ["--firmware", str(made[1]), "--elf", str(built.folder), "--trials", "4096"]
    command = [sys.executable, "-m", "codegen", "emulate", "--board", made[0], *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not (started := emulators_of(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        assert process.wait(PATIENCE_S) == 130
    assert started and not any(Path(f"/proc/{child}").exists() for child in started)


def emulators_of(pid: int) -> list[str]:
    """QEMU among a process's children; it compiles for this machine before."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = []
    for child in children:
        with suppress(OSError):  # it may be over by now
            if b"qemu" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


@pytest.mark.parametrize("made", ONE_AND_TWO_LINES[:1], indirect=True)
@pytest.mark.parametrize("built", ["first"], indirect=True)
def test_an_emulated_firmware_with_another_network_is_noticed(built, made, networks, tmp_path):
    needs_emulator(made[0])
    layers = networks.layers((2, 16, 16, 1), seed=1)
    network = networks.write(tmp_path / "other.onnx", layers, "log10_s")
    make_firmware(network, load_board(made[0]), tmp_path / "other", None, force=False)
    found = emulate_built(
        built, tmp_path / "other", load_preset("ouroboros"), seed=3, trials=10, verify_trials=0
    )
    assert found["pulses_differing_from_reference"] > 0


@pytest.mark.parametrize("made", ONE_AND_TWO_LINES[1:], indirect=True)
def test_the_commands_build_and_emulate(made, tmp_path):
    board, firmware = made
    needs_emulator(board)
    elf = ["elf", str(firmware), "--board", board, "-o", str(tmp_path / "elf")]
    subprocess.run([sys.executable, "-m", "codegen", *elf], check=True, capture_output=True)
    command = ["emulate", "--board", board, "--trials", "2", "--verify-trials", "1", "--json"]
    done = CliRunner().invoke(main, [*command, "--firmware", str(firmware), "--elf", str(tmp_path / "elf")])
    assert json.loads(done.output)["pulses_differing_from_reference"] == 0


@pytest.mark.parametrize("made", ONE_AND_TWO_LINES[:1], indirect=True)
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
    assert any(line.split()[:4] == ["hifive1-revb", "rv32imc", "sifive_e,revb=true", "yes"] for line in lines)
    assert any(line.split()[:4] == ["generic", "cortex-m4", "-", "no"] for line in lines)
