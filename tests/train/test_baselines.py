"""The noise-free baselines against direct simulation of the noise-free device, and the fitted time scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sim import jart_fit
from sim.bench import BenchParams
from sim.dataset import TRAIN
from sim.device import DeviceArray
from sim.noise import load_preset
from train.baselines import NoiseFreeInverse, NoiseFreePredictor
from train.features import LINEAR_SCALING
from train.samples import Samples


@pytest.fixture(scope="module")
def inverse() -> NoiseFreeInverse:
    return NoiseFreeInverse.of_model()


PAIRS_uS = [(100, 110), (100, 500), (150, 300), (200, 400), (540, 100), (400, 390), (300, 150), (500, 450)]


def test_inverse_reaches_the_target_in_a_noise_free_simulation(inverse: NoiseFreeInverse) -> None:
    start, target = np.array(PAIRS_uS).T * 1e-6
    t_s = inverse.pulse_s(start, target)
    assert (np.sign(t_s) == np.sign(target - start)).all()
    devices = DeviceArray(len(start), load_preset("none"), 1, start)
    devices.apply_pulse(np.where(t_s > 0, jart_fit.V_SET_V, jart_fit.V_RESET_V), np.abs(t_s))
    np.testing.assert_allclose(devices.g_S, target, rtol=5e-4)  # one step of 10 ns is 1e-4


def test_times_add_up_along_a_trajectory(inverse: NoiseFreeInverse) -> None:
    a, b, c = (np.array([g]) for g in (1.2e-4, 2.7e-4, 4.1e-4))
    np.testing.assert_allclose(inverse.pulse_s(a, c), inverse.pulse_s(a, b) + inverse.pulse_s(b, c))
    np.testing.assert_allclose(inverse.pulse_s(c, a), inverse.pulse_s(c, b) + inverse.pulse_s(b, a))
    assert inverse.pulse_s(a, a) == 0


def test_conductances_outside_the_window_count_as_its_edge(inverse: NoiseFreeInverse) -> None:
    t_s = inverse.pulse_s(np.array([5e-5, 7e-4]), np.array([7e-4, 5e-5]))
    np.testing.assert_allclose(np.abs(t_s), [inverse.t_set_s[-1], inverse.t_reset_s[0]])


def test_time_scale_finds_how_much_faster_the_recorded_devices_are(
    synthetic_dataset: Callable[..., Any],
) -> None:
    dataset = synthetic_dataset(400, noise=0.0)
    samples = Samples.of_split(dataset, TRAIN, LINEAR_SCALING)
    # An inverse of devices that need 2.5 times as long as the recorded ones.
    grid = np.linspace(9e-5, 5.6e-4, 100)
    slow = NoiseFreeInverse(grid, 2.5 * (grid - grid[0]) / 2.0, 2.5 * (grid[-1] - grid) / 2.0)
    scaled = slow.scaled_to(samples)
    assert 0.35 < scaled.time_scale < 0.45
    assert scaled.scaled_to(samples) == scaled, "the fit does not start from the scale it has"


def test_predictor_gives_whole_ticks_in_the_right_direction(
    inverse: NoiseFreeInverse, board: BenchParams
) -> None:
    predictor = NoiseFreePredictor(inverse, board)
    direction, ticks, v_uV = predictor.predict(
        np.array([200_000, 300_000, 250_000]), np.array([400_000, 150_000, 250_000])
    )
    assert direction.tolist() == [1, -1, 0]
    assert direction.dtype == np.int8 and ticks.dtype == np.int64
    expected = inverse.pulse_s(np.array([2e-4]), np.array([4e-4]))[0] * board.timer_Hz
    assert abs(ticks[0] - expected) <= 0.5
    assert ticks[2] == 0
    assert v_uV.tolist() == [board.v_set_uV, board.v_reset_uV, 0]
