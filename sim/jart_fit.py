"""Simplified JART VCM v1b: closed-form current, so that no circuit equation has to be solved.

V. Ntinas et al., "Toward Simplified Physics-Based Memristor Modeling of Valence Change Mechanism Devices",
IEEE TCAS-II 2022, 10.1109/TCSII.2022.3160304, as used by Yu et al. 2022. In the fit the
current depends on V and N only, not on r and l. Coefficients carry the paper's symbols; V in V, N in 1e26 m^-3, I in A.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim import jart
from sim.errors import UserError
from sim.params import N_LOWEST_1E26, JartParams
from sim.physical_range import require_physical
from sim.units import Floats

NAME = "jart-fit"
DESCRIPTION = "simplified JART VCM v1b, closed-form current (Ntinas 2022)"
V_READ_V = 0.2
V_SET_V = -0.342
V_RESET_V = 0.7065

ALPHA0, ALPHA2, ALPHA3 = 4.81951e-5, 1.03685, 0.34567
BETA0, BETA1 = 7.0526e-4, 4.2383e-5
C0, C1, C2, C3 = 4.004, 2.8646, 4.2125, 1.4134
D0, D1, D2, D3 = 6.6103, 1.4524, 7.4235, 4.0585
F0, F1, F2, F3 = 6.326e-4, 1.4711, 0.5199, 1.561
G0, G1 = 4.84e-3, 0.1353
H0, H1, H2, H3 = 5.548, 6.8648, 51.586, 0.36
J0, K0 = 1.054, 1.0526
N_UNIT = 0.008
"""Concentration the RESET fit is normalised to, 1e26 m^-3."""


def current(v_V: npt.ArrayLike, n_1e26: npt.ArrayLike) -> Floats:
    """Device current [A] at voltage `v_V` and concentration `n_1e26`; zero at zero volts."""
    v, n = np.broadcast_arrays(np.asarray(v_V, dtype=np.float64), np.asarray(n_1e26, dtype=np.float64))
    return np.where(v < 0.0, _current_set(np.minimum(v, 0.0), n), _current_reset(np.maximum(v, 0.0), n))


def _current_set(v: Floats, n: Floats) -> Floats:
    alpha1 = ALPHA0 * np.exp(-ALPHA2 / ALPHA3)
    alpha = (alpha1 + ALPHA0) / (1.0 + np.exp(-(v + ALPHA2) / ALPHA3)) - ALPHA0
    beta = BETA1 * (1.0 - np.exp(-v)) - BETA0 * v
    c = C2 * np.exp(-v / C3) + C1 * v - C0
    d = D2 * np.exp(-v / D3) + D1 * v - D0
    f = F0 + (F1 - F0) / (1.0 + (-v / F2) ** F3)
    return np.asarray(-alpha - beta / (1.0 + (c / n) ** d) ** f)


def _current_reset(v: Floats, n: Floats) -> Floats:
    g = -G0 * np.expm1(-G1 * v)
    h = H0 + H1 * v + H2 * np.exp(-H3 * v)
    return np.asarray(g / (1.0 + h * (n / N_UNIT) ** -J0) ** (1.0 / K0))


def read_conductance(n_1e26: npt.ArrayLike) -> Floats:
    """Conductance I(V_read)/V_read [S] at the read voltage of 0.2 V."""
    return current(V_READ_V, n_1e26) / V_READ_V


def concentration(g_S: npt.ArrayLike) -> Floats:
    """Inverse of `read_conductance`: the concentration [1e26 m^-3] that reads as `g_S`."""
    i = np.asarray(g_S, dtype=np.float64) * V_READ_V
    g = -G0 * np.expm1(-G1 * V_READ_V)
    h = H0 + H1 * V_READ_V + H2 * np.exp(-H3 * V_READ_V)
    if not np.all((i > 0.0) & (i < g)):
        bad = float(np.asarray(i / V_READ_V).ravel()[int(np.argmin(((i > 0.0) & (i < g)).ravel()))])
        raise UserError(
            f"conductance = {bad * 1e6:g} uS must lie between 0 and {g / V_READ_V * 1e6:.1f} uS for model {NAME}"
        )
    return np.asarray(N_UNIT * (((g / i) ** K0 - 1.0) / h) ** (-1.0 / J0))


def rates(
    v_V: npt.ArrayLike,
    r_m: npt.ArrayLike,
    l_m: npt.ArrayLike,
    n_1e26: npt.ArrayLike,
    p: JartParams | None = None,
) -> tuple[Floats, jart.Hopping]:
    """Current [A] and state rate at every point of the broadcast inputs, evaluated directly (no table).

    Raises:
        UserError: a value is not finite or outside the model's range; the message names it.
    """
    v, r, l, n = (np.asarray(x, dtype=np.float64) for x in np.broadcast_arrays(v_V, r_m, l_m, n_1e26))
    require_physical(NAME, v, r, l, n, N_LOWEST_1E26)
    i = current(v, n)
    return i, jart.hopping(v, i, r, l, n, p or JartParams())
