"""Training on expected RPD, and the look-up table fitted to it: both find what the recorded devices need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codegen.onnx_import import load_network
from sim.errors import UserError
from train.expected import BEYOND, ExpectedRpd, fit_expected
from train.export import metadata_of_dataset
from train.features import LOG_SCALING
from train.floor import floor_of, pair_errors
from train.loop import Schedule
from train.model import PulsePredictorMLP
from train.networks import Workplace, train_networks
from train.recipes import EXPECTED
from train.responses import DIRECTIONS, ResponseParams, Responses, parameters_of, recorded
from train.table import SMALLEST_CHANGE_S, fit_table, write_table

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
    schedule = Schedule(400, rate=0.05)
    table = fit_table(pairs, made_up.params.window_S(), schedule=schedule)
    y = torch.from_numpy(table.evaluate(pairs.x.double().numpy())[:, 0]).float()
    found = float(pairs.of_outputs(y, torch.arange(len(pairs))).mean())
    floor = floor_of(made_up, 40)
    assert floor.optimistic_rpd.mean() < found < 1.05 * floor.rpd.mean()


def test_the_tables_file_holds_what_was_fitted(
    made_up: Responses, pairs: ExpectedRpd, tiny_responses: Path, tmp_path: Path
) -> None:
    table = fit_table(pairs, made_up.params.window_S(), schedule=Schedule(2, rate=0.05), nodes=5)
    path = tmp_path / "table.onnx"
    write_table(path, table, metadata_of_dataset(LOG_SCALING, parameters_of(tiny_responses)))
    read = load_network(path).table
    assert read is not None
    for name in ("start", "change", "values"):
        assert np.array_equal(getattr(read, name), getattr(table, name))
    assert read.change[0] * LOG_SCALING.delta_g.scale == pytest.approx(SMALLEST_CHANGE_S)


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
