"""The layer kernels: which one a controller's core gets, and how its tables are laid out.

All of them compute the same integers; they differ in the instructions they use and in the order of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.fixed import Int64Array
from codegen.qmodel import QuantizedLayer, QuantizedModel

PORTABLE, ARMV7EM, THUMB, RV32IM, AVR = "portable", "armv7em", "thumb", "rv32im", "avr"
_OF_CPU = {
    "cortex-m0": THUMB,
    "cortex-m0plus": THUMB,
    "cortex-m3": THUMB,
    "cortex-m4": ARMV7EM,
    "cortex-m7": ARMV7EM,
    "rv32imc": RV32IM,
    "atmega328p": AVR,
}
_STREAMED = (
    ARMV7EM,
    THUMB,
)  # one array a layer, of words; the others have arrays of weights, biases and shifts
ROWS_AT_ONCE = {
    PORTABLE: 1,
    ARMV7EM: 2,
    THUMB: 4,
    RV32IM: 8,
    AVR: 1,
}  # rows that a list of weights or words holds
_BLOCK = 8  # columns that follow each other in the armv7em stream
_PADDING = {PORTABLE: 1, ARMV7EM: 16, THUMB: 8, RV32IM: 8, AVR: 1}  # of activations
_WEIGHT_OFFSET = 0x8000  # added to every weight of a thumb stream


def kernel_of(cpu: str) -> str:
    """Name of the kernel for a core; cores without one of their own get plain C."""
    return _OF_CPU.get(cpu.lower(), PORTABLE)


def padded(count: int, kernel: str) -> int:
    """Activations that a buffer holds for `count` of them."""
    return _multiple(count, _PADDING[kernel])


def padded_columns(model: QuantizedModel, kernel: str) -> list[int]:
    """Activations that each layer reads. Those that may be negative have a loop of their own in the thumb kernel."""
    if kernel == THUMB:
        return [
            _multiple(layer.columns, 2 if signed or layer.output_bits is None else _PADDING[THUMB])
            for layer, signed in zip(model.layers, signed_inputs(model), strict=True)
        ]
    if kernel == RV32IM:
        return [_multiple(layer.columns, 2) for layer in model.layers]
    return [
        _BLOCK if kernel == ARMV7EM and layer.columns <= _BLOCK else padded(layer.columns, kernel)
        for layer in model.layers
    ]


def padded_rows(layer: QuantizedLayer, kernel: str) -> int:
    """Rows in a layer's tables: missing ones are zero. Most kernels keep the output layer's row alone."""
    alone = kernel in (THUMB, RV32IM) and layer.output_bits is None
    return 1 if alone else _multiple(layer.rows, ROWS_AT_ONCE[kernel])


def signed_inputs(model: QuantizedModel) -> list[bool]:
    """Whether each layer's inputs may be negative."""
    return [True, *(not layer.relu for layer in model.layers[:-1])]


def streams(model: QuantizedModel, kernel: str) -> list[list[list[int]]]:
    """Words of each layer's stream, one list for every ROWS_AT_ONCE rows; firmware_templates/kernels/*/ouro_dense.h.

    Kernels with arrays have none: empty lists.
    """
    if kernel not in _STREAMED:
        return [[] for _ in model.layers]
    of = _pairs_of_rows if kernel == ARMV7EM else _fours_of_rows
    return [
        of(layer, columns) for layer, columns in zip(model.layers, padded_columns(model, kernel), strict=True)
    ]


@dataclass(frozen=True)
class Arrays:
    """A layer of a kernel with arrays: weights, one list for every ROWS_AT_ONCE rows, biases and shifts by row."""

    weights: list[list[int]]
    bias: list[int]
    shift: list[int]


def arrays(model: QuantizedModel, kernel: str) -> list[Arrays]:
    """The arrays of each layer; firmware_templates/kernels/*/ouro_dense.h. Kernels with streams have none."""
    if kernel in _STREAMED:
        return [Arrays([], [], []) for _ in model.layers]
    return [
        _arrays(layer, kernel, columns)
        for layer, columns in zip(model.layers, padded_columns(model, kernel), strict=True)
    ]


def _arrays(layer: QuantizedLayer, kernel: str, columns: int) -> Arrays:
    rows = padded_rows(layer, kernel)
    at_once = min(rows, ROWS_AT_ONCE[kernel])
    weights = _weights(layer, rows, columns).reshape(-1, at_once, columns).swapaxes(1, 2)
    missing = rows - layer.rows
    return Arrays(
        weights=weights.reshape(-1, at_once * columns).tolist(),
        bias=[*layer.rounding_bias, *[0] * missing],
        shift=[*layer.shift, *[1] * (missing if layer.shift else 0)],
    )


def _pairs_of_rows(layer: QuantizedLayer, columns: int) -> list[list[int]]:
    rows = padded_rows(layer, ARMV7EM)
    bias, shift = _filled(layer.rounding_bias, rows, 0), _filled(layer.shift, rows, 1)
    words = _halves(_weights(layer, rows, columns))
    blocks = words.reshape(rows // 2, 2, columns // _BLOCK, _BLOCK // 2).swapaxes(1, 2)
    return [
        [*bias[2 * k : 2 * k + 2], *blocks[k].ravel().tolist(), shift[2 * k] | shift[2 * k + 1] << 8]
        for k in range(rows // 2)
    ]


def _fours_of_rows(layer: QuantizedLayer, columns: int) -> list[list[int]]:
    rows = padded_rows(layer, THUMB)
    bias, shift = _filled(layer.rounding_bias, rows, 0), _filled(layer.shift, rows, 1)
    weights = _weights(layer, rows, columns)
    if layer.output_bits is None:
        return [[*bias, *_halves(weights).ravel().tolist()]]
    words = _halves(weights.T + _WEIGHT_OFFSET)  # (columns, two words for every four rows)
    return [
        [
            *bias[4 * k : 4 * k + 4],
            *words[:, 2 * k : 2 * k + 2].ravel().tolist(),
            sum(shift[4 * k + i] << 8 * i for i in range(4)),
        ]
        for k in range(rows // 4)
    ]


def _weights(layer: QuantizedLayer, rows: int, columns: int) -> Int64Array:
    """The weights, zeros around them."""
    weights = np.zeros((rows, columns), dtype=np.int64)
    weights[: layer.rows, : layer.columns] = layer.weights
    return weights


def _halves(values: Int64Array) -> Int64Array:
    """Two neighbours to a word, the earlier one in the lower half."""
    return (values[:, 0::2] & 0xFFFF) | ((values[:, 1::2] & 0xFFFF) << 16)


def _filled(values: Sequence[int], length: int, filler: int) -> list[int]:
    """`values` as unsigned words, then `filler` up to the length."""
    return [*(value & 0xFFFFFFFF for value in values), *[filler] * (length - len(values))]


def _multiple(count: int, of: int) -> int:
    return -(-count // of) * of


def table_bytes(model: QuantizedModel, kernel: str) -> int:
    """Flash taken by weights, biases and shifts."""
    words = sum(len(words) for stream in streams(model, kernel) for words in stream)
    return 4 * words + sum(
        2 * sum(map(len, each.weights)) + 4 * len(each.bias) + len(each.shift)
        for each in arrays(model, kernel)
    )
