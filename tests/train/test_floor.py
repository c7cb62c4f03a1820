"""The floor: recorded responses that can be resumed, and the best fixed pulse time of every pair."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sim.errors import UserError
from sim.noise import load_preset
from sim.tables import read_csv
from train import responses
from train.__main__ import main
from train.baselines import NoiseFreeInverse
from train.floor import floor_of, targets_of
from train.responses import DIRECTIONS, ResponseParams, Responses, load, recorded

SMALL = ResponseParams(starts=4, devices=6, seed=7, noise=load_preset("prototype"), longest_pulse_s=2e-5)


def made_up(speeds: np.ndarray) -> Responses:
    """Devices whose conductance runs straight towards its target's side, each at its own speed [S per step]."""
    params = ResponseParams(starts=8, devices=len(speeds), longest_pulse_s=1e-5)
    step = params.steps()
    way = speeds[:, None] * step
    g_S = [[start + sign * way for start in params.g_start_S()] for sign in DIRECTIONS]
    return Responses(params, step, np.array(g_S, dtype=np.float32))


def test_devices_that_are_alike_leave_the_time_grid_alone() -> None:
    speed = 2e-6
    found = floor_of(made_up(np.full(20, speed)), targets=16)
    reachable = np.abs(found.g_target_S - found.g_start_S) < 1000 * speed
    wanted = (found.g_target_S - found.g_start_S) / speed * 1e-8
    off = np.abs(found.best_time_s / wanted - 1)[reachable & (np.abs(wanted) > 3e-7)]
    assert off.size > 50 and off.max() < 0.06
    np.testing.assert_array_equal(found.rpd.max(axis=1), found.rpd.min(axis=1))
    np.testing.assert_allclose(found.rpd[:, 0], found.optimistic_rpd, rtol=1e-6)


def test_the_best_time_is_that_of_the_median_speed() -> None:
    """The mean absolute error of straight lines t x speed is smallest at the target over the weighted median."""
    speeds = np.repeat([1e-6, 2e-6, 2.1e-6, 2.2e-6, 9e-6], 20)
    found = floor_of(made_up(speeds), targets=16)
    # |t v_i - d| weighted by v_i: the weighted median speed of these is 9e-6. The grid's steps are 10 %.
    wanted = (found.g_target_S - found.g_start_S) / 9e-6 * 1e-8
    clear = np.abs(wanted) > 1e-7
    assert np.abs(found.best_time_s / wanted - 1)[clear].max() < 0.11


def test_cross_fitting_costs_and_both_values_enclose_the_floor() -> None:
    speeds = np.exp(np.random.default_rng(1).normal(np.log(2e-6), 0.8, 4000))
    exact = floor_of(made_up(speeds), targets=12).optimistic_rpd.mean()
    few = [floor_of(made_up(speeds[k : k + 20]), targets=12) for k in range(0, 1000, 20)]
    optimistic = np.mean([f.optimistic_rpd.mean() for f in few])
    honest = np.mean([f.rpd.mean() for f in few])
    assert optimistic < exact < honest


def test_the_interval_covers_the_mean() -> None:
    speeds = np.exp(np.random.default_rng(2).normal(np.log(2e-6), 0.5, 4000))
    exact = floor_of(made_up(speeds), targets=12).record().mean_rpd
    hits = 0
    for k in range(0, 4000, 200):
        low, high = floor_of(made_up(speeds[k : k + 200]), targets=12).record().mean_rpd_ci95
        hits += low <= exact <= high
    assert 15 <= hits <= 20


def test_without_noise_the_best_time_is_the_noise_free_inverse(tmp_path: Path) -> None:
    params = replace(SMALL, noise=load_preset("none"), devices=2, starts=6, longest_pulse_s=2e-3)
    found = floor_of(recorded(tmp_path / "r.h5", params), targets=8)
    wanted = NoiseFreeInverse.of_model().pulse_s(found.g_start_S, found.g_target_S)
    inside = (np.abs(wanted) > 1e-6) & (np.abs(wanted) < 1.9e-3)
    assert inside.sum() > 20
    assert np.abs(found.best_time_s / wanted - 1)[inside].max() < 0.06


def test_targets_of_all_starts_sample_the_window_evenly() -> None:
    params = ResponseParams(starts=50)
    low, high = params.window_S()
    every = (np.concatenate([targets_of(params, k, 20) for k in range(50)]) - low) / (high - low)
    assert every.min() >= 0 and every.max() <= 1
    assert np.abs(np.sort(every) - (np.arange(1000) + 0.5) / 1000).max() < 2e-3


def test_workers_and_interruptions_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recorded(tmp_path / "whole.h5", SMALL, jobs=1)
    monkeypatch.setattr(responses, "CHUNK_STEPS", SMALL.devices * int(SMALL.steps()[-1]))
    calls = []

    def stop_at_the_third(n_steps: int) -> None:
        calls.append(n_steps)
        if len(calls) == 3:
            raise KeyboardInterrupt

    path = tmp_path / "resumed.h5"
    with pytest.raises(KeyboardInterrupt):
        recorded(path, SMALL, jobs=3, progress=stop_at_the_third)
    assert not path.exists()
    np.testing.assert_array_equal(recorded(path, SMALL, jobs=2).g_S, whole.g_S)
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["resumed.h5", "whole.h5"]
    np.testing.assert_array_equal(load(path).g_S, whole.g_S)


def test_other_files_are_neither_used_nor_replaced(tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    other.write_text("notes")
    with pytest.raises(UserError, match="delete it"):
        recorded(other, SMALL)
    assert other.read_text() == "notes"
    with pytest.raises(UserError, match="train floor"):
        load(tmp_path / "none.h5")


def test_the_command(tmp_path: Path) -> None:
    cache, means, table = tmp_path / "r.h5", tmp_path / "floor.json", tmp_path / "table.csv"
    command = ["floor", "--noise", "prototype", "--cadence", "1e-6", "--pairs", "20", "--devices", "4"]
    command += ["--longest", "2e-5", "--v-set", "-0.4", "--responses", str(cache)]
    first = CliRunner().invoke(main, [*command, "--json", "-o", str(means), "--table", str(table)])
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    pairs = found.pop("pairs")
    assert json.loads(means.read_text()) == found
    assert len(pairs) == 25 and found["cadence_s"] == 1e-6 and found["v_set_V"] == -0.4
    assert found["mean_rpd_ci95"][0] <= found["mean_rpd"] <= found["mean_rpd_ci95"][1]
    assert found["mean_rpd"] == pytest.approx(np.mean([p["rpd"] for p in pairs]))
    assert all(p["best_time_s"] * (p["g_target_S"] - p["g_start_S"]) >= 0 for p in pairs)
    assert read_csv(table, list(pairs[0]))["rpd"].tolist() == [p["rpd"] for p in pairs]
    before = cache.stat().st_mtime_ns
    again = CliRunner().invoke(main, [*command, "--jobs", "1", "--json"])
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert cache.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--noise", "loud"], "unknown noise preset"),
        (["--v-set", "0.3"], "-v_set = -0.3 V is outside"),
        (["--longest", "0"], "longest pulse = 0 s is outside"),
        (["--responses", __file__], "delete it"),
    ],
)
def test_bad_input(options: list[str], complaint: str) -> None:
    done = CliRunner().invoke(main, ["floor", *options])
    assert isinstance(done.exception, UserError) and complaint in str(done.exception)
