"""The layer kernels: which one a controller's core gets, and how its tables are laid out.

All of them compute the same integers; they differ in the instructions they use and in the order of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.qmodel import QuantizedLayer, QuantizedModel

PORTABLE, ARMV7EM = "portable", "armv7em"
_OF_CPU = {"cortex-m4": ARMV7EM, "cortex-m7": ARMV7EM}
_BLOCK = 8  # columns that follow each other in the armv7em stream
_PADDING = 16  # what more than one block is padded to


def kernel_of(cpu: str) -> str:
    """Name of the kernel for a core; cores without one of their own get plain C."""
    return _OF_CPU.get(cpu.lower(), PORTABLE)


def padded(count: int, kernel: str) -> int:
    """Activations that a buffer holds for `count` of them."""
    return -(-count // _PADDING) * _PADDING if kernel == ARMV7EM else count


def padded_columns(columns: int, kernel: str) -> int:
    """Activations that a layer of so many inputs reads."""
    return _BLOCK if kernel == ARMV7EM and columns <= _BLOCK else padded(columns, kernel)


def stream(layer: QuantizedLayer) -> list[list[int]]:
    """Words of the armv7em stream, one list for every two rows; firmware_templates/kernels/armv7em/ouro_dense.h."""
    columns = padded_columns(layer.columns, ARMV7EM)
    rows = layer.rows + layer.rows % 2
    weights = np.zeros((rows, columns), dtype=np.int64)
    weights[: layer.rows, : layer.columns] = layer.weights
    bias = _filled(layer.rounding_bias, rows, 0)
    shift = _filled(layer.shift, rows, 1)
    words = (weights[:, 0::2] & 0xFFFF) | ((weights[:, 1::2] & 0xFFFF) << 16)
    blocks = words.reshape(rows // 2, 2, columns // _BLOCK, _BLOCK // 2).swapaxes(1, 2)
    return [
        [
            *(b & 0xFFFFFFFF for b in bias[2 * pair : 2 * pair + 2]),
            *blocks[pair].ravel().tolist(),
            shift[2 * pair] | shift[2 * pair + 1] << 8,
        ]
        for pair in range(rows // 2)
    ]


def _filled(values: Sequence[int], length: int, filler: int) -> list[int]:
    return [*values, *[filler] * (length - len(values))]


def table_bytes(model: QuantizedModel, kernel: str) -> int:
    """Flash taken by weights, biases and shifts."""
    if kernel == ARMV7EM:
        return sum(4 * len(words) for layer in model.layers for words in stream(layer))
    return sum(layer.rows * (2 * layer.columns + 4) + len(layer.shift) for layer in model.layers)
