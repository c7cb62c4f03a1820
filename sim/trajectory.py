"""Noise-free response of one device to any waveform, by an adaptive stiff integrator.

Slower than the stepper of `sim.device` and free of its time step: from nanoseconds to seconds within one waveform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp

from sim.errors import UserError
from sim.models import DeviceModel
from sim.params import require_in_range
from sim.units import Floats
from sim.waveform import Waveform

RELATIVE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Trajectory:
    """What a device did, arrays (points,): time, voltage, concentration, current, temperature, read conductance."""

    t_s: Floats
    v_V: Floats
    n_1e26: Floats
    i_A: Floats
    t_K: Floats
    g_read_S: Floats


def respond(
    model: DeviceModel,
    waveform: Waveform,
    n_start_1e26: float,
    t_s: Floats,
    *,
    r_m: float | None = None,
    l_m: float | None = None,
) -> Trajectory:
    """Integrate a device along a waveform and report it at the times `t_s`.

    ln N is integrated with Radau from corner to corner, relative tolerance 1e-9.

    Args:
        n_start_1e26: concentration at t = 0.
        t_s: rising times within the waveform.
        r_m, l_m: geometry [the model's nominal one].

    Raises:
        UserError: the start, the geometry or a time is out of range.
    """
    p = model.params
    require_in_range("start N", n_start_1e26, model.n_lowest_1e26, p.n_max_1e26, "1e26 m^-3")
    if np.any(np.diff(t_s) <= 0.0) or t_s[0] < 0.0 or t_s[-1] > waveform.duration_s:
        raise UserError(f"times must rise within 0 .. {waveform.duration_s:g} s of the waveform")
    r, l = np.array([r_m or p.r0_m]), np.array([l_m or p.l0_m])
    lowest = max(p.n_min_1e26, model.n_lowest_1e26)

    def log_rate(t: float, log_n: Floats) -> Floats:
        # The rate is zero at the ends of the range; the integrator's trial points may lie a little beyond.
        n = np.clip(np.exp(log_n), lowest, p.n_max_1e26)
        _, state = model.rates(waveform.voltage(np.array([t])), r, l, n)
        return np.asarray(state.dn_dt_1e26_s / n)

    log_n = np.full(len(t_s), np.log(n_start_1e26))
    now = np.array([np.log(n_start_1e26)])
    for begin, end in zip(waveform.t_s[:-1], waveform.t_s[1:], strict=True):
        inside = np.flatnonzero((t_s > begin) & (t_s <= end))
        at = np.unique(np.append(t_s[inside], end))
        solved = solve_ivp(
            log_rate, (begin, end), now, "Radau", at, rtol=RELATIVE_TOLERANCE, atol=RELATIVE_TOLERANCE
        )
        if not solved.success:
            raise UserError(f"the integrator gave up between {begin:g} and {end:g} s: {solved.message}")
        log_n[inside] = solved.y[0][: len(inside)]
        now = solved.y[:, -1]
    n = np.clip(np.exp(log_n), lowest, p.n_max_1e26)
    v = waveform.voltage(t_s)
    geometry = (np.broadcast_to(r, n.shape), np.broadcast_to(l, n.shape))
    i, state = model.rates(v, *geometry, n)
    return Trajectory(t_s, v, n, i, state.t_K, model.read_conductance(*geometry, n))
