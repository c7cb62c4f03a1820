"""`python -m sim record`: recordings as a lab would make them, of simulated devices."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from sim import jart_fit
from sim.command_line import jobs_option, model_option
from sim.counter_rng import SEED_HIGHEST
from sim.device import DeviceArray
from sim.models import load_model
from sim.noise import load_preset
from sim.params import require_in_range
from sim.population import DT_S
from sim.recordings import write_recordings
from sim.units import Floats

MOST_PULSES = 1000
SHORTER, LONGER = 0.1, 1.25  # than the pulse before, at most
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)


@click.command()
@model_option(jart_fit.NAME)
@click.option("--noise", default="ouroboros", show_default=True, help="Noise preset or a .toml file.")
@click.option(
    "--read-noise", default=0.005, show_default=True, help="Standard deviation of readings, relative."
)
@click.option(
    "--runs", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Per direction."
)
@click.option("--seed", type=click.IntRange(0, SEED_HIGHEST), default=1, show_default=True)
@click.option("--first", "first_s", default=1e-7, show_default=True, help="Width of the first pulse, s.")
@click.option("--longest", "longest_s", default=1e-2, show_default=True, help="All pulses of a run, s.")
@click.option(
    "--move",
    default=0.02,
    show_default=True,
    help="Share of the window that a pulse should move a device by.",
)
@jobs_option
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
def record(
    model: str,
    noise: str,
    read_noise: float,
    runs: int,
    seed: int,
    first_s: float,
    longest_s: float,
    move: float,
    jobs: int | None,
    output: Path,
) -> None:
    """Runs of pulses on simulated devices, as a lab records them: a CSV file `run,v_V,t_s,g_S`.

    Every run is a device of its own; their starts are spread evenly over the window. A pulse is up to a quarter longer
    than the one before when that moved the device too little, down to a tenth of it when it moved it too far. A run
    ends beyond the window's other end, after all of its time, or after 1,000 pulses.
    """
    require_in_range("--first", first_s, DT_S / 2, longest_s, "s")
    require_in_range("--longest", longest_s, DT_S / 2, 1.0, "s")
    require_in_range("--move", move, 1e-4, 0.5, "")
    require_in_range("--read-noise", read_noise, -1e-9, 0.5, "")
    physics = load_model(model)
    preset = load_preset(noise).model_copy(update={"read_sigma_rel": read_noise})
    ends_S = physics.conductances([physics.window.n_low_1e26, physics.window.n_high_1e26])
    voltages, t_s, g_S = [], [], []
    for row, (v_V, end_S) in enumerate(((physics.v_set_V, ends_S[1]), (physics.v_reset_V, ends_S[0]))):
        share = ((np.arange(runs) + row * 0.5) * _GOLDEN + seed * _GOLDEN**2) % 1.0  # even, however many runs
        g_start_S = ends_S[0] + (ends_S[1] - ends_S[0]) * share
        devices = DeviceArray(
            runs, preset, seed, g_start_S, model=physics, first_device=row * runs, jobs=jobs
        )
        wanted_S = move * float(ends_S[1] - ends_S[0])
        times, readings = _runs(devices, v_V, float(end_S), wanted_S, first_s, longest_s)
        voltages += [v_V] * runs
        t_s += times
        g_S += readings
    write_recordings(output, voltages, t_s, g_S)
    click.echo(f"{output}: {runs} runs of SET and of RESET, {sum(map(len, t_s)):,} readings")


def _runs(
    devices: DeviceArray, v_V: float, end_S: float, wanted_S: float, first_s: float, longest_s: float
) -> tuple[list[Floats], list[Floats]]:
    """Times under pulses and readings of each device, until it is beyond `end_S`."""
    n, side = len(devices), 1 if v_V < 0 else -1
    longest = round(longest_s / DT_S)
    width = np.full(n, max(1, round(first_s / DT_S)))
    lived, g_S = np.zeros(n, dtype=np.int64), devices.read()
    steps, readings = [lived], [g_S]
    for number in range(MOST_PULSES):
        under_way = ((g_S - end_S) * side < 0) & (lived < longest) if number else np.full(n, True)
        if not under_way.any():
            break
        given = np.where(under_way, np.minimum(width, longest - lived), 0)
        devices.advance(v_V, given)
        before, g_S = g_S, np.where(under_way, devices.read(), g_S)
        factor = np.clip(wanted_S / np.maximum(np.abs(g_S - before), 1e-15), SHORTER, LONGER)
        width = np.clip(np.rint(width * factor), 1, longest).astype(np.int64)
        lived = lived + given
        steps.append(lived)
        readings.append(g_S)
    all_steps, all_g_S = np.stack(steps, axis=1), np.stack(readings, axis=1)
    found_t, found_g = [], []
    for own_steps, own_g_S in zip(all_steps, all_g_S, strict=True):
        kept = np.concatenate([[True], np.diff(own_steps) > 0])
        found_t.append(own_steps[kept] * DT_S)
        found_g.append(own_g_S[kept])
    return found_t, found_g
