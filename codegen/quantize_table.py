"""From a float look-up table to its integers, and how far apart they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from codegen.boards import Board
from codegen.calibration import CalibrationPairs
from codegen.fixed import INT16_MAX, Int64Array
from codegen.folding import UNITS, input_stages, voltages_of, window_nS
from codegen.onnx_import import FloatArray, FloatNetwork
from codegen.precision import digits
from codegen.qmodel import Decode, InputStage, QuantizedModel
from codegen.qtable import ACCUMULATOR_BITS, TABLE_DECODE, VALUE_BITS, QuantizedTable
from codegen.reference import quantise_inputs
from codegen.table import FloatTable
from sim.errors import UserError


def quantize_table(network: FloatNetwork, table: FloatTable, board: Board) -> QuantizedModel:
    """The integer model of a network file that holds a table.

    Nodes move to the nearest step of the integer inputs; the values are those of the float table there.

    Raises:
        UserError: nodes that are one and the same to the integer inputs.
    """
    inputs = input_stages(network)
    start, change = (
        _nodes(stage, scaling.offset + scaling.scale * nodes)
        for stage, scaling, nodes in zip(
            inputs, network.metadata.inputs, (table.start, table.change), strict=True
        )
    )
    at_start, at_change = (
        (stage.offset + np.ldexp(nodes.astype(np.float64), stage.shift)) * UNITS[stage.name]
        for stage, nodes in zip(inputs, (start, change), strict=True)
    )
    pages = []
    for sign in (-1, 1):
        g_start_S = np.repeat(at_start, len(change))
        delta_S = np.tile(sign * at_change, len(start))
        log2_ticks = _log2_ticks(network, board, g_start_S, g_start_S + delta_S)
        scaled = np.clip(np.rint(np.ldexp(log2_ticks, VALUE_BITS)), -INT16_MAX, INT16_MAX).astype(np.int64)
        pages.append(tuple(tuple(row) for row in scaled.reshape(len(start), -1).tolist()))
    g_min_nS, g_max_nS = window_nS(network)
    multiplier, shift = TABLE_DECODE
    return QuantizedModel(
        schema=1,
        encoding="log10_s",
        g_min_nS=g_min_nS,
        g_max_nS=g_max_nS,
        timer_Hz=board.timer.frequency_Hz,
        min_ticks=board.timer.min_ticks,
        max_ticks=board.timer.max_ticks,
        voltages=voltages_of(network, board),
        inputs=inputs,
        layers=(),
        decode=Decode(multiplier=multiplier, shift=shift),
        table=QuantizedTable(
            start=tuple(start.tolist()), change=tuple(change.tolist()), log2_ticks_q10=tuple(pages)
        ),
    )


def table_report(
    network: FloatNetwork, board: Board, model: QuantizedModel, pairs: CalibrationPairs
) -> dict[str, Any]:
    """Errors on the calibration pairs, in the form of `codegen.precision.precision_report`: log2(ticks)."""
    assert model.table is not None
    start_S, target_S = np.float64(1e-9) * pairs.g_start_nS, np.float64(1e-9) * pairs.g_target_nS
    y = _log2_ticks(network, board, start_S, target_S)
    x = quantise_inputs(model.inputs, pairs.values).astype(np.int64)
    accumulators = model.table.accumulators(x)
    errors = np.abs(np.ldexp(accumulators.astype(np.float64), -ACCUMULATOR_BITS) - y)
    error, largest, full_scale = float(errors.max()), float(np.abs(y).max()), float(np.ptp(y)) or 1.0
    layer = {
        "rows": 1,
        "columns": len(model.inputs),
        "max_error": digits(error),
        "max_error_of_largest": digits(error / largest if largest else 0.0),
        "accumulator_min": int(accumulators.min()),
        "accumulator_max": int(accumulators.max()),
    }
    return {
        "calibration": pairs.source,
        "pairs": len(pairs.g_start_nS),
        "layers": [layer],
        "output_max_error_of_full_scale": digits(error / full_scale),
        "output_rms_error_of_full_scale": digits(float(np.sqrt(np.mean(errors**2))) / full_scale),
    }


def _log2_ticks(
    network: FloatNetwork, board: Board, g_start_S: FloatArray, g_target_S: FloatArray
) -> FloatArray:
    log10_s = network.output(g_start_S, g_target_S)
    return math.log2(10.0) * log10_s + math.log2(board.timer.frequency_Hz)


def _nodes(stage: InputStage, values: FloatArray) -> Int64Array:
    """Integer inputs nearest to values in the input's SI unit."""
    steps = np.rint((values / UNITS[stage.name] - stage.offset) / 2**stage.shift).astype(np.int64)
    lowest, highest = (1 if stage.name == "delta_g_S" else -INT16_MAX), INT16_MAX
    nodes: Int64Array = np.clip(steps, lowest, highest)
    if not (np.diff(nodes) > 0).all():
        raise UserError(
            f"the table's nodes of {stage.name} lie closer than the step of the integer input, {2**stage.shift} nS"
        )
    return nodes
