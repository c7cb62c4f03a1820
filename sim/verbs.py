"""The verbs of `python -m sim`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from sim import dataset, dataset_generation, jart_fit, tables
from sim.campaign_verbs import campaign
from sim.command_line import jobs_option, model_option, progress_bar
from sim.comparison import compare_verb
from sim.device import WIDTH_HIGHEST_S, DeviceArray, whole_steps
from sim.errors import UserError
from sim.models import MODELS, DeviceModel, concentration, load_model
from sim.noise import load_preset, preset_names
from sim.params import require_in_range
from sim.population import DT_S
from sim.recording_verb import record
from sim.speed import bench
from sim.sweep import sweep
from sim.switching import switching
from sim.trajectory import respond
from sim.units import NM
from sim.waveform import Waveform

noise_option = click.option(
    "--noise", default="ouroboros", show_default=True, help="Noise preset (see 'presets') or a .toml file."
)
cadence_option = click.option("--cadence", "cadence_s", type=float, help="Noise cadence in s [the preset's].")
seed_option = click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
output_option = click.option("-o", "--output", type=click.Path(path_type=Path), required=True)


@click.group()
def main() -> None:
    """Memristor physics: state rates, pulses on noisy devices, the training data set."""


@main.command()
def models() -> None:
    """List the device models."""
    for name, known in sorted(MODELS.items()):
        click.echo(f"{name:12} {known.description}")


@main.command()
def presets() -> None:
    """List the noise presets with their sources."""
    for name in preset_names():
        preset = load_preset(name)
        click.echo(f"{name:18} walks {preset.cadence}: {preset.source}")


@main.command()
@click.argument("points", type=click.Path(path_type=Path))
@model_option(jart_fit.NAME)
@output_option
def rates(points: Path, model: str, output: Path) -> None:
    """Current and state rate at the POINTS of a CSV file with columns V,r_nm,l_nm,N (V, nm, nm, 1e26 m^-3).

    Writes the same columns plus I,T,dNdt,G_read (A, K, 1e26 m^-3 s^-1, S).
    """
    columns = tables.read_csv(points, ("V", "r_nm", "l_nm", "N"))
    v, r, l, n = (columns[name] for name in ("V", "r_nm", "l_nm", "N"))
    chosen = load_model(model)
    i, state = chosen.rates(v, r * NM, l * NM, n)
    g = chosen.read_conductance(r * NM, l * NM, n)
    results = {**columns, "I": i, "T": state.t_K, "dNdt": state.dn_dt_1e26_s, "G_read": g}
    tables.write_csv(output, results)


@main.command()
@model_option(jart_fit.NAME)
@click.option("--voltage", "v_V", type=float, required=True, help="Pulse voltage in V; < 0 SET, > 0 RESET.")
@click.option("--width", "width_s", type=float, required=True, help="Pulse width in s.")
@click.option("--g-start", "g_start_S", type=float, required=True, help="Start conductance in S.")
@click.option("--noise", default="none", show_default=True, help="Noise preset or a .toml file.")
@cadence_option
@seed_option
@click.option("--devices", type=click.IntRange(min=1, max=100_000), default=1, show_default=True)
@click.option(
    "--points", type=click.IntRange(min=1), default=1000, show_default=True, help="Most rows a device."
)
@jobs_option
@output_option
def pulse(
    model: str,
    v_V: float,
    width_s: float,
    g_start_S: float,
    noise: str,
    cadence_s: float | None,
    seed: int,
    devices: int,
    points: int,
    jobs: int | None,
    output: Path,
) -> None:
    """Trajectories of one pulse on fresh devices: a CSV file with columns device,t,N,G (s, 1e26 m^-3, S)."""
    preset, chosen = load_preset(noise, cadence_s), load_model(model)
    if preset.is_silent and not preset.differs and chosen.name != jart_fit.NAME:
        tables.write_csv(output, _noise_free_pulse(chosen, v_V, width_s, g_start_S, devices, points))
        return
    array = DeviceArray(devices, preset, seed, g_start_S, model=chosen, jobs=jobs)
    steps = int(whole_steps(np.array([width_s]))[0])
    shown = np.unique(np.rint(np.linspace(0, steps, min(points, steps) + 1)).astype(np.int64))
    n, g_S = [array.population.n_1e26.copy()], [array.g_S]
    for _ in array.pulse_in_parts(v_V, shown[1:]):
        n.append(array.population.n_1e26.copy())
        g_S.append(array.g_S)
    tables.write_csv(
        output,
        {
            "device": np.repeat(np.arange(devices), len(shown)),
            "t": np.tile(shown * DT_S, devices),
            "N": np.stack(n, axis=1).ravel(),
            "G": np.stack(g_S, axis=1).ravel(),
        },
    )


def _noise_free_pulse(
    model: DeviceModel, v_V: float, width_s: float, g_start_S: float, devices: int, points: int
) -> dict[str, np.ndarray]:
    """Columns of `pulse` by the adaptive integrator: one trajectory, the same for every device."""
    require_in_range("pulse width", width_s, 0.0, WIDTH_HIGHEST_S, "s")
    p = model.params
    n_start = float(concentration(model, g_start_S, p.r0_m, p.l0_m)[0])
    t_s = np.linspace(0.0, width_s, points + 1)
    done = respond(model, Waveform(np.array([0.0, width_s]), np.array([v_V, v_V])), n_start, t_s)
    return {
        "device": np.repeat(np.arange(devices), len(t_s)),
        "t": np.tile(done.t_s, devices),
        "N": np.tile(done.n_1e26, devices),
        "G": np.tile(done.g_read_S, devices),
    }


@main.command(name="dataset")
@click.option("--pairs", type=click.IntRange(min=10), default=10_000, show_default=True)
@noise_option
@cadence_option
@seed_option
@click.option("--force", is_flag=True, help="Replace a data set made with other parameters.")
@jobs_option
@output_option
def dataset_verb(
    pairs: int,
    noise: str,
    cadence_s: float | None,
    seed: int,
    force: bool,
    jobs: int | None,
    output: Path,
) -> None:
    """Generate the training data set (HDF5). An interrupted run continues where it stopped."""
    params = dataset.DatasetParams(pairs=pairs, seed=seed, noise=load_preset(noise, cadence_s))
    if output.exists() and not force:
        if dataset.parameters_sha256(output) == params.sha256():
            click.echo(f"{output}: already there with these parameters")
            return
        raise UserError(f"{output} was made with other parameters; choose another name or pass --force")
    with progress_bar(pairs, "data set", "pair") as bar:
        made = dataset_generation.generate(output, params, jobs, bar.update)
    click.echo(
        f"{output}: {len(made)} pairs, {made.history_offset[-1]} history knots, {made.redrawn} pairs redrawn"
        f" (target out of reach), noise '{params.noise.name}' {params.noise.cadence}"
    )


main.add_command(sweep)
main.add_command(switching)
main.add_command(campaign)
main.add_command(bench)
main.add_command(record)
main.add_command(compare_verb)
