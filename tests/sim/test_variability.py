"""Device-to-device spread: the stated distributions, dealt out by device number, within what the model holds for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sim.device import DeviceArray
from sim.errors import UserError
from sim.noise import NoisePreset, Spread, Walk, load_preset

R0_m, L0_m = 45e-9, 0.4e-9


def devices(noise: NoisePreset, n: int = 20_000, first: int = 0) -> DeviceArray:
    return DeviceArray(n, noise, 1, 2e-4, first_device=first)


def preset(**changes: object) -> NoisePreset:
    return NoisePreset.model_validate({"name": "test", "source": "test", **changes})


def test_a_truncated_gaussian_is_one() -> None:
    spread = Spread(std=0.05, limit=0.1)
    noise = preset(radius_spread=spread, length_spread=spread)
    population = devices(noise).population
    wanted = stats.truncnorm(-2, 2, loc=1.0, scale=0.05)
    for values in (population.r_dev_m / R0_m, population.l_dev_m / L0_m):
        assert stats.kstest(values, wanted.cdf).pvalue > 0.01
        assert values.min() > 0.9 and values.max() < 1.1
    correlation = np.corrcoef(population.r_dev_m, population.l_dev_m)[0, 1]
    assert abs(correlation) < 0.03


def test_a_clamped_gaussian_puts_nine_of_ten_devices_on_a_limit() -> None:
    population = devices(load_preset("yu-2022")).population
    factor = population.r_dev_m / R0_m
    beyond = 2 * stats.norm.sf(0.1)
    on_a_limit = np.isclose(np.abs(factor - 1.0), 0.1, rtol=1e-9, atol=0.0)
    assert on_a_limit.mean() == pytest.approx(beyond, abs=4 * np.sqrt(beyond * (1 - beyond) / len(factor)))
    assert np.abs(factor - 1.0).max() <= 0.1 + 1e-12
    high = population.high_dev_1e26
    assert high.max() / high.min() == pytest.approx(1.1 / 0.9)


def test_without_spread_every_device_is_nominal() -> None:
    population = devices(load_preset("ouroboros"), 100).population
    assert (population.r_dev_m == R0_m).all() and (population.l_dev_m == L0_m).all()


def test_a_device_keeps_its_values_in_any_batch() -> None:
    noise = load_preset("ouroboros-devices")
    whole, part = devices(noise, 50), devices(noise, 20, first=30)
    whole.apply_pulse(-0.342, 1e-5)
    part.apply_pulse(-0.342, 1e-5)
    assert np.array_equal(whole.population.r_dev_m[30:], part.population.r_dev_m)
    assert np.array_equal(whole.g_S[30:], part.g_S)


def test_walks_stay_around_the_devices_own_values() -> None:
    array = devices(load_preset("ouroboros-devices"), 500)
    array.apply_pulse(-0.342, 1e-4)
    relative = array.population.r_m / array.population.r_dev_m
    assert np.abs(relative - 1.0).max() <= 0.1 + 1e-7  # single precision
    assert relative.std() > 0.02


def test_devices_that_differ_switch_at_very_different_times() -> None:
    """+-10 % of radius alone is more than a decade of switching time."""
    spread = Spread(std=0.05, limit=0.1)
    array = devices(preset(radius_spread=spread), 300)
    done = array.advance(-0.342, np.full(300, 1_000_000), g_stop_S=np.full(300, 4e-4))
    slowest, fastest = np.percentile(done.steps, [95, 5])
    assert slowest > 10 * fastest


def test_a_window_beyond_the_model_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"preset 'test' lets N reach 0\.0042 \.\. .*, outside 0\.0047 \.\. 20"
    ):
        devices(preset(window_low=Walk(step=0.1, bound=0.9), window_low_spread=Spread(std=0.1, limit=0.3)), 5)
    with pytest.raises(UserError, match="reduce its window bounds or spreads"):
        devices(preset(window_low={"step": 0.1, "bound": 0.9}, window_low_spread={"std": 1, "limit": 0.9}), 5)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("radius_spread = { std = -1, limit = 0.1 }", r"radius_spread\.std = -1"),
        ("radius_spread = { std = 1, limit = 0.95 }", r"radius_spread\.limit = 0\.95"),
        ('radius_spread = { std = 1, limit = 0.1, shape = "round" }', r"radius_spread\.shape = 'round'"),
    ],
)
def test_unusable_spreads_are_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\nsource = "test"\n{line}\n')
    with pytest.raises(UserError, match=complaint):
        load_preset(str(path))
