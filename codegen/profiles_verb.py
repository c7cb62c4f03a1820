"""`python -m codegen profiles`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from codegen.boards import load_board
from codegen.cores import load_core
from codegen.profile_table import markdown, profile_table
from codegen.profiles import PROFILES
from codegen.size import require_within
from codegen.widths import SEED, TRIALS, WidthSearch
from firmware_templates import BUDGETS
from sim.command_line import jobs_option, progress_bar, recordings_options
from sim.counter_rng import SEED_HIGHEST
from sim.noise import load_preset
from sim.replay import recorded_or

Input = click.Path(path_type=Path)
SHOWN = ("cortex-m4", "cortex-m7", "cortex-m3", "cortex-m0plus")


@click.command(short_help="Cost and accuracy of the profiles by core.")
@click.argument("model", type=Input)
@click.option("--board", default="generic", show_default=True, help="Board, whose core is replaced.")
@click.option("--core", "cores", multiple=True, help=f"Core; repeatable  [{', '.join(SHOWN)}].")
@click.option("--calibration", type=Input, help="Data set to calibrate on  [a grid over the window].")
@click.option("--noise", help="Of the devices  [what MODEL was trained on].")
@recordings_options
@click.option("--trials", type=click.IntRange(min=1), default=TRIALS, show_default=True, help="Devices.")
@click.option(
    "--seed", type=click.IntRange(0, SEED_HIGHEST), default=SEED, show_default=True, help="Of these."
)
@click.option("--compiler", type=click.Choice(["arm-none-eabi-gcc", "zig"]), help="[the first there is]")
@click.option("--default-budget", is_flag=True, help="Check the limits that come with the package.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@jobs_option
def profiles(
    model: Path,
    board: str,
    cores: tuple[str, ...],
    calibration: Path | None,
    noise: str | None,
    recordings: Path | None,
    window_S: tuple[float, float] | None,
    trials: int,
    seed: int,
    compiler: str | None,
    default_budget: bool,
    as_json: bool,
    jobs: int | None,
) -> None:
    """Make every profile of MODEL (ONNX) for every core; print accuracy, instructions, flash and RAM of each.

    Every call's result must equal the integer reference. Over budget: status 2.
    """
    chosen = [load_core(name) for name in cores or SHOWN]
    search = WidthSearch(
        recorded_or(load_preset(noise) if noise else None, recordings, window_S), trials, seed, jobs
    )
    with progress_bar(len(chosen) * len(PROFILES), "profiles", "firmware") as bar:
        rows = profile_table(
            model, load_board(board), chosen, calibration, search, compiler, lambda what: bar.update()
        )
    click.echo(json.dumps([row.as_json() for row in rows], indent=2) if as_json else markdown(rows))
    if default_budget:
        for row in rows:
            require_within(row.size, BUDGETS)
        click.echo(f"within the budget of {BUDGETS.name}", err=True)
