"""`python -m train recorded`: a network from a lab's own measurements."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from sim.command_line import progress_bar, window_option
from sim.counter_rng import SEED_HIGHEST
from sim.errors import UserError
from sim.recordings import Recordings, read_recordings
from train.expected import fit_expected
from train.export import write_network
from train.kept import unless_kept
from train.recipes import EXPECTED, ExpectedRecipe, describe, shortened
from train.recorded import metadata_of, recorded_pairs
from train.sidecar import code_sha256, versions


@click.command()
@click.argument("runs", type=click.Path(path_type=Path))
@window_option
@click.option("--seed", type=click.IntRange(0, SEED_HIGHEST), default=1, help="Initial weights and shuffles.")
@click.option("--divide-epochs", type=click.IntRange(min=1), default=1, help="For a quick look.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Network file to write (.onnx)."
)
def recorded(
    runs: Path,
    window_S: tuple[float, float] | None,
    seed: int,
    divide_epochs: int,
    output: Path,
) -> None:
    """Train a network on a lab's own RUNS of pulses (CSV); every fifth one is kept to judge on.

    A network that is there and was made from the same recordings, options, code and versions is kept.
    """
    if output.suffix != ".onnx":
        raise UserError(f"{output}: the network file must be called NAME.onnx")
    recordings = read_recordings(runs, window_S)
    click.echo(about(recordings))
    recipe = shortened(EXPECTED, divide_epochs)
    assert isinstance(recipe, ExpectedRecipe)
    made_from = {
        "recordings": recordings.name,
        "window_S": recordings.window_S,
        "recipe": describe(recipe),
        "seed": seed,
        "versions": versions(),
        "code_sha256": code_sha256(with_responses=True, also=("recorded",)),
    }
    with unless_kept(output, made_from) as path:
        if path is None:
            click.echo(f"{output}: already there")
            return
        training = recordings.training()
        pairs = recorded_pairs(training)
        with progress_bar(recipe.epochs, "training", "epoch") as bar:
            weights = fit_expected(
                pairs, seed=seed, schedule=recipe.schedule, sizes=recipe.sizes, progress=lambda: bar.update()
            )
        write_network(path, weights, metadata_of(training, pairs.scaling, seed))
    click.echo(f"{output}: trained")


def about(recordings: Recordings) -> str:
    """What was recorded, and how finely, in two lines."""
    low, high = recordings.window_S
    jumps = []
    for number in range(len(recordings)):
        g_S = np.clip(recordings.run(number)[1], low, high)
        jumps.append(np.abs(np.diff(g_S)).max() / (high - low))
    coarse = float(np.quantile(jumps, 0.9))
    sets = int((recordings.direction > 0).sum())
    return (
        f"{recordings.name}: {sets} SET runs at {recordings.v_set_V:g} V, {len(recordings) - sets} RESET runs at"
        f" {recordings.v_reset_V:g} V, window {low * 1e6:.2f} .. {high * 1e6:.2f} uS\n"
        f"largest move between two readings: up to {coarse:.1%} of the window in nine of ten runs"
    )
