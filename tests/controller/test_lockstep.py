"""Thousands of C controllers on the simulated bench do, bit for bit, what the Python closed loop does."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen.controllers import ControllerBank, ControllerRun, Request, status_counts
from codegen.programming_demo import TARGETS_nS, run_demo, table, write_demo
from sim.bench import BenchParams
from sim.closed_loop import ProgramTrace, Pulses, draw_trials, one_shot, write_and_verify
from sim.errors import UserError
from sim.noise import load_preset

# The board of ouro_config.h in this folder.
PARAMS = BenchParams(
    timer_Hz=100_000_000,
    min_ticks=2,
    max_ticks=1_000_000,
    adc_bits=12,
    adc_full_scale_nS=655_360,
    adc_noise_lsb=0.5,
    v_read_uV=200_000,
    dac_bits=12,
    dac_lsb_uV=500,
    v_set_uV=-342_000,
    v_reset_uV=706_500,
)
NOISE = load_preset("ouroboros")


class RulePredictor:
    """`rule_predictor.c` in NumPy."""

    def predict(self, g_start_nS: Any, g_target_nS: Any) -> Any:
        difference = g_target_nS - g_start_nS
        ticks = np.where(difference == 0, 0, np.abs(difference) // 100 + 2)
        direction = np.sign(difference).astype(np.int8)
        return Pulses(direction, ticks, PARAMS.full_v_uV(direction))


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory, rig_sources: Any) -> ControllerBank:
    sources, strict, include = rig_sources
    library = tmp_path_factory.mktemp("bank") / "bank.so"
    files = [s for s in sources if s.name != "rig.c"] + [Path(__file__).parent / "rule_predictor.c"]
    command = ["gcc", *strict, "-O1", "-fPIC", "-shared", *include, *map(str, files), "-o", str(library)]
    subprocess.run(command, check=True)
    return ControllerBank(library)


def assert_equal(run: ControllerRun, expected: ProgramTrace) -> None:
    for field in ("g_target_nS", "g_read_nS", "g_end_S", "direction", "ticks", "v_uV"):
        np.testing.assert_array_equal(getattr(run.trace, field), getattr(expected, field), err_msg=field)
    assert run.unsafe == 0


def test_one_shot_equals_the_closed_loop(bank: ControllerBank) -> None:
    trials = draw_trials(3000, NOISE, seed=5)
    run = bank.one_shot(trials.bench(PARAMS), trials.g_target_nS)
    expected = one_shot(trials.bench(PARAMS), RulePredictor(), trials.g_target_nS)
    assert_equal(run, expected)
    np.testing.assert_array_equal(run.g_start_nS, expected.g_read_nS[0])
    np.testing.assert_array_equal(run.total_ticks, expected.ticks.sum(axis=0))
    assert set(status_counts(run)) <= {"OK", "NO_PULSE_NEEDED"}


def test_write_and_verify_equals_the_closed_loop(bank: ControllerBank) -> None:
    trials = draw_trials(200, NOISE, seed=6)
    run = bank.write_and_verify(trials.bench(PARAMS), trials.g_target_nS, 20)
    expected = write_and_verify(trials.bench(PARAMS), RulePredictor(), trials.g_target_nS, 20)
    assert_equal(run, expected)
    assert status_counts(run) == {"OK": 200}
    np.testing.assert_array_equal(run.g_last_nS, expected.g_read_nS[-1])
    np.testing.assert_array_equal(run.pulses, (expected.ticks > 0).sum(axis=0))


def test_a_device_does_not_depend_on_its_neighbours(bank: ControllerBank) -> None:
    """Early ends of some controllers leave the others' noise alone."""
    trials = draw_trials(300, NOISE, seed=7)
    request = Request(tolerance_permille=50, max_iterations=20, stuck_pulses=5)
    together = bank.run(trials.bench(PARAMS), trials.g_target_nS, request)
    few = replace(trials, g_start_S=trials.g_start_S[:40], g_target_nS=trials.g_target_nS[:40])
    alone = bank.run(few.bench(PARAMS), few.g_target_nS, request)
    np.testing.assert_array_equal(together.trace.g_read_nS[:, :40], alone.trace.g_read_nS)
    np.testing.assert_array_equal(together.status[:40], alone.status)
    assert {"CONVERGED"} < set(status_counts(together)) <= {"CONVERGED", "ERR_NOT_CONVERGED", "ERR_STUCK"}


def test_convergence_is_what_the_status_says(bank: ControllerBank) -> None:
    trials = draw_trials(300, NOISE, seed=8)
    run = bank.run(trials.bench(PARAMS), trials.g_target_nS, Request(tolerance_nS=5000, max_iterations=20))
    off_nS = np.abs(run.trace.g_read_nS - run.trace.g_target_nS)
    np.testing.assert_array_equal((off_nS <= 5000).any(axis=0), run.status == 2)
    np.testing.assert_array_equal(run.iterations, np.where(run.status == 2, (off_nS > 5000).sum(axis=0), 20))


def test_devices_outside_the_adc_are_reported(bank: ControllerBank) -> None:
    trials = draw_trials(50, NOISE, seed=9)
    short = replace(PARAMS, adc_full_scale_nS=300_000)  # the hardware; the firmware believes in 655,360
    run = bank.one_shot(trials.bench(short), trials.g_target_nS)
    saturated = trials.g_start_S > 301e-6
    assert saturated.any()
    assert (run.status[saturated] == 20).all()
    assert (run.trace.ticks[0, saturated] == 0).all()
    assert run.unsafe == 0


def test_refused_requests_leave_the_devices_alone(bank: ControllerBank) -> None:
    trials = draw_trials(20, NOISE, seed=9)
    bench = trials.bench(PARAMS)
    before = bench.devices.g_S
    run = bank.run(bench, 1_000_000, Request())
    assert status_counts(run) == {"ERR_TARGET_RANGE": 20}
    np.testing.assert_array_equal(bench.devices.g_S, before)
    with pytest.raises(UserError, match="max_iterations"):
        bank.run(bench, 220_000, Request(max_iterations=0))


def test_a_file_that_is_no_library(tmp_path: Path) -> None:
    path = tmp_path / "not.so"
    path.write_text("no")
    with pytest.raises(UserError, match="cannot load the host library"):
        ControllerBank(path)


@pytest.mark.skipif("OURO_TEST_SANITIZE" in os.environ, reason="drawing is slow there")
def test_the_demo_writes_the_same_bytes_every_time(bank: ControllerBank, tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        demo = run_demo(bank, PARAMS, NOISE, seed=1)
        names = [path.name for path in write_demo(demo, folder, {"seed": 1})]
    assert names == ["convergence.json", "write_and_verify.png", "write_and_verify.svg"]
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert [row.target_uS for row in demo.convergence] == pytest.approx([t / 1000 for t in TARGETS_nS])
    assert len(table(demo.convergence).splitlines()) == 2 + len(TARGETS_nS)
