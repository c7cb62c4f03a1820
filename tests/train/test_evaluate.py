"""Deployed evaluation: records that mean what they say, the same for any number of workers."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from codegen.boards import load_board
from sim import jart_fit
from sim.closed_loop import Pulses
from sim.errors import UserError
from sim.models import JART_FIT, JART_FULL
from sim.noise import load_preset
from sim.units import Ints
from train.baselines import NoiseFreeInverse, NoiseFreePredictor
from train.evaluate import Baselines, evaluate, network_predictors, write_baselines
from train.networks import Workplace

BOARD = load_board("generic")
INVERSE = NoiseFreePredictor(
    NoiseFreeInverse.of_model(jart_fit.V_SET_V, jart_fit.V_RESET_V), BOARD.bench_params()
)


class WrongWay:
    """Always one tick away from the target."""

    def predict(self, g_start_nS: Ints, g_target_nS: Ints) -> Pulses:
        direction = -np.sign(g_target_nS - g_start_nS).astype(np.int8)
        return Pulses(direction, np.ones_like(g_start_nS), BOARD.bench_params().full_v_uV(direction))


class Nothing:
    """Never pulses."""

    def predict(self, g_start_nS: Ints, g_target_nS: Ints) -> Pulses:
        nothing = np.zeros_like(g_start_nS)
        return Pulses(nothing.astype(np.int8), nothing, nothing)


def test_records_hold_together_and_do_not_depend_on_workers() -> None:
    noise = load_preset("prototype")
    predictors = {"inverse": INVERSE, "nothing": Nothing()}
    one, two = (evaluate(predictors, BOARD, noise, trials=300, seed=7, jobs=jobs) for jobs in (1, 2))
    assert one == two
    assert [r.predictor for r in one] == ["inverse", "nothing"]
    for record in one:
        fields = asdict(record)
        assert (record.realisation, record.noise_preset, record.trials) == ("float", "prototype", 300)
        assert (record.board, record.seed, record.cadence_s) == ("generic", 7, noise.cadence_s)
        assert 0 <= record.within_10 <= record.within_20 <= record.within_50 <= 1
        for name in ("mean_rpd", "median_rpd", "within_50", "within_20", "within_10", "wrong_direction"):
            low, high = fields[f"{name}_ci95"]
            assert low <= fields[name] <= high and low < high


def test_without_noise_the_noise_free_inverse_is_right() -> None:
    (record,) = evaluate({"inverse": INVERSE}, BOARD, load_preset("none"), trials=300, seed=7)
    assert record.within_10 > 0.95  # at the window's ends one converter step is worth more
    assert record.median_rpd < 0.01


def test_pulses_away_from_the_target_are_counted_and_missing_ones_are_not() -> None:
    predictors = {"wrong": WrongWay(), "nothing": Nothing()}
    wrong, nothing = evaluate(predictors, BOARD, load_preset("none"), trials=200, seed=7)
    assert wrong.wrong_direction > 0.98  # a start that reads as its target has no direction
    assert nothing.wrong_direction == 0.0


def test_other_seeds_are_other_trials() -> None:
    first, second = (
        evaluate({"nothing": Nothing()}, BOARD, load_preset("none"), trials=50, seed=seed)[0]
        for seed in (1, 2)
    )
    assert first.mean_rpd != second.mean_rpd


def test_another_model_is_other_devices() -> None:
    fit, full = (
        evaluate({"nothing": Nothing()}, BOARD, load_preset("none"), trials=50, seed=1, model=model)[0]
        for model in (JART_FIT, JART_FULL)
    )
    assert (fit.device_model, full.device_model) == (JART_FIT.name, JART_FULL.name)
    assert fit.mean_rpd != full.mean_rpd


def test_networks_are_evaluated_under_their_names(trained: Workplace) -> None:
    paths = [trained.network("log_mlp"), trained.network("mlp_rpd_g")]
    predictors = network_predictors(paths, BOARD, evaluation_seed=7)
    records = evaluate(predictors, BOARD, load_preset("prototype"), trials=50, seed=7)
    assert [r.predictor for r in records] == ["log_mlp", "mlp_rpd_g"]
    assert records[0].wrong_direction < 0.05  # the direction is the sign of the change


def test_the_devices_of_the_training_data_are_refused(trained: Workplace) -> None:
    with pytest.raises(UserError, match="seed 3 made its training data; choose another"):
        network_predictors([trained.network("log_mlp")], BOARD, evaluation_seed=3)


def test_a_network_for_other_voltages_is_refused(trained: Workplace) -> None:
    pulse = BOARD.pulse.model_copy(update={"v_reset_uV": 800_000})
    with pytest.raises(
        UserError, match=r"trained for pulses of -0\.342 and 0\.7065 V; .* gives -0\.342 and 0\.8 V"
    ):
        network_predictors([trained.network("log_mlp")], BOARD.model_copy(update={"pulse": pulse}), 7)


def test_two_networks_of_one_name_are_refused(trained: Workplace, tmp_path: Path) -> None:
    twin = shutil.copy(trained.network("log_mlp"), tmp_path / "log_mlp.onnx")
    with pytest.raises(UserError, match="two networks are called log_mlp"):
        network_predictors([trained.network("log_mlp"), Path(twin)], BOARD, 7)


WRITTEN = {"v_set_V": -0.342, "v_reset_V": 0.7065, "time_scale": 0.5, "dataset_sha256": "", "test_rpd_g": {}}


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"v_set_V": 1}']
    + [json.dumps({**WRITTEN, **wrong}) for wrong in ({"v_set_V": "x"}, {"time_scale": None}, {"more": 1})],
)
def test_what_is_no_baselines_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(UserError, match="is not a file that `python -m train baselines` wrote"):
        Baselines.read(tmp_path / "b.json")


def test_written_baselines_are_read_again(tmp_path: Path) -> None:
    written = Baselines(**{**WRITTEN, "test_rpd_g": {"noise_free_inverse": 1.5}})
    write_baselines(tmp_path / "b.json", written)
    assert Baselines.read(tmp_path / "b.json") == written
