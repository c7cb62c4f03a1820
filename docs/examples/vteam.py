"""VTEAM: a threshold-type memristor (Kvatinsky et al., IEEE TCAS-II 2015, 10.1109/TCSII.2015.2433536).

The state w, 0.01 .. 1, mixes two conductances. Filament radius and disc length, which noise presets vary, scale the
conductance with the area and the rate with the inverse length. No motion between the thresholds.
"""

from dataclasses import dataclass

import numpy as np

from sim.jart import Hopping
from sim.models import DeviceModel
from sim.params import OperatingWindow


@dataclass(frozen=True)
class VteamParams:
    g_off_S: float = 1e-6
    g_on_S: float = 6e-4
    v_on_V: float = -0.2  # threshold of SET
    v_off_V: float = 0.25  # threshold of RESET
    k_on_1_s: float = 2e3
    k_off_1_s: float = -1e3
    alpha: float = 3.0
    r0_m: float = 45e-9
    l0_m: float = 0.4e-9
    n_min_1e26: float = 0.01  # the state's range
    n_max_1e26: float = 1.0


def conductance(p, r_m, l_m, w):
    return (p.g_off_S + (p.g_on_S - p.g_off_S) * w) * (r_m / p.r0_m) ** 2


def rates(p, v_V, r_m, l_m, w):
    """Current [A] and dw/dt [1/s]."""
    w = np.clip(w, p.n_min_1e26, p.n_max_1e26)
    m = np.maximum
    on = p.k_on_1_s * m(v_V / p.v_on_V - 1.0, 0.0) ** p.alpha * (1.0 - w**10)
    off = p.k_off_1_s * m(v_V / p.v_off_V - 1.0, 0.0) ** p.alpha * (1.0 - (1.0 - w) ** 10)
    rate = np.where(v_V < 0.0, on, off) * p.l0_m / l_m
    nothing = np.zeros_like(rate)
    return v_V * conductance(p, r_m, l_m, w), Hopping(t_K=nothing + 293.0, gamma=nothing, dn_dt_1e26_s=rate)


def vteam(p=VteamParams()):
    return DeviceModel(
        name="vteam",
        description="VTEAM, threshold-type (Kvatinsky 2015)",
        n_lowest_1e26=p.n_min_1e26,
        params=p,
        rates=lambda v, r, l, w: rates(p, v, r, l, w),
        read_conductance=lambda r, l, w: conductance(p, r, l, w),
        window=OperatingWindow(0.05, 0.8),
        with_params=vteam,
    )


MODEL = vteam()
