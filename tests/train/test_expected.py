"""Training on expected RPD, and the look-up table fitted to it: both find what the recorded devices need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codegen.boards import load_board
from sim.errors import UserError
from train.expected import BEYOND, ExpectedRpd, fit_expected
from train.features import LOG_SCALING
from train.floor import floor_of, pair_errors
from train.loop import Schedule
from train.model import PulsePredictorMLP
from train.networks import Workplace, train_networks
from train.recipes import EXPECTED
from train.responses import DIRECTIONS, ResponseParams, Responses, parameters_of, recorded
from train.table import NODES, LogTimeTable, TablePredictor

SMALL = (2, 16, 16, 1)


@pytest.fixture(scope="module")
def made_up() -> Responses:
    """Devices that approach the window's end exponentially, at speeds of their own."""
    params = ResponseParams(starts=24, devices=40, longest_pulse_s=3e-4)
    step, start = params.steps(), params.g_start_S()[:, None, None]
    speeds = np.exp(np.random.default_rng(3).normal(np.log(3e-4), 0.5, 40))
    ends = dict(zip(DIRECTIONS, reversed(params.window_S()), strict=True))
    share = 1.0 - np.exp(-speeds[:, None] * step)
    g_S = [start + (ends[direction] - start) * share for direction in DIRECTIONS]
    return Responses(params, step, np.array(g_S, dtype=np.float32))


@pytest.fixture(scope="module")
def pairs(made_up: Responses) -> ExpectedRpd:
    return ExpectedRpd.of(made_up, 40, LOG_SCALING)


def test_the_loss_at_a_recorded_time_is_the_mean_over_the_devices(
    made_up: Responses, pairs: ExpectedRpd
) -> None:
    k = len(made_up.step) // 2
    y = torch.full((len(pairs),), float(LOG_SCALING.output.normalise(np.log10(made_up.step[k] * 1e-8))))
    found = pairs.of_outputs(y, torch.arange(len(pairs))).numpy()
    wanted = np.concatenate([errors[:, :, 1 + k].mean(axis=1) for *_, errors in pair_errors(made_up, 40)])
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_the_losss_gradient_is_its_slope(pairs: ExpectedRpd) -> None:
    everything = torch.arange(len(pairs))
    y = torch.linspace(-2.4, 1.2, len(pairs)).requires_grad_()
    (slope,) = torch.autograd.grad(pairs.of_outputs(y, everything).sum(), y)
    step = 1e-3
    with torch.no_grad():
        rise = pairs.of_outputs(y + step, everything) - pairs.of_outputs(y - step, everything)
    close = torch.isclose(rise / (2 * step), slope, atol=2e-3)
    assert close.float().mean() > 0.9  # the others straddle a recorded time


def test_times_beyond_the_record_are_pulled_back(pairs: ExpectedRpd) -> None:
    chosen = torch.tensor([0, 0])
    y = torch.tensor([-7.0, 7.0]).requires_grad_()
    (slope,) = torch.autograd.grad(pairs.of_outputs(y, chosen).sum(), y)
    np.testing.assert_allclose(slope, [-BEYOND, BEYOND], rtol=1e-5)


def test_a_small_network_comes_close_to_the_floor(made_up: Responses, pairs: ExpectedRpd) -> None:
    weights = fit_expected(pairs, seed=1, schedule=Schedule(epochs=150, rate=1e-2, batch=64), sizes=SMALL)
    model = PulsePredictorMLP(SMALL)
    model.load_state_dict(weights)
    with torch.no_grad():
        found = float(pairs.of_outputs(model(pairs.x), torch.arange(len(pairs))).mean())
    assert floor_of(made_up, 40).optimistic_rpd.mean() < found < 1.05 * floor_of(made_up, 40).rpd.mean()


def test_training_is_reproducible_from_the_seed(pairs: ExpectedRpd) -> None:
    first, again, other = (
        fit_expected(pairs, seed=seed, schedule=Schedule(2, rate=1e-2), sizes=SMALL) for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])


def test_the_table_comes_close_to_the_floor(made_up: Responses, pairs: ExpectedRpd) -> None:
    table = LogTimeTable.fitted(pairs, *made_up.params.window_S())
    floor = floor_of(made_up, 40)
    log_time = np.log10(table.width_s(floor.g_start_S, floor.g_target_S))
    y = torch.from_numpy(LOG_SCALING.output.normalise(log_time)).float()
    found = float(pairs.of_outputs(y, torch.arange(len(pairs))).mean())
    assert floor.optimistic_rpd.mean() < found < 1.05 * floor.rpd.mean()


def test_the_tables_weights_are_those_of_bilinear_interpolation() -> None:
    rng = np.random.default_rng(5)
    table = LogTimeTable(rng.normal(size=(2, NODES, NODES)), 1e-4, 5e-4)
    start, target = rng.uniform(1e-4, 5e-4, (2, 500))
    node, weight = table.corners(start, target)
    np.testing.assert_allclose(weight.sum(axis=1), 1.0)
    assert weight.min() >= 0.0 and node.min() >= 0 and node.max() < 2 * NODES * NODES
    assert ((node >= NODES * NODES) == (target < start)[:, None]).all()
    np.testing.assert_allclose((weight * (node // NODES % NODES)).sum(axis=1), (start - 1e-4) / 4e-4 * 15)


def test_the_table_predicts_direction_and_whole_ticks() -> None:
    table = LogTimeTable(np.full((2, NODES, NODES), -5.0), 1e-4, 5e-4)
    predictor = TablePredictor(table, load_board("generic").bench_params())
    direction, ticks, v_uV = predictor.predict(np.array([200_000] * 3), np.array([300_000, 100_000, 200_000]))
    assert direction.tolist() == [1, -1, 0] and ticks.tolist() == [1000, 1000, 0]
    assert v_uV.tolist() == [-342_000, 706_500, 0]


def test_responses_of_other_devices_are_refused(
    tiny_dataset: Path, tiny_responses: Path, tmp_path: Path
) -> None:
    params = ResponseParams.of_json({**parameters_of(tiny_responses), "v_set_V": -0.3})
    other = tmp_path / "other.h5"
    recorded(other, replace(params, longest_pulse_s=1e-6))
    with pytest.raises(UserError, match="differ in v_set_V"):
        Workplace.at(tiny_dataset, tmp_path, 1, other)


def test_without_responses_the_network_says_what_it_needs(tiny_dataset: Path, tmp_path: Path) -> None:
    place = Workplace.at(tiny_dataset, tmp_path / "networks", 1)
    with pytest.raises(UserError, match="log_expected needs recorded responses"):
        train_networks(place, (EXPECTED,), workers=1, progress=lambda: None)
