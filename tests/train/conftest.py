"""Data sets for the training tests - a synthetic one, deterministic physics that a network can learn, plus
noise, and a tiny real one - and the networks of the tiny one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sim import dataset_generation
from sim.bench import BenchParams
from sim.dataset import DatasetParams, PulseDataset
from sim.noise import load_preset
from train.networks import Workplace, train_networks
from train.recipes import ALL_RECIPES, Recipe, shortened
from train.responses import ResponseParams, recorded

DT_s = 1e-8
G_MIN_S, G_MAX_S = 1e-4, 5e-4


def random_knots(rng: np.random.Generator, end_step: int) -> npt.NDArray[np.int64]:
    """Irregular knot times from 0 to `end_step`, both included."""
    count = min(end_step, int(rng.integers(1, 60)))
    inner = rng.choice(np.arange(1, end_step), size=count - 1, replace=False) if end_step > 1 else []
    return np.unique(np.concatenate([[0], inner, [end_step]])).astype(np.int64)


def make_dataset(n: int = 300, seed: int = 0, noise: float = 0.02) -> PulseDataset:
    """G runs up or down at 2 S/s (times a random speed per sample) with small wiggles; histories are
    ragged.
    """
    rng = np.random.default_rng(seed)
    start = rng.uniform(G_MIN_S, G_MAX_S, n)
    target = rng.uniform(G_MIN_S, G_MAX_S, n)
    direction = np.where(target >= start, 1, -1)
    speed_S = 2.0 * DT_s * np.exp(rng.normal(0.0, 0.3, n))  # per step
    steps = np.maximum(1, np.round(np.abs(target - start) / speed_S)).astype(np.int64)
    offsets, knots, values = [0], [], []
    for i in range(n):
        knot = random_knots(rng, 2 * int(steps[i]))
        g = start[i] + direction[i] * speed_S[i] * knot
        g[1:] *= 1 + noise * rng.uniform(-1, 1, len(knot) - 1)
        knots.append(knot)
        values.append(g)
        offsets.append(offsets[-1] + len(knot))
    split = np.full(n, 0, np.uint8)
    split[int(0.8 * n) :] = 1
    split[int(0.9 * n) :] = 2
    return PulseDataset(
        g_start_S=start,
        g_target_S=target,
        g_end_S=target,
        t_pulse_s=direction * steps * DT_s,
        split=split,
        history_offset=np.array(offsets, np.int64),
        history_step=np.concatenate(knots).astype(np.uint32),
        history_g_S=np.concatenate(values).astype(np.float32),
        redrawn=0,
    )


@pytest.fixture(scope="session")
def synthetic_dataset() -> Callable[..., PulseDataset]:
    """Factory: `synthetic_dataset(n, seed, noise)`."""
    return make_dataset


@pytest.fixture(scope="session")
def tiny_params() -> DatasetParams:
    return DatasetParams(pairs=300, seed=3, noise=load_preset("prototype"))


@pytest.fixture(scope="session")
def tiny_dataset(tiny_params: DatasetParams, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a real, tiny data set; to be copied before it is changed."""
    path = tmp_path_factory.mktemp("tiny") / "dataset.h5"
    dataset_generation.generate(path, tiny_params, jobs=1)
    return path


@pytest.fixture(scope="session")
def tiny_responses(tiny_params: DatasetParams, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a few responses of the same devices; to be copied before it is changed."""
    path = tmp_path_factory.mktemp("tiny") / "responses.h5"
    params = ResponseParams(starts=6, devices=4, seed=3, noise=tiny_params.noise, longest_pulse_s=2e-5)
    recorded(path, params, jobs=1)
    return path


@pytest.fixture(scope="session")
def quick_recipes() -> tuple[Recipe, ...]:
    """Every recipe with one epoch a stage: what `--divide-epochs 100` makes of them."""
    return tuple(shortened(recipe, 100) for recipe in ALL_RECIPES)


@pytest.fixture(scope="session")
def trained(
    tiny_dataset: Path,
    tiny_responses: Path,
    quick_recipes: tuple[Recipe, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Workplace:
    """All networks of the tiny data set, seed 1; to be copied before they are changed."""
    place = Workplace.at(tiny_dataset, tmp_path_factory.mktemp("trained") / "networks", 1, tiny_responses)
    train_networks(place, quick_recipes, workers=1, progress=lambda: None)
    return place


@pytest.fixture(scope="session")
def board() -> BenchParams:
    return BenchParams(
        timer_Hz=100_000_000,
        min_ticks=1,
        max_ticks=1_000_000,
        adc_bits=12,
        adc_full_scale_nS=655_360,
        adc_noise_lsb=0.0,
        v_read_uV=200_000,
        dac_bits=12,
        dac_lsb_uV=500,
        v_set_uV=-342_000,
        v_reset_uV=706_500,
    )
