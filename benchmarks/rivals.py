"""Executed instructions, flash and RAM of one inference: the firmware beside naive C of the same network, per core.

Run with `python benchmarks/rivals.py`. The naive programs are generated here, as one would write them without thought
for the core: float loops, and int8 with a scale per tensor, a 32-bit multiplier and a shift. All run as machine code on
an emulated core; float must agree with NumPy closely, int8 and the firmware with their integer references exactly. The
naive programs have no range checks, no limits and no decoder: they do less than the firmware. Emulated floating point takes
a little more or less with other inputs; the figure is the most of a few.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from predictor_speed import BOARD, write_network

from codegen.boards import load_board
from codegen.core_emulator import CoreEmulator, read_image
from codegen.cross import CORES, Core, cross_compiler
from codegen.firmware import make_firmware
from codegen.onnx_import import FloatNetwork, load_network
from codegen.size import measure
from firmware_templates import PREDICTOR_LINKER_SCRIPT

CASES = 4  # inputs of each naive program
CALIBRATION_PAIRS = 4096
FLAGS = ("-std=c11", "-O2", "-ffreestanding", "-mthumb", "-static", "-nostdlib", "-Wl,--gc-sections")
FLOAT_TOLERANCE = 1e-5  # of the output's range
MULTIPLIER_BITS = 24

FLOAT_LAYER = """static void layer(const float *x, const float *w, const float *b, float *y,
                  int rows, int columns, int relu)
{
    for (int r = 0; r < rows; r++) {
        float sum = b[r];
        for (int c = 0; c < columns; c++) sum += w[r * columns + c] * x[c];
        y[r] = (relu && sum < 0.0f) ? 0.0f : sum;
    }
}
"""
INT8_LAYER = f"""static void layer(const signed char *x, const signed char *w, const int *b, signed char *y,
                  int rows, int columns, int multiplier, int relu)
{{
    for (int r = 0; r < rows; r++) {{
        int sum = b[r];
        for (int c = 0; c < columns; c++) sum += w[r * columns + c] * x[c];
        sum = (int)(((long long)sum * multiplier + (1LL << {MULTIPLIER_BITS - 1})) >> {MULTIPLIER_BITS});
        if (sum > 127) sum = 127;
        if (sum < -127) sum = -127;
        y[r] = (signed char)((relu && sum < 0) ? 0 : sum);
    }}
}}
"""
CITED = (
    "measured earlier with the same compiler, not by this command, on a network of the same size, Cortex-M4: onnx2c"
    " (float) 297,000, emlearn (float) 302,000, TFLM + CMSIS-NN int8 16,200, CMSIS-NN s8 14,800, NNoM q7 15,800,"
    " TinyMaix int8 58,700"
)


@dataclass(frozen=True)
class Program:
    """C source whose `ouro_predict(a, b, out)` leaves the output in out[1], with inputs and what they must give."""

    name: str
    source: str
    inputs: np.ndarray
    """[cases, 2]: raw words of the two normalised inputs."""
    wanted: np.ndarray
    exact: bool
    error: float
    """Worst error against float on the calibration pairs, in parts of the output's range."""


def _table(kind: str, name: str, values: Iterable[object]) -> str:
    return f"static const {kind} {name}[] = {{{', '.join(map(str, values))}}};\n"


def _function(kind: str, words: str, network: FloatNetwork, arguments: list[str], result: str) -> str:
    """`ouro_predict`, which calls the layers from one buffer to the other."""
    widest = max(len(layer.bias) for layer in network.layers)
    calls = "".join(
        f"    layer({'ab'[k % 2]}, w{k}, b{k}, {'ba'[k % 2]}, {len(layer.bias)}, {layer.weights.shape[1]}, {extra});\n"
        for k, (layer, extra) in enumerate(zip(network.layers, arguments, strict=True))
    )
    last = "ab"[len(network.layers) % 2]
    return (
        f"int ouro_predict(int first, int second, int *out)\n{{\n"
        f"    {kind} a[{widest}], b[{widest}];\n    {words}\n{calls}"
        f"    {result.format(last=last)}\n    return 0;\n}}\n"
    )


def normalised(network: FloatNetwork) -> np.ndarray:
    """Inputs of random pairs in the window [pairs, 2]."""
    window, scalings = network.metadata.window, network.metadata.inputs
    start, target = np.random.default_rng(3).uniform(window.g_min_S, window.g_max_S, (2, CALIBRATION_PAIRS))
    raw = np.stack([start, target - start], axis=1)
    return (raw - [s.offset for s in scalings]) / [s.scale for s in scalings]


def activations(network: FloatNetwork, x: np.ndarray) -> list[np.ndarray]:
    """Inputs and every layer's outputs, in float64."""
    found = [x]
    for layer in network.layers:
        y = found[-1] @ np.asarray(layer.weights, dtype=np.float64).T + layer.bias
        found.append(np.maximum(y, 0.0) if layer.relu else y)
    return found


def naive_float(network: FloatNetwork) -> Program:
    """float32 loops."""
    x = normalised(network).astype(np.float32)
    y = activations(network, x.astype(np.float64))[-1][:, 0]
    tables = "".join(
        _table("float", f"w{k}", (f"{v:.9e}f" for v in np.ravel(layer.weights)))
        + _table("float", f"b{k}", (f"{v:.9e}f" for v in layer.bias))
        for k, layer in enumerate(network.layers)
    )
    function = _function(
        "float",
        "union { int i; float f; } p = {first}, q = {second}, r; a[0] = p.f; a[1] = q.f;",
        network,
        [str(int(layer.relu)) for layer in network.layers],
        "r.f = {last}[0]; out[1] = r.i;",
    )
    return Program("naive float C", FLOAT_LAYER + tables + function, x.view(np.int32)[:CASES], y, False, 0.0)


def naive_int8(network: FloatNetwork) -> Program:
    """int8 with one scale for each tensor, set by its largest value."""
    floats = activations(network, normalised(network))
    scales = [np.abs(values).max() / 127 for values in floats]
    codes = np.rint(floats[0] / scales[0]).astype(np.int64)
    inputs, tables, arguments = codes[:CASES].astype(np.int32), "", []
    for k, layer in enumerate(network.layers):
        w_scale = np.abs(layer.weights).max() / 127
        weights = np.rint(np.asarray(layer.weights) / w_scale).astype(np.int64)
        bias = np.rint(np.asarray(layer.bias) / (w_scale * scales[k])).astype(np.int64)
        multiplier = round(w_scale * scales[k] / scales[k + 1] * 2**MULTIPLIER_BITS)
        tables += _table("signed char", f"w{k}", weights.ravel()) + _table("int", f"b{k}", bias)
        arguments.append(f"{multiplier}, {int(layer.relu)}")
        sums = (codes @ weights.T + bias) * multiplier + (1 << MULTIPLIER_BITS - 1) >> MULTIPLIER_BITS
        codes = np.clip(sums, 0 if layer.relu else -127, 127)
    y, wanted = floats[-1][:, 0], codes[:, 0]
    error = float(np.abs(wanted * scales[-1] - y).max() / np.ptp(y))
    function = _function(
        "signed char",
        "a[0] = (signed char)first; a[1] = (signed char)second;",
        network,
        arguments,
        "out[1] = {last}[0];",
    )
    return Program("naive int8 C", INT8_LAYER + tables + function, inputs, wanted, True, error)


def run(program: Program, core: Core, folder: Path) -> str:
    """One line of the table; every case is compared first."""
    source, elf, compiler = folder / "naive.c", folder / "naive.elf", cross_compiler()
    source.write_text(program.source, encoding="utf-8")
    libraries = () if compiler.name == "zig" else ("-lgcc",)
    command = [
        *compiler.command,
        *compiler.flags(core),
        *FLAGS,
        "-T",
        str(PREDICTOR_LINKER_SCRIPT),
        str(source),
    ]
    subprocess.run([*command, "-o", str(elf), *libraries], check=True)
    image = read_image(elf)
    emulator = CoreEmulator(image, core)
    found, costs = [], []
    for first, second in program.inputs:
        _, _, word, cost = emulator.predict(int(first), int(second))
        found.append(word)
        costs.append(cost)
    words = np.array(found, dtype=np.uint32)
    wanted = program.wanted[:CASES]
    values = words.view(np.int32) if program.exact else words.view(np.float32)
    allowed = 0.0 if program.exact else FLOAT_TOLERANCE * float(np.ptp(program.wanted))
    if np.abs(values - wanted).max() > allowed:
        raise RuntimeError(f"{program.name} on {core.name} computes something else")
    memory = image.ram_bytes + max(cost.stack_bytes for cost in costs)
    return line(core, program.name, max(cost.instructions for cost in costs), image.flash_bytes, memory)


def line(core: Core, name: str, instructions: int, flash_bytes: int, memory_bytes: int) -> str:
    """A line of the table."""
    return f"{core.name:15}{name:24}{instructions:12,}{flash_bytes:12,}{memory_bytes:12,}"


def main() -> None:
    """Print the table."""
    print(f"one inference of 2-32-64-32-1, {cross_compiler().version()} -O2; flash is all that is linked")
    print(f"{'core':15}{'program':24}{'instructions':>12}{'flash B':>12}{'RAM+stack B':>12}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        onnx = write_network(folder / "random.onnx", "log10_s")
        network, board = load_network(onnx), load_board(BOARD)
        programs = naive_float(network), naive_int8(network)
        for core in CORES.values():
            for program in programs:
                print(run(program, core, folder))
            target = board.target.model_copy(update={"cpu": core.cpu})
            own = board.model_copy(update={"target": target})
            firmware = make_firmware(onnx, own, folder / core.name, None, force=True)
            size = measure(firmware.folder, core)
            memory = size.ram_bytes + size.stack_bytes
            print(line(core, f"firmware, {size.kernel}", size.instructions, size.flash_bytes, memory))
        print(CITED)
        print(f"worst error of naive int8 C: {programs[1].error:.2%} of the output's range")


if __name__ == "__main__":
    main()
