"""`python -m train floor`: what no predictor of start and target can beat at these voltages."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from sim import jart_fit
from sim.command_line import jobs_option, model_option, progress_bar
from sim.counter_rng import SEED_HIGHEST
from sim.models import load_model
from sim.noise import load_preset
from sim.output_files import write_json
from sim.tables import write_csv
from train.device_known import KnownFloor, known_floor
from train.floor import Floor, floor_of
from train.responses import ResponseParams, recorded, total_steps

Input = click.Path(path_type=Path)
CACHE = Path("build") / "responses"


@click.command()
@model_option(jart_fit.NAME)
@click.option("--noise", default="ouroboros", help="Noise preset or a .toml file.")
@click.option("--cadence", "cadence_s", type=float, help="Noise cadence in s  [default: the preset's].")
@click.option("--v-set", "v_set_V", type=float, help="SET voltage, V, negative  [default: the model's].")
@click.option("--v-reset", "v_reset_V", type=float, help="RESET voltage, V  [default: the model's].")
@click.option("--longest", "longest_pulse_s", type=float, default=1e-3, help="Longest pulse tried, s.")
@click.option(
    "--pairs",
    type=click.IntRange(4, 1_000_000),
    default=4096,
    help="Pairs (start, target), evenly spread; rounded up to the next square.",
)
@click.option(
    "--devices", type=click.IntRange(min=2), default=256, help="Fresh devices per start and direction."
)
@click.option(
    "--known-devices",
    type=click.IntRange(min=2),
    help="Floor of a predictor that knows the device, over so many of a preset whose devices differ; --devices is"
    " then how often each is pulsed.",
)
@click.option("--seed", type=click.IntRange(0, SEED_HIGHEST), default=1, help="The devices' noise.")
@click.option(
    "--responses", type=Input, help=f"Cache: the devices' recorded responses  [default: under {CACHE}]."
)
@click.option("--json", "as_json", is_flag=True, help="Print the floor of every pair and the means as JSON.")
@click.option("--table", type=Input, help="Also write every pair and its best time to this CSV file.")
@click.option(
    "-o", "--output", type=Input, help="Also write the means to this JSON file, for `train report`."
)
@jobs_option
def floor(
    model: str,
    noise: str,
    cadence_s: float | None,
    v_set_V: float | None,
    v_reset_V: float | None,
    longest_pulse_s: float,
    pairs: int,
    devices: int,
    known_devices: int | None,
    seed: int,
    responses: Path | None,
    as_json: bool,
    table: Path | None,
    output: Path | None,
    jobs: int | None,
) -> None:
    """The best expected RPD, and the best fixed pulse time, of every pair (start, target).

    A Monte Carlo of fresh noisy devices; each time is judged on devices that it was not chosen on. Recorded
    responses are kept: another run with the same options reads them, an interrupted one continues.
    """
    physics = load_model(model)
    side = math.isqrt(pairs - 1) + 1
    params = ResponseParams(
        starts=side,
        devices=devices,
        seed=seed,
        noise=load_preset(noise, cadence_s),
        v_set_V=physics.v_set_V if v_set_V is None else v_set_V,
        v_reset_V=physics.v_reset_V if v_reset_V is None else v_reset_V,
        window=physics.window,
        longest_pulse_s=longest_pulse_s,
        device_model=model,
    )
    if known_devices is not None:
        if responses is not None or table is not None:
            raise click.UsageError("--known-devices goes without --responses and --table")
        with progress_bar(known_devices, "known devices", "device") as bar:
            known = known_floor(params, known_devices, side, jobs, bar.update)
        if output is not None:
            write_json(output, known.as_json())
        click.echo(json.dumps(known.as_json(), indent=2) if as_json else known_summary(known))
        return
    cache = responses or CACHE / f"{params.sha256()[:16]}.h5"
    with progress_bar(total_steps(params), "responses", "step") as bar:
        found = floor_of(recorded(cache, params, jobs, bar.update), side)
    if table is not None:
        write_csv(table, found.pairs())
    if output is not None:
        write_json(output, found.means())
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else summary(found))


def summary(found: Floor) -> str:
    """The means as text."""
    p, record = found.params, found.record()
    size = f"{len(found.g_start_S)} pairs, {p.devices} devices each"
    shares = [(f"within {n.removeprefix('within_')} %", n) for n in ("within_50", "within_20", "within_10")]
    return "\n".join(
        [
            f"model {p.device_model}, {size}, noise '{p.noise.name}' every {p.noise.cadence_s:g} s,"
            f" {p.v_set_V:g} and {p.v_reset_V:g} V, pulses up to {p.longest_pulse_s:g} s",
            f"mean RPD     {record.mean_rpd:.4f} ({record.mean_rpd_ci95[0]:.4f} - {record.mean_rpd_ci95[1]:.4f});"
            f" judged on the devices it was chosen on {found.optimistic_rpd.mean():.4f}",
            f"median RPD   {record.median_rpd:.4f}"
            f" ({record.median_rpd_ci95[0]:.4f} - {record.median_rpd_ci95[1]:.4f})",
            *(
                f"{label}  {getattr(record, n):.2%}"
                f" ({getattr(record, f'{n}_ci95')[0]:.2%} - {getattr(record, f'{n}_ci95')[1]:.2%})"
                for label, n in shares
            ),
            f"most that any choice of times puts within 50 %: {found.optimistic_within_50.mean():.2%}",
            f"best time is the longest pulse for {found.at_longest:.1%} of the pairs",
        ]
    )


def known_summary(found: KnownFloor) -> str:
    """Both floors as text."""
    spread = found.device_means()
    return "\n".join(
        [
            f"{len(found.factors)} known devices that have lived; mean RPD of the easiest {spread.min():.4f},"
            f" of the hardest {spread.max():.4f}",
            "each device known:",
            summary(found.known),
            "nothing known of the device:",
            summary(found.unknown),
        ]
    )
