"""Parameters of the JART VCM v1b device family, with units, sources and valid ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from sim.errors import UserError


@dataclass(frozen=True)
class JartParams:
    """JART VCM v1b parameters (Bengel et al., TCAS-I 2020, Table I; SI units unless the name says otherwise).

    The physical constants are those of the simplified model's authors: CODATA values shift switching
    times by 0.3 - 0.4 %. Published copies of `r_th0_K_W` = 1e7 are wrong for this geometry.
    """

    e_C: float = 1.602e-19
    k_over_e_V_K: float = 8.61860174781523e-05
    z: float = 2.0
    t0_K: float = 293.0
    mu_n_m2_Vs: float = 4e-6
    n_plug_1e26: float = 20.0
    n_max_1e26: float = 20.0
    n_min_1e26: float = 0.008
    a_m: float = 0.25e-9
    nu0_Hz: float = 2e13
    dw_a_eV: float = 1.35
    r_th0_K_W: float = 15.72e6
    reset_r_th_scale: float = 0.27
    r0_m: float = 45e-9
    l0_m: float = 0.4e-9
    l_cell_m: float = 3e-9
    r_tiox_Ohm: float = 650.0
    r0_series_Ohm: float = 719.2437
    r_th_line_K_W: float = 90471.47
    alpha_line_1_K: float = 3.92e-3

    def __post_init__(self) -> None:
        """Refuse non-finite and non-positive values: every parameter is a positive physical quantity."""
        for field in fields(self):
            require_in_range(field.name, getattr(self, field.name), 0.0, math.inf, "")
        if self.n_min_1e26 >= self.n_max_1e26:
            raise UserError(
                f"n_min_1e26 = {self.n_min_1e26:g} must be below n_max_1e26 = {self.n_max_1e26:g} (1e26 m^-3)"
            )

    @property
    def area0_m2(self) -> float:
        """Nominal filament cross-section A_0 = pi r_0^2."""
        return math.pi * self.r0_m**2


@dataclass(frozen=True)
class JartFullParams(JartParams):
    """Full-physics JART VCM v1b: junction parameters, and the constants of the Verilog-A release (NIST 1998)."""

    e_C: float = 1.602176462e-19
    k_over_e_V_K: float = 1.3806503e-23 / 1.602176462e-19
    h_Js: float = 6.62606876e-34
    eps0_F_m: float = 8.854187817e-12
    eps_static: float = 17.0
    eps_phi_b: float = 5.5
    phi_bn0_V: float = 0.18
    phi_n_V: float = 0.1
    richardson_A_m2K2: float = 6.01e5
    m_eff_kg: float = 9.10938e-31


@dataclass(frozen=True)
class OperatingWindow:
    """Limits of the oxygen-vacancy concentration N in 1e26 m^-3 (Yu et al. 2022: G = 94.45 .. 559.3 uS)."""

    n_low_1e26: float = 0.06
    n_high_1e26: float = 1.9897452127440086504

    def __post_init__(self) -> None:
        """Refuse an empty window; whether a model holds in it is for the devices to check."""
        require_in_range("n_low_1e26", self.n_low_1e26, 0.0, math.inf, "1e26 m^-3")
        require_in_range("n_high_1e26", self.n_high_1e26, self.n_low_1e26, math.inf, "1e26 m^-3")


N_LOWEST_1E26 = 0.0047
"""Below this concentration the simplified model's SET current has the wrong sign (physics of the fit)."""
N_HIGHEST_1E26 = 20.0
"""The disc cannot hold more vacancies than N_max."""
V_HIGHEST_V = 2.0
"""Largest pulse voltage the models are used at."""


def require_in_range(name: str, value: float, low: float, high: float, unit: str) -> None:
    """Raise a `UserError` naming the parameter, its value and the range unless low <= value <= high.

    A `low` of exactly 0 is exclusive: zero is no physical value for any parameter here.
    """
    inside = math.isfinite(value) and low <= value <= high and not (low == 0.0 and value == 0.0)
    if not inside:
        limits = "must be above 0" if value == low == 0.0 else f"is outside {low:g} .. {high:g}"
        raise UserError(f"{name} = {value:g} {unit}".rstrip() + f" {limits}")
