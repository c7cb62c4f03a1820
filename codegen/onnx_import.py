"""From an ONNX file to a `FloatNetwork`: a chain of affine layers and ReLUs with the meaning of its numbers.

A look-up table (`codegen.table`) may stand in the place of the chain. Anything else is refused by name; nothing is
guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from codegen.metadata import NetworkMetadata, read_metadata
from codegen.table import FloatTable, is_table, table_of
from sim.errors import UserError

FloatArray = npt.NDArray[np.float64]

MAX_WIDTH = 4096
MAX_LAYERS = 64
SUPPORTED = "Gemm, MatMul, Add, Relu"
_FLOAT_TYPES = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
)


@dataclass(frozen=True, eq=False)
class FloatLayer:
    """`y = relu(weights @ x + bias)`, or without ReLU; weights (rows, columns), bias (rows,), read-only."""

    weights: FloatArray
    bias: FloatArray
    relu: bool

    def __post_init__(self) -> None:
        self.weights.setflags(write=False)
        self.bias.setflags(write=False)

    def evaluate(self, x: FloatArray) -> FloatArray:
        """Outputs (n, rows) for inputs (n, columns)."""
        y: FloatArray = x @ self.weights.T + self.bias
        return np.maximum(y, 0.0) if self.relu else y


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """The network as trained, evaluated in float64. One with a `table` has no layers."""

    layers: tuple[FloatLayer, ...]
    metadata: NetworkMetadata
    sha256: str  # of the ONNX file
    table: FloatTable | None = None

    def normalise(self, g_start_S: FloatArray, g_target_S: FloatArray, *further: FloatArray) -> FloatArray:
        """Network inputs (n, inputs) from conductances in siemens and further inputs in their units, (n,) each."""
        values = (g_start_S, g_target_S - g_start_S, *further)
        columns = [
            (v - scaling.offset) / scaling.scale
            for v, scaling in zip(values, self.metadata.inputs, strict=True)
        ]
        return np.stack(columns, axis=1)

    def output(self, g_start_S: FloatArray, g_target_S: FloatArray, *further: FloatArray) -> FloatArray:
        """`offset + scale * y`, (n,): signed seconds or log10(seconds), as the metadata says."""
        y = self._outputs(self.normalise(g_start_S, g_target_S, *further))
        return self.metadata.output.offset + self.metadata.output.scale * y[:, 0]

    def _outputs(self, x: FloatArray) -> FloatArray:
        for layer in self.layers:
            x = layer.evaluate(x)
        return x if self.table is None else self.table.evaluate(x)

    def width_s(self, g_start_S: FloatArray, g_target_S: FloatArray, *further: FloatArray) -> FloatArray:
        """Length of the predicted pulses in seconds, (n,), not negative."""
        output = self.output(g_start_S, g_target_S, *further)
        if self.metadata.output.encoding == "linear_s":
            return np.abs(output)
        with np.errstate(over="ignore"):
            width_s: FloatArray = 10.0**output
        return width_s

    def expected_rpd(self, g_start_S: FloatArray, g_target_S: FloatArray, *further: FloatArray) -> FloatArray:
        """Mean RPD to expect of the predicted pulses, (n,); infinite where the network does not know."""
        scaling = self.metadata.expected_error
        if scaling is None:
            return np.full(np.shape(g_start_S), np.inf)
        y = self._outputs(self.normalise(g_start_S, g_target_S, *further))
        with np.errstate(over="ignore"):
            rpd: FloatArray = 2.0 ** (scaling.offset + scaling.scale * y[:, 1])
        return rpd


def load_network(path: Path) -> FloatNetwork:
    """Read a network file.

    Raises:
        UserError: missing, corrupt, not a chain of supported operators, unusable weights, shapes or metadata.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read network {path}: {error.strerror}") from None
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError):
        raise UserError(f"{path}: not an ONNX file, or a damaged one") from None
    if not model.HasField("graph"):
        raise UserError(f"{path}: not an ONNX file, or a damaged one: it holds no graph")
    metadata = read_metadata(model, path)
    sha256 = hashlib.sha256(content).hexdigest()
    if is_table(model.graph):
        return FloatNetwork((), metadata, sha256, _table(model.graph, metadata, path))
    layers = _Chain(model.graph, path, len(metadata.inputs), metadata.outputs).layers()
    return FloatNetwork(layers, metadata, sha256)


def _table(graph: onnx.GraphProto, metadata: NetworkMetadata, path: Path) -> FloatTable:
    change = metadata.inputs[1]
    if len(metadata.inputs) != 2 or metadata.output.encoding != "log10_s" or metadata.outputs != 1:
        raise UserError(f"{path}: a look-up table must have two inputs and a log10_s output, no more")
    if change.offset != 0.0 or change.scale < 0.0 or metadata.inputs[0].scale < 0.0:
        raise UserError(f"{path}: a look-up table needs {change.name} from offset 0, and positive scales")
    try:
        return table_of(graph)
    except ValueError as error:
        raise UserError(f"{path}: unusable look-up table: {error}") from None


class _Chain:
    """One pass along a graph from its input to its output."""

    def __init__(self, graph: onnx.GraphProto, path: Path, inputs: int, outputs: int) -> None:
        self._graph = graph
        self._inputs, self._outputs = inputs, outputs
        self._path = path
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}

    def layers(self) -> tuple[FloatLayer, ...]:
        """Walk the graph; every node must lie on the one chain."""
        self._refuse_unsupported()
        value, output = self._ends()
        layers: list[FloatLayer] = []
        visited = 0
        while value != output:
            node = self._consumer(value)
            self._apply(node, value, layers)
            value = node.output[0]
            visited += 1
            if visited > len(self._graph.node):
                raise self._error("the graph has a cycle")
        if visited != len(self._graph.node) or any(value in node.input for node in self._graph.node):
            raise self._error("the graph is not one chain: some nodes lie off the way from input to output")
        self._check_shapes(layers)
        return tuple(layers)

    def _error(self, problem: str) -> UserError:
        return UserError(f"{self._path}: {problem}")

    def _refuse_unsupported(self) -> None:
        if not self._graph.node:
            raise self._error("the graph has no operators")
        for node in self._graph.node:
            name = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
            if name not in SUPPORTED.split(", "):
                raise self._error(f"unsupported operator {name}; supported: a chain of {SUPPORTED}")
            if len(node.output) != 1:
                raise self._error(f"operator {name} must have one output")

    def _ends(self) -> tuple[str, str]:
        inputs = [value for value in self._graph.input if value.name not in self._tensors]
        if len(inputs) != 1 or len(self._graph.output) != 1:
            raise self._error(
                f"need one input and one output, not {len(inputs)} and {len(self._graph.output)}"
            )
        for value, width in ((inputs[0], self._inputs), (self._graph.output[0], self._outputs)):
            dims = value.type.tensor_type.shape.dim
            if dims and (len(dims) != 2 or (dims[1].HasField("dim_value") and dims[1].dim_value != width)):
                shape = ", ".join(str(d.dim_value) if d.HasField("dim_value") else "N" for d in dims)
                raise self._error(f"'{value.name}' must have shape (N, {width}), not ({shape})")
        return inputs[0].name, self._graph.output[0].name

    def _consumer(self, value: str) -> onnx.NodeProto:
        consumers = [node for node in self._graph.node if value in node.input]
        if len(consumers) != 1 or list(consumers[0].input).count(value) != 1:
            raise self._error(
                f"the graph is not one chain: value '{value}' feeds {len(consumers)} operators, must feed one"
            )
        consumer: onnx.NodeProto = consumers[0]
        return consumer

    def _apply(self, node: onnx.NodeProto, value: str, layers: list[FloatLayer]) -> None:
        """Extend `layers` by one operator."""
        if node.op_type == "Relu":
            if not layers:
                raise self._error("Relu on the network's input; a Gemm or MatMul must come first")
            layers[-1] = FloatLayer(layers[-1].weights, layers[-1].bias, relu=True)
        elif node.op_type == "Add":
            if not layers or layers[-1].relu:
                raise self._error("Add is supported only as the bias of a Gemm or MatMul before it")
            constant = [name for name in node.input if name != value]
            bias = self._bias(node, constant, layers[-1].weights.shape[0])
            layers[-1] = FloatLayer(layers[-1].weights, layers[-1].bias + bias, relu=False)
        else:
            if node.input[0] != value:
                raise self._error(f"{node.op_type} must multiply activations (left) by weights (right)")
            layers.append(self._gemm(node) if node.op_type == "Gemm" else self._matmul(node))

    def _gemm(self, node: onnx.NodeProto) -> FloatLayer:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if attributes.get("transA", 0):
            raise self._error("Gemm with transA = 1 is not supported")
        weights = self._weights(node)
        if attributes.get("transB", 0):
            weights = weights.T
        weights = weights.T * float(attributes.get("alpha", 1.0))
        bias = self._bias(node, list(node.input[2:]), weights.shape[0]) * float(attributes.get("beta", 1.0))
        return FloatLayer(np.ascontiguousarray(weights), bias, relu=False)

    def _matmul(self, node: onnx.NodeProto) -> FloatLayer:
        weights = np.ascontiguousarray(self._weights(node).T)
        return FloatLayer(weights, np.zeros(weights.shape[0]), relu=False)

    def _weights(self, node: onnx.NodeProto) -> FloatArray:
        weights = self._tensor(node, node.input[1])
        if weights.ndim != 2 or 0 in weights.shape:
            raise self._error(f"weights '{node.input[1]}' must be a matrix, not of shape {weights.shape}")
        return weights

    def _bias(self, node: onnx.NodeProto, names: Sequence[str], rows: int) -> FloatArray:
        if not names or not names[0]:
            return np.zeros(rows)
        bias = self._tensor(node, names[0])
        if bias.shape not in ((), (1,), (1, 1), (rows,), (1, rows)):
            raise self._error(f"bias '{names[0]}' has shape {bias.shape}; the layer has {rows} outputs")
        return np.broadcast_to(bias.reshape(-1), (rows,)).copy()

    def _tensor(self, node: onnx.NodeProto, name: str) -> FloatArray:
        if name not in self._tensors:
            raise self._error(f"{node.op_type} takes '{name}', which is not a stored constant")
        tensor = self._tensors[name]
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise self._error(f"'{name}' is stored outside the file; save the weights inside it")
        if tensor.data_type not in _FLOAT_TYPES:
            kind = onnx.TensorProto.DataType.Name(tensor.data_type)
            raise self._error(f"'{name}' is of type {kind}; weights must be floating-point numbers")
        try:
            values = numpy_helper.to_array(tensor).astype(np.float64)
        except (ValueError, TypeError):
            raise self._error(f"'{name}' is damaged: its data do not match its shape") from None
        if not np.isfinite(values).all():
            raise self._error(f"'{name}' holds NaN or infinite numbers")
        return values

    def _check_shapes(self, layers: list[FloatLayer]) -> None:
        if not layers or layers[-1].relu:
            raise self._error("the last operator must be a Gemm, MatMul or Add, not Relu")
        if len(layers) > MAX_LAYERS:
            raise self._error(f"{len(layers)} layers; at most {MAX_LAYERS} are supported")
        expected = self._inputs
        for number, layer in enumerate(layers, start=1):
            rows, columns = layer.weights.shape
            if columns != expected:
                raise self._error(f"layer {number} takes {columns} values where {expected} arrive")
            if rows > MAX_WIDTH:
                raise self._error(f"layer {number} has {rows} outputs; at most {MAX_WIDTH} are supported")
            expected = rows
        if expected != self._outputs:
            wanted = "one" if self._outputs == 1 else "two, as its metadata has expected_error"
            raise self._error(f"the network has {expected} outputs; it must have {wanted}")
