"""The integer model (IR): everything that decides what the firmware computes, as immutable validated values.

It is saved as JSON, interpreted by `reference.py` and rendered to C by `render.py`. A `QuantizedModel` that
exists is valid: shapes agree, shifts are in range and no accumulator can overflow.
"""

from __future__ import annotations

import re
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from codegen.device_state import ReferenceTimes
from codegen.fixed import INT16_MAX, INT16_MIN, INT32_MAX, rshift_round
from codegen.metadata import REDUCTION, STATE_NAMES
from codegen.proof import IntegerLayer, Interval, prove_accumulators
from codegen.qtable import PLACE_LENGTH, TABLE_DECODE, QuantizedTable
from codegen.validation import StrictModel, first_problem
from sim.errors import UserError

INPUT_FRACTION_BITS = 15

Int16 = Annotated[int, Field(ge=-INT16_MAX, le=INT16_MAX)]
Int32 = Annotated[int, Field(ge=-INT32_MAX, le=INT32_MAX)]
FractionBits = Annotated[int, Field(ge=-200, le=200)]
Ticks = Annotated[int, Field(ge=1, le=INT32_MAX)]
WeightBits = Literal[8, 12, 16]


def largest_weight(weight_bits: int) -> int:
    """Largest magnitude of a weight of that many bits."""
    return int(2 ** (weight_bits - 1)) - 1


class InputStage(StrictModel):
    """`x_q = sat16(rshift_round(value - offset, shift))` for values within lowest .. highest, in its unit."""

    name: Literal["g_start_S", "delta_g_S", "v_reduction_V", "log2_rate", "known_pulses"]
    lowest: Int32
    highest: Int32
    offset: Int32
    shift: Annotated[int, Field(ge=1, le=30)]

    @model_validator(mode="after")
    def _must_not_overflow(self) -> InputStage:
        if self.lowest >= self.highest:
            raise ValueError("lowest must be below highest")
        reach = max(abs(self.lowest - self.offset), abs(self.highest - self.offset))
        if reach + (1 << (self.shift - 1)) > INT32_MAX:
            raise ValueError("value - offset can overflow int32")
        return self

    def interval(self) -> tuple[int, int]:
        """Lowest and highest x_q."""
        lowest = rshift_round(self.lowest - self.offset, self.shift)
        highest = rshift_round(self.highest - self.offset, self.shift)
        return max(lowest, INT16_MIN), min(highest, INT16_MAX)


class QuantizedLayer(StrictModel):
    """`y = sat16(rshift_round(bias + weights @ x, shift))`, at least 0 with ReLU.

    Weights are signed integers of `weight_bits` bits, the most negative one left out. Row r's accumulator counts in
    2**-accumulator_bits[r], its output in 2**-output_bits[r] of the float network's numbers; the shift is the
    difference. The output layer keeps its accumulator: no output_bits.
    """

    weight_bits: WeightBits = 16
    weights: tuple[tuple[Int16, ...], ...]
    bias: tuple[Int32, ...]
    relu: bool
    accumulator_bits: tuple[FractionBits, ...]
    output_bits: tuple[FractionBits, ...] | None

    @model_validator(mode="after")
    def _shapes_must_agree(self) -> QuantizedLayer:
        rows = len(self.weights)
        if rows == 0 or not self.weights[0] or len({len(row) for row in self.weights}) != 1:
            raise ValueError("weights must be a matrix")
        if max(abs(weight) for row in self.weights for weight in row) > largest_weight(self.weight_bits):
            raise ValueError(f"weights must fit {self.weight_bits} bits")
        per_row = (self.bias, self.accumulator_bits, self.output_bits or self.bias)
        if any(len(values) != rows for values in per_row):
            raise ValueError("bias and fraction bits need one entry per row of the weights")
        if self.output_bits is not None and not all(1 <= shift <= 30 for shift in self.shift):
            raise ValueError("accumulator_bits - output_bits must be 1 .. 30 in every row")
        return self

    @property
    def rows(self) -> int:
        """Number of outputs."""
        return len(self.weights)

    @property
    def columns(self) -> int:
        """Number of inputs."""
        return len(self.weights[0])

    @property
    def shift(self) -> tuple[int, ...]:
        """Right shift of every row; empty in the output layer."""
        if self.output_bits is None:
            return ()
        return tuple(a - y for a, y in zip(self.accumulator_bits, self.output_bits, strict=True))

    @property
    def rounding_bias(self) -> tuple[int, ...]:
        """The bias with the rounding addend of the shift in it, which the proof covers; as the firmware keeps it."""
        if self.output_bits is None:
            return self.bias
        return tuple(bias + (1 << (shift - 1)) for bias, shift in zip(self.bias, self.shift, strict=True))

    def arrays(self) -> IntegerLayer:
        """The layer as int64 arrays."""
        return IntegerLayer(
            weights=np.array(self.weights, dtype=np.int64),
            bias=np.array(self.bias, dtype=np.int64),
            shift=np.array(self.shift, dtype=np.int64) if self.shift else None,
            relu=self.relu,
        )


class Decode(StrictModel):
    """From an output's accumulator to ticks (linear_s), to log2(ticks) (log10_s) or log2(ppm) (expected error) in Q16:
    `rshift_round(|acc| * multiplier, shift)`, of logarithms with acc's sign."""

    multiplier: Annotated[int, Field(ge=1, le=INT32_MAX)]
    shift: Annotated[int, Field(ge=1, le=62)]


class Voltages(StrictModel):
    """The pulse voltages the firmware chooses from: the full one of a direction, lowered by 0 .. steps times its step.

    `v_set_off_uV` and `v_reset_off_uV` are the reduction that the network sees at step 0: full voltages lie on the
    DAC's grid, and at most one step below those of the training. No steps: both voltages are fixed.
    """

    v_set_uV: Annotated[Int32, Field(lt=0)]
    v_reset_uV: Annotated[Int32, Field(gt=0)]
    v_set_off_uV: Annotated[Int32, Field(ge=0)]
    v_reset_off_uV: Annotated[Int32, Field(ge=0)]
    set_step_uV: Annotated[Int32, Field(gt=0)]
    reset_step_uV: Annotated[Int32, Field(gt=0)]
    set_steps: Annotated[int, Field(ge=0, le=INT16_MAX)]
    reset_steps: Annotated[int, Field(ge=0, le=INT16_MAX)]

    @model_validator(mode="after")
    def _must_keep_their_sign(self) -> Voltages:
        if (
            self.set_steps * self.set_step_uV >= -self.v_set_uV
            or self.reset_steps * self.reset_step_uV >= self.v_reset_uV
        ):
            raise ValueError("the greatest reduction must leave a voltage")
        return self

    @property
    def greatest_reduction_uV(self) -> int:
        """The most that the network sees in either direction [uV]; 0 for fixed voltages."""
        set_uV = self.v_set_off_uV + self.set_steps * self.set_step_uV
        reset_uV = self.v_reset_off_uV + self.reset_steps * self.reset_step_uV
        return max(set_uV, reset_uV)


class ReferenceModel(StrictModel):
    """What a controller measures a device's rate against; see `codegen.device_state.ReferenceTimes`."""

    smallest_move_nS: Annotated[int, Field(ge=1, le=INT32_MAX)]
    set_q4: tuple[Int32, ...]
    reset_q4: tuple[Int32, ...]


class QuantizedModel(StrictModel):
    """The whole predictor in integers."""

    schema_: Literal[1] = Field(alias="schema")
    encoding: Literal["linear_s", "log10_s"]
    g_min_nS: Int32
    g_max_nS: Int32
    timer_Hz: Ticks
    min_ticks: Ticks
    max_ticks: Ticks
    voltages: Voltages
    inputs: Annotated[tuple[InputStage, ...], Field(min_length=2, max_length=4)]
    layers: tuple[QuantizedLayer, ...]
    decode: Decode
    reference: ReferenceModel | None = None
    table: QuantizedTable | None = None
    error_decode: Decode | None = None

    @model_validator(mode="after")
    def _must_be_sound(self) -> QuantizedModel:
        start, delta, *further = self.inputs
        span_nS = self.g_max_nS - self.g_min_nS
        if not 0 < self.g_min_nS < self.g_max_nS or self.min_ticks > self.max_ticks:
            raise ValueError("the window and the timer's range must be ordered")
        if (start.name, start.lowest, start.highest) != ("g_start_S", self.g_min_nS, self.g_max_nS):
            raise ValueError("the first input must be g_start_S over the window")
        if (delta.name, delta.lowest, delta.highest) != ("delta_g_S", -span_nS, span_nS):
            raise ValueError("the second input must be delta_g_S over the window's span")
        greatest_uV = self.voltages.greatest_reduction_uV
        names = tuple(stage.name for stage in further)
        if names != ((REDUCTION,) if greatest_uV else STATE_NAMES if self.reference else ()):
            raise ValueError(
                f"a third input {REDUCTION} belongs to voltages that may be reduced, and to no others;"
                f" {' and '.join(STATE_NAMES)} to a reference"
            )
        if greatest_uV and (further[0].lowest, max(further[0].highest, greatest_uV)) != (
            0,
            further[0].highest,
        ):
            raise ValueError(f"the input {REDUCTION} must reach from 0 to the greatest reduction")
        self.reference_times()
        if self.table is not None:
            if self.layers or names or self.error_decode or self.encoding != "log10_s":
                raise ValueError("a table must stand alone, with two inputs and a log10_s output")
            if (self.decode.multiplier, self.decode.shift) != TABLE_DECODE:
                raise ValueError("a table's decode must be {} / 2**{}".format(*TABLE_DECODE))
            return self
        if (
            not self.layers
            or self.layers[0].columns != len(self.inputs)
            or self.layers[-1].rows != self.outputs
        ):
            outputs = "one output" if self.outputs == 1 else f"{self.outputs} outputs"
            raise ValueError(f"the layers must lead from {len(self.inputs)} inputs to {outputs}")
        if any(b.columns != a.rows for a, b in pairwise(self.layers)):
            raise ValueError("a layer's inputs must be the outputs of the one before")
        if [layer.output_bits is None for layer in self.layers] != [False] * (len(self.layers) - 1) + [True]:
            raise ValueError("exactly the last layer must keep its accumulator")
        if self.layers[-1].relu:
            raise ValueError("the output layer must not have a ReLU")
        if self.layers[-1].weight_bits != 16:
            raise ValueError("the output layer's weights must have 16 bits")
        self.accumulators  # noqa: B018 - raises where an accumulator can overflow
        return self

    @property
    def knows_device(self) -> bool:
        """Whether the network sees what the controller knows of the device."""
        return self.reference is not None

    @property
    def outputs(self) -> int:
        """The pulse's time, and the error to expect of it where the network knows that."""
        return 1 if self.error_decode is None else 2

    def reference_times(self) -> ReferenceTimes | None:
        """What device states are updated with."""
        r = self.reference
        if r is None:
            return None
        return ReferenceTimes(self.g_min_nS, self.g_max_nS, r.smallest_move_nS, r.set_q4, r.reset_q4)

    @cached_property
    def accumulators(self) -> tuple[Interval, ...]:
        """Proven bounds of every layer's accumulators."""
        ends = np.array([stage.interval() for stage in self.inputs], dtype=np.int64)
        layers = [layer.arrays() for layer in self.layers]
        return prove_accumulators(layers, Interval(ends[:, 0], ends[:, 1]))

    @property
    def kernel_layers(self) -> tuple[QuantizedLayer, ...]:
        """The layers as the firmware computes them: each output is a layer of one row, from the same activations."""
        heads = [
            QuantizedLayer(
                weight_bits=last.weight_bits,
                weights=last.weights[row : row + 1],
                bias=last.bias[row : row + 1],
                relu=False,
                accumulator_bits=last.accumulator_bits[row : row + 1],
                output_bits=None,
            )
            for last in self.layers[-1:]
            for row in range(last.rows)
        ]
        return (*self.layers[:-1], *heads)

    @property
    def kernel_accumulators(self) -> tuple[Interval, ...]:
        """Proven bounds of the accumulators of `kernel_layers`."""
        heads = [
            Interval(last.lowest[row : row + 1], last.highest[row : row + 1])
            for last in self.accumulators[-1:]
            for row in range(len(last.lowest))
        ]
        return (*self.accumulators[:-1], *heads)

    @property
    def topology(self) -> str:
        """Layer widths, such as 2-32-64-32-1, or a table's nodes, such as table-16x16x2."""
        if self.table is not None:
            return self.table.topology
        return "-".join(str(n) for n in [self.layers[0].columns, *(layer.rows for layer in self.layers)])

    @property
    def weight_bits(self) -> tuple[WeightBits, ...]:
        """Width of every layer's weights."""
        return tuple(layer.weight_bits for layer in self.layers)

    @property
    def buffer_length(self) -> int:
        """Activations the firmware holds at most at a time: the widest layer's inputs."""
        if self.table is not None:
            return PLACE_LENGTH
        return max(layer.columns for layer in self.layers)

    def to_json(self) -> str:
        """Exact and stable: equal models give equal text; one row of numbers a line."""
        optional = ("reference", "table", "error_decode")
        left_out = {name for name in optional if getattr(self, name) is None}
        text = self.model_dump_json(by_alias=True, indent=1, exclude=left_out)
        return re.sub(r"\[\s+(-?\d+(?:,\s+-?\d+)*)\s+\]", _on_one_line, text) + "\n"

    @classmethod
    def from_json(cls, text: str, source: Path | str = "integer model") -> QuantizedModel:
        """Parse and validate.

        Raises:
            UserError: not JSON, or not a sound model; the first problem.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise UserError(f"{source}: {first_problem(error)}") from None


def _on_one_line(match: re.Match[str]) -> str:
    return "[" + re.sub(r",\s+", ", ", match.group(1)) + "]"
