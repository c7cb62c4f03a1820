"""`python -m train pareto`: how small the predictor may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from codegen.boards import board_names, load_board
from codegen.cores import CORES, Core, load_core
from codegen.cross import cross_compiler
from sim.command_line import jobs_option, progress_bar
from sim.counter_rng import SEED_HIGHEST
from sim.document import replace_section, require_section
from sim.errors import UserError
from sim.jobs import default_jobs
from sim.output_files import write_json
from train.evaluate import EVALUATION_SEED
from train.pareto import PAIRED_TRIALS, ROUNDED, SIZES, TABLES, Sweep, pareto
from train.pareto_page import draw, rounding_table, text_table
from train.report import PHYSICS, read_floor
from train.responses import load

BEGIN, END = "<!-- table: written by `python -m train pareto` -->", "<!-- end of table -->"
ROUNDING_BEGIN = "<!-- rounding: written by `python -m train pareto` -->"
Input = click.Path(path_type=Path)


@click.command(name="pareto")
@click.argument("responses", type=Input)
@click.option("--sizes", "sizes_text", help="Layers such as 2-8-1,2-16-16-1  [default: a sweep].")
@click.option("--seeds", type=click.IntRange(min=1), default=3, help="Trainings of each; the best is kept.")
@click.option(
    "--core",
    "core_names",
    type=click.Choice(sorted(CORES)),
    multiple=True,
    default=("cortex-m4", "cortex-m0plus"),
    help="Where flash and instructions are counted; the first is drawn. Repeatable.",
)
@click.option("--floor", type=Input, help="The floor (JSON of `train floor -o`), to draw beside.")
@click.option("--trials", type=click.IntRange(min=1), default=10_000, help="Deployed trials per predictor.")
@click.option(
    "--paired-trials",
    type=click.IntRange(min=1),
    default=PAIRED_TRIALS,
    help="Deployed trials of 8-bit weights against 16-bit ones.",
)
@click.option(
    "--seed", type=click.IntRange(0, SEED_HIGHEST), default=EVALUATION_SEED, help="Fresh devices and trials."
)
@click.option("--board", "board_name", type=click.Choice(board_names()), default="generic", help="Board.")
@click.option("--divide-epochs", type=click.IntRange(min=1), default=1, help="For a quick look.")
@click.option("--page", type=Input, help="Also replace the tables in this document.")
@click.option("-o", "--output", "folder", type=Input, required=True, help="Folder for networks, C, figure.")
@jobs_option
def pareto_verb(
    responses: Path,
    sizes_text: str | None,
    seeds: int,
    core_names: tuple[str, ...],
    floor: Path | None,
    trials: int,
    paired_trials: int,
    seed: int,
    board_name: str,
    divide_epochs: int,
    page: Path | None,
    folder: Path,
    jobs: int | None,
) -> None:
    """Accuracy of the compiled C against flash and instructions: networks of several sizes, tables, 8-bit weights.

    RESPONSES are what `train networks` or `train floor` recorded. Writes pareto.json and pareto.png.
    """
    sizes = _sizes(sizes_text)
    sweep = Sweep(
        sizes or SIZES,
        TABLES,
        [s for s in ROUNDED if s in sizes] if sizes else ROUNDED,
        seeds=seeds,
        divide_epochs=divide_epochs,
        trials=trials,
        paired_trials=paired_trials,
    )
    if page is not None:
        require_section(page, BEGIN, END)
        require_section(page, ROUNDING_BEGIN, END)
    cores = _with_compilers([load_core(name) for name in core_names])
    data = load(responses)
    noise = data.params.noise
    physics = dict(zip(PHYSICS, (data.params.device_model, noise.name, noise.cadence_s), strict=True))
    found_floor, about_floor = read_floor(floor, physics) if floor else ([], "")
    floor_rpd = found_floor[0]["mean_rpd"] if found_floor else None
    with progress_bar(sweep.steps, "pareto", "predictor") as bar:
        points, roundings = pareto(
            responses,
            folder,
            load_board(board_name),
            cores,
            sweep,
            training_seed=data.params.seed,
            seed=seed,
            jobs=jobs or default_jobs(),
            progress=lambda name: bar.update(),
        )
    conditions = (
        f"{trials:,} one-shot trials, board '{board_name}', noise '{noise.name}' every {noise.cadence_s:g} s"
    )
    table, rounding = text_table(points, floor_rpd), rounding_table(roundings)
    if page is not None:
        replace_section(page, BEGIN, END, table)
        replace_section(page, ROUNDING_BEGIN, END, rounding)
    content = {
        "floor_mean_rpd": floor_rpd,
        "points": [asdict(p) for p in points],
        "rounding": [asdict(r) for r in roundings],
    }
    write_json(folder / "pareto.json", content)
    draw(points, floor_rpd, conditions, folder / "pareto.png")
    click.echo("\n".join([table, rounding, about_floor]).strip())


def _with_compilers(cores: Sequence[Core]) -> list[Core]:
    """Cores that there is a compiler for; of the others, what to install."""
    found = []
    for core in cores:
        try:
            cross_compiler(None, core.family)
        except UserError as error:
            click.echo(f"no flash and instructions of {core.name}: {error}", err=True)
        else:
            found.append(core)
    return found


def _sizes(text: str | None) -> tuple[tuple[int, ...], ...]:
    try:
        sizes = tuple(tuple(int(n) for n in part.split("-")) for part in (text or "").split(",") if part)
    except ValueError:
        raise UserError(f"--sizes {text}: give layers such as 2-8-1,2-16-16-1") from None
    if any(len(s) < 2 or s[0] != 2 or s[-1] != 1 or min(s) < 1 for s in sizes):
        raise UserError(f"--sizes {text}: networks lead from 2 inputs to 1 output")
    return sizes
