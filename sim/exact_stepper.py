"""Noise-free simplified model: exact rates, the compiled kernel and its bit-identical NumPy twin.

Reference trajectories are met to their nine digits; noisy devices of every model are `sim.surface_stepper`'s. The twin
exists to be read and to test the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.kernel._jart_kernel import ffi, lib
from sim.kernel_call import Pointers, new_advance
from sim.population import DT_S, Advance, Population, Trace
from sim.rate_table import CELL_SHIFT, RateTable, cell_of
from sim.units import Floats, Ints


@dataclass(frozen=True)
class ExactStepper:
    """Steps devices whose geometry and window stand still; `table` holds the pulse voltage's current."""

    table: RateTable

    @property
    def grows(self) -> bool:
        """True where N grows (SET)."""
        return self.table.is_set

    def run(
        self, devices: Population, n_steps: Ints, n_stop_1e26: Floats | None, trace: Trace | None
    ) -> Advance:
        """Advance `devices` in place with the compiled kernel."""
        pointer = Pointers()
        p = self.table.params
        c_table = ffi.new(
            "jart_table *",
            dict(
                heat_field=pointer("double[]", self.table.heat_field),
                first_cell=self.table.first_cell,
                cells=len(self.table.heat_field),
                t0_K=p.t0_K,
                dw_over_k_K=p.dw_a_eV / p.k_over_e_V_K,
                half_attempt_m_s=0.5 * p.a_m * p.nu0_Hz,
                n_plug=p.n_plug_1e26,
                n_max=p.n_max_1e26,
                n_min=p.n_min_1e26,
                r0_m=p.r0_m,
                dt_s=DT_S,
                is_set=int(self.table.is_set),
            ),
        )
        state = ("n_1e26", "r_m", "l_m", "low_1e26", "high_1e26")
        c_devices = ffi.new("jart_devices *", [pointer("double[]", getattr(devices, name)) for name in state])
        done = new_advance(devices)
        lib.jart_run(c_table, c_devices, *pointer.run_arguments(devices, n_steps, n_stop_1e26, done, trace))
        devices.step += done.steps
        return done

    def run_in_numpy(
        self, devices: Population, n_steps: Ints, n_stop_1e26: Floats | None, trace: Trace | None
    ) -> Advance:
        """The kernel's twin: same arguments, same bits, some hundred times slower."""
        done = new_advance(devices)
        active = np.flatnonzero(n_steps > 0)
        while active.size:
            d = devices.take(active)
            done.n_before_1e26[active] = d.n_1e26
            n = d.n_1e26 - DT_S * _rate(self.table, d)
            n = np.where(n < d.low_1e26, d.low_1e26, n)
            d.n_1e26 = np.where(n > d.high_1e26, d.high_1e26, n)
            d.step += 1
            devices.put(active, d)
            if trace is not None:
                trace.n_1e26[trace.offset[active] + done.steps[active]] = d.n_1e26
            done.steps[active] += 1
            running = done.steps[active] < n_steps[active]
            if n_stop_1e26 is not None:
                stop = n_stop_1e26[active]
                running &= (d.n_1e26 < stop) if self.grows else (d.n_1e26 > stop)
            active = active[running]
        return done


def _rate(table: RateTable, d: Population) -> Floats:
    p = table.params
    n = d.n_1e26
    c = table.heat_field[cell_of(n) - table.first_cell]
    x = _offset_in_cell(n)
    heat = ((c[:, 3, 0] * x + c[:, 2, 0]) * x + c[:, 1, 0]) * x + c[:, 0, 0]
    field = ((c[:, 3, 1] * x + c[:, 2, 1]) * x + c[:, 1, 1]) * x + c[:, 0, 1]
    ratio = p.r0_m / d.r_m
    shrink = ratio * ratio
    gamma = field * (shrink if table.is_set else 1.0)
    slope = (p.dw_a_eV / p.k_over_e_V_K) / (p.t0_K + heat * shrink)
    barrier = _barrier(gamma)
    tilt = gamma * 1.5707963267948966
    hop = _exp(-slope * (barrier - tilt)) - _exp(-slope * (barrier + tilt))
    f = n / p.n_max_1e26 if table.is_set else p.n_min_1e26 / n
    f2 = f * f
    f4 = f2 * f2
    limit = 1.0 - f4 * f4 * f2
    return np.asarray((0.5 * p.a_m * p.nu0_Hz) * (p.n_plug_1e26 + n) * limit / d.l_m * hop)


def _offset_in_cell(n: Floats) -> Floats:
    mask = np.uint64((1 << CELL_SHIFT) - 1)
    return np.asarray(((n.view(np.uint64) & mask) | np.uint64(0x3FF0000000000000)).view(np.float64) - 1.0)


def _barrier(gamma: Floats) -> Floats:
    q = gamma * gamma
    p = np.full_like(q, 0.0006417667164522059)
    for c in (
        0.000872802734375, 0.001239483173076923, 0.001864346590909091, 0.0030381944444444445,
        0.005580357142857143, 0.0125, 0.041666666666666664, 0.5,
    ):  # fmt: skip
        p = p * q + c
    return p * q + 1.0


def _exp(x: Floats) -> Floats:
    x = np.where(x < -700.0, -700.0, x)
    x = np.where(x > 700.0, 700.0, x)
    shift = 6755399441055744.0
    shifted = x * 1.4426950408889634 + shift
    whole = shifted - shift
    r = (x - whole * 0.6931471803691238) - whole * 1.9082149292705877e-10
    p = np.full_like(r, 1.6059043836821613e-10)
    for c in (
        2.08767569878681e-09, 2.505210838544172e-08, 2.755731922398589e-07, 2.7557319223985893e-06,
        2.48015873015873e-05, 1.984126984126984e-04, 1.3888888888888889e-03, 8.333333333333333e-03,
        4.1666666666666664e-02, 1.6666666666666666e-01, 0.5, 1.0, 1.0,
    ):  # fmt: skip
        p = p * r + c
    scale = ((shifted.view(np.uint64) + np.uint64(1023)) << np.uint64(52)).view(np.float64)
    return np.asarray(p * scale)
