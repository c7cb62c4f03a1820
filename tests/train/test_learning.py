"""Training learns: losses fall through the real histories, and the best network of all epochs is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sim.dataset import TRAIN, VALIDATION, PulseDataset
from train.features import LINEAR_SCALING, LOG_SCALING, Scaling
from train.finetune import Stage, finetune
from train.fit import fit
from train.loop import Schedule
from train.model import PulsePredictorMLP
from train.samples import Samples

SIZES = (2, 16, 16, 1)
SCALINGS = pytest.mark.parametrize("scaling", [LINEAR_SCALING, LOG_SCALING], ids=["linear_s", "log10_s"])


def splits(dataset: PulseDataset, scaling: Scaling) -> tuple[Samples, Samples]:
    return Samples.of_split(dataset, TRAIN, scaling), Samples.of_split(dataset, VALIDATION, scaling)


@SCALINGS
def test_fit_learns_the_pulse_time(synthetic_dataset: Callable[..., PulseDataset], scaling: Scaling) -> None:
    training, validation = splits(synthetic_dataset(2000), scaling)
    once = fit(training, validation, seed=1, sizes=SIZES, schedule=Schedule(epochs=1, rate=3e-3))
    long = fit(training, validation, seed=1, sizes=SIZES, schedule=Schedule(epochs=40, rate=3e-3))
    assert long.best_t.rpd_t < 0.7 * once.best_t.rpd_t
    assert long.best_g.rpd_g < 0.5 * once.best_g.rpd_g


def test_each_rule_keeps_its_own_best(synthetic_dataset: Callable[..., PulseDataset]) -> None:
    training, validation = splits(synthetic_dataset(500), LINEAR_SCALING)
    found = fit(training, validation, seed=1, sizes=SIZES, schedule=Schedule(epochs=20, rate=1e-2))
    assert found.best_t.rpd_t <= found.best_g.rpd_t
    assert found.best_g.rpd_g <= found.best_t.rpd_g


@SCALINGS
@pytest.mark.parametrize("kernel", [1, 101])
def test_fine_tuning_repairs_a_poor_network_through_the_histories(
    synthetic_dataset: Callable[..., PulseDataset], scaling: Scaling, kernel: int
) -> None:
    training, validation = splits(synthetic_dataset(1000), scaling)
    poor = fit(training, validation, seed=1, sizes=SIZES, schedule=Schedule(epochs=3, rate=1e-3)).best_g
    stages = (Stage(kernel, Schedule(epochs=40, rate=3e-3)),)
    tuned = finetune(poor.weights, training, validation, stages, seed=1, sizes=SIZES)
    assert tuned.rpd_g < 0.7 * poor.rpd_g


def test_fine_tuning_never_returns_worse_than_its_start(
    synthetic_dataset: Callable[..., PulseDataset],
) -> None:
    """A destructive rate: the start is the best network of all epochs."""
    training, validation = splits(synthetic_dataset(1000), LINEAR_SCALING)
    good = fit(training, validation, seed=1, sizes=SIZES, schedule=Schedule(epochs=60, rate=3e-3)).best_g
    stages = (Stage(1, Schedule(epochs=2, rate=10.0)),)
    kept = finetune(good.weights, training, validation, stages, seed=1, sizes=SIZES)
    assert kept.rpd_g == good.rpd_g
    assert all(torch.equal(kept.weights[name], value) for name, value in good.weights.items())


def test_initial_weights_follow_from_the_seed() -> None:
    torch.manual_seed(99)  # what the caller did with torch's own generator must not matter
    first = PulsePredictorMLP(SIZES, 1).state_dict()
    torch.manual_seed(100)
    again, other = PulsePredictorMLP(SIZES, 1).state_dict(), PulsePredictorMLP(SIZES, 2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])
