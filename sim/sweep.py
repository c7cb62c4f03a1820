"""`python -m sim sweep`: the I-V curve of one device, as a table and a figure."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from sim import jart_full, tables
from sim.command_line import model_option
from sim.errors import UserError
from sim.models import concentration, load_model
from sim.output_files import whole_file
from sim.trajectory import Trajectory, respond
from sim.units import NM
from sim.waveform import triangle

N_START_1E26 = 0.06


@click.command()
@model_option(jart_full.NAME)
@click.option(
    "--peaks",
    default="-1.5,2",
    show_default=True,
    help="Voltages to sweep to from 0 V and back, in V, in turn.",
)
@click.option("--rate", "rate_V_s", type=float, default=1.0, show_default=True, help="Sweep rate in V/s.")
@click.option("--n-start", type=float, help="Start N in 1e26 m^-3  [0.06].")
@click.option("--g-start", "g_start_S", type=float, help="Start conductance in S, instead.")
@click.option("--r", "r_nm", type=float, help="Filament radius in nm  [nominal].")
@click.option("--l", "l_nm", type=float, help="Disc length in nm  [nominal].")
@click.option("--points", type=click.IntRange(2, 1_000_000), default=701, show_default=True)
@click.option("--figure", type=click.Path(path_type=Path), help="Also draw the curve as a PNG file.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
def sweep(
    model: str,
    peaks: str,
    rate_V_s: float,
    n_start: float | None,
    g_start_S: float | None,
    r_nm: float | None,
    l_nm: float | None,
    points: int,
    figure: Path | None,
    output: Path,
) -> None:
    """I-V sweep of one noise-free device: a CSV file with columns t,V,N,I,T,G_read (s, V, 1e26 m^-3, A, K, S)."""
    chosen = load_model(model)
    r_m = chosen.params.r0_m if r_nm is None else r_nm * NM
    l_m = chosen.params.l0_m if l_nm is None else l_nm * NM
    waveform = triangle(_voltages(peaks), rate_V_s)
    if g_start_S is not None and n_start is not None:
        raise UserError("give --n-start or --g-start, not both")
    if g_start_S is not None:
        n_start = float(concentration(chosen, g_start_S, r_m, l_m)[0])
    n_start = N_START_1E26 if n_start is None else n_start
    done = respond(chosen, waveform, n_start, waveform.sampled(points), r_m=r_m, l_m=l_m)
    tables.write_csv(
        output,
        {
            "t": done.t_s,
            "V": done.v_V,
            "N": done.n_1e26,
            "I": done.i_A,
            "T": done.t_K,
            "G_read": done.g_read_S,
        },
    )
    if figure is not None:
        _draw(done, f"{model}, {rate_V_s:g} V/s", figure)


def _voltages(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter("give voltages, separated by commas", param_hint="--peaks") from None


def _draw(done: Trajectory, title: str, path: Path) -> None:
    """|I| over V on a logarithmic scale, in the colour of time."""
    import matplotlib  # slow to import, and only this verb draws

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    flowing = done.i_A != 0.0
    current_A = np.where(flowing, np.abs(done.i_A), np.nan)
    axes.semilogy(done.v_V, current_A, color="0.75", linewidth=0.8)
    points = axes.scatter(done.v_V, current_A, c=done.t_s, s=5, cmap="viridis")
    figure.colorbar(points, label="time, s")
    axes.set_xlabel("voltage, V")
    axes.set_ylabel("|current|, A")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
