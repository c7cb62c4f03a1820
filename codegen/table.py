"""A look-up table in the place of a network: outputs over start conductance and size of the change, in ONNX.

Between its nodes a table is bilinear. As an ONNX graph it is standard operators, so that any runtime evaluates it:
each input's place among its axis' nodes is a sum of clipped ramps, and GridSample reads the two pages, one for RESET
and one for SET, at these places. Only this graph, as `build_table` writes it, is read back as a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20  # GridSample of pages
IR_VERSION = 9  # what opset 20 came with
PRODUCER = "ouroboros"
GRID_SAMPLE = "GridSample"
AXES = ("start", "change")
FEWEST_NODES, MOST_NODES = 2, 128  # of an axis: numbers of nodes then fit 16 bits

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FloatTable:
    """Outputs y at every node, in the numbers that a network with the same metadata takes and gives.

    Attributes:
        start: (n,), nodes of the first input, ascending.
        change: (m,), nodes of the second input's magnitude, ascending, from more than 0.
        values: (2, n, m), y: RESET (second input negative) and SET.
    """

    start: FloatArray
    change: FloatArray
    values: FloatArray

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: it is no table: shapes, order of nodes, numbers that are not finite.
        """
        for name, nodes in ((AXES[0], self.start), (AXES[1], self.change)):
            if nodes.ndim != 1 or not FEWEST_NODES <= len(nodes) <= MOST_NODES:
                raise ValueError(f"{name} must have {FEWEST_NODES} .. {MOST_NODES} nodes")
            if not np.isfinite(nodes).all() or not (np.diff(nodes) > 0).all():
                raise ValueError(f"{name} nodes must be finite and ascending")
        if self.change[0] <= 0:
            raise ValueError("change nodes must be positive")
        if self.values.shape != (2, len(self.start), len(self.change)):
            raise ValueError(f"values must have shape (2, {len(self.start)}, {len(self.change)})")
        if not np.isfinite(self.values).all():
            raise ValueError("values must be finite")
        for array in (self.start, self.change, self.values):
            array.setflags(write=False)

    def corners(self, x: FloatArray) -> tuple[IntArray, FloatArray]:
        """Flat numbers and weights of the four nodes around each of the inputs (n, 2), (n, 4) each."""
        low, part = _place(self.start, x[:, 0])
        left, share = _place(self.change, np.abs(x[:, 1]))
        row = np.where(x[:, 1] > 0, len(self.start), 0) + low
        nodes = [(row + up) * len(self.change) + left + right for up in (0, 1) for right in (0, 1)]
        weights = [a * b for a in (1.0 - part, part) for b in (1.0 - share, share)]
        return np.stack(nodes, axis=1), np.stack(weights, axis=1)

    def evaluate(self, x: FloatArray) -> FloatArray:
        """y (n, 1) for inputs (n, 2); beyond the axes as at their ends."""
        nodes, weights = self.corners(x)
        y: FloatArray = (self.values.ravel()[nodes] * weights).sum(axis=1, keepdims=True)
        return y


def _place(nodes: FloatArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
    """Cell that each value lies in, and where in it, 0 .. 1."""
    inside = np.clip(values, nodes[0], nodes[-1])
    cell = np.clip(np.searchsorted(nodes, inside, side="right") - 1, 0, len(nodes) - 2)
    return cell.astype(np.int64), (inside - nodes[cell]) / (nodes[cell + 1] - nodes[cell])


def build_table(table: FloatTable) -> onnx.ModelProto:
    """The ONNX model of a table, without metadata: x (N, 2) -> y (N, 1), float32."""
    constants: dict[str, npt.NDArray[Any]] = {"values": table.values[None, None].astype(np.float32)}
    nodes: list[onnx.NodeProto] = []

    def node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def place(axis: str, value: str, at: FloatArray) -> str:
        """From -1 at the first node to 1 at the last."""
        constants[f"{axis}_nodes"] = at[None].astype(np.float32)
        constants[f"{axis}_cells"] = np.array(2.0 / (len(at) - 1), np.float32)
        constants[f"{axis}_left"] = constants[f"{axis}_nodes"][:, :-1]
        constants[f"{axis}_width"] = np.diff(constants[f"{axis}_nodes"])
        node("Sub", [value, f"{axis}_left"], f"{axis}_beyond")
        node("Div", [f"{axis}_beyond", f"{axis}_width"], f"{axis}_ramp")
        node("Clip", [f"{axis}_ramp", "zero", "one"], f"{axis}_passed")
        node("ReduceSum", [f"{axis}_passed", "columns"], f"{axis}_cell", keepdims=1)
        node("Mul", [f"{axis}_cell", f"{axis}_cells"], f"{axis}_scaled")
        return node("Sub", [f"{axis}_scaled", "one"], f"{axis}_place")

    constants |= {"zero": np.array(0, np.float32), "one": np.array(1, np.float32), "columns": np.array([1])}
    for column, name in enumerate(("g_start", "delta_g")):
        constants[f"column{column}"] = np.array([column])
        node("Gather", ["x", f"column{column}"], name, axis=1)
    page = node("Sign", ["delta_g"], "page")
    start = place(AXES[0], "g_start", table.start)
    change = place(AXES[1], node("Abs", ["delta_g"], "size"), table.change)
    constants |= {"grid_shape": np.array([1, -1, 1, 1, 3]), "y_shape": np.array([-1, 1])}
    node("Concat", [change, start, page], "places", axis=1)
    node("Reshape", ["places", "grid_shape"], "grid")
    settings = {"align_corners": 1, "mode": "linear", "padding_mode": "border"}
    node(GRID_SAMPLE, ["values", "grid"], "read", **settings)
    node("Reshape", ["read", "y_shape"], "y")
    graph = helper.make_graph(
        nodes,
        "pulse_table",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, producer_name=PRODUCER, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def is_table(graph: onnx.GraphProto) -> bool:
    """Whether a graph is to be read as a table: it samples a grid."""
    return any(node.op_type == GRID_SAMPLE for node in graph.node)


def table_of(graph: onnx.GraphProto) -> FloatTable:
    """The table in a graph.

    Raises:
        ValueError: it is not exactly such a graph as `build_table` makes.
    """
    stored = {tensor.name: tensor for tensor in graph.initializer}
    names = (*(f"{axis}_nodes" for axis in AXES), "values")
    try:
        start, change, values = (numpy_helper.to_array(stored[n]).astype(np.float64)[0] for n in names)
        table = FloatTable(start, change, values[0])
    except (KeyError, IndexError, TypeError):
        raise ValueError("it lacks its nodes or values") from None
    if build_table(table).graph != graph:
        raise ValueError("its operators are not those that codegen.table.build_table writes")
    return table
