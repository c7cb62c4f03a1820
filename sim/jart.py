"""State equation of JART VCM v1b: heating and ion hopping, shared by the simplified and the full model.

C. Bengel et al., "Variability-aware modeling of filamentary oxide-based bipolar resistive switching cells
using SPICE level compact models", IEEE TCAS-I 2020, 10.1109/TCSI.2020.3018502. SET is V < 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.params import JartParams
from sim.units import Floats


@dataclass(frozen=True)
class Hopping:
    """Quantities of one evaluation of the state equation; arrays of the broadcast shape of the inputs."""

    t_K: Floats
    gamma: Floats
    dn_dt_1e26_s: Floats


def cell_voltage(v_V: Floats, i_A: Floats, p: JartParams) -> Floats:
    """Voltage across disc, plug and junction, V - I R_series(I); the series resistance heats up [V]."""
    r_series_Ohm = p.r_tiox_Ohm + p.r0_series_Ohm * (
        1.0 + p.r0_series_Ohm * p.alpha_line_1_K * p.r_th_line_K_W * i_A**2
    )
    return v_V - i_A * r_series_Ohm


def heating_at_nominal_area(v_cell_V: Floats, i_A: Floats, p: JartParams) -> Floats:
    """Temperature rise at the nominal filament area, I V_cell R_th0 s, s = 1 in SET and 0.27 in RESET [K]."""
    scale = np.where(i_A < 0.0, 1.0, p.reset_r_th_scale)
    return np.asarray(i_A * v_cell_V * p.r_th0_K_W * scale)


def gamma_times_area(v_cell_V: Floats, i_A: Floats, n_1e26: Floats, area_m2: Floats, p: JartParams) -> Floats:
    """Reduced field gamma = z a E / (pi dW_A), with the filament area multiplied out where E depends on it.

    SET: E = I / (z e mu_n N A), so this returns gamma A [m^2]. RESET: E = V_cell / l_cell: gamma.
    Pass `area_m2` = 1 to get these; pass the area to get gamma itself in SET.
    """
    lever_m_V = p.z * p.a_m / (np.pi * p.dw_a_eV)
    field_set = i_A / (p.z * p.e_C * p.mu_n_m2_Vs * n_1e26 * 1e26 * area_m2)
    return np.asarray(lever_m_V * np.where(i_A < 0.0, field_set, v_cell_V / p.l_cell_m))


def hopping(v_V: Floats, i_A: Floats, r_m: Floats, l_m: Floats, n_1e26: Floats, p: JartParams) -> Hopping:
    """Temperature, reduced field and dN/dt [1e26 m^-3 s^-1] for a device current that is already solved.

    |gamma| = 1 is the field at which the barrier of the favoured direction is gone. A stronger field, which extreme
    voltages reach in a thin disc, cannot lower it further: gamma is limited to that.
    """
    area_m2 = np.pi * r_m**2
    v_cell_V = cell_voltage(v_V, i_A, p)
    t_K = p.t0_K + heating_at_nominal_area(v_cell_V, i_A, p) * (p.area0_m2 / area_m2)
    gamma = np.clip(gamma_times_area(v_cell_V, i_A, n_1e26, area_m2, p), -1.0, 1.0)
    barrier = np.sqrt(1.0 - gamma**2) + gamma * np.arcsin(gamma)
    tilt = gamma * np.pi / 2.0
    kt_eV = p.k_over_e_V_K * t_K
    forward = np.exp(-p.dw_a_eV * (barrier - tilt) / kt_eV)
    backward = np.exp(-p.dw_a_eV * (barrier + tilt) / kt_eV)
    # The tenth power closes the reaction at the end of the vacancy supply (SET) or of the disc (RESET).
    limit = 1.0 - np.where(v_V < 0.0, n_1e26 / p.n_max_1e26, p.n_min_1e26 / n_1e26) ** 10
    attempt = 0.5 * (p.n_plug_1e26 + n_1e26) * p.a_m * p.nu0_Hz * limit / l_m
    return Hopping(t_K=t_K, gamma=gamma, dn_dt_1e26_s=-attempt * (forward - backward))
