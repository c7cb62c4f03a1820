"""`python -m train ablation`: which noise makes the noise-free model's pulse times wrong."""

from __future__ import annotations

from pathlib import Path

import click

from sim import jart_fit, jart_full
from sim.command_line import jobs_option, progress_bar
from sim.counter_rng import SEED_HIGHEST
from sim.document import replace_section
from sim.noise import load_preset
from sim.output_files import write_json
from train.ablation import CADENCES_S, SOURCES, ablation, as_json, draw, markdown
from train.responses import ResponseParams, total_steps

MODELS = (jart_fit.NAME, jart_full.NAME)
BEGIN, END = "<!-- table: written by `python -m train ablation` -->", "<!-- end of table -->"
Input = click.Path(path_type=Path)


@click.command(name="ablation")
@click.option(
    "--model", "models", multiple=True, default=MODELS, help="Device model or .py file; may be repeated."
)
@click.option("--noise", default="ouroboros", help="Noise preset (or .toml file) to take apart.")
@click.option(
    "--starts", type=click.IntRange(min=2), default=24, help="Start conductances, targets for each."
)
@click.option(
    "--devices", type=click.IntRange(min=2), default=32, help="Fresh devices per start and direction."
)
@click.option(
    "--longest",
    "longest_pulse_s",
    type=float,
    default=6e-3,
    help="Longest pulse, s; a noise-free swing takes 5.5 ms.",
)
@click.option("--seed", type=click.IntRange(0, SEED_HIGHEST), default=1, help="The devices' noise.")
@click.option("--page", type=Input, help="Also replace the table in this document.")
@click.option(
    "-o", "--output", "folder", type=Input, required=True, help="Folder for JSON, figure, responses."
)
@jobs_option
def ablation_verb(
    models: tuple[str, ...],
    noise: str,
    starts: int,
    devices: int,
    longest_pulse_s: float,
    seed: int,
    page: Path | None,
    folder: Path,
    jobs: int | None,
) -> None:
    """Each source of noise alone and all together, drawn every 10 ns and every 1 us.

    Writes ablation.json and ablation.png; an interrupted run continues where it stopped.
    """
    base = load_preset(noise)
    one = ResponseParams(starts=starts, devices=devices, longest_pulse_s=longest_pulse_s)
    with progress_bar(
        len(models) * len(CADENCES_S) * len(SOURCES) * total_steps(one), "ablation", "step"
    ) as bar:
        effects = ablation(
            base,
            models,
            folder / "responses",
            starts=starts,
            devices=devices,
            longest_pulse_s=longest_pulse_s,
            seed=seed,
            jobs=jobs,
            progress=bar.update,
        )
    if page is not None:
        replace_section(page, BEGIN, END, markdown(effects))
    write_json(folder / "ablation.json", as_json(effects))
    draw(effects, folder / "ablation.png")
    click.echo(markdown(effects), nl=False)
