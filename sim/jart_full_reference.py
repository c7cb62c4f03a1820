"""The full-physics circuit in NumPy: states the model readably and tests the compiled solve of sim.jart_full.

C. Bengel et al., IEEE TCAS-I 2020, 10.1109/TCSI.2020.3018502 (model and parameters as in the authors' Verilog-A
release). Junction voltage, temperature and current depend on each other. At a given junction voltage V_s the rest of
the circuit fixes the current (one real root of a cubic) and with it the temperature, so one scalar equation is left:
the current that the Schottky junction passes at V_s and that temperature equals the circuit's.

For V < 0 it has one solution (at the published parameters). For V > 0 there are often three: barrier lowering has
infinite slope where V_s = phi_Bn0 - phi_n, so that the junction's current can fall with rising V_s. The branch taken
is the one with the smallest |V_s|, which a sweep from 0 V reaches and circuit simulators follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import elementwise

from sim.jart_full import Circuit, checked
from sim.params import JartFullParams
from sim.units import Floats

_PEAK_GRID = 33
_PEAK_REFINEMENTS = 40
_CUBIC_NEWTON_STEPS = 12


@dataclass(frozen=True)
class _Point:
    """Inputs of the circuit and what follows from them, arrays of one shape (n,)."""

    v: Floats
    n: Floats
    area: Floats
    r_disc: Floats
    r_plug: Floats
    p: JartFullParams

    @classmethod
    def of(cls, v: Floats, r: Floats, l: Floats, n: Floats, p: JartFullParams) -> _Point:
        area = np.pi * r**2
        mobility = 1e26 * p.z * p.e_C * p.mu_n_m2_Vs * area
        return cls(v, n, area, l / (n * mobility), (p.l_cell_m - l) / (p.n_plug_1e26 * mobility), p)

    def take(self, at: npt.NDArray[np.intp]) -> _Point:
        return _Point(self.v[at], self.n[at], self.area[at], self.r_disc[at], self.r_plug[at], self.p)


def solve(
    v_V: npt.ArrayLike,
    r_m: npt.ArrayLike,
    l_m: npt.ArrayLike,
    n_1e26: npt.ArrayLike,
    p: JartFullParams | None = None,
) -> Circuit:
    """Operating point of the static circuit at every point of the broadcast inputs.

    Raises:
        UserError: a value is not finite or outside the model's range; the message names it.
    """
    p = p or JartFullParams()
    v, r, l, n = checked(v_V, r_m, l_m, n_1e26)
    shape = v.shape
    point = _Point.of(v.ravel(), r.ravel(), l.ravel(), n.ravel(), p)
    v_s = np.zeros(point.v.shape)
    negative, positive = np.flatnonzero(point.v < 0.0), np.flatnonzero(point.v > 0.0)
    if negative.size:
        v_s[negative] = _root(point.take(negative), point.v[negative], np.zeros(negative.size))
    if positive.size:
        v_s[positive] = _first_root(point.take(positive))
    i, t = _circuit_state(v_s, point)
    r_series = p.r_tiox_Ohm + p.r0_series_Ohm * (
        1.0 + p.r0_series_Ohm * p.alpha_line_1_K * p.r_th_line_K_W * i**2
    )
    return Circuit(*(x.reshape(shape) for x in (i, v_s, t, point.r_disc, point.r_plug, r_series)))


def _circuit_state(v_s: Floats, x: _Point) -> tuple[Floats, Floats]:
    """Current [A] and temperature [K] that the circuit outside the junction fixes at `v_s`."""
    p = x.p
    u = x.v - v_s
    b = x.r_disc + x.r_plug + p.r_tiox_Ohm + p.r0_series_Ohm
    a = p.r0_series_Ohm**2 * p.alpha_line_1_K * p.r_th_line_K_W
    i = u / b  # a I^3 + b I = u: monotone and convex on either side of 0, so Newton from here converges
    for _ in range(_CUBIC_NEWTON_STEPS):
        i = i - (a * i**3 + b * i - u) / (3.0 * a * i**2 + b)
    v_cell = v_s + i * (x.r_disc + x.r_plug)
    scale = np.where(x.v < 0.0, 1.0, p.reset_r_th_scale)
    return i, p.t0_K + i * v_cell * p.r_th0_K_W * scale * (p.area0_m2 / x.area)


def junction_current(v_s: Floats, t_K: Floats, n_1e26: Floats, area_m2: Floats, p: JartFullParams) -> Floats:
    """Current [A] of the Schottky junction: thermionic-field emission below 0 V, thermionic emission above."""
    kt_V = p.k_over_e_V_K * t_K
    donors_m3 = p.z * n_1e26 * 1e26
    psi_V = np.maximum(p.phi_bn0_V - p.phi_n_V - v_s, 0.0)
    permittivity = p.eps_phi_b * p.eps0_F_m
    lowering_V = (p.e_C**3 * donors_m3 * psi_V / (8.0 * np.pi**2 * permittivity**3)) ** 0.25
    barrier_V = np.maximum(p.phi_bn0_V - lowering_V, 0.0)
    # Reverse: energies in volts (divided by e).
    w00_V = p.h_Js / (4.0 * np.pi) * np.sqrt(donors_m3 / (p.m_eff_kg * p.eps_static * p.eps0_F_m))
    ratio = w00_V / kt_V
    w0_V = w00_V / np.tanh(ratio)
    w_prime_V = w00_V / (ratio - np.tanh(ratio))
    reverse = np.maximum(-v_s, 0.0)
    field_emission = (
        -area_m2
        * (p.richardson_A_m2K2 * t_K / p.k_over_e_V_K)
        * np.sqrt(np.pi * w00_V * (reverse + barrier_V / np.cosh(ratio) ** 2))
        * np.exp(-barrier_V / w0_V)
        * np.expm1(reverse / w_prime_V)
    )
    thermionic = (
        area_m2
        * p.richardson_A_m2K2
        * t_K**2
        * np.exp(-barrier_V / kt_V)
        * np.expm1(np.maximum(v_s, 0.0) / kt_V)
    )
    return np.where(v_s < 0.0, field_emission, thermionic)


def _mismatch(v_s: Floats, x: _Point) -> Floats:
    """Junction current minus circuit current [A]; rises through the solution that is looked for."""
    i, t = _circuit_state(v_s, x)
    return junction_current(v_s, t, x.n, x.area, x.p) - i


def _root(x: _Point, low: Floats, high: Floats) -> Floats:
    """Junction voltage where the mismatch changes sign between `low` and `high`, to the last bits."""

    def f(v_s: Floats, v: Floats, n: Floats, area: Floats, r_disc: Floats, r_plug: Floats) -> Floats:
        return _mismatch(v_s, _Point(v, n, area, r_disc, r_plug, x.p))

    found = elementwise.find_root(
        f,
        (low, high),
        args=(x.v, x.n, x.area, x.r_disc, x.r_plug),
        tolerances=dict(xatol=0.0, xrtol=4.0 * np.finfo(float).eps, fatol=0.0, frtol=0.0),
        maxiter=200,
    )
    return np.asarray(found.x)


def _first_root(x: _Point) -> Floats:
    """The solution with the smallest junction voltage, for V > 0.

    Below phi_Bn0 - phi_n the mismatch starts negative, rises to one maximum and may fall again. If the maximum is
    positive, the first solution lies before it; otherwise the only one lies beyond.
    """
    edge = np.minimum(x.v, x.p.phi_bn0_V - x.p.phi_n_V)
    fraction = np.linspace(0.0, 1.0, _PEAK_GRID)
    values = np.stack([_relative_mismatch(edge * s, x) for s in fraction])
    best = np.clip(values.argmax(axis=0), 1, _PEAK_GRID - 2)
    left, right = edge * fraction[best - 1], edge * fraction[best + 1]
    golden = 0.5 * (np.sqrt(5.0) - 1.0)
    for _ in range(_PEAK_REFINEMENTS):
        a, b = right - golden * (right - left), left + golden * (right - left)
        lower = _relative_mismatch(a, x) < _relative_mismatch(b, x)
        left, right = np.where(lower, a, left), np.where(lower, right, b)
    peak = 0.5 * (left + right)
    # The end of the interval can beat an inner maximum: at V_s = V the circuit current is 0.
    peak = np.where(_mismatch(edge, x) > _mismatch(peak, x), edge, peak)
    before = _mismatch(peak, x) > 0.0
    return _root(x, np.where(before, 0.0, edge), np.where(before, peak, x.v))


def _relative_mismatch(v_s: Floats, x: _Point) -> Floats:
    """The mismatch over the largest current the circuit could carry, so that one maximum is resolved everywhere."""
    return _mismatch(v_s, x) / (x.v / (x.r_disc + x.r_plug))
