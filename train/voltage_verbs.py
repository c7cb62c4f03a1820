"""`python -m train voltage` and `front`: the pulse voltage as a knob, and what it buys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from codegen.boards import board_names, load_board
from codegen.wish_option import permille_of
from sim.command_line import jobs_option, progress_bar
from sim.counter_rng import SEED_HIGHEST
from sim.document import replace_section, require_section
from sim.errors import UserError
from sim.noise import load_preset
from sim.output_files import write_json
from train.evaluate import EVALUATION_SEED
from train.front import BUDGETS_S, Front, draw, measure_front, text_table
from train.kept import unless_kept
from train.recipes import VOLTAGE, ExpectedRecipe, describe, shortened
from train.responses import ENDS, ResponseParams
from train.sidecar import code_sha256, versions
from train.voltage import VoltageRange, record_levels, steps_to_record, train_voltage
from train.wishes import WISHES, Wishes, knowing, measure_wishes
from train.wishes import draw as draw_wishes
from train.wishes import text_table as wishes_table

BEGIN, END = "<!-- table: written by `python -m train front` -->", "<!-- end of table -->"
WISH_BEGIN, WISH_END = "<!-- wishes: written by `python -m train front` -->", "<!-- end of wishes -->"
Input = click.Path(path_type=Path)
noise_option = click.option("--noise", default="ouroboros", help="Noise preset or a .toml file.")
starts_option = click.option(
    "--starts", type=click.IntRange(2), default=64, help="Start conductances recorded per level."
)
devices_option = click.option(
    "--devices", type=click.IntRange(2), default=32, help="Fresh devices per start, direction and level."
)
levels_option = click.option("--levels", type=click.IntRange(2), default=17, help="Amplitudes recorded.")


@click.command()
@noise_option
@click.option("--seed", type=click.IntRange(0, SEED_HIGHEST), default=1, help="Devices and weights.")
@starts_option
@devices_option
@levels_option
@click.option("--divide-epochs", type=click.IntRange(min=1), default=1, help="For a quick look.")
@click.option("--responses", type=Input, default=Path("build") / "voltage", help="Folder of the recordings.")
@click.option("-o", "--output", type=Input, required=True, help="Network file to write (.onnx).")
@jobs_option
def voltage(
    noise: str,
    seed: int,
    starts: int,
    devices: int,
    levels: int,
    divide_epochs: int,
    responses: Path,
    output: Path,
    jobs: int | None,
) -> None:
    """Train the network that knows the pulse's amplitude, on responses recorded at several.

    What is there and was made from the same options, code and versions is kept; an interrupted recording goes on.
    """
    if output.suffix != ".onnx":
        raise UserError(f"{output}: the network file must be called NAME.onnx")
    voltages = replace(VoltageRange(), levels=levels)
    base = ResponseParams(starts=starts, devices=devices, seed=seed, noise=load_preset(noise), spacing=ENDS)
    recipe = shortened(VOLTAGE, divide_epochs)
    assert isinstance(recipe, ExpectedRecipe)
    made_from = {
        "responses": [params.sha256() for params in voltages.params(base)],
        "recipe": describe(recipe),
        "seed": seed,
        "versions": versions(),
        "code_sha256": code_sha256(with_responses=True, also=("voltage",)),
    }
    with unless_kept(output, made_from) as path:
        if path is None:
            click.echo(f"{output}: already there")
            return
        with progress_bar(steps_to_record(voltages, base), "responses", "step") as bar:
            recorded = record_levels(responses, voltages, base, jobs, bar.update)
        with progress_bar(recipe.epochs, "training", "epoch") as bar:
            train_voltage(recorded, voltages, path, recipe, seed, lambda: bar.update())
    click.echo(f"{output}: trained")


@click.command()
@click.argument("models", type=Input, nargs=-1)
@noise_option
@click.option("--seed", type=click.IntRange(0, SEED_HIGHEST), default=2, help="Devices of the floor.")
@click.option("--starts", type=click.IntRange(2), default=32, help="Start conductances of the floor.")
@click.option("--devices", type=click.IntRange(2), default=64, help="Devices per start, direction and level.")
@levels_option
@click.option("--targets", type=click.IntRange(2), default=64, help="Targets per start.")
@click.option(
    "--budgets",
    "budgets_text",
    default=",".join(f"{b:g}" for b in BUDGETS_S),
    help="Longest pulses, s, separated by commas.",
)
@click.option(
    "--wishes",
    "wishes_text",
    default=",".join(f"{w:g}" for w in WISHES),
    help="RPDs to wish for, separated by commas.",
)
@click.option("--trials", type=click.IntRange(min=1), default=10_000, help="Deployed trials per point.")
@click.option(
    "--evaluation-seed",
    type=click.IntRange(0, SEED_HIGHEST),
    default=EVALUATION_SEED,
    help="Fresh devices, trials.",
)
@click.option("--board", "board_name", type=click.Choice(board_names()), default="generic", help="Board.")
@click.option("--responses", type=Input, default=Path("build") / "voltage", help="Folder of the recordings.")
@click.option("--page", type=Input, help="Also replace the tables in this document.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=Input,
    required=True,
    help="Folder for front.json, front.png, wishes.json, wishes.png.",
)
@jobs_option
def front(
    models: tuple[Path, ...],
    noise: str,
    seed: int,
    starts: int,
    devices: int,
    levels: int,
    targets: int,
    budgets_text: str,
    wishes_text: str,
    trials: int,
    evaluation_seed: int,
    board_name: str,
    responses: Path,
    page: Path | None,
    as_json: bool,
    folder: Path,
    jobs: int | None,
) -> None:
    """Precision against delay: the floor within each budget, and MODELS (ONNX) as compiled C beside it.

    The floor chooses voltage and time for each pair, once with one pulse and once with two in a row without a reading
    between them. Predictors are those that choose the voltage, and those of fixed voltages cut to the budget. Those
    that know the errors of their pulses are asked to keep wishes, too.
    """
    if page is not None:
        require_section(page, BEGIN, END)
        require_section(page, WISH_BEGIN, WISH_END)
    voltages = replace(VoltageRange(), levels=levels)
    base = ResponseParams(starts=starts, devices=devices, seed=seed, noise=load_preset(noise))
    budgets_s, wishes, board = _budgets(budgets_text), _wishes(wishes_text), load_board(board_name)
    wished = knowing(models)
    with progress_bar(steps_to_record(voltages, base), "responses", "step") as bar:
        recorded = record_levels(responses, voltages, base, jobs, bar.update)
    with progress_bar(len(budgets_s) * (1 + len(models)), "front", "point") as bar:
        found = measure_front(
            recorded,
            targets,
            budgets_s,
            models,
            board,
            trials=trials,
            seed=evaluation_seed,
            jobs=jobs,
            progress=lambda: bar.update(),
        )
    write_json(folder / "front.json", asdict(found))
    draw(found, folder / "front.png")
    with progress_bar(len(wishes) + len(wished) * (1 + len(wishes)), "wishes", "point") as bar:
        granted = measure_wishes(
            recorded,
            targets,
            wishes,
            wished,
            board,
            found,
            trials=trials,
            seed=evaluation_seed,
            jobs=jobs,
            progress=lambda: bar.update(),
        )
    write_json(folder / "wishes.json", asdict(granted))
    draw_wishes(granted, found, folder / "wishes.png")
    if page is not None:
        replace_section(page, BEGIN, END, text_table(found))
        replace_section(page, WISH_BEGIN, WISH_END, wishes_table(granted))
    together = {**asdict(found), "wishes": asdict(granted)}
    click.echo(json.dumps(together, indent=2) if as_json else _summary(found, granted))


def _summary(found: Front, granted: Wishes) -> str:
    return f"{found.conditions}\n{text_table(found)}\n{granted.conditions}\n{wishes_table(granted)}"


def _wishes(text: str) -> Sequence[float]:
    try:
        wishes = [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--wishes {text}: give RPDs such as 0.05,0.1") from None
    return sorted({permille_of(wish, "--wishes") / 1000 for wish in wishes})


def _budgets(text: str) -> Sequence[float]:
    try:
        budgets = [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--budgets {text}: give seconds such as 1e-3,1e-2") from None
    if not all(1e-8 <= budget <= 1e-2 for budget in budgets):
        raise UserError(f"--budgets {text}: responses are recorded for 1e-8 .. 1e-2 s")
    return sorted(set(budgets))
