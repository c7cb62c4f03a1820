"""The integer model of a look-up table, which takes the place of the layers in a `QuantizedModel`.

The kernel `table` (firmware_templates/kernels/table) computes the same: where the inputs lie on their axes, then the
value there, log2(ticks) in Q13.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from codegen.fixed import INT16_MAX, Int64Array, rshift_round
from codegen.table import FEWEST_NODES, MOST_NODES
from codegen.validation import StrictModel

VALUE_BITS = 10  # log2(ticks) in 1/1024: 0.07 % of a pulse
PLACE_BITS = 10  # of the place in a cell
ACCUMULATOR_BITS = 13
SLOPE_BITS = 31
TABLE_DECODE = (16, 1)  # multiplier and shift from Q13 to Q16
PLACE_LENGTH = 3  # what the kernel's first stage gives: a node's number and two places

Int16 = Annotated[int, Field(ge=-INT16_MAX, le=INT16_MAX)]
Nodes = Annotated[tuple[Int16, ...], Field(min_length=FEWEST_NODES, max_length=MOST_NODES)]


class QuantizedTable(StrictModel):
    """log2(ticks) at even numbers of the integer inputs, bilinear between them.

    `start` are nodes of the first input, `change` of the second one's magnitude. `log2_ticks_q10` are two pages,
    RESET and SET, of a row for every start and a number for every change.
    """

    start: Nodes
    change: Nodes
    log2_ticks_q10: tuple[tuple[tuple[Int16, ...], ...], ...]

    @model_validator(mode="after")
    def _must_be_a_table(self) -> QuantizedTable:
        for nodes in (self.start, self.change):
            if any(b <= a for a, b in pairwise(nodes)):
                raise ValueError("a table's nodes must ascend")
        if self.change[0] < 1:
            raise ValueError("a table's changes must be positive")
        shape = [len(page) == len(self.start) for page in self.log2_ticks_q10]
        if shape != [True] * 2 or any(len(r) != len(self.change) for p in self.log2_ticks_q10 for r in p):
            raise ValueError("a table needs two pages of a value for every pair of nodes")
        return self

    @property
    def topology(self) -> str:
        """Nodes, such as table-16x16x2."""
        return f"table-{len(self.start)}x{len(self.change)}x2"

    @property
    def values(self) -> tuple[int, ...]:
        """Page after page, row after row."""
        return tuple(value for page in self.log2_ticks_q10 for row in page for value in row)

    @property
    def table_bytes(self) -> int:
        """Flash of values, nodes and slopes."""
        nodes = len(self.start) + len(self.change)
        return 2 * (len(self.values) + nodes) + 4 * (nodes - 2)

    @cached_property
    def _arrays(self) -> tuple[Int64Array, Int64Array, Int64Array]:
        start, change, values = (np.array(v, np.int64) for v in (self.start, self.change, self.values))
        return start, change, values

    def accumulators(self, x: Int64Array) -> Int64Array:
        """log2(ticks) in Q13 for integer inputs (n, 2), (n,). No product or sum leaves int32, whatever the values."""
        start, change, values = self._arrays
        row, part = _place(start, x[:, 0])
        column, share = _place(change, np.abs(x[:, 1]))
        first = (np.where(x[:, 1] > 0, len(start), 0) + row) * len(change) + column
        low = _between(values, first, share)
        high = _between(values, first + len(change), share)
        between: Int64Array = low + rshift_round((high - low) * part, PLACE_BITS)
        return between


def slopes(nodes: tuple[int, ...]) -> tuple[int, ...]:
    """2**31 / width of every cell, rounded down: a place in a cell then takes one multiplication of 32 bits."""
    return tuple(2**SLOPE_BITS // (b - a) for a, b in pairwise(nodes))


def _between(values: Int64Array, first: Int64Array, share: Int64Array) -> Int64Array:
    """A row's value in Q13, between a node and the next."""
    scaled = values[first] << (ACCUMULATOR_BITS - VALUE_BITS)
    rise = values[first + 1] - values[first]
    return scaled + rshift_round(rise * share, VALUE_BITS + PLACE_BITS - ACCUMULATOR_BITS)


def _place(nodes: Int64Array, values: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Cell of each value, and its place in there in Q10, 0 .. 2**10."""
    inside = np.clip(values, nodes[0], nodes[-1])
    cell = np.clip(np.searchsorted(nodes, inside, side="right") - 1, 0, len(nodes) - 2).astype(np.int64)
    slope = np.array(slopes(tuple(nodes.tolist())), np.int64)
    return cell, ((inside - nodes[cell]) * slope[cell]) >> (SLOPE_BITS - PLACE_BITS)
