"""Full-physics JART VCM v1b: junction, disc, plug and series resistance solved as one circuit, compiled.

C. Bengel et al., IEEE TCAS-I 2020, 10.1109/TCSI.2020.3018502 (model and parameters as in the authors' Verilog-A
release). `sim.jart_full_reference` is the same solve in NumPy, to be read and to test this one; it states the physics.

Where the circuit has several solutions (V > 0 only) the one with the smallest |V_s| is taken, which a sweep from
0 V reaches and circuit simulators follow.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from sim import jart
from sim.errors import UserError
from sim.jobs import default_jobs
from sim.kernel._jart_kernel import ffi, lib
from sim.params import JartFullParams
from sim.physical_range import require_physical
from sim.units import Floats

NAME = "jart-v1b"
DESCRIPTION = "JART VCM v1b, full physics: self-consistent junction, temperature and current (Bengel 2020)"
N_LOWEST_1E26 = 0.008
V_READ_V = 0.2

_BLOCK_POINTS = 4096  # handed to a thread at a time; the result does not depend on it


@dataclass(frozen=True)
class Circuit:
    """One operating point of the static circuit; arrays of the broadcast shape of the inputs."""

    i_A: Floats
    v_schottky_V: Floats
    t_K: Floats
    r_disc_Ohm: Floats
    r_plug_Ohm: Floats
    r_series_Ohm: Floats


def solve(
    v_V: npt.ArrayLike,
    r_m: npt.ArrayLike,
    l_m: npt.ArrayLike,
    n_1e26: npt.ArrayLike,
    p: JartFullParams | None = None,
    jobs: int | None = None,
) -> Circuit:
    """Operating point of the static circuit at every point of the broadcast inputs.

    Within 1e-9 of `sim.jart_full_reference`. Voltages below 1e-20 V count as 0.

    Args:
        jobs: worker threads; the result is the same bits for any number, order and grouping of the points.

    Raises:
        UserError: a value is not finite or outside the model's range; the message names it.
    """
    inputs = checked(v_V, r_m, l_m, n_1e26)
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs = {jobs} must be at least 1")
    whole = np.empty((len(fields(Circuit)), *inputs[0].shape))  # one piece: the system hands out larger pages
    solved = Circuit(*(whole[k, ...] for k in range(len(whole))))
    solve_into(solved, inputs, p or JartFullParams(), jobs or default_jobs())
    return solved


def checked(*inputs: npt.ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """V, r, l, N as contiguous arrays of one shape, refused where the model means nothing."""
    v, r, l, n = (
        np.require(x, np.float64, "C")
        for x in np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in inputs))
    )
    require_physical(NAME, v, r, l, n, N_LOWEST_1E26)
    return v, r, l, n


def solve_into(solved: Circuit, inputs: tuple[Floats, ...], p: JartFullParams, jobs: int) -> int:
    """Fill `solved`; returns how many points needed the scan instead of the fast path."""
    buffers: list[Any] = [ffi.from_buffer("double[]", x) for x in inputs]
    results: list[Any] = [ffi.from_buffer("double[]", getattr(solved, f.name)) for f in fields(Circuit)]
    model = ffi.new("full_model *", _combined(p))
    c_points, c_circuit = ffi.new("full_points *", buffers), ffi.new("full_circuit *", results)
    count = inputs[0].size

    def block(first: int) -> int:
        return int(lib.full_solve(model, c_points, c_circuit, first, min(_BLOCK_POINTS, count - first)))

    starts = range(0, count, _BLOCK_POINTS)
    if jobs == 1 or len(starts) <= 1:
        return sum(map(block, starts))
    with ThreadPoolExecutor(min(jobs, len(starts))) as pool:
        return sum(pool.map(block, starts))


def _combined(p: JartFullParams) -> dict[str, float]:
    """Parameters in the combinations of the compiled `full_model`, at N = 1e26 m^-3 where they depend on N."""
    donors_m3 = p.z * 1e26
    permittivity = p.eps_phi_b * p.eps0_F_m
    return dict(
        t0_K=p.t0_K,
        k_V_K=p.k_over_e_V_K,
        barrier_V=p.phi_bn0_V,
        edge_V=p.phi_bn0_V - p.phi_n_V,
        lowering4_V3=p.e_C**3 * donors_m3 / (8.0 * np.pi**2 * permittivity**3),
        w00_V=p.h_Js / (4.0 * np.pi) * np.sqrt(donors_m3 / (p.m_eff_kg * p.eps_static * p.eps0_F_m)),
        richardson_A_m2K2=p.richardson_A_m2K2,
        mobility_A_m_V=1e26 * p.z * p.e_C * p.mu_n_m2_Vs,
        l_cell_m=p.l_cell_m,
        n_plug=p.n_plug_1e26,
        r_series_Ohm=p.r_tiox_Ohm + p.r0_series_Ohm,
        heating_Ohm_A2=p.r0_series_Ohm**2 * p.alpha_line_1_K * p.r_th_line_K_W,
        r_th_set_K_W=p.r_th0_K_W,
        r_th_reset_K_W=p.r_th0_K_W * p.reset_r_th_scale,
        area0_m2=p.area0_m2,
    )


def rates(
    v_V: npt.ArrayLike,
    r_m: npt.ArrayLike,
    l_m: npt.ArrayLike,
    n_1e26: npt.ArrayLike,
    p: JartFullParams | None = None,
    jobs: int | None = None,
) -> tuple[Floats, jart.Hopping]:
    """Current [A] and state rate at every point of the broadcast inputs, solved directly (no table)."""
    p = p or JartFullParams()
    v, r, l, n = checked(v_V, r_m, l_m, n_1e26)
    i = solve(v, r, l, n, p, jobs).i_A
    return i, jart.hopping(v, i, r, l, n, p)


def read_conductance(
    r_m: npt.ArrayLike, l_m: npt.ArrayLike, n_1e26: npt.ArrayLike, p: JartFullParams | None = None
) -> Floats:
    """Conductance I(V_read)/V_read [S] at the read voltage of 0.2 V."""
    return solve(V_READ_V, r_m, l_m, n_1e26, p).i_A / V_READ_V
