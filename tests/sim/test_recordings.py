"""A lab's recordings: files that are read as they were meant or refused by name, and trials on their runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sim.bench import BenchParams
from sim.closed_loop import Pulses, one_shot
from sim.errors import UserError
from sim.recordings import Recordings, read_recordings, write_recordings
from sim.replay import replay_trials
from sim.verbs import main

LOW, HIGH = 1e-4, 5e-4
V_SET, V_RESET = -0.342, 0.7065
BENCH = BenchParams(
    timer_Hz=100_000_000,
    min_ticks=1,
    max_ticks=10_000_000,
    adc_bits=16,
    adc_full_scale_nS=655_360,
    adc_noise_lsb=0.0,
    v_read_uV=200_000,
    dac_bits=12,
    dac_lsb_uV=500,
    v_set_uV=-342_000,
    v_reset_uV=706_500,
)
SPEED_S_PER_S = 4.0
"""Conductance per time of these devices, the same everywhere: 100 us take them through the window."""


class Ideal:
    """Knows these devices."""

    def predict(self, g_start_nS: np.ndarray, g_target_nS: np.ndarray) -> Pulses:
        move = g_target_nS - g_start_nS
        direction = np.sign(move).astype(np.int8)
        ticks = np.rint(np.abs(move) * 1e-9 / SPEED_S_PER_S * BENCH.timer_Hz).astype(np.int64)
        return Pulses(direction, ticks, BENCH.full_v_uV(direction))


def write_lab(path: Path, runs: int = 40) -> Path:
    """Runs of devices that move evenly, through readings at uneven times."""
    voltages, times, readings = [], [], []
    for sign, v_V, end in ((1, V_SET, HIGH), (-1, V_RESET, LOW)):
        for start in LOW + (HIGH - LOW) * (np.arange(runs) + 0.5) / runs:
            t_s = np.concatenate([[0.0], np.geomspace(1e-8, abs(end - start) / SPEED_S_PER_S + 1e-6, 20)])
            voltages.append(v_V)
            times.append(t_s)
            readings.append(start + sign * SPEED_S_PER_S * t_s)
    write_recordings(path, voltages, times, readings)
    return path


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return write_lab(tmp_path / "runs.csv")


def edited(path: Path, edit: dict[int, str]) -> Path:
    """The file with lines replaced, by their number from 0; "" deletes one."""
    lines = path.read_text().splitlines()
    for number, line in edit.items():
        lines[number] = line
    path.write_text("\n".join(line for line in lines if line) + "\n")
    return path


def test_files_come_back_as_they_were_written(lab: Path) -> None:
    found = read_recordings(lab)
    assert len(found) == 80 and (found.v_set_V, found.v_reset_V) == (V_SET, V_RESET)
    assert found.direction.tolist() == [1] * 40 + [-1] * 40
    t_s, g_S = found.run(79)
    np.testing.assert_allclose(g_S, found.g_start_S[79] - SPEED_S_PER_S * t_s, rtol=1e-12)
    assert found.name.startswith("runs.csv ") and len(found.name) == len("runs.csv ") + 12


def test_the_window_is_where_runs_of_both_directions_start_and_get_to(lab: Path) -> None:
    low, high = read_recordings(lab).window_S
    assert LOW < low < LOW + 0.04 * (HIGH - LOW) and HIGH - 0.04 * (HIGH - LOW) < high < HIGH
    assert read_recordings(lab, (2e-4, 4e-4)).window_S == (2e-4, 4e-4)


def test_every_fifth_run_of_each_direction_is_held_out(lab: Path) -> None:
    every = read_recordings(lab)
    training, held_out = every.training(), every.held_out()
    for part, each in ((training, 32), (held_out, 8)):
        assert [(part.direction == sign).sum() for sign in (1, -1)] == [each, each]
        assert part.window_S == every.window_S
    np.testing.assert_array_equal(held_out.g_start_S[:8], every.g_start_S[4:40:5])
    assert set(training.g_start_S[:32]) | set(held_out.g_start_S[:8]) == set(every.g_start_S[:40])


def test_a_predictor_that_knows_the_devices_hits_every_recorded_one(lab: Path) -> None:
    trials = replay_trials(read_recordings(lab), 500, seed=1)
    trace = one_shot(trials.bench(BENCH), Ideal(), trials.g_target_nS)
    missed_S = np.abs(trace.g_end_S - trials.g_target_nS * 1e-9)
    assert missed_S.max() < 3e-8  # a code of the converter, a tick
    assert set(trace.direction[0]) == {-1, 1}
    again = replay_trials(read_recordings(lab), 500, seed=1)
    np.testing.assert_array_equal(again.g_target_nS, trials.g_target_nS)
    np.testing.assert_array_equal(again.run, trials.run)


def test_a_pulse_against_a_run_leaves_its_device_where_it_is(lab: Path) -> None:
    class Wrong(Ideal):
        def predict(self, g_start_nS: np.ndarray, g_target_nS: np.ndarray) -> Pulses:
            right = super().predict(g_start_nS, g_target_nS)
            return Pulses(
                -right.direction, right.ticks, -right.direction * 0 + BENCH.full_v_uV(-right.direction)
            )

    trials = replay_trials(read_recordings(lab), 50, seed=1)
    trace = one_shot(trials.bench(BENCH), Wrong(), trials.g_target_nS)
    np.testing.assert_array_equal(trace.g_end_S, trials.g_start_S)


def test_beyond_its_end_a_run_stays_at_its_last_reading(lab: Path) -> None:
    found = read_recordings(lab)
    t_s, g_S = found.run(3)
    np.testing.assert_array_equal(found.response_S(3, [0.0, t_s[-1], 1.0]), [g_S[0], g_S[-1], g_S[-1]])


def test_a_board_with_other_voltages_is_refused(lab: Path) -> None:
    trials = replay_trials(read_recordings(lab), 10, seed=1)
    with pytest.raises(UserError, match=r"RESET pulses of 0\.7065 V were recorded, the board gives 0\.8 V"):
        trials.bench(replace(BENCH, v_reset_uV=800_000))


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        ({0: "run,v_V,t_s,g"}, "no column g_S; expected run,v_V,t_s,g_S"),
        (
            {1: "0,-0.342,1e-9,1e-4"},
            r"run 0: starts at t_s = 1e-09; the first reading is that before any pulse",
        ),
        ({2: "0,-0.342,0,1e-4"}, r"run 0: t_s = 0 is not later than the reading before it"),
        ({2: "0,-0.342,1e-8,-1e-4"}, r"run 0: g_S = -0\.0001; conductances are positive"),
        ({2: "0,-0.342,1e-8,nan"}, r"line 3: g_S = 'nan' is not a finite number"),
        ({2: "0,0.342,1e-8,1e-4"}, r"run 0: its pulses must have one voltage"),
        ({1: "7.5,-0.342,0,1e-4"}, r"run 7\.5: a single reading"),
        ({30: "0,-0.342,1,1e-4"}, r"the lines of run 0 do not follow each other"),
        (dict.fromkeys(range(1, 22), "0,-0.5,0,1e-4"), r"run 0: t_s = 0 is not later"),
    ],
)
def test_what_is_wrong_is_named(lab: Path, edit: dict[int, str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_recordings(edited(lab, edit))


def test_two_voltages_of_one_direction_are_refused(lab: Path) -> None:
    lines = lab.read_text().splitlines()
    edited(lab, {n: lines[n].replace("-0.342", "-0.4") for n in range(1, 22)})
    with pytest.raises(UserError, match=r"runs of SET \(negative v_V\) at -0\.4 and -0\.342 V"):
        read_recordings(lab)


def test_few_runs_or_starts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="9 runs of SET"):
        read_recordings(write_lab(tmp_path / "few.csv", runs=9))
    path = write_lab(tmp_path / "window.csv")
    with pytest.raises(UserError, match=r"0 SET runs start between 0\.0005 and 0\.0006 S"):
        read_recordings(path, (4e-4, 9e-4))
    with pytest.raises(UserError, match="must be above 0 and below the upper one"):
        read_recordings(path, (3e-4, 2e-4))


def test_the_simulated_lab_records_what_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    options = ["--runs", "30", "--noise", "prototype", "--seed", "4", "--read-noise", "0"]
    done = CliRunner().invoke(main, ["record", *options, "-o", str(path)])
    assert done.exit_code == 0, done.output
    first = path.read_bytes()
    found: Recordings = read_recordings(path)
    assert len(found) == 60 and "30 runs of SET and of RESET" in done.output
    moved = [found.run(i)[1][-1] - found.g_start_S[i] for i in range(60)]
    assert (np.sign(moved) == found.direction).all()
    assert CliRunner().invoke(main, ["record", *options, "--jobs", "1", "-o", str(path)]).exit_code == 0
    assert path.read_bytes() == first
