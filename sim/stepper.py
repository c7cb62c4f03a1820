"""Advances many devices under one pulse voltage, on all cores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from sim import counter_rng
from sim.jobs import default_jobs
from sim.kernel._jart_kernel import ffi, lib
from sim.kernel_call import new_advance
from sim.population import Advance, Population, Trace
from sim.rate_table import ReadTable
from sim.units import Floats, Ints

_DEVICES_AT_ONCE = 2048  # a thread's share between two chances to stop


class Stepper(Protocol):
    """Steps devices at one pulse voltage: `sim.exact_stepper` or `sim.surface_stepper`."""

    @property
    def grows(self) -> bool:
        """True where N grows (SET)."""
        ...

    def run(
        self, devices: Population, n_steps: Ints, n_stop_1e26: Floats | None, trace: Trace | None
    ) -> Advance:
        """Advance device i in place by up to `n_steps[i]` steps, on one thread."""
        ...

    def run_in_numpy(
        self, devices: Population, n_steps: Ints, n_stop_1e26: Floats | None, trace: Trace | None
    ) -> Advance:
        """The same bits, to be read."""
        ...


def advance(
    stepper: Stepper,
    devices: Population,
    n_steps: Ints,
    *,
    n_stop_1e26: Floats | None = None,
    trace: Trace | None = None,
    jobs: int | None = None,
) -> Advance:
    """Advance device i by up to `n_steps[i]` steps of 10 ns, in place, with the compiled kernel.

    Args:
        n_stop_1e26: stop device i after the step that reaches this concentration (from below in SET).
        trace: filled with the concentration after each step.
        jobs: worker threads; the result does not depend on it.
    """
    result = new_advance(devices)
    jobs = jobs or default_jobs()
    # Longest first, dealt out in turn: no thread and no vector lane is left with one long pulse at the end.
    order = np.argsort(-n_steps, kind="stable")

    def work(part: Ints) -> None:
        chosen = devices.take(part)
        n_stop = None if n_stop_1e26 is None else n_stop_1e26[part]
        chosen_trace = None if trace is None else Trace(trace.offset[part], trace.n_1e26)
        done = stepper.run(chosen, n_steps[part], n_stop, chosen_trace)
        devices.put_stepped(part, chosen)
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
