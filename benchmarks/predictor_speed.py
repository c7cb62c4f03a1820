"""Time per prediction: the generated C, its integer reference and the same network in float32, on equal work.

Run with `make bench`. Everything runs on one thread of the host's CPU, which says little about a
microcontroller. Each figure is the fastest of several repetitions; the contestants take turns, so that the
ratios come from the same moments.
"""

from __future__ import annotations

import os

# As on the command line: one BLAS thread. Before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from codegen.boards import Board, load_board
from codegen.build import LIBRARY_FLAGS, find_compiler
from codegen.firmware import make_firmware
from codegen.host import HostLibrary
from codegen.metadata import attach_metadata, metadata_from_dict
from codegen.onnx_import import FloatNetwork, load_network
from codegen.reference import CHUNK, ReferencePredictor
from codegen.verify import require_equal

SIZES = (2, 32, 64, 32, 1)
BOARD = "generic"
PAIRS = 100_000
REPETITIONS = 7
OBJECT_FLAGS = ("-std=c11", "-Os", "-c")
# The rest of a firmware folder is the controller, which all networks share.
PREDICTOR_SOURCES = ("ouro_dense.c", "ouro_exp2.c", "ouro_network.c", "ouro_predictor.c")
OUTPUTS = {
    "linear_s": {"encoding": "linear_s", "offset": 0.0, "scale": 1e-4},
    "log10_s": {"encoding": "log10_s", "offset": -5.0, "scale": 2.0},
}


def write_network(path: Path, encoding: str) -> Path:
    """A network with random weights, as large as a fresh training's."""
    generator = np.random.default_rng(1)
    nodes, initialisers, value = [], [], "x"
    for i, (columns, rows) in enumerate(pairwise(SIZES)):
        k = columns**-0.5
        for name, shape in ((f"w{i}", (rows, columns)), (f"b{i}", (rows,))):
            values = generator.uniform(-k, k, shape).astype(np.float32)
            initialisers.append(numpy_helper.from_array(values, name))
        output = "y" if rows == 1 else f"h{i}"
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [output], transB=1))
        if rows > 1:
            nodes.append(helper.make_node("Relu", [output], [f"r{i}"]))
        value = f"r{i}"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", k]) for n, k in (("x", 2), ("y", 1))]
    graph = helper.make_graph(nodes, "random", ends[:1], ends[1:], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    scaling: dict[str, Any] = {"offset": 0.0, "scale": 5.6e-4}
    metadata = {
        "schema": 1,
        "inputs": [{"name": "g_start_S", **scaling}, {"name": "delta_g_S", **scaling}],
        "output": OUTPUTS[encoding],
        "window": {"g_min_S": 9.445e-5, "g_max_S": 5.593e-4},
        "pulse": {"v_set_V": -0.342, "v_reset_V": 0.7065},
        "trained_on": {
            "device_model": "jart-fit",
            "noise_preset": "ouroboros",
            "cadence_s": 1e-8,
            "seed": 1,
        },
    }
    attach_metadata(model, metadata_from_dict(metadata))
    onnx.save(model, path)
    return path


class Float32Predictor:
    """The network in float32, from nanosiemens to ticks, in blocks as large as the reference's."""

    def __init__(self, network: FloatNetwork, board: Board) -> None:
        self._layers = [
            (
                np.ascontiguousarray(layer.weights.T, dtype=np.float32),
                layer.bias.astype(np.float32),
                layer.relu,
            )
            for layer in network.layers
        ]
        metadata = network.metadata
        self._offset = np.array([scaling.offset for scaling in metadata.inputs], dtype=np.float32)
        self._per_nS = np.array([1e-9 / scaling.scale for scaling in metadata.inputs], dtype=np.float32)
        self._output = metadata.output
        self._timer = board.timer

    def predict(self, g_start_nS: np.ndarray, g_target_nS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Direction and ticks of each pair within the window."""
        direction = np.empty(len(g_start_nS), dtype=np.int8)
        ticks = np.empty(len(g_start_nS), dtype=np.int64)
        for begin in range(0, len(g_start_nS), CHUNK):
            part = slice(begin, begin + CHUNK)
            delta_nS = g_target_nS[part] - g_start_nS[part]
            x = np.stack([g_start_nS[part], delta_nS], axis=1).astype(np.float32) * self._per_nS
            for weights, bias, relu in self._layers:
                x = x @ weights
                x += bias
                if relu:
                    np.maximum(x, 0.0, out=x)
            y = np.float32(self._output.offset) + np.float32(self._output.scale) * x[:, 0]
            linear = self._output.encoding == "linear_s"
            width_ticks = (np.abs(y) if linear else np.float32(10.0) ** y) * np.float32(
                self._timer.frequency_Hz
            )
            direction[part] = np.sign(y if linear else delta_nS)
            ticks[part] = np.rint(np.clip(width_ticks, self._timer.min_ticks, self._timer.max_ticks))
        return direction, ticks


def fastest_ns(runs: list[Callable[[], object]]) -> list[float]:
    """Fastest time per pair of each of `runs` [ns], which take turns."""
    best = [float("inf")] * len(runs)
    for _ in range(REPETITIONS):
        for i, run in enumerate(runs):
            begin = time.perf_counter()
            run()
            best[i] = min(best[i], time.perf_counter() - begin)
    return [seconds / PAIRS * 1e9 for seconds in best]


def object_bytes(folder: Path, sources: tuple[str, ...]) -> int | None:
    """Code and constants of the sources, compiled for the host; None where there is no `size`."""
    if not shutil.which("size"):
        return None
    total = 0
    for name in sources:
        compiled = folder / "object.o"
        command = [*find_compiler(), *OBJECT_FLAGS, f"-I{folder / 'src'}", str(folder / "src" / name)]
        subprocess.run([*command, "-o", str(compiled)], check=True)
        shown = subprocess.run(["size", str(compiled)], check=True, capture_output=True, text=True).stdout
        total += int(shown.splitlines()[1].split()[0])
        compiled.unlink()
    return total


def measure(encoding: str, folder: Path) -> str:
    """One line of the table."""
    board = load_board(BOARD)
    network = write_network(folder / "random.onnx", encoding)
    firmware = make_firmware(network, board, folder / "firmware", None, force=True)
    compiled, reference = HostLibrary(firmware.folder), ReferencePredictor(firmware.model)
    floating = Float32Predictor(load_network(network), board)
    generator = np.random.default_rng(2)
    start, target = generator.integers(
        firmware.model.g_min_nS, firmware.model.g_max_nS, size=(2, PAIRS), endpoint=True
    )
    require_equal(reference.predict_batch, compiled.predict_batch, start, target)
    found, wanted = floating.predict(start, target)[1], compiled.predict_batch(start, target).ticks
    close = np.abs(found - wanted) <= 1 + wanted // 20
    if close.mean() < 0.95:
        raise RuntimeError(f"the float32 network does other work: {close.mean():.0%} of its pulses agree")
    c_ns, integer_ns, float_ns = fastest_ns(
        [
            lambda: compiled.predict_batch(start, target),
            lambda: reference.predict_batch(start, target),
            lambda: floating.predict(start, target),
        ]
    )
    size = object_bytes(firmware.folder, PREDICTOR_SOURCES)
    return (
        f"{encoding:10}{c_ns:8.0f}{integer_ns:16.0f}{float_ns:16.0f}"
        f"{integer_ns / c_ns:14.2f}{float_ns / c_ns:14.2f}"
        f"{firmware.table_bytes:14}{'-' if size is None else size:>14}"
    )


def main() -> None:
    """Print the table."""
    macs = sum(columns * rows for columns, rows in pairwise(SIZES))
    print(
        f"ns per prediction on this host's CPU ({platform.machine()}), not on a microcontroller; one thread"
    )
    print(
        f"network {'-'.join(map(str, SIZES))}, {macs} multiply-adds, board {BOARD}; "
        f"the same {PAIRS} pairs for all, fastest of {REPETITIONS}"
    )
    print(f"C predicts pair by pair, as firmware does; NumPy multiplies matrices of {CHUNK} pairs")
    compiler = Path(find_compiler()[0]).name
    print(f"C: {compiler} {LIBRARY_FLAGS[0]}; object code: predictor alone, tables included, {compiler} -Os")
    print(
        f"{'encoding':10}{'C':>8}{'NumPy integer':>16}{'NumPy float32':>16}{'integer/C':>14}{'float32/C':>14}"
        f"{'table bytes':>14}{'object bytes':>14}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for encoding in OUTPUTS:
            print(measure(encoding, Path(folder)))


if __name__ == "__main__":
    main()
