"""Responses of devices that have lived: known ones for the floor, calibrated ones for training.

A fresh device's walks start at its own values. After some pulses they are anywhere within their bounds, which is how
a controller meets every device but a new one; short pulses are then less certain.
"""

from __future__ import annotations

import numpy as np

from sim.device import DeviceArray
from sim.placing import deal, place
from sim.units import Floats, Ints
from train.responses import DIRECTIONS, Conductances, ResponseParams, Responses

LIVED_S = 1e-4
"""Time under pulse after which walks of the preset `ouroboros` have forgotten where they began (relaxation: 13 us)."""
_FIRST_DEVICE = 1 << 30  # random streams of these devices
_AT_THE_END = 0.995
"""Share of the window's span towards its end after which a record goes on as it stands."""


def known_device(params: ResponseParams, factors: Floats, number: int, jobs: int | None = None) -> Responses:
    """Responses of one device, over and over with other noise, after it has lived.

    Args:
        factors: (4,) its radius, length and window bounds over nominal.
        number: of the device; gives it random streams of its own.
    """
    starts, devices = params.starts, params.devices
    g_S = np.empty((2, starts, devices, len(params.steps())), dtype=np.float32)
    for row, direction in enumerate(DIRECTIONS):
        g_start_S = np.repeat(params.g_start_S(), devices)
        array = DeviceArray(
            len(g_start_S),
            params.noise,
            params.seed,
            g_start_S,
            model=params.model,
            window=params.window,
            first_device=_FIRST_DEVICE + (2 * number + row) * starts * devices,
            jobs=jobs,
        )
        deal(array, factors)
        array.apply_pulse(params.v_V(-direction), LIVED_S)
        place(array, g_start_S)
        g_S[row] = record(array, params, direction).reshape(starts, devices, -1)
    return Responses(params, params.steps(), g_S)


def record(
    devices: DeviceArray, params: ResponseParams, direction: int, index: Ints | None = None
) -> Conductances:
    """Conductances (m, k) of the devices at `index` [all] under one long pulse, at the steps of `params`.

    A device that has come to the window's end is left there: its record goes on as it stands.
    """
    low, high = params.window_S()
    end = low + (high - low) * (_AT_THE_END if direction > 0 else 1.0 - _AT_THE_END)
    steps = params.steps()
    chosen = np.arange(len(devices)) if index is None else index
    g_S = np.empty((len(chosen), len(steps)), dtype=np.float32)
    running: Ints = np.arange(len(chosen))
    for k, more in enumerate(np.diff(steps, prepend=0)):
        if running.size:
            devices.advance(
                params.v_V(direction), np.full(len(running), more), chosen[running], continues=k > 0
            )
        g_S[:, k] = devices.g_S[chosen]
        running = running[(g_S[running, k] - end) * direction < 0.0]
    return g_S


def pooled(params: ResponseParams, parts: list[Responses]) -> Responses:
    """Responses of several devices as if nobody knew which is which."""
    return Responses(params, parts[0].step, np.concatenate([part.g_S for part in parts], axis=2))
