"""Rounding of a layer's weights to few bits so that its outputs suffer least, not each weight.

A row of weights is a point; its roundings are a lattice; what counts is the weighted mean square error of the row's
sum over the calibration pairs, a quadratic form. Rounding one weight after the other and letting those that are left
make up for its error is Babai's nearest-plane algorithm (Babai, Combinatorica 6, 1986), known for networks as GPTQ
(Frantar et al., arXiv:2210.17323). The weights are fitted to the float network's sums first, from the inputs as they
are after the layers before, so that a layer makes up for their rounding too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codegen.fixed import Int64Array
from codegen.onnx_import import FloatArray

RIDGE = 1e-5  # of the mean square of an input: what the pairs leave undetermined stays as it was
FLOOR = 0.01  # of the mean importance: a pair that does not count now may do so after rounding


@dataclass(frozen=True, eq=False)
class NearestPlane:
    """The lattice problem of each row: weights to aim at, (rows, columns), and the form's triangular factors.

    `factors[r]` is upper triangular with a unit diagonal, (columns, columns).
    """

    weights: FloatArray
    factors: FloatArray

    @classmethod
    def of(cls, weights: FloatArray, x: FloatArray, sums: FloatArray, importance: FloatArray) -> NearestPlane:
        """The problem of one layer.

        Args:
            weights: the float network's, per integer step of the inputs, (rows, columns).
            x: integer inputs, (n, columns).
            sums: what the layer's outputs before the ReLU should be, (n, rows).
            importance: how much the square of an error of each of them counts, (n, rows); not negative.
        """
        rows, columns = weights.shape
        aims, factors = np.empty_like(weights), np.empty((rows, columns, columns))
        for row in range(rows):
            share = importance[:, row] + FLOOR * importance[:, row].mean()
            share = share / share.sum() if share.any() else np.full(len(x), 1 / len(x))
            centred = x - share @ x  # the bias takes up the mean
            form = (centred.T * share) @ centred
            form += np.eye(columns) * (RIDGE * np.trace(form) / columns + np.finfo(np.float64).tiny)
            wanted = sums[:, row] - share @ sums[:, row]
            missing = (centred.T * share) @ (wanted - centred @ weights[row])
            aims[row] = weights[row] + np.linalg.solve(form, missing)
            upper = np.linalg.cholesky(form).T
            factors[row] = upper / np.diag(upper)[:, None]
        return cls(aims, factors)

    def rounded(self, fraction_bits: Int64Array, largest: int) -> Int64Array:
        """Integer weights of magnitude `largest` at most, each row in units of 2**-fraction_bits."""
        aims = np.ldexp(self.weights, fraction_bits[:, None])
        found = np.zeros_like(aims)
        for column in reversed(range(aims.shape[1])):
            ahead = slice(column + 1, None)
            owed = np.einsum("rc,rc->r", self.factors[:, column, ahead], (aims - found)[:, ahead])
            found[:, column] = np.clip(np.rint(aims[:, column] + owed), -largest, largest)
        return found.astype(np.int64)
