"""Time per 10 ns device-step: compiled kernel by noise and threads, and its NumPy twin on the same work.

Run with `make bench`. Each figure is the fastest of several repetitions; the twin's ratio comes from the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from sim import jart_fit, stepper
from sim.device import DeviceArray
from sim.noise import load_preset

DEVICES = 10_000
STEPS = 1_000
TWIN_STEPS = 20
REPETITIONS = 3


def fastest_ns_per_step(run: Callable[[DeviceArray], object], preset: str, steps: int) -> float:
    """Fastest time per device-step [ns] over fresh devices spread over the window."""
    best = float("inf")
    for _ in range(REPETITIONS):
        devices = DeviceArray(DEVICES, load_preset(preset), 1, np.linspace(96e-6, 555e-6, DEVICES))
        begin = time.perf_counter()
        run(devices)
        best = min(best, time.perf_counter() - begin)
    return best / (DEVICES * steps) * 1e9


def kernel(v_V: float, jobs: int) -> Callable[[DeviceArray], object]:
    """The compiled kernel at one voltage on `jobs` threads."""

    def run(devices: DeviceArray) -> None:
        devices.jobs = jobs
        devices.advance(v_V, np.full(DEVICES, STEPS))

    return run


def twin(v_V: float) -> Callable[[DeviceArray], object]:
    """The NumPy twin at one voltage."""

    def run(devices: DeviceArray) -> None:
        stepper.advance_in_numpy(
            devices.rate_table(v_V),
            devices.noise,
            devices.seed,
            devices.population,
            np.full(DEVICES, TWIN_STEPS),
        )

    return run


def main() -> None:
    """Print the table."""
    all_jobs = stepper.default_jobs()
    print(f"ns per device-step, {DEVICES} devices, fastest of {REPETITIONS}; {all_jobs} cores here")
    print(
        f"{'pulse':8}{'noise':12}{'1 thread':>10}{f'{all_jobs} threads':>12}{'NumPy twin':>12}{'twin/kernel':>13}"
    )
    for name, v_V in (("SET", jart_fit.V_SET_V), ("RESET", jart_fit.V_RESET_V)):
        for preset in ("none", "ouroboros"):
            one = fastest_ns_per_step(kernel(v_V, 1), preset, STEPS)
            many = fastest_ns_per_step(kernel(v_V, all_jobs), preset, STEPS)
            numpy_ns = fastest_ns_per_step(twin(v_V), preset, TWIN_STEPS)
            print(f"{name:8}{preset:12}{one:10.1f}{many:12.1f}{numpy_ns:12.0f}{numpy_ns / one:13.0f}")


if __name__ == "__main__":
    main()
