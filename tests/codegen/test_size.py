"""Machine code of the predictor on emulated cores: equal to the integer reference, counted exactly, within budget."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from codegen import cross
from codegen.__main__ import main
from codegen.boards import Board, load_board
from codegen.core_emulator import CoreEmulator, read_image
from codegen.core_engines import has_engine
from codegen.cores import CORES
from codegen.cross import compile_predictor, find_cross_compilers
from codegen.firmware import load_firmware, make_firmware
from codegen.host import HostLibrary
from codegen.kernels import (
    ARMV7EM,
    AVR,
    PACKED,
    PORTABLE,
    RV32IM,
    THUMB,
    THUMB32,
    has_narrow_forms,
    kernel_of,
    layer_tables,
)
from codegen.profiles import BALANCED, SIZE, SPEED, Profile
from codegen.qmodel import QuantizedModel
from codegen.reference import ReferencePredictor
from codegen.render import render
from codegen.size import measure, require_within, run, sample
from codegen.target import build_elf
from codegen.verify import verify_sanitized
from firmware_templates import BUDGETS
from sim.errors import UserError

COMPILERS = {compiler.name: compiler for compiler in find_cross_compilers()}
SHAPES = {"paper": (2, 32, 64, 32, 1), "odd": (2, 7, 5, 19, 3, 1), "single": (2, 1), "wide": (2, 17, 40, 1)}


def compiler(kind: str, core: str) -> cross.CrossCompiler:
    """The core family's GCC, or zig."""
    family = CORES[core].family
    name = family.gcc if kind == "gcc" else kind
    if name not in (found := {each.name: each for each in find_cross_compilers(family)}):
        pytest.skip(f"no {name}: scripts/targets.sh installs it")
    return found[name]


@pytest.fixture(scope="module", params=["generic", "openmena"])
def paper(request, networks, tmp_path_factory) -> Path:
    return firmware(networks, tmp_path_factory.mktemp("size"), "paper", load_board(request.param))


def with_core(core: str) -> Board:
    board = load_board("generic")
    return board.model_copy(update={"target": board.target.model_copy(update={"cpu": core})})


def firmware(networks, folder: Path, shape: str, board: Board, encoding: str = "log10_s") -> Path:
    path = networks.write(folder / "net.onnx", networks.layers(SHAPES[shape], seed=3, spread=1.0), encoding)
    make_firmware(path, board, folder / "fw", None, True)
    return folder / "fw"


@pytest.mark.parametrize("name", ["gcc", "zig"])
@pytest.mark.parametrize("core", [core.name for core in CORES.values() if has_engine(core)])
def test_every_core_computes_the_reference(paper: Path, core: str, name: str, tmp_path: Path) -> None:
    """`run` compares status, direction and ticks of every call."""
    compile_predictor(paper, CORES[core], tmp_path / "p.elf", compiler(name, core))
    emulator = CoreEmulator(read_image(tmp_path / "p.elf"), CORES[core])
    assert len(run(emulator, load_firmware(paper).model, count=30)) == 41


CODED = ["cortex-m0plus", "cortex-m3", "cortex-m4", "rv32imc"]  # cores with kernels of their own


@pytest.mark.parametrize(
    ("shape", "encoding"),
    [("odd", "linear_s"), ("odd", "log10_s"), ("single", "linear_s"), ("wide", "log10_s")],
)
@pytest.mark.parametrize("name", ["gcc", "zig"])
@pytest.mark.parametrize("core", CODED)
def test_kernels_of_cores_take_any_shape(
    networks, shape: str, encoding: str, name: str, core: str, tmp_path: Path
) -> None:
    folder = firmware(networks, tmp_path, shape, with_core(core), encoding)
    compile_predictor(folder, CORES[core], tmp_path / "p.elf", compiler(name, core))
    emulator = CoreEmulator(read_image(tmp_path / "p.elf"), CORES[core])
    run(emulator, load_firmware(folder).model, count=50)


def narrowed(model: QuantizedModel, bits: int, seed: int) -> QuantizedModel:
    """The same model with random hidden weights of a width, its ends among them."""
    rng = np.random.default_rng(seed)
    fields = json.loads(model.to_json())
    largest = 2 ** (bits - 1) - 1
    for layer in fields["layers"][:-1]:
        layer["weight_bits"] = bits
        if bits < 16:
            weights = rng.integers(-largest, largest + 1, np.shape(layer["weights"]))
            weights.flat[:2] = -largest, largest
            layer["weights"] = weights.tolist()
            layer["bias"] = [value >> 4 for value in layer["bias"]]
    return QuantizedModel.from_json(json.dumps(fields))


def saturating(
    model: QuantizedModel, relu: tuple[bool, bool], bits: tuple[int, int], seed: int
) -> QuantizedModel:
    """A model of the same shape whose hidden activations saturate at both ends, whose weights reach theirs."""
    rng = np.random.default_rng(seed)
    fields = json.loads(model.to_json())
    for layer, positive, width in zip(fields["layers"][:-1], relu, bits, strict=True):
        rows, columns = len(layer["weights"]), len(layer["weights"][0])
        end = 2 ** (width - 1) - 1
        largest = min(end, 55_000 // columns)
        weights = rng.integers(-largest, largest + 1, (rows, columns))
        weights[rng.random((rows, columns)) < 0.1] = 0
        if columns > 2:  # an end in a row whose other weights are small, so that the accumulator fits
            for row in range(0, rows, 3):
                weights[row] //= 4
                weights[row, rng.integers(columns)] = rng.choice([-end, end])
        layer["weight_bits"] = width
        layer["weights"] = weights.tolist()
        layer["bias"] = rng.integers(-(2 ** (width + 11)), 2 ** (width + 11), rows).tolist()
        layer["accumulator_bits"] = rng.integers(width - 8, width + 3, rows).tolist()
        layer["output_bits"] = [0] * rows
        if width == 8:
            layer["accumulator_bits"] = rng.integers(1, 7, rows).tolist()
        layer["relu"] = positive
    output = fields["layers"][-1]
    largest = 60_000 // len(output["weights"][0])
    output["weights"] = rng.integers(-largest, largest + 1, (1, len(output["weights"][0]))).tolist()
    output["bias"] = [1]
    fields["decode"] = {"multiplier": 1, "shift": 1}  # ticks are half the accumulator
    return QuantizedModel.from_json(json.dumps(fields))


def rendered(
    networks, folder: Path, board: Board, change: Callable[[QuantizedModel], QuantizedModel], profile: Profile
) -> Path:
    """The firmware of a changed model."""
    folder = firmware(networks, folder, "wide", board, "linear_s")
    made = load_firmware(folder)
    model = change(made.model)
    for path in (folder / "src").glob("ouro_dense*"):
        path.unlink()
    for name, text in render(model, board, "0" * 64, made.report, profile=profile).items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "quantized_model.json").write_text(model.to_json(), encoding="utf-8")
    return folder


RELUS = [(True, True), (True, False), (False, True), (False, False)]  # of the first and the second layer
SATURATING = [
    *((core, relu, (16, 16), BALANCED) for core in CODED for relu in RELUS),
    *((core, relu, (8, 8), SIZE) for core in CODED[:3] for relu in RELUS[1:3]),
    *((core, (True, False), (12, 12), SIZE) for core in CODED[:3]),
    *((core, relu, (16, 16), SPEED) for core in CODED[:2] for relu in RELUS[1:3]),
]


@pytest.mark.skipif(not COMPILERS, reason="no cross compiler")
@pytest.mark.parametrize(("core", "relu", "bits", "profile"), SATURATING)
def test_kernels_of_cores_saturate(
    networks, core: str, relu: tuple[bool, bool], bits: tuple[int, int], profile: Profile, tmp_path: Path
) -> None:
    """Both ends of int16, with and without a ReLU before and after; the plain C of the same tables too."""
    board = with_core(core)
    board = board.model_copy(update={"timer": board.timer.model_copy(update={"max_ticks": 2**31 - 1})})
    folder = rendered(networks, tmp_path, board, lambda made: saturating(made, relu, bits, seed=4), profile)
    model = load_firmware(folder).model
    assert model.weight_bits == (*bits, 16)

    start, target = sample(model, 50, 1)
    hidden = ReferencePredictor(model).activations([start[-50:], (target - start)[-50:]])[:-1]
    for layer, values in zip(model.layers, hidden, strict=False):
        assert values.max() == 32767 and values.min() == (0 if layer.relu else -32768)
    assert len(np.unique(ReferencePredictor(model).predict_batch(start, target).ticks)) > 40
    if core in ("cortex-m3", "rv32imc") and relu[0] != relu[1]:  # both ends, in plain C for this machine
        assert verify_sanitized(HostLibrary(folder), 10_000, seed=1) == 10_000
    for compiler_found in find_cross_compilers(CORES[core].family)[: None if profile == BALANCED else 1]:
        compile_predictor(folder, CORES[core], tmp_path / "p.elf", compiler_found)
        run(CoreEmulator(read_image(tmp_path / "p.elf"), CORES[core]), model, count=50)


@pytest.mark.parametrize(
    ("core", "bits", "profile"),
    [
        ("cortex-m4", (8, 8), SIZE),
        ("cortex-m33", (16, 12), SIZE),
        ("cortex-m33", (12, 8), SIZE),
        ("cortex-m3", (16, 16), SPEED),
    ],
)
def test_other_targets_read_the_same_tables(
    networks, core: str, bits: tuple[int, int], profile: Profile, tmp_path: Path
) -> None:
    """The plain C of every layout, ends of the weights among them, under sanitizers."""
    board = with_core(core)
    board = board.model_copy(update={"timer": board.timer.model_copy(update={"max_ticks": 2**31 - 1})})
    folder = rendered(
        networks, tmp_path, board, lambda made: saturating(made, (False, True), bits, seed=6), profile
    )
    assert verify_sanitized(HostLibrary(folder), 10_000, seed=1) == 10_000


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
    chosen = compiler("gcc", "cortex-m4")
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


def test_a_risc_v_count_is_that_of_the_instructions(tmp_path: Path) -> None:
    """Short and long instructions, a branch taken and one that is not, counted by hand."""
    chosen = compiler("gcc", "rv32imc")
    (tmp_path / "f.s").write_text(
        ".global ouro_predict\nouro_predict:\n"
        "addi sp, sp, -32\n"  # 1
        "sw s0, 28(sp)\n"  # 2, a word
        "li s0, 2\n"  # 3
        "1: mul t0, s0, s0\n"  # 4, 7
        "addi s0, s0, -1\n"  # 5, 8
        "bnez s0, 1b\n"  # 6, taken; 9, not taken
        "sb zero, 0(a2)\n"  # 10, a word
        "lw s0, 28(sp)\n"  # 11, a word
        "addi sp, sp, 32\n"  # 12
        "li a0, 0\n"  # 13
        "ret\n"  # 14
    )
    command = [*chosen.command, *chosen.flags(CORES["rv32imc"]), "-nostdlib", "-Wl,-Ttext=0x08000000"]
    subprocess.run(
        [*command, "-Wl,-e,ouro_predict", str(tmp_path / "f.s"), "-o", str(tmp_path / "f.elf")], check=True
    )
    _, _, _, cost = CoreEmulator(read_image(tmp_path / "f.elf"), CORES["rv32imc"]).predict(1, 2)
    assert (cost.instructions, cost.words_moved, cost.branches_taken) == (14, 3, 1)
    assert (cost.multiplications, cost.stack_bytes) == (2, 32)


def test_arrays_hold_the_layers(networks, tmp_path: Path) -> None:
    model = load_firmware(firmware(networks, tmp_path, "odd", load_board("generic"))).model
    for layer, table in zip(model.layers, layer_tables(model, RV32IM), strict=True):
        rows = np.zeros((len(table.bias), table.columns), dtype=np.int64)
        rows[: layer.rows, : layer.columns] = layer.weights
        blocks = [rows[k : k + 8].T.ravel().tolist() for k in range(0, len(rows), 8)]
        assert table.weights == blocks and len(table.shift) in (0, len(rows))
        assert table.bias[: layer.rows] == list(layer.rounding_bias)


def fields_of(words: list[int], bits: int) -> np.ndarray:
    """The fields of that many bits of some words, lowest first, as signed numbers."""
    values = np.array([word >> place & ((1 << bits) - 1) for word in words for place in range(0, 32, bits)])
    return np.where(values >> (bits - 1), values - (1 << bits), values)


def twelve_bits(words: list[int]) -> list[int]:
    """Weights of a row of 12 bits, as ouro_dense_w12.c describes them."""
    weights: list[int] = []
    for k in range(0, len(words), 3):
        halves = [word >> place & 0xFFFF for word in words[k : k + 3] for place in (0, 16)]
        eight = [half >> 4 for half in halves]
        for three in (halves[0::2], halves[1::2]):
            eight.append(int("".join(f"{half & 0xF:x}" for half in three), 16))
        weights += [value - 0x1000 if value >> 11 else value for value in eight]
    return weights


@pytest.mark.parametrize(("kernel", "bits"), [*product([ARMV7EM, THUMB, PACKED], [16, 12, 8]), (THUMB32, 16)])
def test_the_streams_hold_the_layers(networks, kernel: str, bits: int, tmp_path: Path) -> None:
    model = narrowed(load_firmware(firmware(networks, tmp_path, "odd", load_board("generic"))).model, bits, 5)
    for layer, table in zip(model.layers, layer_tables(model, kernel), strict=True):
        at_once, columns = table.rows_at_once, table.columns
        rows = np.zeros((len(table.stream) * at_once, columns), dtype=np.int64)
        rows[: layer.rows, : layer.columns] = layer.weights
        for k, words in enumerate(table.stream):
            wanted = rows[k * at_once :][:at_once]
            if at_once == 1:
                weights = words[1 : len(words) - bool(layer.shift)]
                read = (
                    twelve_bits(weights) if layer.weight_bits == 12 else fields_of(weights, layer.weight_bits)
                )
                np.testing.assert_array_equal([read], wanted)
            elif kernel == THUMB32:
                columnwise = fields_of(words[4:-1], 32).reshape(columns, 4).T
                np.testing.assert_array_equal(columnwise, wanted)
            elif kernel == THUMB:
                columnwise = fields_of(words[4:-1], bits).reshape(columns, 4).T
                np.testing.assert_array_equal(columnwise, (wanted + (1 << (bits - 1))).astype(f"int{bits}"))
            elif bits == 8:
                both = fields_of(words[1:-2], 16)
                np.testing.assert_array_equal(both, 256 * wanted[0] + wanted[1])
            else:
                block = min(columns, 8)
                ordered = fields_of(words[2:-1], 16).reshape(-1, 2, block).swapaxes(0, 1).reshape(2, columns)
                np.testing.assert_array_equal(ordered, wanted)


def test_kernels_follow_the_core() -> None:
    assert kernel_of("cortex-m4") == kernel_of("Cortex-M7") == ARMV7EM
    assert kernel_of("cortex-m0") == kernel_of("cortex-m0plus") == kernel_of("Cortex-M3") == THUMB
    assert kernel_of("rv32imc") == RV32IM and kernel_of("atmega328p") == AVR
    assert kernel_of("cortex-m33") == kernel_of("anything") == PORTABLE
    assert kernel_of("anything", "size") == PACKED and kernel_of("cortex-m4", "size") == ARMV7EM
    assert kernel_of("rv32imc", "size") == PACKED and not has_narrow_forms(kernel_of("atmega328p", "size"))
    assert kernel_of("cortex-m3", "speed") == THUMB32 and kernel_of("cortex-m4", "speed") == ARMV7EM


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
        (["--core", "atmega328p"], "core 'atmega328p' runs in QEMU only"),
        (
            ["--compiler", "avr-gcc"],
            "avr-gcc does not compile for Arm Cortex-M: choose arm-none-eabi-gcc or zig",
        ),
        (["--core", "z80"], "unknown core 'z80'; known: cortex-m0"),
        (["--budget", str(tmp_path / "none.toml")], "cannot read"),
    ):
        done = CliRunner().invoke(main, ["size", str(paper), *arguments])
        assert isinstance(done.exception, UserError) and complaint in str(done.exception)


def test_what_is_no_elf_is_refused(paper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = str(paper / "manifest.json")
    for arguments, complaint in (
        ([text], "name the folder with --firmware"),
        ([text, "--firmware", str(paper)], "no readable ELF"),
    ):
        done = CliRunner().invoke(main, ["size", *arguments])
        assert isinstance(done.exception, UserError) and complaint in str(done.exception)


def test_the_risc_v_kernel_is_within_its_budget(networks, tmp_path: Path) -> None:
    compiler("gcc", "rv32imc")
    found = measure(firmware(networks, tmp_path, "paper", with_core("rv32imc")), CORES["rv32imc"])
    require_within(found, BUDGETS)
    assert found.kernel == RV32IM and found.instructions > 3 * 4192  # load, multiply, add


@pytest.mark.skipif(not COMPILERS, reason="no cross compiler")
def test_an_elf_finds_its_firmware(networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = firmware(networks, tmp_path, "paper", load_board("stm32f405"))
    (tmp_path / "build" / "firmware").mkdir(parents=True)
    made.rename(tmp_path / "build" / "firmware" / "stm32f405")
    build_elf(Path("build/firmware/stm32f405"), Path("build/elf/stm32f405"))
    done = CliRunner().invoke(main, ["size", "build/elf/stm32f405/ouroboros.elf", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["flash_bytes"] > 15_000


def test_without_a_compiler_the_way_to_one_is_said(paper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross, "find_cross_compilers", lambda _: [])
    with pytest.raises(
        UserError, match=r"pip install .* brings zig, apt install gcc-arm-none-eabi brings GCC"
    ):
        measure(paper, CORES["cortex-m4"])


@pytest.mark.skipif(not COMPILERS, reason="no cross compiler")
def test_a_board_s_elf_is_measured_as_it_is(networks, tmp_path: Path) -> None:
    """The predictor inside what is flashed takes as many instructions as it does alone."""
    folder = firmware(networks, tmp_path, "paper", load_board("stm32f405"))
    build_elf(folder, tmp_path / "elf")
    whole = measure(folder, CORES["cortex-m4"], elf=tmp_path / "elf" / "ouroboros.elf")
    alone = measure(folder, CORES["cortex-m4"])
    assert whole.instructions == alone.instructions and whole.flash_bytes > alone.flash_bytes
