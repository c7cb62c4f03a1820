"""Calibration of the noise amplitude: what is varied, where the sweep crosses the paper's accuracy, resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from codegen.boards import load_board
from sim.accuracy import AccuracyRecord
from sim.errors import UserError
from sim.noise import load_preset
from train.calibrate import Calibration, Candidate, interpolated, paper_recipes, preset_toml, varied
from train.calibrate_verbs import calibrate
from train.recipes import shortened

PROTOTYPE = load_preset("prototype")
RECORD = AccuracyRecord(
    predictor="ft_smoothed",
    realisation="float",
    noise_preset="prototype with step 0.01",
    cadence_s=1e-8,
    seed=1,
    trials=10_000,
    board="generic",
    mean_rpd=0.1,
    mean_rpd_ci95=(0.1, 0.1),
    median_rpd=0.1,
    median_rpd_ci95=(0.1, 0.1),
    within_50=0.95,
    within_50_ci95=(0.945, 0.955),
    within_20=0.7,
    within_20_ci95=(0.7, 0.7),
    within_10=0.5,
    within_10_ci95=(0.5, 0.5),
    wrong_direction=0.0,
    wrong_direction_ci95=(0.0, 0.0),
)


def found(value: float, *within_50: float) -> Candidate:
    records = tuple(replace(RECORD, within_50=fraction) for fraction in within_50)
    return Candidate(value, varied(PROTOTYPE, "step", value), records)


def test_one_amplitude_is_varied_and_nothing_else() -> None:
    step = varied(PROTOTYPE, "step", 0.004)
    for name in ("radius", "length", "window_low", "window_high"):
        assert getattr(step, name).step == 0.004
        assert getattr(step, name).bound == getattr(PROTOTYPE, name).bound
    bound = varied(PROTOTYPE, "window-bound", 0.6)
    assert (bound.radius, bound.length) == (PROTOTYPE.radius, PROTOTYPE.length)
    assert bound.window_low.bound == bound.window_high.bound == 0.6
    assert bound.cadence_s == PROTOTYPE.cadence_s
    with pytest.raises(UserError, match=r"step = 1\.5 is outside"):
        varied(PROTOTYPE, "step", 1.5)


def test_the_crossing_lies_between_its_neighbours() -> None:
    sweep = [found(0.01, 0.97), found(0.001, 0.93), found(0.1, 0.98)]
    assert interpolated(sweep) == pytest.approx(0.0032)  # half way between 0.001 and 0.01, logarithmically
    with pytest.raises(UserError, match=r"no amplitude crosses 95% within 50 % .*0\.01: 97\.0%"):
        interpolated([found(0.01, 0.97), found(0.1, 0.98)])


def test_a_candidate_fits_when_every_training_seed_does() -> None:
    assert found(0.004, 0.941, 0.959).fits
    assert not found(0.004, 0.951, 0.9611).fits


def test_the_written_preset_is_the_candidate(tmp_path: Path) -> None:
    candidate = found(0.0042, 0.948, 0.951)
    path = tmp_path / "ouroboros.toml"
    path.write_text(preset_toml(candidate, PROTOTYPE, "step", 10_000), encoding="utf-8")
    preset = load_preset(str(path))
    assert preset.name == "ouroboros" and "94.8%, 95.1% of 10000 trials" in preset.source
    kept = {"name", "source"}
    assert preset.model_dump(exclude=kept) == candidate.noise.model_dump(exclude=kept)


def test_the_paper_recipes_lead_to_the_deployed_network() -> None:
    assert [name for recipe in paper_recipes() for name in recipe.produces] == [
        "mlp_rpd_t",
        "mlp_rpd_g",
        "ft_smoothed",
    ]


def test_finished_parts_are_kept(tmp_path: Path) -> None:
    calibration = Calibration(
        folder=tmp_path,
        base=PROTOTYPE,
        vary="step",
        board=load_board("generic"),
        training_seeds=(1,),
        pairs=60,
        trials=40,
        evaluation_seed=5,
        recipes=tuple(shortened(recipe, 100) for recipe in paper_recipes()),
        jobs=1,
    )
    steps: list[str] = []
    first = calibration.candidate(0.01, steps.append)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.[ho][5n]*")}
    second = calibration.candidate(0.01, lambda what: None)
    assert first == second and first.records[0].trials == 40
    assert len(written) == 4  # data set, two selections, the fine-tuned network
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert steps[0].endswith("data set")
    assert json.loads((tmp_path / "step_0.01" / "candidate.json").read_text())["within_50"] == first.within_50


@pytest.mark.parametrize("values", ["0.01,much", "0", "-0.1"])
def test_unusable_values_are_refused(tmp_path: Path, values: str) -> None:
    done = CliRunner().invoke(calibrate, ["--values", values, "-o", str(tmp_path / "out")])
    assert done.exit_code == 2 and "--values" in done.output
    assert not (tmp_path / "out").exists()
