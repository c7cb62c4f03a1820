"""`python -m train calibrate`: the noise amplitude at which the paper's recipe gives the paper's accuracy."""

from __future__ import annotations

from pathlib import Path

import click

from codegen.boards import board_names, load_board
from sim.command_line import jobs_option, progress_bar
from sim.counter_rng import SEED_HIGHEST
from sim.jobs import default_jobs
from sim.noise import load_preset
from sim.output_files import write_json, write_text
from train.calibrate import DEFAULT_VALUES, Calibration, Vary, interpolated, paper_recipes, preset_toml, table
from train.evaluate import EVALUATION_SEED
from train.recipes import shortened


@click.command()
@click.option("--base", default="prototype", help="Noise preset (or .toml file) to vary.")
@click.option("--vary", type=click.Choice(list(DEFAULT_VALUES)), default="step", help="Which amplitude.")
@click.option("--values", "values_text", help="Comma-separated amplitudes  [default: a sweep].")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, help="Training seeds per amplitude: 1 .. N.")
@click.option("--pairs", type=click.IntRange(min=10), default=10_000, help="Size of the data sets.")
@click.option("--trials", type=click.IntRange(min=1), default=10_000, help="Deployed trials per network.")
@click.option(
    "--seed", type=click.IntRange(0, SEED_HIGHEST), default=EVALUATION_SEED, help="Fresh devices and trials."
)
@click.option(
    "--divide-epochs", type=click.IntRange(min=1), default=1, help="Divide all epochs, for a quick look."
)
@click.option("--board", "board_name", type=click.Choice(board_names()), default="generic", help="Board.")
@jobs_option
@click.option("-o", "--output", "folder", type=click.Path(path_type=Path), required=True, help="Folder.")
def calibrate(
    base: str,
    vary: Vary,
    values_text: str | None,
    seeds: int,
    pairs: int,
    trials: int,
    seed: int,
    divide_epochs: int,
    board_name: str,
    jobs: int | None,
    folder: Path,
) -> None:
    """Sweep a noise amplitude; write the preset at which the paper's recipe lands at 95 % within 50 %.

    Writes calibration.json and ouroboros.toml; an interrupted run continues where it stopped.
    """
    calibration = Calibration(
        folder=folder,
        base=load_preset(base),
        vary=vary,
        board=load_board(board_name),
        training_seeds=tuple(range(1, seeds + 1)),
        pairs=pairs,
        trials=trials,
        evaluation_seed=seed,
        recipes=tuple(shortened(recipe, divide_epochs) for recipe in paper_recipes()),
        jobs=jobs or default_jobs(),
    )
    values = _values(values_text) or DEFAULT_VALUES[vary]
    with progress_bar((len(values) + 1) * (2 + seeds), "calibrating", "step") as bar:

        def show(what: str) -> None:
            bar.set_postfix_str(what)
            bar.update()

        candidates = [calibration.candidate(value, show) for value in values]
        click.echo(table(candidates, vary))
        sweep = [candidate.as_json() for candidate in candidates]
        write_json(folder / "calibration.json", {"vary": vary, "candidates": sweep, "chosen": None})
        chosen = calibration.candidate(interpolated(candidates), show)
    write_json(folder / "calibration.json", {"vary": vary, "candidates": sweep, "chosen": chosen.as_json()})
    preset = preset_toml(chosen, calibration.base, vary, pairs)
    write_text(folder / "ouroboros.toml", preset)
    click.echo(f"\nchosen, and run again:\n{table([chosen], vary)}\n\n{preset}")


def _values(text: str | None) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        raise click.BadParameter("give numbers, separated by commas", param_hint="--values") from None
    if any(value <= 0.0 for value in values):
        raise click.BadParameter("amplitudes must be positive", param_hint="--values")
    return values
