"""Devices as a controller knows them: floors of known devices, calibration, the device-aware network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from codegen.boards import load_board
from sim.device import DeviceArray
from sim.errors import UserError
from sim.models import JART_FIT
from sim.noise import load_preset
from sim.placing import deal, place, spread_evenly
from train.__main__ import main
from train.calibrated import Calibration, Cells
from train.device_aware import training_params, true_log2_rate
from train.device_known import known_floor
from train.lived import record
from train.programming import TOLERANCES, metered_pulse, program, summaries
from train.programming_methods import FixedPulses, PulseWidthPI, full_uV, towards
from train.responses import ResponseParams

DEVICES = load_preset("ouroboros-devices")
BOARD = load_board("generic")
LIMITS = BOARD.bench_params()
PARAMS = training_params(DEVICES, LIMITS, seed=3)


def test_dealt_devices_follow_the_spread_and_keep_their_values() -> None:
    factors = spread_evenly(DEVICES, 400)
    assert np.abs(factors[:, :2] - 1.0).max() <= 0.1 and np.all(factors[:, 2:] == 1.0)
    assert np.diff(factors[:, 0]).min() > 0.0
    drawn = DeviceArray(4000, DEVICES, 1, 3e-4).population
    for k, own in enumerate((drawn.r_dev_m / JART_FIT.params.r0_m, drawn.l_dev_m / JART_FIT.params.l0_m)):
        assert abs(factors[:, k].std() - own.std()) < 0.002
    devices = DeviceArray(400, DEVICES, 1, 3e-4)
    deal(devices, factors)
    place(devices, 2e-4)
    np.testing.assert_allclose(devices.g_S, 2e-4)
    np.testing.assert_allclose(devices.population.r_dev_m, factors[:, 0] * JART_FIT.params.r0_m)
    devices.apply_pulse(0.7065, 1e-5)
    np.testing.assert_allclose(devices.population.r_dev_m, factors[:, 0] * JART_FIT.params.r0_m)


def test_a_known_device_is_worth_something_where_devices_differ() -> None:
    params = ResponseParams(
        starts=4, devices=24, seed=1, noise=load_preset("prototype-devices"), longest_pulse_s=2e-3
    )
    found = known_floor(params, count=5, targets=6)
    assert found.known.rpd.shape == (5 * 24, 24) and found.unknown.rpd.shape == (24, 5 * 24)
    known, unknown = found.known.record(), found.unknown.record()
    assert known.mean_rpd < 0.85 * unknown.mean_rpd
    assert len(found.as_json()["known_devices"]) == 5
    with pytest.raises(UserError, match="do not differ"):
        known_floor(replace(params, noise=load_preset("ouroboros")), 5, 6)


def test_records_stop_at_the_window_and_do_not_depend_on_company() -> None:
    devices = DeviceArray(6, DEVICES, 5, 3e-4)
    alone = DeviceArray(6, DEVICES, 5, 3e-4)
    params = replace(PARAMS, longest_pulse_s=3e-4)
    together = record(devices, params, 1)
    np.testing.assert_array_equal(record(alone, params, 1, np.array([4])), together[4:5])
    assert together[:, -1].max() < 6.2e-4 and together[:, -1].min() > 3e-4


def test_three_calibration_pulses_find_the_rate() -> None:
    calibration = Calibration.fitted(PARAMS, LIMITS, devices=200)
    cells = Cells.unknown(PARAMS, calibration, 0, 300, None)
    rate, errors = true_log2_rate(cells.bench.devices), []
    for _ in range(3):
        cells.calibrate(np.arange(300))
        errors.append((cells.states.log2_rate_q4 / 16.0 - rate).std())
    assert (cells.states.pulses == 3).all()
    assert rate.std() > 1.5 and errors[0] < 1.0 and errors[2] < 0.6
    assert np.corrcoef(cells.states.log2_rate_q4, rate)[0, 1] > 0.94


def test_the_command_trains_evaluates_and_keeps(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    arguments = ["devices", "--devices", "200", "--trials", "60", "--divide-epochs", "20", "-o", str(folder)]
    first = CliRunner().invoke(main, [*arguments, "--json"])
    assert first.exit_code == 0, first.output
    result = json.loads(first.stdout[first.stdout.index("{") :])
    kinds = [(s["accuracy"]["predictor"], s["accuracy"]["realisation"]) for s in result["one_shots"]]
    assert ("device_aware_3", "c") in kinds and ("history_free", "c") in kinds and len(kinds) == 3 * 5
    assert result["bytes_per_device"] * 64 * 64 <= 8192
    made = (folder / "device_aware.onnx").stat().st_mtime_ns
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert (folder / "device_aware.onnx").stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["devices", "--noise", "ouroboros", "-o", "x"], "do not differ"),
        (["devices", "--seed", "20240312", "-o", "x"], "choose another --evaluation-seed"),
        (["devices", "--floor", "nowhere.json", "-o", "x"], "cannot read floor"),
        (["programming", "nowhere"], "run `python -m train devices` first"),
        (["floor", "--known-devices", "3"], "do not differ"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(main, arguments)
    assert isinstance(found.exception, UserError) and problem in str(found.exception)


def cells_at(count: int) -> tuple[Cells, np.ndarray]:
    cells = Cells.unknown(PARAMS, Calibration.scaled(PARAMS, LIMITS, 0.33), 50, count, None)
    target = np.linspace(150_000, 500_000, count).astype(np.int64)
    return cells, target


def test_programming_stops_within_tolerance_and_books_what_it_took() -> None:
    cells, target = cells_at(40)
    run = program(cells.bench, target, PulseWidthPI(LIMITS, 40, 1000.0, 1000.0), 1e-5, most_pulses=60)
    reached = ~np.isnan(run.pulses)
    assert reached[0].mean() > 0.9
    for row, limit in enumerate(TOLERANCES.values()):
        assert run.rpd[row, reached[row]].max() < 1.3 * limit + 0.002  # a reading's noise
    both = reached.all(axis=0)
    for name in ("pulses", "time_s", "energy_J"):
        five, one = getattr(run, name)
        assert (five[both] <= one[both]).all()
    np.testing.assert_array_less(run.pulses[0, reached[0]] * 2e-5, run.time_s[0, reached[0]])
    summary = summaries("PI", "-", run)[0]
    assert summary.converged == reached[0].mean() and summary.cells == 40


def test_energy_is_that_of_the_models_current() -> None:
    """A pulse too short to move the device: V I t."""
    cells, target = cells_at(10)
    direction = towards(cells.g_nS, target)
    pulses = FixedPulses(LIMITS, 2).pulses(np.arange(10), cells.g_nS, target)
    np.testing.assert_array_equal(pulses.v_uV, full_uV(LIMITS, direction))
    population = cells.bench.devices.population
    current, _ = JART_FIT.rates(pulses.v_uV * 1e-6, *population.geometry, population.n_1e26.copy())
    ticks, energy_J = metered_pulse(cells.bench, pulses, np.arange(10))
    assert (ticks == 2).all()
    np.testing.assert_allclose(energy_J, current * pulses.v_uV * 1e-6 * 2e-8, rtol=0.05)
