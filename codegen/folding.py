"""A network rewritten for integer inputs and outputs: scales and offsets folded into weights and biases."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from codegen.boards import Board
from codegen.fixed import INT16_MAX, INT32_MAX, Int64Array
from codegen.onnx_import import FloatArray, FloatLayer, FloatNetwork
from codegen.qmodel import INPUT_FRACTION_BITS, Decode, InputStage
from sim.errors import UserError


@dataclass(frozen=True, eq=False)
class FoldedNetwork:
    """Float layers from the integer inputs (divided by 2**15) to y'.

    linear_s: ticks = factor * y'; log10_s: log2(ticks) in Q16 = factor * y'. factor > 0.
    """

    inputs: tuple[InputStage, InputStage]
    layers: tuple[FloatLayer, ...]
    factor: float

    def sums(self, g_start_nS: Int64Array, delta_g_nS: Int64Array) -> list[FloatArray]:
        """Every layer's outputs before the ReLU for unrounded inputs, (n, rows) each; the last one is y'."""
        stages = zip((g_start_nS, delta_g_nS), self.inputs, strict=True)
        steps = [(value - stage.offset_nS) / 2.0**stage.shift for value, stage in stages]
        x = np.stack(steps, axis=1) / 2.0**INPUT_FRACTION_BITS
        sums = []
        for layer in self.layers:
            sums.append(x @ layer.weights.T + layer.bias)
            x = np.maximum(sums[-1], 0.0) if layer.relu else sums[-1]
        return sums

    def output(self, g_start_nS: Int64Array, delta_g_nS: Int64Array) -> FloatArray:
        """y', (n,)."""
        return self.sums(g_start_nS, delta_g_nS)[-1][:, 0]


def window_nS(network: FloatNetwork) -> tuple[int, int]:
    """The trained window in whole nanosiemens.

    Raises:
        UserError: it is too narrow or too wide for integers.
    """
    window = network.metadata.window
    lowest, highest = round(min(window.g_min_S, 1.0) * 1e9), round(min(window.g_max_S, 1.0) * 1e9)
    if not 0 < lowest < highest <= INT32_MAX // 4:
        raise UserError(f"inconsistent scaling metadata: the window {lowest} .. {highest} nS is unusable")
    return lowest, highest


def fold(network: FloatNetwork, board: Board) -> FoldedNetwork:
    """Fold the metadata's scales into the first and the last layer.

    Raises:
        UserError: the result is not finite.
    """
    g_min_nS, g_max_nS = window_nS(network)
    span_nS = g_max_nS - g_min_nS
    inputs = (
        InputStage(name="g_start_S", **_input_scale(g_min_nS, g_max_nS)),
        InputStage(name="delta_g_S", **_input_scale(-span_nS, span_nS)),
    )
    layers = list(network.layers)
    weights, bias = layers[0].weights.copy(), layers[0].bias.copy()
    output = network.metadata.output
    if output.encoding == "linear_s":
        factor = abs(output.scale) * board.timer.frequency_Hz
        offset = output.offset / output.scale
    else:
        factor = abs(output.scale) * math.log2(10.0) * 2.0**16
        offset = (output.offset + math.log10(board.timer.frequency_Hz)) / output.scale
    with np.errstate(over="ignore", invalid="ignore"):
        for column, (stage, scaling) in enumerate(zip(inputs, network.metadata.inputs, strict=True)):
            bias += weights[:, column] * ((stage.offset_nS * 1e-9 - scaling.offset) / scaling.scale)
            weights[:, column] *= 2.0 ** (stage.shift + INPUT_FRACTION_BITS) * 1e-9 / scaling.scale
        layers[0] = FloatLayer(weights, bias, layers[0].relu)
        sign = math.copysign(1.0, output.scale)
        layers[-1] = FloatLayer(layers[-1].weights * sign, (layers[-1].bias + offset) * sign, relu=False)
    if not all(np.isfinite(layer.weights).all() and np.isfinite(layer.bias).all() for layer in layers):
        raise UserError("inconsistent scaling metadata: scales and offsets overflow the network's weights")
    return FoldedNetwork(inputs, tuple(layers), factor)


def decode_constants(factor: float, accumulator_bits: int) -> Decode:
    """`multiplier / 2**shift` = factor / 2**accumulator_bits with a multiplier of 31 bits.

    Raises:
        UserError: there is none; the output's scale does not suit the timer.
    """
    fraction, exponent = math.frexp(math.ldexp(factor, -accumulator_bits))
    multiplier, shift = round(fraction * 2**31), 31 - exponent
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift - 1
    if shift > 62:
        multiplier, shift = multiplier >> min(shift - 62, 31), 62
    if shift < 1 or multiplier < 1:
        raise UserError("inconsistent scaling metadata: the output's scale is out of all proportion")
    return Decode(multiplier=multiplier, shift=shift)


def _input_scale(lowest_nS: int, highest_nS: int) -> dict[str, int]:
    """The smallest shift, and so the finest step, that keeps the whole range within int16."""
    middle_nS = (lowest_nS + highest_nS) // 2
    reach = highest_nS - middle_nS + 1
    shift = max(1, math.ceil(math.log2(reach / INT16_MAX)))
    # A multiple of the step: values on a coarser grid, such as ADC codes, then suffer no rounding.
    offset_nS = middle_nS >> shift << shift
    return {"lowest_nS": lowest_nS, "highest_nS": highest_nS, "offset_nS": offset_nS, "shift": shift}
