"""From a float network to the integer model: scales, rounding, and the search for the best number of bits.

Activations are int16, accumulators int32, weights of the width each layer is given: 16 bits, rounded to nearest, or
fewer, rounded together (`nearest_plane`). Every row of weights has its own power-of-two scale, as
large as its width and the accumulator's proof allow; every activation has its own too, from its largest value on
the calibration pairs. Sums of 16 x 16-bit products need more than 32 bits, so that bits of activations are
traded against bits of weights: the search gives away up to `MAX_DROP` bits of a layer's activations where that
lowers the error of the network's output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from codegen.boards import Board
from codegen.calibration import CalibrationPairs
from codegen.fixed import INT16_MAX, INT32_MAX, Int64Array
from codegen.folding import (
    UNITS,
    FoldedNetwork,
    decode_constants,
    fold,
    reference_times,
    voltages_of,
    window_nS,
)
from codegen.nearest_plane import NearestPlane
from codegen.onnx_import import FloatArray, FloatLayer, FloatNetwork
from codegen.proof import Interval, accumulator_bounds, fits_accumulator, output_interval
from codegen.qmodel import (
    INPUT_FRACTION_BITS,
    QuantizedLayer,
    QuantizedModel,
    ReferenceModel,
    Voltages,
    WeightBits,
    largest_weight,
)
from codegen.reference import ExactLayer, quantise_inputs
from sim.errors import UserError

HEADROOM = 1.02  # calibration pairs need not hit the largest activation
LIVELY = 1 / 64  # an activation is scaled as if it reached at least this fraction of its layer's largest
MAX_DROP = 2
MAX_SHIFT = 30
SEARCH_PAIRS = 2048


def quantize(
    network: FloatNetwork,
    board: Board,
    pairs: CalibrationPairs,
    weight_bits: Sequence[WeightBits] | None = None,
) -> QuantizedModel:
    """The integer model of `network` for `board`.

    Args:
        weight_bits: width of every layer's weights, 16 in the output layer; None for 16 everywhere.

    Raises:
        UserError: the network or its scaling cannot be represented, or does not suit the board.
    """
    voltages = voltages_of(network, board)
    _check_pulse_widths(network, board, pairs)
    widths: Sequence[WeightBits] = weight_bits or [16] * len(network.layers)
    quantiser = _Quantiser.prepare(network, board, voltages, pairs, widths)
    drops = [0] * (len(network.layers) - 1)
    best = quantiser.attempt(drops)
    for index in range(len(drops)):
        for drop in range(1, MAX_DROP + 1):
            candidate = quantiser.attempt([*drops[:index], drop, *drops[index + 1 :]])
            if candidate.error < best.error:
                best = candidate
        drops = best.drops
    return best.model


@dataclass(frozen=True, eq=False)
class _Attempt:
    drops: list[int]
    model: QuantizedModel
    error: float  # root mean square of all outputs, in y'


@dataclass(frozen=True, eq=False)
class _Quantiser:
    """What every attempt starts from; the arrays belong to the calibration pairs."""

    network: FloatNetwork
    board: Board
    voltages: Voltages
    folded: FoldedNetwork
    largest: list[FloatArray]  # magnitude of each layer's activations on all pairs, (rows,) each
    x: FloatArray  # integer inputs of every n-th pair, for the search
    sums: list[FloatArray]  # each layer's outputs before the ReLU, on the same pairs
    weight_bits: Sequence[WeightBits]  # of each layer

    @classmethod
    def prepare(
        cls,
        network: FloatNetwork,
        board: Board,
        voltages: Voltages,
        pairs: CalibrationPairs,
        weight_bits: Sequence[WeightBits],
    ) -> _Quantiser:
        folded = fold(network, board)
        sums = folded.sums(pairs.values)
        largest = [
            np.maximum(y, 0).max(axis=0) if layer.relu else np.abs(y).max(axis=0)
            for y, layer in zip(sums, folded.layers, strict=True)
        ]
        step = -(-len(pairs.g_start_nS) // SEARCH_PAIRS)
        x = quantise_inputs(folded.inputs, [values[::step] for values in pairs.values])
        return cls(network, board, voltages, folded, largest, x, [y[::step] for y in sums], weight_bits)

    def attempt(self, drops: list[int]) -> _Attempt:
        """Quantise layer by layer, `drops[i]` bits given away by hidden layer i's activations, and measure."""
        ends = np.array([stage.interval() for stage in self.folded.inputs], dtype=np.int64)
        interval, x_bits, x = (
            Interval(ends[:, 0], ends[:, 1]),
            np.full(len(ends), INPUT_FRACTION_BITS),
            self.x,
        )
        layers = []
        for index, (layer, sums) in enumerate(zip(self.folded.layers, self.sums, strict=True)):
            hidden = index < len(drops)
            wanted_bits = output_bits(self.largest[index]) - drops[index] if hidden else None
            scales = _Scales(self.weight_bits[index], interval, x_bits, wanted_bits)
            rounding = self._rounding(index, x_bits, x)
            rough = _quantise_layer(layer, scales, rounding)
            corrected = FloatLayer(layer.weights, layer.bias + _drift(rough, x, sums, layer.relu), layer.relu)
            layers.append(_quantise_layer(corrected, scales, rounding))
            arrays = layers[-1].arrays()
            x = ExactLayer(arrays)(x)
            if hidden:
                interval, x_bits = output_interval(arrays, interval), np.array(layers[-1].output_bits)
        error = np.ldexp(x, -np.array(layers[-1].accumulator_bits)) - self.sums[-1]
        return _Attempt(drops, self._model(tuple(layers)), float(np.sqrt(np.mean(error**2))))

    def _rounding(self, index: int, x_bits: Int64Array, x: FloatArray) -> _Rounding:
        """How a layer's weights become integers, given its integer inputs on the pairs of the search."""
        weights = np.ldexp(self.folded.layers[index].weights, -x_bits)  # per integer step of the input
        if self.weight_bits[index] == 16:
            return _Rounding(
                weights, lambda bits, _: np.rint(np.ldexp(weights, bits[:, None])).astype(np.int64)
            )
        outputs = range(self.sums[-1].shape[1])
        importance = np.sum([self.folded.slopes(self.sums, index, output) ** 2 for output in outputs], axis=0)
        plane = NearestPlane.of(weights, x, self.sums[index], importance)
        return _Rounding(plane.weights, plane.rounded)

    def _model(self, layers: tuple[QuantizedLayer, ...]) -> QuantizedModel:
        g_min_nS, g_max_nS = window_nS(self.network)
        reference = reference_times(self.network, self.board)
        return QuantizedModel(
            schema=1,
            encoding=self.network.metadata.output.encoding,
            g_min_nS=g_min_nS,
            g_max_nS=g_max_nS,
            timer_Hz=self.board.timer.frequency_Hz,
            min_ticks=self.board.timer.min_ticks,
            max_ticks=self.board.timer.max_ticks,
            voltages=self.voltages,
            inputs=self.folded.inputs,
            layers=layers,
            decode=decode_constants(self.folded.factor, layers[-1].accumulator_bits[0]),
            error_decode=None
            if self.folded.error_factor is None
            else decode_constants(self.folded.error_factor, layers[-1].accumulator_bits[1]),
            reference=None
            if reference is None
            else ReferenceModel(
                smallest_move_nS=reference.smallest_move_nS,
                set_q4=reference.set_q4,
                reset_q4=reference.reset_q4,
            ),
        )


def _drift(layer: QuantizedLayer, x: FloatArray, sums: FloatArray, relu: bool) -> FloatArray:
    """Mean error of the layer's sums where they count, to be given back through the bias, (rows,)."""
    error = sums - np.ldexp(ExactLayer(layer.arrays()).accumulators(x), -np.array(layer.accumulator_bits))
    counts = sums > 0 if relu else np.ones_like(sums, dtype=np.bool_)
    drift: FloatArray = (error * counts).sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
    return drift


@dataclass(frozen=True, eq=False)
class _Rounding:
    """Weights to aim at, (rows, columns), and what rounds them: fraction bits of each row, largest magnitude."""

    weights: FloatArray
    rounded: Callable[[Int64Array, int], Int64Array]


@dataclass(frozen=True, eq=False)
class _Scales:
    """What a layer's scales depend on besides its weights."""

    weight_bits: WeightBits
    x: Interval  # of its integer inputs
    x_bits: Int64Array  # their fraction bits, (columns,)
    wanted_bits: Int64Array | None  # fraction bits of its outputs, (rows,); None for the output layer


def output_bits(largest: FloatArray) -> Int64Array:
    """Fraction bits that let activations of these largest magnitudes fill int16, (rows,)."""
    # Rows that hardly ever fire get a scale of their layer's order: one that fits them alone helps nobody.
    lively = np.maximum(largest, largest.max() * LIVELY)
    lively = np.where(lively > 0, lively, 1.0)
    bits: Int64Array = np.floor(np.log2(INT16_MAX / (lively * HEADROOM))).astype(np.int64)
    return bits


def _quantise_layer(layer: FloatLayer, scales: _Scales, rounding: _Rounding) -> QuantizedLayer:
    """Give every row the largest scale that its weights' width and a proven int32 accumulator allow."""
    wanted_bits, largest = scales.wanted_bits, largest_weight(scales.weight_bits)
    with np.errstate(divide="ignore"):
        acc_bits = np.floor(np.log2(largest / np.abs(rounding.weights).max(axis=1)))
        acc_bits = np.minimum(acc_bits, np.floor(np.log2(INT32_MAX / np.abs(layer.bias))))
    ceiling = np.full(len(acc_bits), 60) if wanted_bits is None else wanted_bits + MAX_SHIFT
    acc_bits = np.minimum(acc_bits, ceiling).astype(np.int64)
    while True:
        weights = rounding.rounded(acc_bits, largest)
        bias = np.rint(np.ldexp(layer.bias, acc_bits)).astype(np.int64)
        # Where even a shift of 1 is too much, the output gets coarser instead.
        output_bits = None if wanted_bits is None else np.minimum(wanted_bits, acc_bits - 1)
        shift = None if output_bits is None else acc_bits - output_bits
        fits = fits_accumulator(accumulator_bounds(weights, bias, scales.x), shift)
        fits &= np.abs(weights).max(axis=1) <= largest
        if fits.all():
            break
        acc_bits = acc_bits - ~fits
    return QuantizedLayer(
        weight_bits=scales.weight_bits,
        weights=tuple(tuple(row) for row in weights.tolist()),
        bias=tuple(bias.tolist()),
        relu=layer.relu,
        accumulator_bits=tuple(acc_bits.tolist()),
        output_bits=None if output_bits is None else tuple(output_bits.tolist()),
    )


def _check_pulse_widths(network: FloatNetwork, board: Board, pairs: CalibrationPairs) -> None:
    """Refuse a network whose pulses the board's timer cannot give at all."""
    start_S, target_S = np.float64(1e-9) * pairs.g_start_nS, np.float64(1e-9) * pairs.g_target_nS
    further = [
        np.float64(UNITS[s.name]) * v for s, v in zip(network.metadata.inputs[2:], pairs.further, strict=True)
    ]
    width_s = network.width_s(start_S, target_S, *further)
    with np.errstate(over="ignore"):
        ticks = width_s * board.timer.frequency_Hz
    if (ticks < 0.5).all() or (ticks > board.timer.max_ticks).all():
        shortest_s, longest_s = board.timer.min_ticks * board.tick_s, board.timer.max_ticks * board.tick_s
        raise UserError(
            f"inconsistent scaling metadata: predicted pulses, {width_s.min():.2g} .. {width_s.max():.2g} s, "
            f"never fit the timer of board '{board.name}', {shortest_s:.2g} .. {longest_s:.2g} s"
        )
