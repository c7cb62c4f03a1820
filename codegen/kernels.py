"""The layer kernels: which one a controller's core gets, and how its tables are laid out.

All of them compute the same integers; they differ in the instructions they use and in the order of the weights. A
kernel has forms for each width of weights; only those that a network needs are put into its firmware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from codegen.fixed import Int64Array
from codegen.profiles import BALANCED, SIZE, SPEED, Profile
from codegen.qmodel import QuantizedLayer, QuantizedModel
from firmware_templates import KERNELS

PORTABLE, PACKED, ARMV7EM, THUMB, THUMB32 = "portable", "packed", "armv7em", "thumb", "thumb32"
RV32IM, AVR = "rv32im", "avr"
TABLE = "table"  # of models that are a look-up table, for every core
_OF_CPU = {
    "cortex-m0": THUMB,
    "cortex-m0plus": THUMB,
    "cortex-m3": THUMB,
    "cortex-m4": ARMV7EM,
    "cortex-m7": ARMV7EM,
    "rv32imc": RV32IM,
    "atmega328p": AVR,
}
_FOR_PROFILE = {(PORTABLE, SIZE): PACKED, (RV32IM, SIZE): PACKED, (THUMB, SPEED): THUMB32}
_ARRAYS_ROWS = {
    PORTABLE: 1,
    RV32IM: 8,
    AVR: 1,
}  # rows at once of kernels with arrays of weights, biases and shifts
_PADDING = {
    PORTABLE: 1,
    PACKED: 8,
    ARMV7EM: 16,
    THUMB: 8,
    THUMB32: 8,
    RV32IM: 8,
    AVR: 1,
    TABLE: 1,
}  # of activations
_NARROW = (PACKED, ARMV7EM, THUMB)  # kernels with forms for weights of fewer than 16 bits
_TWELVE = "ouro_dense_w12.c"
_NARROW_COLUMNS = 4  # that an armv7em form without a loop over columns takes
_BLOCK = 8  # columns that follow each other in the armv7em stream of 16-bit weights


def kernel_of(cpu: str, profile: Profile = BALANCED) -> str:
    """Name of the kernel for a core; cores without one of their own get plain C."""
    kernel = _OF_CPU.get(cpu.lower(), PORTABLE)
    return _FOR_PROFILE.get((kernel, profile), kernel)


def kernel_for(model: QuantizedModel, cpu: str, profile: Profile = BALANCED) -> str:
    """Name of the kernel for a model on a core."""
    return kernel_of(cpu, profile) if model.table is None else TABLE


def has_narrow_forms(kernel: str) -> bool:
    """Whether a kernel takes weights of fewer than 16 bits."""
    return kernel in _NARROW


def kernel_files(model: QuantizedModel, kernel: str) -> list[Path]:
    """The kernel's C files, without those of widths that the model does not have.

    Raises:
        ValueError: the kernel has no form for a width of the model's.
    """
    files = {path.name: path for path in (KERNELS / kernel).glob("*.[ch]")}
    if kernel in _NARROW:  # rows of 12 bits are the same in all of them
        files[_TWELVE] = KERNELS / PACKED / _TWELVE
    for bits in (8, 12):
        name = f"ouro_dense_w{bits}.c"
        if bits not in model.weight_bits:
            files.pop(name, None)
        elif name not in files:
            raise ValueError(f"kernel '{kernel}' has no form for weights of {bits} bits")
    return sorted(files.values())


def padded(count: int, kernel: str) -> int:
    """Activations that a buffer holds for `count` of them."""
    return _multiple(count, _PADDING[kernel])


@dataclass(frozen=True)
class LayerTable:
    """A layer as its kernel's form reads it; firmware_templates/kernels/*/ouro_dense.h describes the streams.

    `form` is the C function, `stream` its words, one list for every `rows_at_once` rows. Kernels with arrays have no
    form and no stream, but weights, likewise one list for so many rows, biases and shifts by row. `rows` and `columns`
    are padded as the kernel needs them.
    """

    form: str | None
    rows: int
    columns: int
    rows_at_once: int
    stream: list[list[int]]
    weights: list[list[int]] = field(default_factory=list)
    bias: list[int] = field(default_factory=list)
    shift: list[int] = field(default_factory=list)


def layer_tables(model: QuantizedModel, kernel: str) -> list[LayerTable]:
    """Every kernel layer's table; none of a model that is a look-up table.

    Inputs that may be negative have forms of their own in the thumb kernel.
    """
    if not model.layers:
        return []
    hidden = len(model.layers) - 1
    layers = model.kernel_layers
    signed = [k == 0 or not layers[min(k, hidden) - 1].relu for k in range(len(layers))]
    return [_table(layer, kernel, inputs) for layer, inputs in zip(layers, signed, strict=True)]


def _table(layer: QuantizedLayer, kernel: str, signed_inputs: bool) -> LayerTable:
    bits, columns = layer.weight_bits, layer.columns
    outputs = "relu" if layer.relu else "signed"
    if kernel in _ARRAYS_ROWS:
        return _arrays(layer, kernel)
    if layer.output_bits is None:
        columns = _multiple(columns, _BLOCK if kernel == ARMV7EM else 2)
        return LayerTable(None, 1, columns, 1, [_row(layer, columns, 0)])
    if bits == 12 or kernel == PACKED:
        columns = _multiple(columns, {16: 2, 12: 8, 8: 4}[bits])
        stream = [_row(layer, columns, row) for row in range(layer.rows)]
        return LayerTable(f"ouro_dense_w{bits}_{outputs}", layer.rows, columns, 1, stream)
    if kernel in (THUMB, THUMB32):
        inputs = "signed" if signed_inputs else "relu"
        rows, columns = _multiple(layer.rows, 4), _multiple(columns, 2 if signed_inputs else _PADDING[kernel])
        stored_bits = 32 if kernel == THUMB32 else bits
        stream = _fours_of_rows(layer, stored_bits, rows, columns)
        return LayerTable(f"ouro_dense_w{stored_bits}_{inputs}_to_{outputs}", rows, columns, 4, stream)
    reach = "narrow" if columns <= _NARROW_COLUMNS else "wide"
    rows, columns = (
        _multiple(layer.rows, 2),
        _NARROW_COLUMNS if reach == "narrow" else padded(columns, ARMV7EM),
    )
    stream = _pairs_of_rows(layer, rows, columns)
    return LayerTable(f"ouro_dense_w{bits}_{reach}_{outputs}", rows, columns, 2, stream)


def _arrays(layer: QuantizedLayer, kernel: str) -> LayerTable:
    alone = kernel == RV32IM and layer.output_bits is None
    rows = 1 if alone else _multiple(layer.rows, _ARRAYS_ROWS[kernel])
    columns = _multiple(layer.columns, 2 if kernel == RV32IM else 1)
    at_once = min(rows, _ARRAYS_ROWS[kernel])
    weights = _weights(layer, rows, columns).reshape(-1, at_once, columns).swapaxes(1, 2)
    missing = rows - layer.rows
    return LayerTable(
        None,
        rows,
        columns,
        at_once,
        stream=[],
        weights=weights.reshape(-1, at_once * columns).tolist(),
        bias=[*layer.rounding_bias, *[0] * missing],
        shift=[*layer.shift, *[1] * (missing if layer.shift else 0)],
    )


def _row(layer: QuantizedLayer, columns: int, row: int) -> list[int]:
    """One row as plain C reads it: bias, weights, shift where there is one."""
    weights = _weights(layer, layer.rows, columns)[row : row + 1]
    words = {16: _halves, 12: _eights, 8: _bytes}[layer.weight_bits](weights).ravel().tolist()
    return [layer.rounding_bias[row] & 0xFFFFFFFF, *words, *layer.shift[row : row + 1]]


def _pairs_of_rows(layer: QuantizedLayer, rows: int, columns: int) -> list[list[int]]:
    bias, shift = _filled(layer.rounding_bias, rows, 0), _filled(layer.shift, rows, 1)
    weights = _weights(layer, rows, columns)
    if layer.weight_bits == 8:
        words = _halves(256 * weights[0::2] + weights[1::2])
        return [
            [bias[2 * k + 1], *words[k].tolist(), bias[2 * k], shift[2 * k + 1] | shift[2 * k] << 8]
            for k in range(rows // 2)
        ]
    words = _halves(weights)
    block = min(columns, _BLOCK)
    blocks = words.reshape(rows // 2, 2, columns // block, block // 2).swapaxes(1, 2)
    return [
        [*bias[2 * k : 2 * k + 2], *blocks[k].ravel().tolist(), shift[2 * k] | shift[2 * k + 1] << 8]
        for k in range(rows // 2)
    ]


def _fours_of_rows(layer: QuantizedLayer, bits: int, rows: int, columns: int) -> list[list[int]]:
    """`bits` of flash for each weight; where they are no words of their own, weights are made unsigned."""
    bias, shift = _filled(layer.rounding_bias, rows, 0), _filled(layer.shift, rows, 1)
    pack = {32: _words, 16: _halves, 8: _bytes}[bits]
    weights = _weights(layer, rows, columns).T + (0 if bits == 32 else 1 << (bits - 1))
    return [
        [
            *bias[4 * k : 4 * k + 4],
            *pack(weights[:, 4 * k : 4 * k + 4]).ravel().tolist(),
            sum(shift[4 * k + i] << 8 * i for i in range(4)),
        ]
        for k in range(rows // 4)
    ]


def _weights(layer: QuantizedLayer, rows: int, columns: int) -> Int64Array:
    """The weights, zeros around them."""
    weights = np.zeros((rows, columns), dtype=np.int64)
    weights[: layer.rows, : layer.columns] = layer.weights
    return weights


def _words(values: Int64Array) -> Int64Array:
    """A word each."""
    return values & 0xFFFFFFFF


def _halves(values: Int64Array) -> Int64Array:
    """Two neighbours to a word, the earlier one in the lower half."""
    return (values[:, 0::2] & 0xFFFF) | ((values[:, 1::2] & 0xFFFF) << 16)


def _bytes(values: Int64Array) -> Int64Array:
    """Four neighbours to a word, the earliest one in the lowest byte."""
    return _halves((values[:, 0::2] & 0xFF) | ((values[:, 1::2] & 0xFF) << 8))


def _eights(values: Int64Array) -> Int64Array:
    """Eight neighbours of 12 bits to three words, as ouro_dense_w12.c says."""
    eights = values.reshape(len(values), -1, 8) & 0xFFF
    split = np.stack([(eights[:, :, 6:] >> place) & 0xF for place in (8, 4, 0)], axis=2)
    return _halves(((eights[:, :, :6] << 4) | split.reshape(*eights.shape[:2], 6)).reshape(len(values), -1))


def _filled(values: Sequence[int], length: int, filler: int) -> list[int]:
    """`values` as unsigned words, then `filler` up to the length."""
    return [*(value & 0xFFFFFFFF for value in values), *[filler] * (length - len(values))]


def _multiple(count: int, of: int) -> int:
    return -(-count // of) * of


def table_bytes(model: QuantizedModel, kernel: str) -> int:
    """Flash taken by weights, biases and shifts, or by a table's nodes and values."""
    if model.table is not None:
        return model.table.table_bytes
    if kernel in _ARRAYS_ROWS:
        return sum(
            2 * sum(map(len, table.weights)) + 4 * len(table.bias) + len(table.shift)
            for table in layer_tables(model, kernel)
        )
    return sum(4 * len(words) for table in layer_tables(model, kernel) for words in table.stream)
