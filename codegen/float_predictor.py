"""The float network as a predictor: what the integers are measured against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codegen.boards import Board
from codegen.fixed import Int64Array
from codegen.folding import window_nS
from codegen.onnx_import import FloatNetwork
from codegen.predictions import Int8Array, as_int32_pairs, require_targets_in_window


class FloatPredictor:
    """Evaluates the network in float64 and rounds the pulse to the board's timer; same rules as the firmware."""

    def __init__(self, network: FloatNetwork, board: Board) -> None:
        self.network = network
        self.board = board
        self._g_min_nS, self._g_max_nS = window_nS(network)

    def predict(self, g_start_nS: npt.ArrayLike, g_target_nS: npt.ArrayLike) -> tuple[Int8Array, Int64Array]:
        """Direction and ticks of each pair.

        Raises:
            UserError: a target outside the trained window.
        """
        start, target = as_int32_pairs(g_start_nS, g_target_nS)
        require_targets_in_window(target, self._g_min_nS, self._g_max_nS)
        clamped = np.clip(start, self._g_min_nS, self._g_max_nS)
        start_S, target_S = np.float64(1e-9) * clamped, np.float64(1e-9) * target
        if self.network.metadata.output.encoding == "linear_s":
            sign = np.sign(self.network.output(start_S, target_S))
        else:
            sign = np.sign(target - start)
        direction = np.where(start == target, 0, sign).astype(np.int8)
        timer = self.board.timer
        width_ticks = self.network.width_s(start_S, target_S) * timer.frequency_Hz
        ticks = np.rint(np.clip(width_ticks, timer.min_ticks, timer.max_ticks)).astype(np.int64)
        return direction, np.where(direction == 0, 0, ticks)
