"""`python -m sim bench`: time per 10 ns device-step or circuit solution, by model, noise and threads.

The NumPy twin's figure comes from the same run on the same kind of work. Every figure is the fastest of several
repetitions: what the code can do; other work on the machine only adds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import click
import numpy as np

from sim import jart_full, jart_full_reference
from sim.device import DeviceArray
from sim.jobs import default_jobs
from sim.models import MODELS, DeviceModel
from sim.noise import load_preset
from sim.units import NM, Floats

DEVICES = 10_000
STEPS = 1_000
TWIN_STEPS = 20
POINTS = 100_000
NUMPY_POINTS = 2_000
REPETITIONS = 5


@dataclass(frozen=True)
class Speed:
    """One figure. `noise` is None where the work has none; `numpy_ns` is the NumPy twin on one thread."""

    model: str
    work: str
    noise: str | None
    threads: int
    ns: float
    numpy_ns: float


def step_speeds(threads: Sequence[int]) -> list[Speed]:
    """Time per device-step of every model: both directions, noise off and on."""
    found = []
    for model in MODELS.values():
        for direction, v_V in (("SET", model.v_set_V), ("RESET", model.v_reset_V)):
            for preset in ("none", "ouroboros"):
                numpy_ns = _fastest_ns(_twin, model, v_V, preset, 1) / (DEVICES * TWIN_STEPS)
                for jobs in threads:
                    ns = _fastest_ns(_kernel, model, v_V, preset, jobs) / (DEVICES * STEPS)
                    found.append(Speed(model.name, f"step, {direction}", preset, jobs, ns, numpy_ns))
    return found


def solve_speeds(threads: Sequence[int]) -> list[Speed]:
    """Time per direct solution of the full model's circuit, input checks included."""
    found = []
    for direction, low_V, high_V in (("SET", -2.0, 0.0), ("RESET", 0.0, 2.0)):
        many, few = _points(low_V, high_V, POINTS), _points(low_V, high_V, NUMPY_POINTS)
        numpy_ns = _fastest(lambda x=few: jart_full_reference.solve(*x), 2) / NUMPY_POINTS  # type: ignore[misc]
        for jobs in threads:
            ns = _fastest(lambda x=many, n=jobs: jart_full.solve(*x, jobs=n)) / POINTS  # type: ignore[misc]
            found.append(Speed(jart_full.NAME, f"solve, {direction}", None, jobs, ns, numpy_ns))
    return found


def _kernel(devices: DeviceArray, v_V: float, jobs: int) -> None:
    devices.jobs = jobs
    devices.advance(v_V, np.full(DEVICES, STEPS))


def _twin(devices: DeviceArray, v_V: float, jobs: int) -> None:
    steps = np.full(DEVICES, TWIN_STEPS)
    devices.stepper(v_V).run_in_numpy(devices.population, steps, None, None)


def _fastest_ns(
    run: Callable[[DeviceArray, float, int], None], model: DeviceModel, v_V: float, preset: str, jobs: int
) -> float:
    """Fastest time [ns] of one run over fresh devices spread over the window."""
    best = float("inf")
    g_low_S, g_high_S = model.conductances([model.window.n_low_1e26, model.window.n_high_1e26])
    for _ in range(REPETITIONS):
        devices = DeviceArray(
            DEVICES,
            load_preset(preset),
            1,
            np.linspace(1.02 * g_low_S, 0.98 * g_high_S, DEVICES),
            model=model,
        )
        devices.stepper(v_V)  # tabulated before the clock runs
        best = min(best, _fastest(lambda d=devices: run(d, v_V, jobs), 1))  # type: ignore[misc]
    return best


def _fastest(run: Callable[[], object], repetitions: int = REPETITIONS) -> float:
    best = float("inf")
    for _ in range(repetitions):
        begin = time.perf_counter_ns()
        run()
        best = min(best, time.perf_counter_ns() - begin)
    return best


def _points(v_low_V: float, v_high_V: float, count: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Random points over the devices' spread: voltage uniform, concentration log-uniform over the whole range."""
    rng = np.random.default_rng(1)
    return (
        rng.uniform(v_low_V, v_high_V, count),
        rng.uniform(40.0, 50.0, count) * NM,
        rng.uniform(0.3, 0.5, count) * NM,
        np.exp(rng.uniform(np.log(0.008), np.log(20.0), count)),
    )


@click.command(name="bench")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench(as_json: bool) -> None:
    """Time per device-step and per circuit solution, in ns, by model, noise and threads, NumPy beside it."""
    threads = sorted({1, default_jobs()})
    found = [*step_speeds(threads), *solve_speeds(threads)]
    if as_json:
        click.echo(json.dumps([asdict(speed) for speed in found], indent=2))
        return
    click.echo(
        f"ns, fastest of {REPETITIONS}: {DEVICES} devices x {STEPS} steps of 10 ns, {POINTS} circuit solutions"
    )
    click.echo(f"{'model':10}{'work':14}{'noise':11}{'threads':>8}{'ns':>8}{'NumPy':>8}{'NumPy/this':>12}")
    for s in found:
        name = f"{s.model:10}{s.work:14}{s.noise or '-':11}"
        click.echo(f"{name}{s.threads:8}{s.ns:8.1f}{s.numpy_ns:8.0f}{s.numpy_ns / s.ns:12.0f}")
