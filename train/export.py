"""The network file: an ONNX chain of Gemm and Relu with the scaling metadata (docs/architecture.md).

Built from the weights rather than traced, so that equal weights give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from codegen.metadata import DeviceReference, NetworkMetadata, attach_metadata, metadata_from_dict
from codegen.onnx_import import FloatNetwork
from sim import jart_fit
from sim.output_files import whole_file
from train.features import Scaling
from train.loop import Weights

OPSET = 17
IR_VERSION = 8  # what opset 17 came with; readable by every runtime since 2022
PRODUCER = "ouroboros"


def metadata_of_dataset(
    scaling: Scaling,
    parameters: Mapping[str, Any],
    reductions: Mapping[str, float] | None = None,
    device_reference: DeviceReference | None = None,
) -> NetworkMetadata:
    """Return the metadata of a network trained on a data set.

    Args:
        parameters: what the data set was generated with, as `sim.dataset.parameters` gives it.
        reductions: `set_reduction_V` and `reset_reduction_V` of a network that sees the voltage.
        device_reference: of a network that sees what is known of the device.
    """
    window = [parameters["window"][name] for name in ("n_low_1e26", "n_high_1e26")]
    g_min_S, g_max_S = jart_fit.read_conductance(np.array(window))
    noise = parameters["noise"]
    return metadata_from_dict(
        {
            "schema": 1,
            **scaling.metadata_fields(),
            **({"device_reference": device_reference.model_dump()} if device_reference else {}),
            "window": {"g_min_S": float(g_min_S), "g_max_S": float(g_max_S)},
            "pulse": {**{n: parameters[n] for n in ("v_set_V", "v_reset_V")}, **(reductions or {})},
            "trained_on": {
                "device_model": parameters["device_model"],
                "noise_preset": noise["name"],
                "cadence_s": noise["cadence_s"],
                "seed": parameters["seed"],
            },
        }
    )


def weights_of(network: FloatNetwork) -> tuple[Weights, tuple[int, ...]]:
    """Return the weights of a network file as `build_model` takes them, and the layer sizes."""
    weights: Weights = {}
    for i, layer in enumerate(network.layers):
        weights[f"layers.{i}.weight"] = torch.from_numpy(layer.weights.astype(np.float32))
        weights[f"layers.{i}.bias"] = torch.from_numpy(layer.bias.astype(np.float32))
    return weights, (network.layers[0].weights.shape[1], *(len(layer.bias) for layer in network.layers))


def build_model(weights: Weights, metadata: NetworkMetadata) -> onnx.ModelProto:
    """Return the ONNX model of a trained network: x (N, inputs) -> y (N, outputs), float32."""
    depth, inputs = len(weights) // 2, weights["layers.0.weight"].shape[1]
    outputs = weights[f"layers.{depth - 1}.weight"].shape[0]
    nodes, initialisers = [], []
    value = "x"
    for i in range(depth):
        is_last = i == depth - 1
        weight, bias = f"layer{i}_weight", f"layer{i}_bias"
        for name, key in ((weight, f"layers.{i}.weight"), (bias, f"layers.{i}.bias")):
            initialisers.append(numpy_helper.from_array(weights[key].numpy().astype(np.float32), name))
        linear = "y" if is_last else f"layer{i}_linear"
        nodes.append(helper.make_node("Gemm", [value, weight, bias], [linear], f"layer{i}_gemm", transB=1))
        value = linear
        if not is_last:
            value = f"layer{i}_relu"
            nodes.append(helper.make_node("Relu", [linear], [value], f"layer{i}_relu"))
    graph = helper.make_graph(
        nodes,
        "pulse_predictor",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", outputs])],
        initialisers,
    )
    model = helper.make_model(
        graph,
        producer_name=PRODUCER,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    attach_metadata(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


def write_network(path: Path, weights: Weights, metadata: NetworkMetadata) -> None:
    """Write the network file, whole or not at all; equal weights and metadata give equal bytes."""
    data = build_model(weights, metadata).SerializeToString(deterministic=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(data)
