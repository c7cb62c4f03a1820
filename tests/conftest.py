"""Options, settings and network files (random, tiny, deep, broken) for all tests."""

from __future__ import annotations

import os

# As on the command line: one BLAS thread, for small matrices. Before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import copy
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import settings
from onnx import TensorProto, helper, numpy_helper

from codegen.metadata import attach_metadata, metadata_from_dict

# The same examples in every run, so that a change is judged by what it changed; the other profile looks for more.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("exploring", max_examples=1000, deadline=None)
settings.load_profile("repeatable")


def pytest_configure() -> None:
    """Undo what a shell does that starts the tests in the background: they, and what they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


METADATA: dict[str, Any] = {
    "schema": 1,
    "inputs": [
        {"name": "g_start_S", "offset": 0.0, "scale": 5.6e-4},
        {"name": "delta_g_S", "offset": 0.0, "scale": 5.6e-4},
    ],
    "output": {"encoding": "linear_s", "offset": 0.0, "scale": 1e-3},
    "window": {"g_min_S": 9.445e-5, "g_max_S": 5.593e-4},
    "pulse": {"v_set_V": -0.342, "v_reset_V": 0.7065},
    "trained_on": {
        "device_model": "jart-fit",
        "noise_preset": "ouroboros",
        "cadence_s": 1e-8,
        "seed": 1,
    },
}
OUTPUTS = {
    "linear_s": {"encoding": "linear_s", "offset": 0.0, "scale": 1e-3},
    "log10_s": {"encoding": "log10_s", "offset": -5.0, "scale": 4.0},
}
EXPECTED_ERROR = {"encoding": "log2_rpd", "offset": -2.0, "scale": 8.0}

Layers = list[tuple[np.ndarray, np.ndarray]]


class Networks:
    """Makes layers and network files."""

    sizes = (2, 32, 64, 32, 1)

    def metadata(self, encoding: str = "linear_s") -> dict[str, Any]:
        """Valid metadata fields, free to be spoilt."""
        return copy.deepcopy({**METADATA, "output": OUTPUTS[encoding]})

    def layers(self, sizes: tuple[int, ...] = sizes, seed: int = 0, spread: float = 1.0) -> Layers:
        """Weights and biases as a fresh training starts from, times `spread`."""
        generator = np.random.default_rng(seed)
        result = []
        for columns, rows in pairwise(sizes):
            k = spread / np.sqrt(columns)
            result.append((generator.uniform(-k, k, (rows, columns)), generator.uniform(-k, k, rows)))
        return result

    def model(
        self,
        layers: Layers,
        metadata: dict[str, Any] | None = None,
        nodes: list[onnx.NodeProto] | None = None,
    ) -> onnx.ModelProto:
        """A chain of Gemm and Relu, or `nodes` with the layers' w0, b0, w1, ... at hand."""
        initializers, chain, value = [], [], "x"
        for i, (weights, bias) in enumerate(layers):
            initializers += [
                numpy_helper.from_array(np.asarray(weights, np.float32), f"w{i}"),
                numpy_helper.from_array(np.asarray(bias, np.float32), f"b{i}"),
            ]
            last = i == len(layers) - 1
            chain.append(
                helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], ["y" if last else f"h{i}"], transB=1)
            )
            if not last:
                chain.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"]))
            value = f"r{i}"
        graph = helper.make_graph(
            nodes or chain,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", np.shape(layers[0][0])[1]])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", np.shape(layers[-1][0])[0]])],
            initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        if metadata is not None:
            attach_metadata(model, metadata_from_dict(metadata))
        return model

    def write(
        self, path: Path, layers: Layers | None = None, encoding: str = "linear_s", **changes: Any
    ) -> Path:
        """A network file; `changes` replace whole sections of the metadata."""
        metadata = {**self.metadata(encoding), **changes}
        path.write_bytes(self.model(layers or self.layers(), metadata).SerializeToString(deterministic=True))
        return path

    def write_voltage(
        self, path: Path, decades: float = 3.0, octaves: float | None = None, **changes: Any
    ) -> Path:
        """A network file that sees the voltage: random in the conductances, with times that grow by `decades` from the
        full amplitude to the lowest one of RESET. With `octaves` it knows its error, which falls by as many."""
        layers = self.layers((3, 32, 64, 32, 1 if octaves is None else 2))
        layers[0][0][:, 2] = 0.0
        for weights, bias in layers[:-1]:  # the first unit of every hidden layer carries the reduction alone
            weights[0], bias[0] = 0.0, 0.0
            weights[0, 2 if weights is layers[0][0] else 0] = 1.0
        layers[-1][0][0, 0] = decades / OUTPUTS["log10_s"]["scale"]
        if octaves is not None:
            layers[-1][0][1, 0] = -octaves / EXPECTED_ERROR["scale"]
            changes = {"expected_error": EXPECTED_ERROR, **changes}
        inputs = [*self.metadata()["inputs"], {"name": "v_reduction_V", "offset": 0.0, "scale": 0.26}]
        pulse = {"v_set_V": -0.39, "v_reset_V": 0.8, "set_reduction_V": 0.135, "reset_reduction_V": 0.26}
        fields: dict[str, Any] = {"inputs": inputs, "pulse": pulse, **changes}
        return self.write(path, layers, "log10_s", **fields)

    def write_device_aware(self, path: Path, **changes: Any) -> Path:
        """A network file that sees what is known of the device, and a reference with times of milliseconds."""
        times = (6e-3 * np.linspace(0.0, 1.0, 65) ** 3).tolist()
        states = [{"name": name, "offset": 0.0, "scale": 4.0} for name in ("log2_rate", "known_pulses")]
        reference = {"set_s": times, "reset_s": times[::-1]}
        fields = {"inputs": [*self.metadata()["inputs"], *states], "device_reference": reference}
        return self.write(path, self.layers((4, 32, 64, 32, 1), spread=2.0), "log10_s", **(fields | changes))


@pytest.fixture(scope="session")
def networks() -> Networks:
    return Networks()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden files instead of comparing with them"
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
