"""Voltage waveforms: piecewise linear in time, as a generator plays them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.errors import UserError
from sim.params import V_HIGHEST_V, require_in_range
from sim.units import Floats


@dataclass(frozen=True)
class Waveform:
    """Corners of a voltage over time: `t_s` strictly rising from 0, `v_V` of the same length (corners,)."""

    t_s: Floats
    v_V: Floats

    def __post_init__(self) -> None:
        """Refuse what no generator could play; names the offending corner."""
        if self.t_s.ndim != 1 or self.t_s.shape != self.v_V.shape or len(self.t_s) < 2:
            raise UserError("a waveform needs two or more corners, a time and a voltage each")
        for k, (t, v) in enumerate(zip(self.t_s, self.v_V, strict=True)):
            if not (np.isfinite(t) and t >= 0.0):
                raise UserError(f"waveform: time t = {t:g} s of corner {k + 1} must be a number from 0 on")
            if not abs(v) <= V_HIGHEST_V:
                limits = f"{-V_HIGHEST_V:g} .. {V_HIGHEST_V:g} V"
                raise UserError(f"waveform: voltage V = {v:g} V of corner {k + 1} is outside {limits}")
        if self.t_s[0] != 0.0:
            raise UserError(f"waveform: the first corner must be at t = 0, not {self.t_s[0]:g} s")
        backwards = np.flatnonzero(np.diff(self.t_s) <= 0.0)
        if backwards.size:
            k = int(backwards[0])
            raise UserError(
                f"waveform: times must rise, but corner {k + 2} at {self.t_s[k + 1]:g} s does not follow"
                f" corner {k + 1} at {self.t_s[k]:g} s"
            )

    @property
    def duration_s(self) -> float:
        """Time of the last corner."""
        return float(self.t_s[-1])

    def voltage(self, t_s: Floats) -> Floats:
        """Voltage at each time [V]."""
        return np.asarray(np.interp(t_s, self.t_s, self.v_V))

    def sampled(self, points: int) -> Floats:
        """About `points` times over the whole duration, every corner among them."""
        return np.unique(np.concatenate([self.t_s, np.linspace(0.0, self.duration_s, points)]))


def triangle(peaks_V: Sequence[float], rate_V_s: float) -> Waveform:
    """From 0 V to every peak in turn, back through 0 V each time: an I-V sweep.

    Args:
        rate_V_s: slope of all edges, V/s.
    """
    require_in_range("sweep rate", rate_V_s, 0.0, 1e12, "V/s")
    for peak in peaks_V:
        require_in_range("peak voltage", peak, -V_HIGHEST_V, V_HIGHEST_V, "V")
    corners = [0.0, *(v for peak in peaks_V for v in (peak, 0.0))]
    lengths = np.abs(np.diff(corners)) / rate_V_s
    if not peaks_V or np.any(lengths == 0.0):
        raise UserError("a sweep needs one or more peaks, none of them 0 V")
    return Waveform(np.concatenate([[0.0], np.cumsum(lengths)]), np.array(corners))


def staircase(levels_V: Sequence[float], dwell_s: float, edge_s: float = 1e-9) -> Waveform:
    """Levels held for `dwell_s` each, reached over `edge_s`."""
    require_in_range("dwell", dwell_s, 0.0, 1e6, "s")
    require_in_range("edge", edge_s, 0.0, 1e6, "s")
    t, v, now = [0.0], [0.0], 0.0
    for level in levels_V:
        t += [now + edge_s, now + edge_s + dwell_s]
        v += [level, level]
        now = t[-1]
    return Waveform(np.array(t), np.array(v))


def pulse_train(
    v_V: float, width_s: float, period_s: float, count: int, rise_s: float = 1e-9, fall_s: float = 1e-9
) -> Waveform:
    """`count` trapezoids from 0 V: rise, flat top of `width_s`, fall, rest of the period at 0 V."""
    require_in_range("number of pulses", count, 1, 1_000_000, "")
    for name, value in (("width", width_s), ("rise time", rise_s), ("fall time", fall_s)):
        require_in_range(name, value, 0.0, 1e6, "s")
    busy_s = rise_s + width_s + fall_s
    if not period_s > busy_s:
        raise UserError(f"period = {period_s:g} s must exceed rise + width + fall = {busy_s:g} s")
    starts = period_s * np.arange(count)[:, None]
    t = (starts + np.array([0.0, rise_s, rise_s + width_s, busy_s])).ravel()
    v = np.tile([0.0, v_V, v_V, 0.0], count)
    return Waveform(np.append(t, period_s * count), np.append(v, 0.0))
