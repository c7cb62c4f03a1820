"""Interval arithmetic that proves int32 accumulators from the actual weights, for every possible input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.fixed import INT16_MAX, INT16_MIN, INT32_MAX, Int64Array, rshift_round


@dataclass(frozen=True, eq=False)
class Interval:
    """Lowest and highest value of each element of a vector, (n,) int64 each."""

    lowest: Int64Array
    highest: Int64Array


def accumulator_bounds(weights: Int64Array, bias: Int64Array, x: Interval) -> Interval:
    """Bounds that no partial sum of `bias + weights @ x` leaves, in whichever order the terms are added.

    Every term's own interval is widened to contain 0. Then the sum of any subset of the terms, and so every
    partial sum of every order, lies between the sum of the lower and the sum of the upper ends.

    Args:
        weights: (rows, columns).
        bias: (rows,).
        x: the interval of every input, (columns,).
    """
    at_lowest, at_highest = weights * x.lowest, weights * x.highest
    return Interval(
        np.minimum(np.minimum(at_lowest, at_highest), 0).sum(axis=1) + np.minimum(bias, 0),
        np.maximum(np.maximum(at_lowest, at_highest), 0).sum(axis=1) + np.maximum(bias, 0),
    )


def fits_accumulator(
    bounds: Interval, shift: Int64Array | None
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which rows stay within -INT32_MAX .. INT32_MAX, the rounding addend of `shift` included, (rows,)."""
    addend = 0 if shift is None else 1 << (shift - 1)
    return (bounds.lowest >= -INT32_MAX) & (bounds.highest + addend <= INT32_MAX)


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A layer as arrays: weights (rows, columns), bias (rows,), shift (rows,) or None in the output layer."""

    weights: Int64Array
    bias: Int64Array
    shift: Int64Array | None
    relu: bool


def output_interval(layer: IntegerLayer, x: Interval) -> Interval:
    """Interval of the activations that a hidden layer hands on, (rows,)."""
    assert layer.shift is not None
    at_lowest, at_highest = layer.weights * x.lowest, layer.weights * x.highest
    lowest = rshift_round(np.minimum(at_lowest, at_highest).sum(axis=1) + layer.bias, layer.shift)
    highest = rshift_round(np.maximum(at_lowest, at_highest).sum(axis=1) + layer.bias, layer.shift)
    floor = 0 if layer.relu else INT16_MIN
    return Interval(np.clip(lowest, floor, INT16_MAX), np.clip(highest, floor, INT16_MAX))


def prove_accumulators(layers: Sequence[IntegerLayer], x: Interval) -> tuple[Interval, ...]:
    """Bounds of every layer's accumulators, given the interval of the network's inputs.

    Raises:
        ValueError: some accumulator could leave int32.
    """
    proven = []
    for number, layer in enumerate(layers, start=1):
        bounds = accumulator_bounds(layer.weights, layer.bias, x)
        fits = fits_accumulator(bounds, layer.shift)
        if not fits.all():
            raise ValueError(
                f"layer {number}, row {int(np.argmin(fits))}: the accumulator can overflow int32"
            )
        proven.append(bounds)
        if layer.shift is not None:
            x = output_interval(layer, x)
    return tuple(proven)
