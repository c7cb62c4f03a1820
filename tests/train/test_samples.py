"""One split as tensors: the paper's two errors against direct NumPy, and data that cannot be trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sim.dataset import TEST, TRAIN, VALIDATION, PulseDataset
from sim.errors import UserError
from train.features import LINEAR_SCALING, LOG_SCALING, Scaling
from train.samples import Samples

SCALINGS = pytest.mark.parametrize("scaling", [LINEAR_SCALING, LOG_SCALING], ids=["linear_s", "log10_s"])


@pytest.fixture(scope="module")
def dataset(synthetic_dataset: Callable[..., PulseDataset]) -> PulseDataset:
    made = synthetic_dataset(100, seed=2)
    rng = np.random.default_rng(0)
    return replace(made, split=rng.permutation(made.split))  # splits need not be contiguous


@SCALINGS
@pytest.mark.parametrize("split", [TRAIN, VALIDATION, TEST])
def test_errors_are_the_papers_relative_differences(
    dataset: PulseDataset, scaling: Scaling, split: int
) -> None:
    samples = Samples.of_split(dataset, split, scaling)
    chosen = np.flatnonzero(dataset.split == split)
    assert len(samples) == len(chosen) > 0
    y = np.random.default_rng(1).uniform(-1.5, 0.5, len(chosen)).astype(np.float32)
    wanted_s, sign = dataset.t_pulse_s[chosen], np.sign(dataset.g_target_S - dataset.g_start_S)[chosen]
    t_s = scaling.decode(y.astype(np.float64), sign)
    assert samples.rpd_t(torch.from_numpy(y)) == pytest.approx(
        np.mean(np.abs(t_s - wanted_s) / abs(wanted_s))
    )

    reached_S = []
    for i, along_s in zip(chosen, t_s * sign, strict=True):
        knots = slice(dataset.history_offset[i], dataset.history_offset[i + 1])
        step, g_S = dataset.history_step[knots], dataset.history_g_S[knots].astype(np.float64)
        reached_S.append(np.interp(along_s / dataset.dt_s, step, g_S))
    target_S = dataset.g_target_S[chosen]
    expected = np.mean(np.abs(np.array(reached_S) - target_S) / target_S)
    assert samples.rpd_g(torch.from_numpy(y)) == pytest.approx(expected)
    # What fine-tuning minimises is the same map, in float64 and on normalised conductances.
    everything = torch.arange(len(samples))
    g_out = samples.g_out(everything, torch.from_numpy(y)).numpy() * scaling.g_start.scale
    np.testing.assert_allclose(g_out, reached_S, rtol=1e-12)


@SCALINGS
def test_the_recorded_pulse_has_no_error(dataset: PulseDataset, scaling: Scaling) -> None:
    samples = Samples.of_split(dataset, TRAIN, scaling)
    assert samples.rpd_t(samples.y_target) < 1e-6  # float32
    t, _ = samples.recorded_time(torch.arange(len(samples)), samples.y_target)
    np.testing.assert_allclose(t.numpy() * dataset.dt_s, np.abs(samples.t_pulse_s.numpy()), rtol=1e-6)


def test_a_pulse_of_no_length_has_no_relative_error_but_a_direction(dataset: PulseDataset) -> None:
    first = int(np.flatnonzero(dataset.split == TRAIN)[0])
    t_s = dataset.t_pulse_s.copy()
    t_s[first] = 0.0
    with_zero = Samples.of_split(replace(dataset, t_pulse_s=t_s), TRAIN, LINEAR_SCALING)
    without = Samples.of_split(dataset, TRAIN, LINEAR_SCALING)
    y = with_zero.y_target + 0.01
    assert torch.equal(with_zero.direction, without.direction)
    others = np.delete(np.arange(len(y)), 0)
    assert with_zero.rpd_t(y) == pytest.approx(
        float((0.01e-3 / without.t_pulse_s[others].abs()).mean()), rel=1e-4
    )


def spoilt(dataset: PulseDataset, name: str, value: float) -> PulseDataset:
    values = getattr(dataset, name).copy()
    values[np.flatnonzero(dataset.split == VALIDATION)[0]] = value
    changed: dict[str, Any] = {name: values}
    return replace(dataset, **changed)


@pytest.mark.parametrize("name", ["g_start_S", "g_target_S", "t_pulse_s"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(dataset: PulseDataset, name: str, value: float) -> None:
    bad = spoilt(dataset, name, value)
    with pytest.raises(UserError, match=f"{name} holds values that are not finite"):
        Samples.of_split(bad, VALIDATION, LINEAR_SCALING)
    Samples.of_split(bad, TRAIN, LINEAR_SCALING)  # the other splits are as good as before


@pytest.mark.parametrize("value", [0.0, -1e-6])
def test_targets_that_are_no_conductances_are_refused(dataset: PulseDataset, value: float) -> None:
    with pytest.raises(UserError, match="g_target_S must be positive"):
        Samples.of_split(spoilt(dataset, "g_target_S", value), VALIDATION, LINEAR_SCALING)


def test_an_empty_split_is_refused_by_its_name(dataset: PulseDataset) -> None:
    without = replace(dataset, split=np.where(dataset.split == VALIDATION, TRAIN, dataset.split))
    with pytest.raises(UserError, match="the validation split is empty"):
        Samples.of_split(without, VALIDATION, LINEAR_SCALING)
