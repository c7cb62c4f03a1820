"""Plays a voltage waveform on many noisy devices, in steps of 10 ns.

Levels go through the stepper like pulses. On ramps every step has a voltage of its own, that of its middle, and the
model's direct rate. For noise-free responses over any time scale see `sim.trajectory`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sim.device import DeviceArray
from sim.errors import UserError
from sim.population import DT_S, Population
from sim.turns import begin_pulse
from sim.units import Floats
from sim.walks import Walks
from sim.waveform import Waveform

MOST_RAMP_STEPS = 1_000_000


def play(devices: DeviceArray, waveform: Waveform, index: npt.ArrayLike | None = None) -> None:
    """Drive the devices at `index` [all] along a waveform; corners are moved to whole steps of 10 ns.

    What is drawn once per pulse is drawn at the start and whenever the polarity changes; at 0 V nothing happens.

    Raises:
        UserError: ramps of more than 1e6 steps.
    """
    chosen = np.arange(len(devices)) if index is None else np.atleast_1d(np.asarray(index, dtype=np.int64))
    corner_steps = np.rint(waveform.t_s / DT_S).astype(np.int64)
    is_level = np.diff(waveform.v_V) == 0.0
    ramp_steps = int(np.diff(corner_steps)[~is_level].sum())
    if ramp_steps > MOST_RAMP_STEPS:
        raise UserError(
            f"the waveform's ramps last {ramp_steps} steps of {DT_S:g} s, more than {MOST_RAMP_STEPS}; make them"
            " steeper, or drive noise-free devices through sim.trajectory"
        )
    polarity = 0
    for (begin, end), (v_begin, v_end) in zip(pairwise(corner_steps), pairwise(waveform.v_V), strict=True):
        steps = int(end - begin)
        place = (np.arange(steps) + 0.5) / max(steps, 1)
        voltages = v_begin + (v_end - v_begin) * place
        if v_begin == v_end != 0.0 and steps > 0:
            sign = 1 if v_begin < 0.0 else -1
            devices.advance(float(v_begin), np.full(len(chosen), steps), chosen, continues=sign == polarity)
            polarity = sign
        elif v_begin != v_end:
            polarity = _ramp(devices, voltages, chosen, polarity)


def _ramp(devices: DeviceArray, voltages_V: Floats, index: npt.NDArray[np.int64], polarity: int) -> int:
    model, p = devices.model, devices.model.params
    d: Population = devices.population.take(index)
    walks = Walks(devices.noise, devices.seed, p.r0_m, p.l0_m)
    walking, lowest, highest = walks.of(d)
    for v in voltages_V:
        sign = int(np.sign(-v))
        if sign == 0:
            continue
        if sign != polarity:
            begin_pulse(d, np.ones(len(d), dtype=np.bool_), devices.noise, devices.seed, v < 0.0, p)
            walking, lowest, highest = walks.of(d)
            polarity = sign
        _, state = model.rates(np.full(len(d), v), *d.geometry, d.n_1e26)
        d.n_1e26 = d.n_1e26 + DT_S * state.dn_dt_1e26_s
        d.step += 1
        walking = walks.after_step(d.device, d.step, walking, lowest, highest)
        walks.keep(d, walking, d.step)
        d.n_1e26 = np.clip(d.n_1e26, d.low_1e26, d.high_1e26)
    devices.population.put(index, d)
    return polarity
