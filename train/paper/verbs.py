"""`python -m train paper`: the paper's figures and statements, measured again over several seeds."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from codegen import VERSION
from codegen.boards import board_names, load_board
from sim import dataset
from sim.command_line import jobs_option, progress_bar
from sim.document import replace_section, require_section
from sim.jobs import default_jobs
from sim.noise import load_preset
from sim.output_files import whole_file, write_json
from train.paper.claims import judge, load_claims, measured
from train.paper.experiment import (
    PREDICTORS,
    TABLES,
    SeedRun,
    Settings,
    pooled,
    run_seeds,
    simulator_sha256,
    steps,
)
from train.paper.figures import Observations, draw_all
from train.paper.quantities import ONE_SHOT, Quantity
from train.paper.table import ACCURACY, BEGIN, END, markdown, text_table

seeds_option = click.option(
    "--seeds", type=click.IntRange(1, 100), default=5, help="Repetitions: seeds 1 .. N."
)
pairs_option = click.option(
    "--pairs", type=click.IntRange(min=10), default=10_000, help="Size of the data sets."
)
trials_option = click.option(
    "--trials", type=click.IntRange(1, 2**24), default=10_000, help="Deployed trials per seed."
)
noise_option = click.option("--noise", default="ouroboros", help="Noise preset or a .toml file.")
board_option = click.option(
    "--board", "board_name", type=click.Choice(board_names()), default="generic", help="Board."
)
quick_option = click.option(
    "--divide-epochs", type=click.IntRange(min=1), default=1, help="Divide all epochs, for a quick look."
)
folder_option = click.option(
    "-o", "--output", "folder", type=click.Path(path_type=Path), required=True, help="Folder."
)


@click.command()
@seeds_option
@pairs_option
@trials_option
@click.option(
    "--starts",
    type=click.IntRange(2, 1000),
    default=20,
    help="Start conductances per target of write-and-verify.",
)
@noise_option
@board_option
@quick_option
@click.option(
    "--document",
    type=click.Path(path_type=Path),
    help="Also replace the results section of this document, and put paper.json and figures/paper beside it.",
)
@jobs_option
@folder_option
def paper(
    seeds: int,
    pairs: int,
    trials: int,
    starts: int,
    noise: str,
    board_name: str,
    divide_epochs: int,
    document: Path | None,
    jobs: int | None,
    folder: Path,
) -> None:
    """Reproduce Figs. 2(b) to 7 of the paper, and a table of what it says against what we measure.

    Writes paper.json and figures/; data sets, networks and trials are kept in seed-N/, so an interrupted run
    resumes.
    """
    if document is not None:
        require_section(document, BEGIN, END)  # now rather than after everything
    settings = Settings(
        folder=folder,
        noise=load_preset(noise),
        board=load_board(board_name),
        pairs=pairs,
        trials=trials,
        starts=starts,
        divide_epochs=divide_epochs,
        jobs=jobs or default_jobs(),
    )
    numbers = range(1, seeds + 1)
    with progress_bar(steps(numbers), "paper", "step") as bar:

        def show(what: str) -> None:
            bar.set_postfix_str(what)
            bar.update()

        runs = run_seeds(settings, numbers, show)
    observed = Observations(
        tables={name: [run.table(name) for run in runs] for name in TABLES},
        pools={name: pooled(runs, name) for name in TABLES},
        dataset=dataset.load(runs[0].dataset),
    )
    result = _result(settings, runs, observed)
    figures = draw_all(observed, folder / "figures")
    write_json(folder / "paper.json", result)
    if document is not None:
        replace_section(document, BEGIN, END, markdown(result))
        write_json(document.parent / "paper.json", result)
        for figure in figures:
            with whole_file(document.parent / "figures" / "paper" / figure.name) as copy:
                shutil.copyfile(figure, copy)
    click.echo(text_table(result["claims"]))
    click.echo(
        f"\nwritten: {folder / 'paper.json'}, {folder / 'figures'}" + (f", {document}" if document else "")
    )


def _result(settings: Settings, runs: list[SeedRun], observed: Observations) -> dict[str, Any]:
    """The content of paper.json."""
    tables, pool = observed.tables[ONE_SHOT], observed.pools[ONE_SHOT]
    accuracy = {
        name: {key: asdict(measured(Quantity.parse(f"{key} {name} all"), tables, pool)) for key in ACCURACY}
        for name in PREDICTORS
    }
    claims = [judge(claim, observed.tables, observed.pools).as_json() for claim in load_claims()]
    return {
        "settings": {
            "seeds": len(runs),
            "evaluation_seeds": [run.evaluation_seed for run in runs],
            "pairs": settings.pairs,
            "trials": settings.trials,
            "starts": settings.starts,
            "board": settings.board.name,
            "noise_preset": settings.noise.name,
            "cadence_s": settings.noise.cadence_s,
            "divide_epochs": settings.divide_epochs,
            "generator": VERSION,
            "simulator_sha256": simulator_sha256(),
        },
        "accuracy": accuracy,
        "claims": claims,
    }
