"""How far the integer model is from the float network, layer by layer: the report beside the firmware."""

from __future__ import annotations

from typing import Any

import numpy as np

from codegen.calibration import CalibrationPairs
from codegen.folding import FoldedNetwork
from codegen.onnx_import import FloatArray
from codegen.qmodel import QuantizedModel
from codegen.reference import ReferencePredictor


def precision_report(folded: FoldedNetwork, model: QuantizedModel, pairs: CalibrationPairs) -> dict[str, Any]:
    """Errors on the calibration pairs, as JSON values.

    Errors are in the float network's numbers; `of_largest` and `of_full_scale` relate them to the layer's
    largest magnitude and to the output's range (linear_s: largest magnitude; log10_s: highest minus lowest).
    """
    sums = folded.sums(pairs.values)
    floats = [np.maximum(y, 0.0) if q.relu else y for y, q in zip(sums, model.layers, strict=True)]
    integers = ReferencePredictor(model).activations(pairs.values)
    layers = []
    for layer, bounds, y, y_q in zip(model.layers, model.accumulators, floats, integers, strict=True):
        bits = np.array(layer.output_bits if layer.output_bits is not None else layer.accumulator_bits)
        error, largest = float(np.abs(np.ldexp(y_q, -bits) - y).max()), float(np.abs(y).max())
        layers.append(
            {
                "rows": layer.rows,
                "columns": layer.columns,
                "max_error": digits(error),
                "max_error_of_largest": digits(error / largest if largest else 0.0),
                "accumulator_min": int(bounds.lowest.min()),
                "accumulator_max": int(bounds.highest.max()),
            }
        )
    outputs = _output_errors("output", floats[-1][:, 0], integers[-1][:, 0], model, 0)
    if model.error_decode is not None:
        outputs |= _output_errors("expected_error", floats[-1][:, 1], integers[-1][:, 1], model, 1)
    return {
        "calibration": pairs.source,
        "pairs": len(pairs.g_start_nS),
        "layers": layers,
        **outputs,
    }


def _output_errors(
    name: str, y: FloatArray, acc: FloatArray, model: QuantizedModel, row: int
) -> dict[str, float]:
    """Of one output, in its full scale."""
    errors = np.ldexp(acc, -model.layers[-1].accumulator_bits[row]) - y
    is_linear = row == 0 and model.encoding == "linear_s"
    full_scale = float(np.abs(y).max() if is_linear else np.ptp(y)) or 1.0
    return {
        f"{name}_max_error_of_full_scale": digits(float(np.abs(errors).max()) / full_scale),
        f"{name}_rms_error_of_full_scale": digits(float(np.sqrt(np.mean(errors**2))) / full_scale),
    }


def digits(value: float) -> float:
    """Four digits: more would depend on the summation order of the machine's BLAS."""
    return float(f"{value:.3e}")
