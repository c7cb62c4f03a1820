"""`python -m train pareto`: how small the predictor may be."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from codegen.boards import board_names, load_board
from sim.command_line import jobs_option, progress_bar
from sim.counter_rng import SEED_HIGHEST
from sim.document import replace_section
from sim.errors import UserError
from sim.jobs import default_jobs
from sim.output_files import write_json
from train.evaluate import EVALUATION_SEED
from train.pareto import SIZES, draw, pareto, text_table
from train.report import PHYSICS, read_floor
from train.responses import load

BEGIN, END = "<!-- table: written by `python -m train pareto` -->", "<!-- end of table -->"
Input = click.Path(path_type=Path)


@click.command(name="pareto")
@click.argument("responses", type=Input)
@click.option("--sizes", "sizes_text", help="Layers such as 2-8-1,2-16-16-1  [default: a sweep].")
@click.option("--floor", type=Input, help="The floor (JSON of `train floor -o`), to draw beside.")
@click.option("--trials", type=click.IntRange(min=1), default=10_000, help="Deployed trials per predictor.")
@click.option(
    "--seed", type=click.IntRange(0, SEED_HIGHEST), default=EVALUATION_SEED, help="Fresh devices and trials."
)
@click.option("--board", "board_name", type=click.Choice(board_names()), default="generic", help="Board.")
@click.option("--divide-epochs", type=click.IntRange(min=1), default=1, help="For a quick look.")
@click.option("--page", type=Input, help="Also replace the table in this document.")
@click.option("-o", "--output", "folder", type=Input, required=True, help="Folder for networks, C, figure.")
@jobs_option
def pareto_verb(
    responses: Path,
    sizes_text: str | None,
    floor: Path | None,
    trials: int,
    seed: int,
    board_name: str,
    divide_epochs: int,
    page: Path | None,
    folder: Path,
    jobs: int | None,
) -> None:
    """Accuracy of the compiled C against flash and multiply-accumulates, for networks of several sizes.

    RESPONSES are what `train networks` or `train floor` recorded. Writes pareto.json and pareto.png.
    """
    sizes = _sizes(sizes_text) or SIZES
    data = load(responses)
    noise = data.params.noise
    physics = dict(zip(PHYSICS, (data.params.device_model, noise.name, noise.cadence_s), strict=True))
    found_floor, about_floor = read_floor(floor, physics) if floor else ([], "")
    floor_rpd = found_floor[0]["mean_rpd"] if found_floor else None
    with progress_bar(len(sizes) + 1, "pareto", "predictor") as bar:
        points = pareto(
            responses,
            folder,
            load_board(board_name),
            sizes,
            training_seed=data.params.seed,
            trials=trials,
            seed=seed,
            divide_epochs=divide_epochs,
            jobs=jobs or default_jobs(),
            progress=lambda name: bar.update(),
        )
    conditions = (
        f"{trials:,} one-shot trials, board '{board_name}', noise '{noise.name}' every {noise.cadence_s:g} s"
    )
    if page is not None:
        replace_section(page, BEGIN, END, text_table(points, floor_rpd))
    write_json(folder / "pareto.json", {"floor_mean_rpd": floor_rpd, "points": [asdict(p) for p in points]})
    draw(points, floor_rpd, conditions, folder / "pareto.png")
    click.echo(text_table(points, floor_rpd) + about_floor)


def _sizes(text: str | None) -> tuple[tuple[int, ...], ...]:
    try:
        sizes = tuple(tuple(int(n) for n in part.split("-")) for part in (text or "").split(",") if part)
    except ValueError:
        raise UserError(f"--sizes {text}: give layers such as 2-8-1,2-16-16-1") from None
    if any(len(s) < 2 or s[0] != 2 or s[-1] != 1 or min(s) < 1 for s in sizes):
        raise UserError(f"--sizes {text}: networks lead from 2 inputs to 1 output")
    return sizes
