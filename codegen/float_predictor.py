"""The float network as a predictor: what the integers are measured against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codegen.boards import Board
from codegen.device_state import DeviceStates
from codegen.fixed import Int64Array
from codegen.folding import UNITS, voltages_of, window_nS
from codegen.metadata import STATE_NAMES
from codegen.onnx_import import FloatNetwork
from codegen.predictions import as_int32_pairs, require_budget, require_targets_in_window, require_wish
from codegen.voltage_choice import (
    MOST_MODEST,
    PPM,
    Numbers,
    Wanted,
    choose,
    reduction_uV,
    steps_of,
    voltage_uV,
)
from sim.closed_loop import Pulses


class FloatPredictor:
    """Evaluates the network in float64 and rounds the pulse to the board's timer; same rules as the firmware.

    Pulses last at most `budget_ticks`, if given; with a wish they are as short as keeps their expected RPD within it.
    """

    def __init__(
        self, network: FloatNetwork, board: Board, budget_ticks: int | None = None, wish_permille: int = 0
    ) -> None:
        """
        Raises:
            UserError: the budget is shorter than the timer's shortest pulse, or the wish outside 0 .. 1000.
        """
        timer = board.timer
        require_budget(budget_ticks, timer.min_ticks)
        require_wish(wish_permille)
        self.network = network
        self.board = board
        self.budget_ticks = timer.max_ticks if budget_ticks is None else min(budget_ticks, timer.max_ticks)
        self._wanted = Wanted(timer.min_ticks, self.budget_ticks, wish_permille * PPM // MOST_MODEST)
        self._voltages = voltages_of(network, board)
        self._g_min_nS, self._g_max_nS = window_nS(network)

    def predict(
        self, g_start_nS: npt.ArrayLike, g_target_nS: npt.ArrayLike, states: DeviceStates | None = None
    ) -> Pulses:
        """The pulse of each pair; `states` is what is known of each device, for a network that sees it.

        Raises:
            UserError: a target outside the trained window.
        """
        start, target = as_int32_pairs(g_start_nS, g_target_nS)
        require_targets_in_window(target, self._g_min_nS, self._g_max_nS)
        clamped = np.clip(start, self._g_min_nS, self._g_max_nS)
        start_S, target_S = np.float64(1e-9) * clamped, np.float64(1e-9) * target
        metadata = self.network.metadata
        if metadata.output.encoding == "linear_s":
            sign = np.sign(self.network.output(start_S, target_S))
        else:
            sign = np.sign(target - start)
        direction = np.where(start == target, 0, sign).astype(np.int8)

        known = DeviceStates.fresh(len(start)) if states is None else states
        told = [
            np.float64(UNITS[name]) * value for name, value in zip(STATE_NAMES, known.inputs(), strict=True)
        ]

        def pulse_at(step: Int64Array) -> tuple[Numbers, Numbers]:
            seen_V = np.float64(1e-6) * reduction_uV(self._voltages, direction, step)
            further = told if metadata.knows_device else [seen_V] if metadata.chooses_voltage else []
            width_s = self.network.width_s(start_S, target_S, *further)
            error = self.network.expected_rpd(start_S, target_S, *further)
            return width_s * self.board.timer.frequency_Hz, error * PPM

        choice = choose(pulse_at, steps_of(self._voltages, direction), self._wanted)
        ticks = np.rint(np.clip(choice.width, self.board.timer.min_ticks, self.budget_ticks)).astype(np.int64)
        v_uV = voltage_uV(self._voltages, direction, choice.step)
        return Pulses(direction, np.where(direction == 0, 0, ticks), v_uV)
