"""Device arrays: waveforms on noisy devices, what changes between pulses, saved and restored state."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sim.device import DeviceArray
from sim.device_file import restore, save
from sim.errors import UserError
from sim.models import JART_FULL, MODELS, load_model
from sim.noise import NoisePreset, Walk, load_preset
from sim.playing import play
from sim.trajectory import respond
from sim.waveform import Waveform, pulse_train, triangle

R0_m = 45e-9


def array(preset: str = "ouroboros-devices", n: int = 30, **options) -> DeviceArray:
    return DeviceArray(n, load_preset(preset), 7, 2e-4, **options)


def test_levels_are_pulses() -> None:
    one, other = array(), array()
    play(one, Waveform(np.array([0.0, 3e-6, 5e-6]), np.array([-0.342, -0.342, -0.342])))
    other.apply_pulse(-0.342, 5e-6)
    np.testing.assert_array_equal(one.g_S, other.g_S)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_ramps_follow_the_model(name: str) -> None:
    """Without noise: the adaptive integrator, which knows no steps."""
    model = MODELS[name]
    devices = DeviceArray(1, load_preset("none"), 0, 3e-4, model=model)
    n_start = float(devices.population.n_1e26[0])
    waveform = pulse_train(-0.342, width_s=2e-6, period_s=1e-5, count=2, rise_s=2e-6, fall_s=2e-6)
    play(devices, waveform)
    wanted = respond(model, waveform, n_start, np.array([0.0, waveform.duration_s]))
    moved = wanted.n_1e26[-1] - n_start
    assert devices.population.n_1e26[0] - n_start == pytest.approx(moved, rel=2e-3)


def test_ramps_walk_like_pulses() -> None:
    """A ramp so flat that it is a level: the same random numbers, and rates apart by the table's error alone."""
    one, other = array("ouroboros"), array("ouroboros")
    play(one, Waveform(np.array([0.0, 2e-6]), np.array([-0.342, -0.342 - 1e-12])))
    other.apply_pulse(-0.342, 2e-6)
    np.testing.assert_array_equal(one.population.r_m, other.population.r_m)
    np.testing.assert_allclose(one.population.n_1e26, other.population.n_1e26, rtol=1e-4)


def test_ramps_of_seconds_are_refused() -> None:
    with pytest.raises(UserError, match="make them steeper"):
        play(array(n=1), triangle((-1.0,), 1.0))


def test_once_per_pulse_walks_move_once_per_pulse() -> None:
    noise = NoisePreset(name="pulses", source="test", once_per_pulse=True, radius=Walk(step=0.01, bound=0.1))
    devices = DeviceArray(5000, noise, 1, 2e-4)
    radii = [devices.population.r_m.copy()]
    for width_s in (1e-6, 3e-5):
        devices.apply_pulse(-0.2, width_s)
        radii.append(devices.population.r_m.copy())
    for before, after in pairwise(radii):
        change = after / before - 1.0
        assert np.abs(change).max() <= 0.01 + 1e-6 and change.std() == pytest.approx(0.01 / 3**0.5, rel=0.05)
    devices.advance(-0.2, np.full(5000, 10), continues=True)
    np.testing.assert_array_equal(devices.population.r_m, radii[-1])
    assert np.all(devices.population.pulses == 2)


def test_geometry_follows_the_switched_fraction_between_turns() -> None:
    """JART VCM v1b var: linear in N towards the value that the change of polarity dealt out."""
    devices = array("jart-var", n=400)
    p = devices.population
    n_old, (r_old, _) = p.n_1e26.copy(), p.geometry
    np.testing.assert_allclose(r_old, R0_m)
    radii, concentrations = [r_old], [n_old]
    for _ in range(3):
        devices.apply_pulse(-0.342, 5e-6)
        radii.append(p.geometry[0])
        concentrations.append(p.n_1e26.copy())
    fraction = [(n - n_old) / (20.0 - n_old) for n in concentrations[1:]]
    target = [r_old + (r - r_old) / f for r, f in zip(radii[1:], fraction, strict=True)]
    np.testing.assert_allclose(target[0], target[1], rtol=1e-6)
    np.testing.assert_allclose(target[0], target[2], rtol=1e-6)
    new = target[0] / R0_m
    assert 0.9 - 1e-6 < new.min() < 0.93 and 1.07 < new.max() < 1.1 + 1e-6
    before = p.geometry[0]
    devices.apply_pulse(0.7065, 1e-8)  # turns round: goes on from where it is, towards another value
    np.testing.assert_allclose(p.geometry[0], before, rtol=1e-3)
    assert np.all(p.turns == 2)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_restored_array_goes_on_with_the_same_bits(tmp_path: Path, name: str) -> None:
    model = load_model(name).changed(r0_m=46e-9)
    devices = array(n=20, model=model)
    devices.apply_pulse(-0.342, 3.33e-6)
    save(devices, tmp_path / "devices.h5")
    other = restore(tmp_path / "devices.h5", jobs=1)
    assert other.provenance() == devices.provenance()
    for one in (devices, other):
        one.apply_pulse(0.7065, 2e-6)
        one.apply_pulse(-0.342, 1e-6, index=[3, 5])
    np.testing.assert_array_equal(devices.read(), other.read())


def test_what_is_no_device_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing or damaged"):
        restore(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("x")
    with pytest.raises(UserError, match="missing or damaged"):
        restore(tmp_path / "text.h5")


def test_the_full_model_is_read_through_its_walking_geometry() -> None:
    devices = array("ouroboros", n=200, model=JART_FULL)
    devices.apply_pulse(-0.342, 1e-6)
    p = devices.population
    wanted = JART_FULL.read_conductance(p.r_m, p.l_m, p.n_1e26)
    np.testing.assert_array_equal(devices.g_S, wanted)
    assert np.std(devices.g_S / JART_FULL.conductances(p.n_1e26)) > 1e-3
