"""A network rewritten for integer inputs and outputs: scales and offsets folded into weights and biases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.boards import Board
from codegen.device_state import (
    PULSES_INPUT_BITS,
    RATE_BITS,
    RATE_INPUT_BITS,
    SMALLEST_MOVE_CODES,
    SURE_PULSES,
    TIME_BITS,
    ReferenceTimes,
)
from codegen.fixed import INT16_MAX, INT32_MAX, Int64Array
from codegen.metadata import REDUCTION, STATE_NAMES
from codegen.onnx_import import FloatArray, FloatLayer, FloatNetwork
from codegen.qmodel import INPUT_FRACTION_BITS, Decode, InputStage, Voltages
from codegen.voltage_choice import PPM
from sim.errors import UserError

UNITS = {
    "g_start_S": 1e-9,
    "delta_g_S": 1e-9,
    REDUCTION: 1e-6,
    STATE_NAMES[0]: 2.0**-RATE_INPUT_BITS,
    STATE_NAMES[1]: 2.0**-PULSES_INPUT_BITS,
}
"""An input's integers count nanosiemens, microvolts, or binary fractions of octaves and of pulses."""


@dataclass(frozen=True, eq=False)
class FoldedNetwork:
    """Float layers from the integer inputs (divided by 2**15) to y'.

    linear_s: ticks = factor * y'; log10_s: log2(ticks) in Q16 = factor * y'. factor > 0. A second output is the error
    to expect: log2(RPD in ppm) in Q16 = error_factor * its y'; None without one.
    """

    inputs: tuple[InputStage, ...]
    layers: tuple[FloatLayer, ...]
    factor: float
    error_factor: float | None = None

    def sums(self, values: Sequence[Int64Array]) -> list[FloatArray]:
        """Every layer's outputs before the ReLU, (n, rows) each; those of the last one are y'.

        Args:
            values: of each input in its integer unit, (n,) each, not rounded any further.
        """
        stages = zip(values, self.inputs, strict=True)
        steps = [(value - stage.offset) / 2.0**stage.shift for value, stage in stages]
        x = np.stack(steps, axis=1) / 2.0**INPUT_FRACTION_BITS
        sums = []
        for layer in self.layers:
            sums.append(x @ layer.weights.T + layer.bias)
            x = np.maximum(sums[-1], 0.0) if layer.relu else sums[-1]
        return sums

    def slopes(self, sums: list[FloatArray], index: int, output: int = 0) -> FloatArray:
        """dy'/ds of every output s of one layer before the ReLU, where `sums` are; (n, rows). `output`: which y'."""
        slopes = np.zeros_like(sums[-1])
        slopes[:, output] = 1.0
        for k in range(len(self.layers) - 1, index, -1):
            slopes = slopes @ self.layers[k].weights
            if self.layers[k - 1].relu:
                slopes = slopes * (sums[k - 1] > 0)
        return slopes

    def output(self, values: Sequence[Int64Array]) -> FloatArray:
        """y' of the time, (n,)."""
        return self.sums(values)[-1][:, 0]


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


MOST_STEPS = 63
"""Of the amplitude: six inferences then find the lowest that fits, and pulses use some 90 % of their budget."""


def greatest_reduction_uV(network: FloatNetwork) -> int:
    """The most that either direction's amplitude may be lowered by [uV]; 0 for a network of fixed voltages."""
    pulse = network.metadata.pulse
    return round(1e6 * max(pulse.set_reduction_V or 0.0, pulse.reset_reduction_V or 0.0))


def voltages_of(network: FloatNetwork, board: Board) -> Voltages:
    """The voltages of a board's pulses; for a network that chooses its own, the DAC's within the trained range."""
    pulse, lsb_uV = network.metadata.pulse, board.dac.lsb_uV
    if not network.metadata.chooses_voltage:
        return Voltages(
            v_set_uV=board.pulse.v_set_uV,
            v_reset_uV=board.pulse.v_reset_uV,
            v_set_off_uV=0,
            v_reset_off_uV=0,
            set_step_uV=lsb_uV,
            reset_step_uV=lsb_uV,
            set_steps=0,
            reset_steps=0,
        )
    set_uV, set_off_uV, set_step_uV, set_steps = _steps(-pulse.v_set_V, pulse.set_reduction_V, lsb_uV)
    reset_uV, reset_off_uV, reset_step_uV, reset_steps = _steps(
        pulse.v_reset_V, pulse.reset_reduction_V, lsb_uV
    )
    return Voltages(
        v_set_uV=-set_uV,
        v_reset_uV=reset_uV,
        v_set_off_uV=set_off_uV,
        v_reset_off_uV=reset_off_uV,
        set_step_uV=set_step_uV,
        reset_step_uV=reset_step_uV,
        set_steps=set_steps,
        reset_steps=reset_steps,
    )


def _steps(full_V: float, reduction_V: float | None, lsb_uV: int) -> tuple[int, int, int, int]:
    """A direction's full amplitude on the DAC's grid, how far below the trained one that is, step [uV] and steps."""
    codes, off_uV = divmod(round(full_V * 1e6), lsb_uV)
    range_uV = max(0, round((reduction_V or 0.0) * 1e6) - off_uV)
    step_uV = lsb_uV * max(1, -(-range_uV // (lsb_uV * (MOST_STEPS + 1))))
    return codes * lsb_uV, off_uV, step_uV, range_uV // step_uV


def reference_times(network: FloatNetwork, board: Board) -> ReferenceTimes | None:
    """What log rates are measured against, on a board's timer; None for a network that does not know its device.

    Raises:
        UserError: the times do not fit 32 bits on this timer.
    """
    found = network.metadata.device_reference
    if found is None:
        return None
    per_s = board.timer.frequency_Hz * (1 << TIME_BITS)
    set_q4, reset_q4 = (tuple(round(t * per_s) for t in times) for times in (found.set_s, found.reset_s))
    smallest_nS = int(board.bench_params().code_to_nS(SMALLEST_MOVE_CODES))
    try:
        return ReferenceTimes(*window_nS(network), max(1, smallest_nS), set_q4, reset_q4)
    except ValueError:
        raise UserError(
            f"device_reference: times beyond what the timer of board '{board.name}' counts"
        ) from None


def input_stages(network: FloatNetwork) -> tuple[InputStage, ...]:
    """How each input of a network becomes an integer."""
    g_min_nS, g_max_nS = window_nS(network)
    span_nS = g_max_nS - g_min_nS
    ranges = [("g_start_S", g_min_nS, g_max_nS), ("delta_g_S", -span_nS, span_nS)]
    if network.metadata.chooses_voltage:
        ranges.append((REDUCTION, 0, greatest_reduction_uV(network)))
    if network.metadata.knows_device:
        ranges.append(
            (STATE_NAMES[0], -128 << (RATE_INPUT_BITS - RATE_BITS), 127 << (RATE_INPUT_BITS - RATE_BITS))
        )
        ranges.append((STATE_NAMES[1], 0, SURE_PULSES << PULSES_INPUT_BITS))
    return tuple(_input_stage(name, lowest, highest) for name, lowest, highest in ranges)


def fold(network: FloatNetwork, board: Board) -> FoldedNetwork:
    """Fold the metadata's scales into the first and the last layer.

    Raises:
        UserError: the result is not finite.
    """
    inputs = input_stages(network)
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
            unit = UNITS[stage.name]
            bias += weights[:, column] * ((stage.offset * unit - scaling.offset) / scaling.scale)
            weights[:, column] *= 2.0 ** (stage.shift + INPUT_FRACTION_BITS) * unit / scaling.scale
        layers[0] = FloatLayer(weights, bias, layers[0].relu)
        sign = math.copysign(1.0, output.scale)
        signs, offsets = np.array([sign]), np.array([offset])
        error_factor = None
        if (error := network.metadata.expected_error) is not None:
            error_factor = abs(error.scale) * 2.0**16
            signs = np.append(signs, math.copysign(1.0, error.scale))
            offsets = np.append(offsets, (error.offset + math.log2(PPM)) / error.scale)
        last = layers[-1]
        layers[-1] = FloatLayer(last.weights * signs[:, None], (last.bias + offsets) * signs, relu=False)
    if not all(np.isfinite(layer.weights).all() and np.isfinite(layer.bias).all() for layer in layers):
        raise UserError("inconsistent scaling metadata: scales and offsets overflow the network's weights")
    return FoldedNetwork(inputs, tuple(layers), factor, error_factor)


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


def _input_stage(name: str, lowest: int, highest: int) -> InputStage:
    """The smallest shift, and so the finest step, that keeps the whole range within int16."""
    middle = (lowest + highest) // 2
    reach = highest - middle + 1
    shift = max(1, math.ceil(math.log2(reach / INT16_MAX)))
    # A multiple of the step: values on a coarser grid, such as ADC codes, then suffer no rounding.
    offset = middle >> shift << shift
    return InputStage.model_validate(
        {"name": name, "lowest": lowest, "highest": highest, "offset": offset, "shift": shift}
    )
