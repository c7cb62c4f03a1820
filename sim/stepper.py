"""Advances many devices under one pulse voltage: the compiled kernel and its bit-identical NumPy twin.

Both take the same `Population` and produce the same bits; the twin exists to be read and to test the kernel.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from sim import counter_rng
from sim.jobs import default_jobs as default_jobs
from sim.kernel._jart_kernel import ffi, lib
from sim.noise import NoisePreset, Walk
from sim.rate_table import CELL_SHIFT, RateTable, ReadTable, cell_of
from sim.units import Floats, Ints

DT_S = 1e-8
"""Euler step and time resolution of every pulse (Yu et al. 2022)."""
_DEVICES_AT_ONCE = 2000  # a thread's share between two chances to stop


@dataclass
class Population:
    """State of n devices, arrays (n,): concentration, filament, window bounds, and the devices' own centres.

    `step` counts the steps a device has lived through and `device` names its random stream: together they
    make its noise a pure function of the seed.
    """

    n_1e26: Floats
    r_m: Floats
    l_m: Floats
    low_1e26: Floats
    high_1e26: Floats
    r_dev_m: Floats
    l_dev_m: Floats
    low_dev_1e26: Floats
    high_dev_1e26: Floats
    step: Ints
    device: counter_rng.Words

    def __len__(self) -> int:
        return len(self.n_1e26)

    def take(self, index: Ints) -> Population:
        """Copy of the devices at `index`."""
        return Population(*(np.ascontiguousarray(getattr(self, f.name)[index]) for f in fields(self)))

    def put(self, index: Ints, part: Population) -> None:
        """Write the changed state of `part` back to `index`."""
        for name in ("n_1e26", "r_m", "l_m", "low_1e26", "high_1e26", "step"):
            getattr(self, name)[index] = getattr(part, name)


@dataclass(frozen=True)
class Advance:
    """What `advance` did: steps taken and the concentration one step before the last, arrays (n,)."""

    steps: Ints
    n_before_1e26: Floats


@dataclass(frozen=True)
class Trace:
    """Concentration after every step, device i in `n_1e26[offset[i]:offset[i] + n_steps[i]]`."""

    offset: Ints
    n_1e26: Floats

    @classmethod
    def for_steps(cls, n_steps: Ints) -> Trace:
        """Room for a full trace of each device."""
        offset = np.zeros(len(n_steps), dtype=np.int64)
        np.cumsum(n_steps[:-1], out=offset[1:])
        return cls(offset=offset, n_1e26=np.empty(int(n_steps.sum())))


def advance(
    table: RateTable,
    noise: NoisePreset,
    seed: int,
    devices: Population,
    n_steps: Ints,
    *,
    n_stop_1e26: Floats | None = None,
    trace: Trace | None = None,
    jobs: int | None = None,
) -> Advance:
    """Advance device i by up to `n_steps[i]` steps of 10 ns, in place, with the compiled kernel.

    Args:
        table: the pulse voltage's rates; must cover every concentration the window bounds allow.
        n_stop_1e26: stop device i after the step that reaches this concentration (from below in SET).
        trace: filled with the concentration after each step.
        jobs: worker threads; the result does not depend on it.
    """
    result = Advance(steps=np.zeros(len(devices), dtype=np.int64), n_before_1e26=devices.n_1e26.copy())
    jobs = jobs or default_jobs()
    # Longest first, dealt out in turn: no thread and no vector lane is left with one long pulse at the end.
    order = np.argsort(-n_steps, kind="stable")

    def work(part: Ints) -> None:
        chosen = devices.take(part)
        n_stop = None if n_stop_1e26 is None else n_stop_1e26[part]
        chosen_trace = None if trace is None else Trace(trace.offset[part], trace.n_1e26)
        done = _run_kernel(table, noise, seed, chosen, n_steps[part], n_stop, chosen_trace)
        devices.put(part, chosen)
        result.steps[part] = done.steps
        result.n_before_1e26[part] = done.n_before_1e26

    # Ctrl-C waits for the parts at work: they are small.
    n_parts = min(jobs * -(-len(order) // (jobs * _DEVICES_AT_ONCE)), len(order))
    parts = [order[j::n_parts] for j in range(n_parts)]
    if jobs == 1 or n_parts == 1:
        for part in parts:
            work(part)
    else:
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(work, parts))
    return result


def cadence_steps(noise: NoisePreset) -> int:
    """Steps between two draws of the walks; 0 when there is no noise."""
    return 0 if noise.is_silent else max(1, round(noise.cadence_s / DT_S))


def _run_kernel(
    table: RateTable,
    noise: NoisePreset,
    seed: int,
    devices: Population,
    n_steps: Ints,
    n_stop: Floats | None,
    trace: Trace | None,
) -> Advance:
    kept: list[Any] = []  # cffi structs do not keep what they point to alive

    def pointer(ctype: str, array: np.ndarray[Any, Any] | None) -> Any:
        if array is None:
            return ffi.NULL
        kept.append(ffi.from_buffer(ctype, array))
        return kept[-1]

    p = table.params
    c_table = ffi.new(
        "jart_table *",
        dict(
            heat_field=pointer("double[]", table.heat_field),
            first_cell=table.first_cell,
            cells=len(table.heat_field),
            t0_K=p.t0_K,
            dw_over_k_K=p.dw_a_eV / p.k_over_e_V_K,
            half_attempt_m_s=0.5 * p.a_m * p.nu0_Hz,
            n_plug=p.n_plug_1e26,
            n_max=p.n_max_1e26,
            n_min=p.n_min_1e26,
            r0_m=p.r0_m,
            dt_s=DT_S,
            is_set=int(table.is_set),
        ),
    )
    c_walk = ffi.new(
        "jart_walk *",
        [seed, cadence_steps(noise)]
        + [
            x
            for w in (noise.radius, noise.length, noise.window_low, noise.window_high)
            for x in (w.step, w.bound)
        ],
    )
    c_devices = ffi.new(
        "jart_devices *",
        [pointer("double[]", getattr(devices, f.name)) for f in fields(devices)[:9]]
        + [pointer("int64_t[]", devices.step), pointer("uint32_t[]", devices.device)],
    )
    done = Advance(steps=np.zeros(len(devices), dtype=np.int64), n_before_1e26=devices.n_1e26.copy())
    lib.jart_run(
        c_table,
        c_walk,
        c_devices,
        len(devices),
        pointer("int64_t[]", n_steps),
        pointer("double[]", n_stop),
        pointer("double[]", done.n_before_1e26),
        pointer("int64_t[]", done.steps),
        pointer("int64_t[]", None if trace is None else trace.offset),
        pointer("double[]", None if trace is None else trace.n_1e26),
    )
    return done


def conductances(table: ReadTable, n_1e26: Floats) -> Floats:
    """Read conductance [S] of each concentration through the compiled table look-up (releases the GIL)."""
    out = np.empty_like(n_1e26)
    lib.jart_lookup(
        ffi.from_buffer("double[]", table.cubics),
        table.first_cell,
        n_1e26.size,
        ffi.from_buffer("double[]", n_1e26),
        ffi.from_buffer("double[]", out),
    )
    return out


def knots(y: Floats, tolerance: float) -> counter_rng.Words:
    """Sample numbers between which linear interpolation stays within `tolerance` of every sample."""
    out = np.empty(len(y), dtype=np.uint32)
    count = lib.jart_knots(
        ffi.from_buffer("double[]", y), len(y), tolerance, ffi.from_buffer("uint32_t[]", out)
    )
    return out[:count]


# ---------------------------------------------------------------------------------------------------------
# The NumPy twin: the same operations in the same order on whole arrays.


def advance_in_numpy(
    table: RateTable,
    noise: NoisePreset,
    seed: int,
    devices: Population,
    n_steps: Ints,
    *,
    n_stop_1e26: Floats | None = None,
    trace: Trace | None = None,
) -> Advance:
    """The kernel's twin: same arguments, same bits, some hundred times slower."""
    result = Advance(steps=np.zeros(len(devices), dtype=np.int64), n_before_1e26=devices.n_1e26.copy())
    cadence = cadence_steps(noise)
    active = np.flatnonzero(n_steps > 0)
    while active.size:
        d = devices.take(active)
        result.n_before_1e26[active] = d.n_1e26
        d.n_1e26 = d.n_1e26 - DT_S * _rate(table, d)
        d.step += 1
        if cadence:
            _walk(noise, seed, d, d.step % cadence == 0)
        d.n_1e26 = _clamped(d.n_1e26, d.low_1e26, d.high_1e26)
        devices.put(active, d)
        if trace is not None:
            trace.n_1e26[trace.offset[active] + result.steps[active]] = d.n_1e26
        result.steps[active] += 1
        running = result.steps[active] < n_steps[active]
        if n_stop_1e26 is not None:
            stop = n_stop_1e26[active]
            running &= (d.n_1e26 < stop) if table.is_set else (d.n_1e26 > stop)
        active = active[running]
    return result


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


def _walk(noise: NoisePreset, seed: int, d: Population, due: np.ndarray[Any, Any]) -> None:
    drawn = counter_rng.words(seed, counter_rng.Purpose.WALK, d.device, d.step)
    walks: tuple[tuple[str, Walk, Floats], ...] = (
        ("r_m", noise.radius, d.r_dev_m),
        ("l_m", noise.length, d.l_dev_m),
        ("low_1e26", noise.window_low, d.low_dev_1e26),
        ("high_1e26", noise.window_high, d.high_dev_1e26),
    )
    for (name, walk, centre), word in zip(walks, drawn, strict=True):
        x = getattr(d, name)
        moved = x * (1.0 + walk.step * counter_rng.symmetric_uniform(word))
        moved = _clamped(moved, centre * (1.0 - walk.bound), centre * (1.0 + walk.bound))
        setattr(d, name, np.where(due, moved, x))


def _clamped(x: Floats, low: Floats, high: Floats) -> Floats:
    raised = np.where(x < low, low, x)
    return np.where(raised > high, high, raised)


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
