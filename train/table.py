"""The network's honest rival: for two inputs, a small look-up table of log times does nearly as well.

16 x 16 times per direction, over the start conductance and the logarithm of the change, interpolated bilinearly: 1 KiB
of 16-bit numbers. It is fitted to the same expected RPD as the best network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sim.bench import BenchParams
from sim.closed_loop import Pulses
from sim.units import Floats, Ints, nS_to_S
from train.expected import ExpectedRpd
from train.loop import reproducible

NAME = "table_16x16"
NODES = 16
SMALLEST_CHANGE_S = 1e-6  # smaller changes count as this one
STEPS, RATE = 400, 0.05


@dataclass(frozen=True)
class LogTimeTable:
    """log10 of the pulse time in seconds at every node.

    Attributes:
        log_time: (2, NODES, NODES): SET and RESET, start conductance, change.
        g_low_S, g_high_S: the window that the axes span.
    """

    log_time: Floats
    g_low_S: float
    g_high_S: float

    @classmethod
    def fitted(cls, pairs: ExpectedRpd, g_low_S: float, g_high_S: float) -> LogTimeTable:
        """The table with the smallest mean expected RPD over `pairs` (full batches, Adam, falling rate)."""
        empty = cls(np.full((2, NODES, NODES), pairs.scaling.output.offset), g_low_S, g_high_S)
        start_S = pairs.scaling.g_start.scale * pairs.x[:, 0].double().numpy()
        delta_S = pairs.scaling.delta_g.scale * pairs.x[:, 1].double().numpy()
        node, weight = (torch.from_numpy(a) for a in empty.corners(start_S, start_S + delta_S))
        everything = torch.arange(len(pairs))
        with reproducible():
            values = torch.full((empty.log_time.size,), 0.0, dtype=torch.float64, requires_grad=True)
            optimiser = torch.optim.Adam([values], lr=RATE)
            for step in range(STEPS):
                optimiser.param_groups[0]["lr"] = RATE * (1.0 - step / STEPS)
                optimiser.zero_grad()
                y = (values[node] * weight).sum(dim=1)
                pairs.of_outputs(y.float(), everything).mean().backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        output = pairs.scaling.output
        found = output.offset + output.scale * values.detach().numpy()
        return cls(found.reshape(empty.log_time.shape), g_low_S, g_high_S)

    def corners(self, g_start_S: Floats, g_target_S: Floats) -> tuple[Ints, Floats]:
        """Flat numbers and weights of the four nodes around each pair, (n, 4) each."""
        last = NODES - 1
        span = self.g_high_S - self.g_low_S
        change_S = np.clip(np.abs(g_target_S - g_start_S), SMALLEST_CHANGE_S, span)
        places = np.stack(
            [
                np.clip((g_start_S - self.g_low_S) / span, 0.0, 1.0) * last,
                np.log(change_S / SMALLEST_CHANGE_S) / np.log(span / SMALLEST_CHANGE_S) * last,
            ]
        )
        cell = np.minimum(places.astype(np.int64), last - 1)
        share = places - cell
        page = np.where(g_target_S > g_start_S, 0, NODES * NODES)
        nodes, weights = [], []
        for up_start in (0, 1):
            for up_change in (0, 1):
                nodes.append(page + (cell[0] + up_start) * NODES + cell[1] + up_change)
                weight = share[0] if up_start else 1.0 - share[0]
                weights.append(weight * (share[1] if up_change else 1.0 - share[1]))
        return np.stack(nodes, axis=1), np.stack(weights, axis=1)

    def width_s(self, g_start_S: Floats, g_target_S: Floats) -> Floats:
        """Pulse times in seconds, (n,)."""
        node, weight = self.corners(g_start_S, g_target_S)
        return np.asarray(10.0 ** (self.log_time.ravel()[node] * weight).sum(axis=1))


@dataclass(frozen=True)
class TablePredictor:
    """The table as a `sim.closed_loop.PulsePredictor` on one board's timer."""

    table: LogTimeTable
    board: BenchParams

    def predict(self, g_start_nS: Ints, g_target_nS: Ints) -> Pulses:
        """Return the pulse for conductances in nS, (n,) each."""
        direction = np.sign(g_target_nS - g_start_nS).astype(np.int8)
        width_s = self.table.width_s(nS_to_S(g_start_nS), nS_to_S(g_target_nS))
        ticks = np.maximum(self.board.ticks(width_s), self.board.min_ticks)
        return Pulses(direction, np.where(direction == 0, 0, ticks), self.board.full_v_uV(direction))
