"""NumPy interpreter of the integer model: what the firmware must compute, bit for bit, for all int32 inputs.

Layers run as float64 matrix products, exact here: weights and activations are integers, and the proof in
`QuantizedModel` bounds every partial sum of every order by 2**31, far below 2**53. No product, sum or fused
multiply-add rounds, whatever order the BLAS chooses. The shift is a multiplication by a power of two, exact
too, and `floor` makes it the arithmetic one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from codegen.device_state import DeviceStates
from codegen.fixed import INT16_MAX, INT16_MIN, Int64Array, exp2_q16, rshift_round, sat16
from codegen.predictions import (
    Int8Array,
    Predictions,
    as_int32_pairs,
    require_budget,
    require_targets_in_window,
    require_wish,
)
from codegen.proof import IntegerLayer
from codegen.qmodel import Decode, InputStage, QuantizedModel
from codegen.status import Status
from codegen.voltage_choice import (
    MOST_MODEST,
    PPM,
    UNKNOWN_PPM,
    Choice,
    Wanted,
    choose,
    reduction_uV,
    steps_of,
    voltage_uV,
)
from sim.closed_loop import Pulses

CHUNK = 4096  # pairs at a time: activations stay in the cache
LOG2_LIMIT_Q16 = 31 << 16

FloatArray = npt.NDArray[np.float64]


class ReferencePredictor:
    """A predictor that interprets an integer model.

    Pulses last at most `budget_ticks`, if given; with a wish they are as short as keeps their expected RPD within it.
    """

    def __init__(
        self, model: QuantizedModel, budget_ticks: int | None = None, wish_permille: int = 0
    ) -> None:
        """
        Raises:
            UserError: the budget is shorter than the timer's shortest pulse, or the wish outside 0 .. 1000.
        """
        require_budget(budget_ticks, model.min_ticks)
        require_wish(wish_permille)
        self.model = model
        self.budget_ticks = model.max_ticks if budget_ticks is None else min(budget_ticks, model.max_ticks)
        self.wanted = Wanted(model.min_ticks, self.budget_ticks, wish_permille * PPM // MOST_MODEST)
        self._layers = [ExactLayer(layer.arrays()) for layer in model.layers]

    def predict(
        self, g_start_nS: npt.ArrayLike, g_target_nS: npt.ArrayLike, states: DeviceStates | None = None
    ) -> Pulses:
        """The pulse of each pair; `states` is what is known of each device, for a network that sees it.

        Raises:
            UserError: a target outside the trained window.
        """
        start, target = as_int32_pairs(g_start_nS, g_target_nS)
        require_targets_in_window(target, self.model.g_min_nS, self.model.g_max_nS)
        return self.predict_batch(start, target, states).pulses()

    def predict_batch(
        self, g_start_nS: npt.ArrayLike, g_target_nS: npt.ArrayLike, states: DeviceStates | None = None
    ) -> Predictions:
        """What `ouro_predict_precise` gives for each pair, status included."""
        start, target = as_int32_pairs(g_start_nS, g_target_nS)
        known = DeviceStates.fresh(len(start)) if states is None else states
        model = self.model
        outside = (target < model.g_min_nS) | (target > model.g_max_nS)
        equal = ~outside & (start == target)
        run = ~outside & ~equal

        direction = np.zeros(start.shape, dtype=np.int8)
        ticks = np.zeros(start.shape, dtype=np.int64)
        step = np.zeros(start.shape, dtype=np.int64)
        promised = np.ones(start.shape, dtype=np.bool_)
        clamped = np.clip(start[run], model.g_min_nS, model.g_max_nS)
        change = target[run] - clamped
        if model.encoding == "linear_s":
            acc = self._outputs([clamped, change])
            direction[run] = np.sign(acc[:, 0])
            found = self._decoded(acc)
            choice = choose(lambda step: found, np.zeros(len(clamped), dtype=np.int64), self.wanted)
        else:
            direction[run] = np.sign(target[run] - start[run])
            told = known.take(np.flatnonzero(run)).inputs() if model.knows_device else ()
            choice = self._choose(clamped, change, direction[run], told)
        step[run], promised[run] = choice.step, choice.promised
        ticks[run] = np.clip(choice.width, model.min_ticks, self.budget_ticks)
        ticks[direction == 0] = 0
        status = np.where(promised, Status.OK, Status.NOT_PROMISED)
        status = np.where(direction == 0, Status.NO_PULSE_NEEDED, status)
        status = np.where(outside, Status.ERR_TARGET_RANGE, status)
        return Predictions(
            direction, ticks, voltage_uV(model.voltages, direction, step), status.astype(np.int32)
        )

    def _choose(
        self,
        g_start_nS: Int64Array,
        delta_g_nS: Int64Array,
        direction: Int8Array,
        told: tuple[Int64Array, ...],
    ) -> Choice:
        """Steps by which the voltage is lowered, widths in ticks, and whether they keep the wish."""
        model = self.model

        def pulse_at(step: Int64Array) -> tuple[Int64Array, Int64Array]:
            seen_uV = reduction_uV(model.voltages, direction, step)
            values = [g_start_nS, delta_g_nS, *(told or (seen_uV,))][: len(model.inputs)]
            return self._decoded(self._outputs(values))

        return choose(pulse_at, steps_of(model.voltages, direction), self.wanted)

    def _decoded(self, acc: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Widths in ticks and expected errors in ppm from the output layer's accumulators, (n,) each."""
        time, error = self.model.decode, self.model.error_decode
        if self.model.encoding == "linear_s":
            width = rshift_round(np.abs(acc[:, 0]) * time.multiplier, time.shift)
        else:
            width = _decode_log(acc[:, 0], time)
        return width, np.full(width.shape, UNKNOWN_PPM) if error is None else _decode_log(acc[:, 1], error)

    def accumulators(self, values: Sequence[Int64Array]) -> Int64Array:
        """The time's accumulator for each input's integers within their range, (n,)."""
        return self._outputs(values)[:, 0]

    def _outputs(self, values: Sequence[Int64Array]) -> Int64Array:
        """The output layer's accumulators, (n, outputs)."""
        result = np.empty((*values[0].shape, self.model.outputs), dtype=np.int64)
        for begin in range(0, len(result), CHUNK):
            x = quantise_inputs(self.model.inputs, [value[begin : begin + CHUNK] for value in values])
            for layer in self._layers:
                x = layer(x)
            if self.model.table is not None:
                x = self.model.table.accumulators(x.astype(np.int64))[:, None].astype(np.float64)
            result[begin : begin + CHUNK] = x
        return result

    def activations(self, values: Sequence[Int64Array]) -> list[FloatArray]:
        """Integer outputs of every layer (the accumulators of the last), (n, rows) each."""
        x = quantise_inputs(self.model.inputs, values)
        outputs = []
        for layer in self._layers:
            x = layer(x)
            outputs.append(x.copy())
        return outputs


def _decode_log(acc: Int64Array, decode: Decode) -> Int64Array:
    """What a logarithmic output stands for, rounded."""
    wide = rshift_round(acc * decode.multiplier, decode.shift)
    return exp2_q16(np.clip(wide, -LOG2_LIMIT_Q16, LOG2_LIMIT_Q16))


def quantise_inputs(stages: Sequence[InputStage], values: Sequence[Int64Array]) -> FloatArray:
    """The network's integer inputs, (n, inputs)."""
    columns = [
        sat16(rshift_round(value - stage.offset, stage.shift))
        for value, stage in zip(values, stages, strict=True)
    ]
    return np.stack(columns, axis=1).astype(np.float64)


class ExactLayer:
    """One layer on integers stored as float64."""

    def __init__(self, layer: IntegerLayer) -> None:
        self._weights = np.ascontiguousarray(layer.weights.T, dtype=np.float64)
        addend = 0 if layer.shift is None else 1 << (layer.shift - 1)
        self._bias = layer.bias.astype(np.float64)
        self._rounded_bias = (layer.bias + addend).astype(np.float64)
        self._scale = None if layer.shift is None else np.ldexp(1.0, -layer.shift)
        self._lowest = 0 if layer.relu else INT16_MIN

    def accumulators(self, x: FloatArray) -> FloatArray:
        """`bias + weights @ x` of inputs (n, columns), without the rounding addend, (n, rows)."""
        return x @ self._weights + self._bias

    def __call__(self, x: FloatArray) -> FloatArray:
        """The layer's outputs; its accumulators in the output layer, (n, rows)."""
        acc: FloatArray = x @ self._weights
        if self._scale is None:
            acc += self._bias
            return acc
        acc += self._rounded_bias
        acc *= self._scale
        np.floor(acc, out=acc)
        np.clip(acc, self._lowest, INT16_MAX, out=acc)
        return acc
