"""`python -m train ranges`: several networks in parallel against one larger one."""

from __future__ import annotations

from pathlib import Path

import click

from codegen.boards import load_board
from sim.command_line import jobs_option, progress_bar
from sim.document import replace_section, require_section
from sim.jobs import default_jobs
from sim.noise import load_preset
from sim.output_files import write_json
from train.paper.experiment import SeedRun, Settings
from train.paper.ranges import deployed, epochs, train_banks
from train.paper.ranges_table import BEGIN, END, markdown, result
from train.paper.verbs import (
    board_option,
    folder_option,
    noise_option,
    pairs_option,
    quick_option,
    seeds_option,
    trials_option,
)


@click.command()
@seeds_option
@pairs_option
@trials_option
@noise_option
@board_option
@quick_option
@click.option(
    "--document",
    type=click.Path(path_type=Path),
    help="Also replace the section on ranges of this document, and put ranges.json beside it.",
)
@jobs_option
@folder_option
def ranges(
    seeds: int,
    pairs: int,
    trials: int,
    noise: str,
    board_name: str,
    divide_epochs: int,
    document: Path | None,
    jobs: int | None,
    folder: Path,
) -> None:
    """Networks for ranges of the start conductance against single networks of equal flash and of equal time.

    Shares its folder and data sets with `paper`; networks are kept, so an interrupted run resumes.
    """
    if document is not None:
        require_section(document, BEGIN, END)
    settings = Settings(
        folder=folder,
        noise=load_preset(noise),
        board=load_board(board_name),
        pairs=pairs,
        trials=trials,
        starts=0,
        divide_epochs=divide_epochs,
        jobs=jobs or default_jobs(),
    )
    runs = [SeedRun(settings, seed) for seed in range(1, seeds + 1)]
    for run in runs:
        run.make_dataset()
    with progress_bar(epochs(runs), "ranges", "epoch") as bar:

        def advance() -> None:
            bar.update()

        train_banks(runs, settings.jobs, advance)
    content = result(settings, [deployed(run) for run in runs])
    write_json(folder / "ranges.json", content)
    if document is not None:
        replace_section(document, BEGIN, END, markdown(content))
        write_json(document.parent / "ranges.json", content)
    click.echo(markdown(content))
