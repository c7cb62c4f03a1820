"""The compiled kernel, its NumPy twin and the random numbers they share."""

import platform

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim.kernel._jart_kernel import ffi, lib

from sim import counter_rng, jart_fit, stepper
from sim.device import DeviceArray
from sim.models import MODELS
from sim.noise import NoisePreset, load_preset
from sim.population import DT_S, Trace
from sim.turns import begin_pulse

STATE = ("n_1e26", "r_m", "l_m", "low_1e26", "high_1e26", "step")
KNOWN_ANSWERS = [  # Random123's kat_vectors for philox4x32 of 7 rounds
    ((0, 0, 0, 0), (0, 0), (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0x4DFCCABA, 0x190A87F0, 0xC47362BA, 0xB6B5242A),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_its_authors_known_answers(counter, key, expected) -> None:
    assert tuple(int(w) for w in counter_rng.philox(counter, key)) == expected
    out = ffi.new("uint32_t[4]")
    forms = lib.walk_philox(ffi.new("uint32_t[4]", counter), ffi.new("uint32_t[2]", key), out)
    assert tuple(out) == expected
    assert forms == 2 or platform.machine() != "x86_64"


def noisy(cadence_steps: int) -> NoisePreset:
    return load_preset("prototype", cadence_s=cadence_steps * DT_S)


@settings(max_examples=40)
@given(
    model=st.sampled_from(sorted(MODELS)),
    seed=st.integers(0, 2**63 - 1),
    is_set=st.booleans(),
    cadence=st.sampled_from([0, 1, 2, 7, 100]),
    with_stop=st.booleans(),
    with_trace=st.booleans(),
    n_devices=st.integers(1, 120),
    data=st.data(),
)
def test_kernel_and_twin_agree_bit_for_bit(
    model, seed, is_set, cadence, with_stop, with_trace, n_devices, data
) -> None:
    noise = noisy(cadence) if cadence else load_preset("none")
    chosen = MODELS[model]
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n_start = draw.uniform(0.07, 1.7, n_devices)
    n_steps = draw.integers(0, 120, n_devices)
    lived = draw.integers(0, 50, n_devices)
    v_V = chosen.v_set_V if is_set else chosen.v_reset_V
    stop = n_start * (1.001 if is_set else 0.999) if with_stop else None
    kernel, twin = (DeviceArray(n_devices, noise, seed, 2e-4, model=chosen) for _ in range(2))
    traces = [Trace.for_steps(n_steps) if with_trace else None for _ in range(2)]
    for array, trace in zip((kernel, twin), traces, strict=True):
        array.population.n_1e26[:] = n_start
        array.population.step[:] = lived
        if trace is not None:
            trace.n_1e26[:] = 0.0
    one = stepper.advance(
        kernel.stepper(v_V), kernel.population, n_steps, n_stop_1e26=stop, trace=traces[0], jobs=2
    )
    two = twin.stepper(v_V).run_in_numpy(twin.population, n_steps, stop, traces[1])
    for name in STATE:
        np.testing.assert_array_equal(getattr(kernel.population, name), getattr(twin.population, name), name)
    np.testing.assert_array_equal(one.steps, two.steps)
    np.testing.assert_array_equal(one.n_before_1e26, two.n_before_1e26)
    if with_trace:
        np.testing.assert_array_equal(traces[0].n_1e26, traces[1].n_1e26)


@pytest.mark.parametrize("name", ["ouroboros-devices", "yu-2022", "jart-var"])
@pytest.mark.parametrize("v_V", [-0.342, 0.7065])
def test_kernel_and_twin_agree_on_devices_that_differ(name: str, v_V: float) -> None:
    noise = load_preset(name)
    array, twin = (DeviceArray(60, noise, 1, 2e-4) for _ in range(2))
    n_steps = np.arange(60, dtype=np.int64) * 5
    array.advance(v_V, n_steps)
    begin_pulse(twin.population, n_steps > 0, noise, 1, v_V < 0.0, twin.model.params)
    twin.stepper(v_V).run_in_numpy(twin.population, n_steps, None, None)
    for field in STATE:
        np.testing.assert_array_equal(
            getattr(array.population, field), getattr(twin.population, field), field
        )


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_workers_and_batches_do_not_change_a_result(jobs: int) -> None:
    g_start = np.linspace(100e-6, 550e-6, 101)
    width_s = np.linspace(0.0, 3e-5, 101)
    whole = DeviceArray(101, noisy(1), 5, g_start, jobs=1)
    whole.apply_pulse(jart_fit.V_SET_V, width_s)
    parts = DeviceArray(101, noisy(1), 5, g_start, jobs=jobs)
    for index in (np.arange(60, 101), np.arange(0, 60)):
        parts.apply_pulse(jart_fit.V_SET_V, width_s[index], index)
    np.testing.assert_array_equal(whole.g_S, parts.g_S)
    tail = DeviceArray(41, noisy(1), 5, g_start[60:], first_device=60, jobs=jobs)
    tail.apply_pulse(jart_fit.V_SET_V, width_s[60:])
    np.testing.assert_array_equal(whole.g_S[60:], tail.g_S)


def test_many_short_pulses_equal_one_long_pulse() -> None:
    one, many = (DeviceArray(50, noisy(7), 3, 300e-6) for _ in range(2))
    one.apply_pulse(jart_fit.V_RESET_V, 1e-5)
    for _ in range(10):
        many.apply_pulse(jart_fit.V_RESET_V, 1e-6)
    np.testing.assert_array_equal(one.g_S, many.g_S)


def test_walks_stay_within_their_bounds_and_visit_them() -> None:
    noise = noisy(1)
    devices = DeviceArray(200, noise, 11, 250e-6)
    devices.apply_pulse(jart_fit.V_RESET_V, 2e-5)
    p = devices.population
    for x, centre, walk in (
        (p.r_m, p.r_dev_m, noise.radius),
        (p.l_m, p.l_dev_m, noise.length),
        (p.low_1e26, p.low_dev_1e26, noise.window_low),
        (p.high_1e26, p.high_dev_1e26, noise.window_high),
    ):
        relative = x / centre - 1.0
        assert np.all(np.abs(relative) <= walk.bound + 1e-7)  # single precision
        assert relative.max() > 0.5 * walk.bound
        assert relative.min() < -0.5 * walk.bound
    assert np.all((p.n_1e26 >= p.low_1e26) & (p.n_1e26 <= p.high_1e26))


@settings(max_examples=60)
@given(
    y=st.lists(st.floats(0.0, 1e-3), min_size=1, max_size=300), tolerance=st.sampled_from([0.0, 1e-8, 5e-5])
)
def test_knots_interpolate_every_sample_within_the_tolerance(y: list[float], tolerance: float) -> None:
    samples = np.array(y)
    knots = stepper.knots(samples, tolerance)
    assert knots[0] == 0
    assert knots[-1] == len(y) - 1
    assert np.all(np.diff(knots.astype(np.int64)) > 0)
    between = np.interp(np.arange(len(y)), knots, samples[knots])
    assert np.max(np.abs(between - samples)) <= tolerance + 1e-15
