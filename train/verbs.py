"""The verbs of `python -m train`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from codegen.boards import board_names, load_board
from codegen.wish_option import wish_option
from sim import dataset as sim_dataset
from sim.accuracy import AccuracyRecord
from sim.command_line import jobs_option, model_option, progress_bar, recordings_options
from sim.counter_rng import SEED_HIGHEST
from sim.jart_fit import NAME as JART_FIT
from sim.jobs import default_jobs
from sim.models import load_model
from sim.noise import load_preset
from sim.output_files import write_json
from sim.replay import recorded_or
from train.baselines import NoiseFreeInverse
from train.evaluate import (
    EVALUATION_SEED,
    NOISE_FREE,
    NOISE_FREE_SCALED,
    Baselines,
    evaluate,
    network_predictors,
    write_baselines,
)
from train.features import LINEAR_SCALING
from train.loop import Progress
from train.networks import Workplace, pending_epochs, train_networks
from train.recipes import ALL_RECIPES, FinetuneRecipe, FitRecipe, Recipe, shortened
from train.responses import ResponseParams, recorded, total_steps
from train.samples import Samples
from train.sidecar import file_sha256, sidecar_path

Input = click.Path(path_type=Path)
dataset_argument = click.argument("dataset", type=Input)
output_folder = click.option(
    "-o", "--output", "folder", type=Input, required=True, help="Folder for NAME.onnx and NAME.json."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, SEED_HIGHEST), default=1, help="Initial weights and shuffles."
)
quick_option = click.option(
    "--divide-epochs",
    type=click.IntRange(min=1),
    default=1,
    help="Divide all epochs by this, for a quick look.",
)
noise_option = click.option("--noise", default="ouroboros", help="Noise preset or a .toml file.")
board_option = click.option(
    "--board", "board_name", type=click.Choice(board_names()), default="generic", help="Board."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Train pulse predictors, compare them with baselines, evaluate them on fresh noisy devices."""


@main.command()
@dataset_argument
@output_folder
@seed_option
@click.option(
    "--responses",
    type=Input,
    help="Responses as `train floor` records them  [default: recorded in the output folder].",
)
@quick_option
@jobs_option
def networks(
    dataset: Path, folder: Path, seed: int, responses: Path | None, divide_epochs: int, jobs: int | None
) -> None:
    """Train every network from DATASET: the paper's four, the logarithmic ones, and the look-up table.

    Networks that are there and were made from the same data, options and code are kept.
    """
    if responses is None:
        params = ResponseParams.like_dataset(sim_dataset.parameters(dataset))
        responses = folder / "responses.h5"
        with progress_bar(total_steps(params), "responses", "step") as bar:
            recorded(responses, params, jobs, bar.update)
    _train(Workplace.at(dataset, folder, seed, responses), ALL_RECIPES, divide_epochs, jobs)


@main.command()
@dataset_argument
@output_folder
@click.option("--encoding", type=click.Choice(["linear_s", "log10_s"]), default="linear_s", help="Output.")
@seed_option
@quick_option
def fit(dataset: Path, folder: Path, encoding: str, seed: int, divide_epochs: int) -> None:
    """Train from the ground up on the pulse time; keep the networks that the selection rules choose."""
    recipes = [r for r in ALL_RECIPES if isinstance(r, FitRecipe) and r.scaling.encoding == encoding]
    _train(Workplace.at(dataset, folder, seed), recipes, divide_epochs, jobs=1)


@main.command()
@dataset_argument
@output_folder
@click.option(
    "--name",
    type=click.Choice([r.name for r in ALL_RECIPES if isinstance(r, FinetuneRecipe)]),
    default="ft_smoothed",
    help="Which recipe.",
)
@seed_option
@quick_option
def finetune(dataset: Path, folder: Path, name: str, seed: int, divide_epochs: int) -> None:
    """Fine-tune on the conductance reached, through the recorded histories; trains the parent if it is
    missing.
    """
    recipe = next(r for r in ALL_RECIPES if isinstance(r, FinetuneRecipe) and r.name == name)
    parent = next(r for r in ALL_RECIPES if recipe.parent in r.produces)
    _train(Workplace.at(dataset, folder, seed), [parent, recipe], divide_epochs, jobs=1)


@main.command()
@dataset_argument
@click.option("-o", "--output", type=Input, required=True, help="JSON file for `evaluate --baselines`.")
def baselines(dataset: Path, output: Path) -> None:
    """Invert the noise-free model, and fit one factor on its times to the training histories of DATASET."""
    data = sim_dataset.load(dataset)
    parameters = sim_dataset.parameters(dataset)
    inverse = NoiseFreeInverse.of_model(parameters["v_set_V"], parameters["v_reset_V"])
    scaled = inverse.scaled_to(Samples.of_split(data, sim_dataset.TRAIN, LINEAR_SCALING))
    test = Samples.of_split(data, sim_dataset.TEST, LINEAR_SCALING)
    result = Baselines(
        v_set_V=parameters["v_set_V"],
        v_reset_V=parameters["v_reset_V"],
        time_scale=scaled.time_scale,
        dataset_sha256=file_sha256(dataset),
        test_rpd_g={NOISE_FREE: inverse.rpd_g(test), NOISE_FREE_SCALED: scaled.rpd_g(test)},
    )
    write_baselines(output, result)
    click.echo(
        f"{output}: RPD of G on recorded test histories {result.test_rpd_g[NOISE_FREE]:.3f};"
        f" with times x {result.time_scale:.3f} {result.test_rpd_g[NOISE_FREE_SCALED]:.3f}"
    )


@main.command(name="evaluate")
@click.argument("models", type=Input, nargs=-1)
@click.option(
    "--baselines", "baselines_file", type=Input, help="JSON of `train baselines`: evaluate them too."
)
@model_option(JART_FIT)
@noise_option
@click.option("--cadence", "cadence_s", type=float, help="Noise cadence in s  [default: the preset's].")
@recordings_options
@click.option("--trials", type=click.IntRange(min=1), default=10_000)
@click.option(
    "--seed", type=click.IntRange(0, SEED_HIGHEST), default=EVALUATION_SEED, help="Fresh devices and trials."
)
@board_option
@click.option("--longest", "longest_s", type=float, help="Longest pulse of the networks, s [the timer's].")
@wish_option
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.option("-o", "--output", type=Input, help="Also write the records to this JSON file.")
@jobs_option
def evaluate_verb(
    models: tuple[Path, ...],
    baselines_file: Path | None,
    model: str,
    noise: str,
    cadence_s: float | None,
    recordings: Path | None,
    window_S: tuple[float, float] | None,
    trials: int,
    seed: int,
    board_name: str,
    longest_s: float | None,
    wish_permille: int,
    as_json: bool,
    output: Path | None,
    jobs: int | None,
) -> None:
    """One-shot accuracy of network files (MODELS, ONNX) on fresh noisy devices, or recorded ones."""
    if not models and baselines_file is None:
        raise click.UsageError("name at least one network file, or --baselines")
    if (longest_s is not None or wish_permille) and baselines_file is not None:
        raise click.UsageError("--longest and --wish are for networks; baselines know no budget")
    board = load_board(board_name)
    devices, physics = recorded_or(load_preset(noise, cadence_s), recordings, window_S), load_model(model)
    predictors = Baselines.read(baselines_file).predictors(board) if baselines_file else {}
    predictors |= network_predictors(list(models), board, seed, longest_s, wish_permille)
    with progress_bar(len(predictors), "deployed", "predictor") as bar:

        def show(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        records = evaluate(
            predictors,
            board,
            devices,
            trials=trials,
            seed=seed,
            model=physics,
            longest_s=longest_s,
            wish_permille=wish_permille,
            jobs=jobs,
            progress=show,
        )
    if output is not None:
        write_json(output, [asdict(record) for record in records])
    click.echo(json.dumps([asdict(r) for r in records], indent=2) if as_json else _table(records))


def _table(records: Sequence[AccuracyRecord]) -> str:
    """Format records for reading."""
    first = records[0]
    lines = [
        f"{first.trials} trials, model {first.device_model}, noise '{first.noise_preset}'"
        f"{'' if first.cadence_s is None else f' every {first.cadence_s:g} s'}, seed {first.seed}",
        f"{'predictor':20} {'mean RPD':>8} {'median':>8} {'<= 50 %':>8} {'<= 20 %':>8} {'<= 10 %':>8}"
        f" {'wrong way':>9}",
    ]
    for r in records:
        fractions = (r.within_50, r.within_20, r.within_10)
        lines.append(
            f"{r.predictor:20} {r.mean_rpd:8.4f} {r.median_rpd:8.4f} "
            + " ".join(f"{100 * f:7.2f}%" for f in fractions)
            + f" {100 * r.wrong_direction:8.2f}%"
        )
    return "\n".join(lines)


def _train(place: Workplace, recipes: Sequence[Recipe], divide_epochs: int, jobs: int | None) -> None:
    """Train under a progress bar and say what was done."""
    chosen = [shortened(recipe, divide_epochs) for recipe in recipes]
    with _epoch_bar(pending_epochs(place, chosen)) as progress:
        made = train_networks(place, chosen, workers=jobs or default_jobs(), progress=progress)
    for name in (name for recipe in chosen for name in recipe.produces):
        path = place.network(name)
        scores = json.loads(sidecar_path(path).read_text(encoding="utf-8"))["validation"]
        state = "trained" if name in made else "already there"
        click.echo(f"{path}: {state}; validation RPD of t {scores['rpd_t']:.3f}, of G {scores['rpd_g']:.4f}")


@contextmanager
def _epoch_bar(epochs: int) -> Iterator[Progress]:
    with progress_bar(epochs, "training", "epoch") as bar:

        def advance() -> None:
            bar.update()

        yield advance
