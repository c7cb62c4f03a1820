"""`python -m sim switching`: SET and RESET curves of several noisy devices (paper, Fig. 2b)."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from sim import jart_fit
from sim.command_line import jobs_option
from sim.counter_rng import SEED_HIGHEST
from sim.device import DeviceArray, whole_steps
from sim.errors import UserError
from sim.noise import NoisePreset, load_preset
from sim.output_files import whole_file
from sim.stepper import DT_S, Trace
from sim.units import Floats

STEPS_HIGHEST = 50_000_000
POINTS = 2000


@click.command()
@click.option("--noise", default="ouroboros", show_default=True, help="Noise preset or a .toml file.")
@click.option("--devices", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option(
    "--set-width", "set_width_s", type=float, default=5e-3, show_default=True, help="SET pulse in s."
)
@click.option(
    "--reset-width", "reset_width_s", type=float, default=5e-3, show_default=True, help="RESET pulse in s."
)
@click.option("--seed", type=click.IntRange(0, SEED_HIGHEST), default=1, show_default=True)
@jobs_option
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="PNG file.")
def switching(
    noise: str,
    devices: int,
    set_width_s: float,
    reset_width_s: float,
    seed: int,
    jobs: int | None,
    output: Path,
) -> None:
    """Draw G over time of noisy devices: SET from 100 uS, RESET from 550 uS, at the default voltages."""
    preset = load_preset(noise)
    pulses = (
        ("SET", jart_fit.V_SET_V, 100e-6, set_width_s),
        ("RESET", jart_fit.V_RESET_V, 550e-6, reset_width_s),
    )
    curves = {
        f"{name}, {v_V:g} V": _curves(preset, devices, seed, jobs, v_V, g_start_S, width_s)
        for name, v_V, g_start_S, width_s in pulses
    }
    _draw(curves, f"{devices} devices, noise '{preset.name}' every {preset.cadence_s * 1e9:g} ns", output)


def _curves(
    noise: NoisePreset,
    devices: int,
    seed: int,
    jobs: int | None,
    v_V: float,
    g_start_S: float,
    width_s: float,
) -> tuple[Floats, Floats]:
    """Times (points,) and conductances (devices, points) of one pulse on fresh devices."""
    steps = int(whole_steps(np.array([width_s]))[0])
    if not 0 < steps * devices <= STEPS_HIGHEST:
        raise UserError(
            f"{devices} devices x {steps} steps: there must be 1 .. {STEPS_HIGHEST}; change the width"
        )
    array = DeviceArray(devices, noise, seed, g_start_S, jobs=jobs)
    n_steps = np.full(devices, steps, dtype=np.int64)
    start = array.population.n_1e26.copy()
    trace = Trace.for_steps(n_steps)
    array.advance(v_V, n_steps, trace=trace)
    n = np.column_stack([start, trace.n_1e26.reshape(devices, steps)])
    shown = np.unique(np.rint(np.geomspace(max(1, steps // 5000), steps, POINTS)).astype(np.int64))
    return np.asarray(shown * DT_S, dtype=np.float64), jart_fit.read_conductance(n[:, shown])


def _draw(curves: dict[str, tuple[Floats, Floats]], title: str, path: Path) -> None:
    import matplotlib  # slow to import, and only this verb draws

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(curves), figsize=(9, 3.6), sharey=True, layout="constrained")
    for axes, (name, (t_s, g_S)) in zip(panels, curves.items(), strict=True):
        axes.semilogx(t_s * 1e6, g_S.T * 1e6, linewidth=0.8)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("time under pulse, us")
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("G, uS")
    figure.suptitle(title, fontsize=10)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
