"""`python -m train devices` and `python -m train programming`: predictors that know each device."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from codegen.boards import board_names, load_board
from codegen.device_state import BYTES_PER_DEVICE, DeviceStates, ReferenceTimes
from codegen.firmware import make_firmware
from codegen.float_predictor import FloatPredictor
from codegen.host import HostLibrary
from codegen.reference import ReferencePredictor
from sim.bench import SimulatedBench
from sim.command_line import jobs_option, model_option, progress_bar
from sim.counter_rng import SEED_HIGHEST
from sim.document import replace_section, require_section
from sim.errors import UserError
from sim.jart_fit import NAME as JART_FIT
from sim.models import load_model
from sim.noise import load_preset
from sim.output_files import write_json
from sim.units import Ints, S_to_nS
from train.baselines import NoiseFreeInverse
from train.calibrated import CALIBRATION_PULSES, Calibration, Cells, Draw, kept_responses, uniform_S
from train.device_aware import (
    HIDDEN,
    SCHEDULE,
    OneShot,
    StatePredictor,
    fit,
    kept_network,
    one_shots,
    training_params,
)
from train.evaluate import EVALUATION_SEED
from train.programming import MOST_PULSES, Run, chosen_settings, draw, markdown, program, summaries
from train.programming_methods import Candidate, Method, Predictor, baselines
from train.responses import ResponseParams
from train.sidecar import code_sha256, versions

Input = click.Path(path_type=Path)
END = "<!-- end of table -->"
RESULT = "devices.json"
AWARE, FREE = "device_aware", "history_free"
_TUNING_SEED = 1 << 32  # added to the seed: other devices than those compared on


def begin(verb: str, noise: str) -> str:
    """The marker before a generated table of one noise preset."""
    return f"<!-- {verb} {noise}: written by `python -m train {verb}` -->"


@click.command()
@model_option(JART_FIT)
@click.option("--noise", default="ouroboros-devices", help="Noise preset with spreads, or a .toml file.")
@click.option("--board", "board_name", type=click.Choice(board_names()), default="generic", help="Board.")
@click.option("--devices", "count", type=click.IntRange(min=100), default=16_384, help="To learn from.")
@click.option("--trials", type=click.IntRange(min=2), default=10_000, help="One-shot trials of each kind.")
@click.option("--seed", type=click.IntRange(0, SEED_HIGHEST), default=1, help="Training: devices, weights.")
@click.option(
    "--evaluation-seed",
    type=click.IntRange(0, SEED_HIGHEST),
    default=EVALUATION_SEED,
    help="Devices and pairs of the trials.",
)
@click.option("--divide-epochs", type=click.IntRange(min=1), default=1, help="For a quick look.")
@click.option("--floor", type=Input, help="JSON of `train floor --known-devices -o`, to compare with.")
@click.option("--page", type=Input, help="Also replace the preset's table in this document.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "-o", "--output", "folder", type=Input, required=True, help="Folder for data, networks, result."
)
@jobs_option
def devices(
    model: str,
    noise: str,
    board_name: str,
    count: int,
    trials: int,
    seed: int,
    evaluation_seed: int,
    divide_epochs: int,
    floor: Path | None,
    page: Path | None,
    as_json: bool,
    folder: Path,
    jobs: int | None,
) -> None:
    """Train a network that is told what a device's pulses revealed; one-shot accuracy after 0 to 3 of them.

    Devices are calibrated over the board's converters with the firmware's two bytes of state. Beside it a network of
    the same size without the state. Recorded responses and networks are kept.
    """
    if seed == evaluation_seed:
        raise UserError(f"seed {seed} makes the training's devices; choose another --evaluation-seed")
    board, preset, physics = load_board(board_name), load_preset(noise), load_model(model)
    if not preset.differs:
        raise UserError(f"devices of noise preset '{preset.name}' do not differ; give one with spreads")
    if page is not None:
        require_section(page, begin("devices", preset.name), END)
    params = training_params(preset, board.bench_params(), seed, physics)
    known = None if floor is None else read_known_floor(floor, params)
    schedule = replace(SCHEDULE, epochs=max(1, SCHEDULE.epochs // divide_epochs))
    calibration, data = kept_responses(folder / "responses.npz", params, board.bench_params(), count, jobs)
    with progress_bar(2 * schedule.epochs + 3 * (CALIBRATION_PULSES + 2), "devices", "step") as bar:
        predictors: dict[tuple[str, str], tuple[StatePredictor, bool]] = {}
        for name, with_state in ((FREE, False), (AWARE, True)):
            train = partial(
                fit, data, seed=seed, schedule=schedule, with_state=with_state, progress=lambda: _step(bar)
            )
            made_from = {
                "responses": json.loads((folder / "responses.json").read_text(encoding="utf-8")),
                "with_state": with_state,
                "schedule": asdict(schedule),
                "hidden": HIDDEN,
                "versions": versions(),
                "code_sha256": code_sha256(with_responses=True, also=("calibrated", "device_aware")),
            }
            path = folder / f"{name}.onnx"
            network = kept_network(path, made_from, train, calibration, params, with_state=with_state)
            predictors[name, "float"] = (FloatPredictor(network, board), with_state)
            made = make_firmware(path, board, folder / "firmware" / name, None, force=True)
            predictors[name, "reference"] = (ReferencePredictor(made.model), with_state)
            predictors[name, "c"] = (HostLibrary(made.folder), with_state)
        shots = one_shots(
            predictors,
            replace(params, seed=evaluation_seed),
            calibration,
            board_name,
            trials=trials,
            jobs=jobs,
            progress=lambda n: _step(bar, n),
        )
    _require_equal(shots)
    result = {
        "params": json.loads(params.as_json()),
        "board": board_name,
        "time_scale": calibration.time_scale,
        "bytes_per_device": BYTES_PER_DEVICE,
        "trials": trials,
        "evaluation_seed": evaluation_seed,
        "floor": known,
        "one_shots": [asdict(shot) for shot in shots],
    }
    write_json(folder / RESULT, result)
    table = one_shot_table(shots, known)
    if page is not None:
        replace_section(page, begin("devices", preset.name), END, table)
    click.echo(json.dumps(result, indent=2) if as_json else table)


def _require_equal(shots: list[OneShot]) -> None:
    """Reference and compiled C must have done exactly the same.

    Raises:
        UserError: they have not.
    """
    found: dict[str, dict[str, Any]] = {"reference": {}, "c": {}}
    for shot in shots:
        accuracy = asdict(shot.accuracy)
        realisation = accuracy.pop("realisation")
        if realisation in found:
            found[realisation][shot.accuracy.predictor] = accuracy
    if found["reference"] != found["c"]:
        raise UserError(
            "compiled C and integer reference differ; run `python -m codegen verify` on the firmware"
        )


def _step(bar: Any, n: int = 1) -> None:
    bar.update(n)


def read_known_floor(path: Path, params: ResponseParams) -> dict[str, Any]:
    """Both floors of `train floor --known-devices`, without their single devices.

    Raises:
        UserError: it is missing, of another kind, or of other devices than `params`.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        floors: dict[str, Any] = {"known": {**found}, "history_free": found["history_free"]}
        for name in ("records", "history_free", "known_devices"):
            floors["known"].pop(name)
        floors["history_free"].pop("records")
        of = (found["device_model"], found["noise_preset"], found["v_set_V"], found["v_reset_V"])
    except OSError as error:
        raise UserError(f"cannot read floor {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{path} is no floor of known devices; `train floor --known-devices N -o` writes it"
        ) from None
    wanted = (params.device_model, params.noise.name, params.v_set_V, params.v_reset_V)
    if of[:2] != wanted[:2] or not np.allclose(of[2:], wanted[2:]):
        raise UserError(f"{path} is the floor of {', '.join(map(str, of))}; make one with the same options")
    return floors


def one_shot_table(shots: list[OneShot], floors: dict[str, Any] | None) -> str:
    """Floors and predictors as a Markdown table."""
    lines = [
        "| predictor | pulses | mean RPD | x known floor | within 50 % | within 10 % | error of log2 rate |",
        "|---|---|---|---|---|---|---|",
    ]
    base = floors["known"]["mean_rpd"] if floors else None
    for name, label in (("known", "floor, device known"), ("history_free", "floor, nothing known")):
        if floors:
            f = floors[name]
            low, high = f["mean_rpd_ci95"]
            lines.append(
                f"| {label} | | {f['mean_rpd']:.3f} ({low:.3f} - {high:.3f}) | {f['mean_rpd'] / base:.2f}"
                f" | {f['within_50']:.1%} | {f['within_10']:.1%} | |"
            )
    for shot in shots:
        a = shot.accuracy
        if a.realisation == "reference":  # the same as the C, or we would not be here
            continue
        low, high = a.mean_rpd_ci95
        distance = "" if base is None else f"{a.mean_rpd / base:.2f}"
        label = "network, nothing known" if a.predictor == FREE else "network, device-aware"
        label += ", C" if a.realisation == "c" else ", float"
        lines.append(
            f"| {label} | {shot.pulses} | {a.mean_rpd:.3f} ({low:.3f} - {high:.3f}) | {distance}"
            f" | {a.within_50:.1%} | {a.within_10:.1%} | {shot.log2_rate_error_std:.2f} |"
        )
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("folder", type=Input)
@click.option("--cells", type=click.IntRange(min=2), default=1000, help="Cells to program with each method.")
@click.option("--tuning-cells", type=click.IntRange(min=2), default=200, help="To choose settings with.")
@click.option(
    "--seed", type=click.IntRange(0, SEED_HIGHEST), default=EVALUATION_SEED, help="Devices, noise and pairs."
)
@click.option("--page", type=Input, help="Also replace the preset's table in this document.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@jobs_option
def programming(
    folder: Path, cells: int, tuning_cells: int, seed: int, page: Path | None, as_json: bool, jobs: int | None
) -> None:
    """Write-and-verify with baselines and with our predictors: pulses, time, energy, error until 5 % and 1 %.

    FOLDER is one that `train devices` has filled; programming.json and programming.png go there.
    """
    about = _read_result(folder / RESULT)
    params = replace(ResponseParams.of_json(about["params"]), seed=seed)
    board = load_board(about["board"])
    limits, settle_s = board.bench_params(), board.timing.settle_us * 1e-6
    calibration = Calibration.scaled(params, limits, about["time_scale"])
    if page is not None:
        require_section(page, begin("programming", params.noise.name), END)
    inverse = NoiseFreeInverse.of_model(params.v_set_V, params.v_reset_V, params.model).scaled(
        calibration.time_scale
    )
    settings = list(baselines(limits, inverse))
    with progress_bar(len(settings) + len({c.method for c in settings}) + 3, "programming", "run") as bar:

        def run(candidate: Candidate, count: int, at: ResponseParams, pulses: int = 0) -> Run:
            bench, target_nS, states = cells_to_program(at, calibration, count, pulses, jobs)
            method = candidate.make(count)
            if isinstance(method, Predictor):
                method.states = states
            bar.update()
            return program(bench, target_nS, method, settle_s)

        tuning = replace(params, seed=(seed + _TUNING_SEED) % SEED_HIGHEST)
        chosen = chosen_settings(settings, lambda c: run(c, tuning_cells, tuning))
        runs = {c.method: (c.settings, run(c, cells, params)) for c in chosen}
        for label, name, reference, pulses in (
            ("network, nothing known", FREE, None, 0),
            ("network, device-aware", AWARE, calibration.reference, 0),
            (
                f"same, after {CALIBRATION_PULSES} calibration pulses",
                AWARE,
                calibration.reference,
                CALIBRATION_PULSES,
            ),
        ):
            network = HostLibrary(folder / "firmware" / name)
            make = _predictors(network, reference)
            runs[label] = ("none", run(Candidate(label, "none", make), cells, params, pulses))
    rows = [asdict(s) for label, (how, found) in runs.items() for s in summaries(label, how, found)]
    conditions = (
        f"{cells:,} cells, noise '{params.noise.name}' {params.noise.cadence}, board '{board.name}',"
        f" at most {MOST_PULSES} pulses, seed {seed}"
    )
    write_json(
        folder / "programming.json", {"conditions": conditions, "cells": cells, "seed": seed, "methods": rows}
    )
    draw({label: found for label, (_, found) in runs.items()}, conditions, folder / "programming.png")
    if page is not None:
        replace_section(
            page, begin("programming", params.noise.name), END, f"{conditions}.\n\n{markdown(rows)}"
        )
    click.echo(json.dumps(rows, indent=2) if as_json else f"{conditions}\n{markdown(rows)}")


def _predictors(network: StatePredictor, reference: ReferenceTimes | None) -> Callable[[int], Method]:
    return lambda n: Predictor(network, DeviceStates.fresh(n), reference)


def cells_to_program(
    params: ResponseParams, calibration: Calibration, count: int, pulses: int, jobs: int | None
) -> tuple[SimulatedBench, Ints, DeviceStates]:
    """Cells at uniform starts after some calibration pulses, their targets, and what the pulses have revealed."""
    number = np.arange(count, dtype=np.uint32)
    cells = Cells.unknown(params, calibration, 0, count, jobs)
    for _ in range(pulses):
        cells.calibrate(np.arange(count))
    cells.put(uniform_S(params, number, Draw.START))
    return cells.bench, S_to_nS(uniform_S(params, number, Draw.TARGET)), cells.states


def _read_result(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        ResponseParams.of_json(found["params"]), load_board(found["board"]), float(found["time_scale"])
        return found
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; run `python -m train devices` first"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is not a result of `python -m train devices`") from None
