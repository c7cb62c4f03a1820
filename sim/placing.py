"""Devices as an experiment wants them: with values of their own that are known, and at conductances that it chooses.

No board can do either; floors and trials need both.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim.device import DeviceArray
from sim.models import concentration
from sim.noise import NoisePreset
from sim.units import Floats

_KRONECKER = np.sqrt([2.0, 3.0, 5.0]) % 1.0
"""Steps of an even sequence over what varies besides the radius."""


def spread_evenly(noise: NoisePreset, count: int) -> Floats:
    """Radius, length and window bounds over nominal of `count` devices, (count, 4).

    The radius takes the middle of each of `count` equally likely parts of its spread, the others an even sequence:
    means over these devices are those over a preset's random devices, with less chance in them.
    """
    number = np.arange(count)
    uniform = np.stack([(number + 0.5) / count, *(((number[:, None] + 0.5) * _KRONECKER) % 1.0).T])
    return np.stack([s.factors(u) for s, u in zip(noise.spreads, uniform, strict=True)], axis=1)


def deal(devices: DeviceArray, factors: npt.ArrayLike) -> None:
    """Give fresh devices values of their own, over nominal: (4,) for all, or (n, 4)."""
    p, population = devices.model.params, devices.population
    nominal = (p.r0_m, p.l0_m, devices.window.n_low_1e26, devices.window.n_high_1e26)
    each = np.broadcast_to(np.asarray(factors, dtype=np.float64), (len(devices), 4)).T
    names = (
        ("r_m", "r_dev_m"),
        ("l_m", "l_dev_m"),
        ("low_1e26", "low_dev_1e26"),
        ("high_1e26", "high_dev_1e26"),
    )
    for value, factor, (now, own) in zip(nominal, each, names, strict=True):
        setattr(population, now, value * factor)
        setattr(population, own, value * factor)


def place(devices: DeviceArray, g_S: npt.ArrayLike) -> None:
    """Put every device at a conductance [S], scalar or (n,), as it is now otherwise."""
    g = np.broadcast_to(np.asarray(g_S, dtype=np.float64), (len(devices),))
    devices.population.n_1e26[:] = concentration(devices.model, g, *devices.population.geometry)
