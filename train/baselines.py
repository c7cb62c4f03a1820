"""What a network has to beat: the noise-free model inverted, and the same with one fitted time scale.

Paper, section III-A: the baseline applies "the pulse time that would result in the same dG with the
noise-free model". It never errs in direction. It overshoots: radius noise makes the rate's average several
times larger than the rate at the nominal radius, which one factor on its times mends to first order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from sim import jart_fit
from sim.bench import BenchParams
from sim.closed_loop import Pulses
from sim.models import JART_FIT, DeviceModel
from sim.units import Floats, Ints, nS_to_S
from train.samples import Samples

GRID_POINTS = 8192  # trapezoid error well below one noise step over the whole window
TIME_SCALES = (0.02, 5.0)  # where the fitted factor is looked for


@dataclass(frozen=True)
class NoiseFreeInverse:
    """Pulse times of the noise-free model, as differences on its two master curves.

    Without noise the state equation is autonomous, so every trajectory is a piece of one curve per voltage,
    and the time from start to target is the difference of the times at which that curve passes them.

    Attributes:
        g_S: (m,) ascending conductance grid over the operating window.
        t_set_s, t_reset_s: (m,) time along the SET curve since the lowest, and along the RESET curve since
        the
            highest conductance.
        time_scale: factor on every pulse time; 1 is the paper's baseline.
    """

    g_S: Floats
    t_set_s: Floats
    t_reset_s: Floats
    time_scale: float = 1.0

    @classmethod
    def of_model(
        cls,
        v_set_V: float = jart_fit.V_SET_V,
        v_reset_V: float = jart_fit.V_RESET_V,
        model: DeviceModel = JART_FIT,
    ) -> NoiseFreeInverse:
        """Integrate dN / (dN/dt) at nominal radius and length over the model's operating window."""
        p, w = model.params, model.window
        n = np.geomspace(w.n_low_1e26, w.n_high_1e26, GRID_POINTS)
        n[-1] = w.n_high_1e26  # geomspace may miss its end by a rounding
        times = []
        for v_V in (v_set_V, v_reset_V):
            v, r, l = (np.full_like(n, value) for value in (v_V, p.r0_m, p.l0_m))
            _, hopping = model.rates(v, r, l, n)
            slowness = 1.0 / np.abs(hopping.dn_dt_1e26_s)
            pieces = 0.5 * (slowness[1:] + slowness[:-1]) * np.diff(n)
            times.append(np.concatenate([[0.0], np.cumsum(pieces)]))
        t_set, t_up = times
        return cls(model.conductances(n), t_set, t_up[-1] - t_up)

    def pulse_s(self, g_start_S: Floats, g_target_S: Floats) -> Floats:
        """Return signed pulse times in seconds (+ is SET); conductances outside the window count as its
        edge.
        """
        up = g_target_S >= g_start_S
        t_set = np.interp(g_target_S, self.g_S, self.t_set_s) - np.interp(g_start_S, self.g_S, self.t_set_s)
        t_reset = np.interp(g_target_S, self.g_S, self.t_reset_s) - np.interp(
            g_start_S, self.g_S, self.t_reset_s
        )
        return self.time_scale * np.where(up, t_set, -t_reset)

    def rpd_g(self, samples: Samples) -> float:
        """Return the mean relative difference of G on recorded histories, as networks are scored."""
        target_S = samples.g_target_S
        t_s = np.abs(self.pulse_s(samples.g_start_S.numpy(), target_S.numpy()))
        everything = torch.arange(len(samples))
        g_out_S = samples.histories.value(everything, torch.from_numpy(t_s / samples.dt_s))
        return float(((g_out_S - target_S).abs() / target_S).mean())

    def scaled(self, time_scale: float) -> NoiseFreeInverse:
        """Return a copy with another factor on every pulse time."""
        return replace(self, time_scale=time_scale)

    def scaled_to(self, samples: Samples) -> NoiseFreeInverse:
        """Return a copy whose time scale minimises the RPD of G on the recorded histories of `samples`."""
        once = self.scaled(1.0)

        def rpd(log_scale: float) -> float:
            return once.scaled(float(np.exp(log_scale))).rpd_g(samples)

        # The error has one broad valley but is rough on a fine scale: bracket it on a grid first.
        grid = np.linspace(np.log(TIME_SCALES[0]), np.log(TIME_SCALES[1]), 41)
        lowest = int(np.argmin([rpd(x) for x in grid]))
        bounds = (grid[max(lowest - 1, 0)], grid[min(lowest + 1, len(grid) - 1)])
        best = minimize_scalar(rpd, bounds=bounds, method="bounded", options={"xatol": 1e-3})
        return self.scaled(float(np.exp(best.x)))


@dataclass(frozen=True)
class NoiseFreePredictor:
    """The baseline as a `sim.closed_loop.PulsePredictor` on one board's timer."""

    inverse: NoiseFreeInverse
    board: BenchParams

    def predict(self, g_start_nS: Ints, g_target_nS: Ints) -> Pulses:
        """Return the pulse for conductances in nS, (n,) each."""
        t_s = self.inverse.pulse_s(nS_to_S(g_start_nS), nS_to_S(g_target_nS))
        ticks = self.board.ticks(np.abs(t_s))
        direction = np.where(ticks > 0, np.sign(t_s), 0).astype(np.int8)
        return Pulses(direction, ticks, self.board.full_v_uV(direction))
