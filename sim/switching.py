"""`python -m sim switching`: SET and RESET curves of several noisy devices (paper, Fig. 2b)."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from sim import jart_fit
from sim.command_line import jobs_option, model_option
from sim.counter_rng import SEED_HIGHEST
from sim.device import DeviceArray, whole_steps
from sim.errors import UserError
from sim.models import load_model
from sim.noise import load_preset
from sim.output_files import whole_file
from sim.population import DT_S
from sim.units import Floats

STEPS_HIGHEST = 50_000_000
POINTS = 2000


@click.command()
@model_option(jart_fit.NAME)
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
    model: str,
    noise: str,
    devices: int,
    set_width_s: float,
    reset_width_s: float,
    seed: int,
    jobs: int | None,
    output: Path,
) -> None:
    """Draw G over time of noisy devices: SET from near G_min, RESET from near G_max, at the model's voltages."""
    preset, chosen = load_preset(noise), load_model(model)
    g_low_S, g_high_S = chosen.conductances([chosen.window.n_low_1e26, chosen.window.n_high_1e26])
    pulses = (
        ("SET", chosen.v_set_V, 1.06 * g_low_S, set_width_s),
        ("RESET", chosen.v_reset_V, 0.98 * g_high_S, reset_width_s),
    )
    curves = {
        f"{name}, {v_V:g} V": response(
            DeviceArray(devices, preset, seed, g_start_S, model=chosen, jobs=jobs), v_V, width_s
        )
        for name, v_V, g_start_S, width_s in pulses
    }
    _draw(curves, f"{devices} devices of {chosen.name}, noise '{preset.name}' {preset.cadence}", output)


def response(array: DeviceArray, v_V: float, width_s: float) -> tuple[Floats, Floats]:
    """Times (points,) in s and conductances (devices, points) in S of one pulse.

    Raises:
        UserError: the pulse has no step, or so many that drawing it takes too long.
    """
    steps = int(whole_steps(np.array([width_s]))[0])
    if not 0 < steps * len(array) <= STEPS_HIGHEST:
        raise UserError(
            f"{len(array)} devices x {steps} steps: there must be 1 .. {STEPS_HIGHEST}; change the width"
        )
    shown = np.unique(np.rint(np.geomspace(max(1, steps // 5000), steps, POINTS)).astype(np.int64))
    g_S = [array.g_S for _ in array.pulse_in_parts(v_V, shown)]
    return np.asarray(shown * DT_S, dtype=np.float64), np.stack(g_S, axis=1)


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
