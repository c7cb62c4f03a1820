"""Instructions of one inference by core: our layer kernels, and naive C that anybody would write, of one network.

Run with `make bench`, or with a network file as the argument. All of it is compiled alike and counted by the same
emulator. Every result is compared: ours with the integer reference, the naive int8 C with NumPy, exactly; the naive
float C with the float64 network. The naive C is given its two inputs ready and returns its last accumulator; ours
starts from nanosiemens and returns ticks.
"""

from __future__ import annotations

import os

# As on the command line: one BLAS thread. Before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from predictor_speed import write_network

from codegen.boards import Board, load_board
from codegen.calibration import grid_pairs
from codegen.core_emulator import CoreEmulator, predict_batch, read_image
from codegen.cores import CORES
from codegen.cross import CrossCompiler, compile_predictor, cross_compiler, link
from codegen.firmware import make_firmware
from codegen.fixed import Int64Array
from codegen.folding import window_nS
from codegen.kernels import kernel_of
from codegen.onnx_import import FloatArray, FloatNetwork, load_network
from codegen.size import run
from firmware_templates import PREDICTOR_LINKER_SCRIPT
from sim.errors import UserError

SHOWN = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "rv32imc")
CALLS = 20
FLOAT_TOLERANCE = 1e-5  # of the output's range
# Measured earlier with arm-none-eabi-gcc 12.2 -O2 on another network of the size 2-32-64-32-1; thousands.
CITED = {
    "onnx2c, float": "661 k, 297 k, 297 k",
    "emlearn, float": "675 k, 302 k, 302 k",
    "TFLM with CMSIS-NN int8": "41.0 k, 21.3 k, 16.2 k",
    "CMSIS-NN s8 called directly": "39.1 k, 19.9 k, 14.8 k",
    "NNoM q7": "27.0 k, 17.1 k, 15.8 k",
    "TinyMaix int8": "132 k, 58.7 k, 58.7 k",
}

FLOAT_LAYER = """
static void layer(const float *w, const float *b, int rows, int columns, int relu, const float *x, float *y)
{
    for (int r = 0; r < rows; r++) {
        float sum = b[r];
        for (int c = 0; c < columns; c++) {
            sum += w[r * columns + c] * x[c];
        }
        y[r] = (relu && sum < 0.0f) ? 0.0f : sum;
    }
}
"""
INT8_LAYER = """
static int32_t sum_of(const int8_t *w, int32_t b, int columns, const int8_t *x)
{
    int32_t sum = b;
    for (int c = 0; c < columns; c++) {
        sum += w[c] * x[c];
    }
    return sum;
}

static void layer(const int8_t *w, const int32_t *b, int rows, int columns, int lowest, int32_t multiplier, int shift,
                  const int8_t *x, int8_t *y)
{
    for (int r = 0; r < rows; r++) {
        int32_t v = (sum_of(&w[r * columns], b[r], columns, x) * multiplier + (1 << (shift - 1))) >> shift;
        v = v < lowest ? lowest : v;
        y[r] = (int8_t)(v > 127 ? 127 : v);
    }
}
"""
# Two words in, one out where the emulator reads a pulse's width; floats as their bits.
ENTRY = "signed char ouro_predict(int32_t x0, int32_t x1, uint32_t pulse[2])"
BITS = "typedef union { float number; int32_t word; } bits_t;\n"


@dataclass(frozen=True, eq=False)
class Naive:
    """A rival: its C, what it is given and must return, (n, 2) and (n,) words, and its error."""

    source: str
    inputs: Int64Array
    matches: Callable[[Int64Array], bool]
    error: float
    """Largest, against the float64 network on the calibration grid, of the output's range."""


def array(kind: str, name: str, values: np.ndarray, suffix: str = "") -> str:
    """A constant C array."""
    numbers = ", ".join(f"{value!s}{suffix}" for value in values.ravel().tolist())
    return f"static const {kind} {name}[] = {{{numbers}}};\n"


def naive_float(network: FloatNetwork, x: FloatArray, y: FloatArray) -> Naive:
    """Single precision, in loops."""
    x32 = x.astype(np.float32)
    tables, calls, source = "", "", "x"
    for i, layer in enumerate(network.layers):
        rows, columns = layer.weights.shape
        tables += array("float", f"w{i}", layer.weights.astype(np.float32), "f")
        tables += array("float", f"b{i}", layer.bias.astype(np.float32), "f")
        calls += f"    layer(w{i}, b{i}, {rows}, {columns}, {int(layer.relu)}, {source}, h{i % 2});\n"
        source = f"h{i % 2}"
    widest = max(len(layer.bias) for layer in network.layers)
    body = (
        f"    bits_t a, b, out;\n    float x[2], h0[{widest}], h1[{widest}];\n"
        f"    a.word = x0;\n    b.word = x1;\n    x[0] = a.number;\n    x[1] = b.number;\n{calls}"
        f"    out.number = {source}[0];\n    pulse[0] = 0U;\n    pulse[1] = (uint32_t)out.word;\n    return 0;\n"
    )
    scale = float(np.ptp(y))
    single = x32
    for layer in network.layers:
        single = single @ layer.weights.T.astype(np.float32) + layer.bias.astype(np.float32)
        single = np.maximum(single, np.float32(0)) if layer.relu else single

    def matches(words: Int64Array) -> bool:
        found = words.astype(np.uint32).view(np.float32)
        return bool((np.abs(found - y[: len(words)]) < FLOAT_TOLERANCE * scale).all())

    return Naive(
        source=f"#include <stdint.h>\n{BITS}{tables}{FLOAT_LAYER}{ENTRY}\n{{\n{body}}}\n",
        inputs=x32.view(np.int32).astype(np.int64),
        matches=matches,
        error=float(np.abs(single[:, 0] - y).max()) / scale,
    )


def naive_int8(network: FloatNetwork, x: FloatArray, y: FloatArray) -> Naive:
    """One scale a layer, int8 weights and activations, requantised by a multiplication and a shift."""
    scale = float(np.abs(x).max()) / 127
    q = np.rint(x / scale).astype(np.int64)
    inputs, exact = q, x
    tables, calls, source = "", "", "x"
    for i, layer in enumerate(network.layers):
        rows, columns = layer.weights.shape
        w_scale = float(np.abs(layer.weights).max()) / 127
        w = np.rint(layer.weights / w_scale).astype(np.int64)
        b = np.rint(layer.bias / (scale * w_scale)).astype(np.int64)
        tables += array("int8_t", f"w{i}", w) + array("int32_t", f"b{i}", b)
        scale *= w_scale
        acc, exact = q @ w.T + b, layer.evaluate(exact)
        if i == len(network.layers) - 1:
            calls += f"    pulse[1] = (uint32_t)sum_of(w{i}, b{i}[0], {columns}, {source});\n"
            break
        y_scale = float(np.abs(exact).max()) / 127
        largest = int((127 * np.abs(w).sum(axis=1) + np.abs(b)).max())  # of any accumulator
        factor = scale / y_scale
        shift = int(np.floor(np.log2((2**30 / largest) / factor)))  # the product stays below 2**30
        multiplier = round(factor * 2**shift)
        lowest = 0 if layer.relu else -128
        q = np.clip((acc * multiplier + (1 << (shift - 1))) >> shift, lowest, 127)
        calls += f"    layer(w{i}, b{i}, {rows}, {columns}, {lowest}, {multiplier}, {shift}, {source}, h{i % 2});\n"
        source, scale = f"h{i % 2}", y_scale
    widest = max(len(layer.bias) for layer in network.layers)
    body = (
        f"    int8_t x[2], h0[{widest}], h1[{widest}];\n"
        f"    x[0] = (int8_t)x0;\n    x[1] = (int8_t)x1;\n    pulse[0] = 0U;\n{calls}    return 0;\n"
    )

    def matches(words: Int64Array) -> bool:
        return bool(np.array_equal(words, acc[: len(words), 0] & 0xFFFFFFFF))

    return Naive(
        source=f"#include <stdint.h>\n{tables}{INT8_LAYER}{ENTRY}\n{{\n{body}}}\n",
        inputs=inputs,
        matches=matches,
        error=float(np.abs(acc[:, 0] * scale - y).max() / np.ptp(y)),
    )


def instructions_of(naive: Naive, core: str, compiler: CrossCompiler, folder: Path) -> int:
    """Most instructions of CALLS calls, whose results are compared."""
    (folder / "naive.c").write_text(naive.source, encoding="utf-8")
    image = folder / "naive.elf"
    link(compiler, CORES[core], [folder / "naive.c"], [], PREDICTOR_LINKER_SCRIPT, image)
    given = naive.inputs[:CALLS]
    _, _, words, costs = predict_batch(CoreEmulator(read_image(image), CORES[core]), given[:, 0], given[:, 1])
    if not naive.matches(words):
        raise RuntimeError(f"the naive C computes something else on {core}")
    return max(cost.instructions for cost in costs)


def ours(network: Path, cpu: str, core: str, compiler: CrossCompiler, folder: Path) -> tuple[int, float]:
    """Most instructions of the firmware that a board with `cpu` gets, run on `core`, and its error."""
    board: Board = load_board("generic")
    board = board.model_copy(update={"target": board.target.model_copy(update={"cpu": cpu})})
    firmware = make_firmware(network, board, folder / "firmware", None, force=True)
    image = folder / "ours.elf"
    compile_predictor(firmware.folder, CORES[core], image, compiler)
    costs = run(CoreEmulator(read_image(image), CORES[core]), firmware.model, CALLS)
    return max(cost.instructions for cost in costs), firmware.report["output_max_error_of_full_scale"]


def main() -> None:
    """Print the table."""
    compilers = {}
    for core in SHOWN:
        try:
            compilers[core] = cross_compiler(family=CORES[core].family)
        except UserError as error:
            print(f"instructions of {core} skipped: {error}")
    if not compilers:
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else write_network(folder / "random.onnx", "log10_s")
        network = load_network(path)
        pairs = grid_pairs(*window_nS(network))
        x = network.normalise(1e-9 * pairs.g_start_nS, 1e-9 * pairs.g_target_nS)
        order = np.random.default_rng(1).permutation(len(x))
        x = x[order]
        y = x
        for layer in network.layers:
            y = layer.evaluate(y)
        versions = ", ".join(dict.fromkeys(compiler.version() for compiler in compilers.values()))
        print(f"instructions of one inference, the most of some; -O2, no FPU; {versions}")
        print(f"{'':36}" + "".join(f"{core:>15}" for core in compilers) + f"{'largest error':>16}")

        def show(name: str, counts: list[int], error: float) -> None:
            print(f"{name:36}" + "".join(f"{count:15,}" for count in counts) + f"{error:15.3%}")

        for name, cpus in (
            (" ".join(["ours:", *dict.fromkeys(kernel_of(core) for core in compilers)]), tuple(compilers)),
            ("ours: portable", ("any",) * len(compilers)),
        ):
            found = [
                ours(path, cpu, core, compiler, folder)
                for cpu, (core, compiler) in zip(cpus, compilers.items(), strict=True)
            ]
            show(name, [count for count, _ in found], found[0][1])
        for name, make in (("naive int8 C", naive_int8), ("naive float C", naive_float)):
            naive = make(network, x, y[:, 0])
            show(name, [instructions_of(naive, *each, folder) for each in compilers.items()], naive.error)
    print("cited, not measured here: Cortex-M0+, M3, M4")
    for name, figures in CITED.items():
        print(f"{name:36}{figures}")


if __name__ == "__main__":
    main()
