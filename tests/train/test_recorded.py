"""From a lab's recordings to firmware: the network learns the devices, the C is tried on runs it never saw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import codegen.__main__ as codegen_main
import train.__main__ as train_main
from codegen.onnx_import import load_network
from sim.recordings import read_recordings, write_recordings
from train.recorded import PAIRS, recorded_pairs

LOW, HIGH = 2e-5, 2e-4  # another lab's devices, a decade below the model's


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Devices that move as the logarithm of time, each at a speed of its own, within 20 %."""
    path = tmp_path_factory.mktemp("lab") / "lab.csv"
    generator = np.random.default_rng(5)
    voltages, times, readings = [], [], []
    for sign, v_V, end in ((1, -0.342, HIGH), (-1, 0.7065, LOW)):
        for start in LOW + (HIGH - LOW) * (np.arange(60) + 0.5) / 60:
            share = np.linspace(0.0, 1.05, 30)
            t_s = 1e-6 * np.expm1(6.0 * share) * generator.uniform(0.8, 1.25)
            voltages.append(v_V)
            times.append(t_s)
            readings.append(start + sign * share * abs(end - start))
    write_recordings(path, voltages, times, readings)
    return path


@pytest.fixture(scope="module")
def network(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "recorded.onnx"
    done = run_train("recorded", str(lab), "--divide-epochs", "8", "-o", str(path))
    assert "60 SET runs at -0.342 V, 60 RESET runs at 0.7065 V" in done
    return path


def run_train(*words: str) -> str:
    done = CliRunner().invoke(train_main.main, words)
    assert done.exit_code == 0, done.exception
    return done.output


def test_pairs_cover_the_plane_as_uniform_trials_do(lab: Path) -> None:
    recordings = read_recordings(lab)
    pairs = recorded_pairs(recordings)
    assert abs(len(pairs) - PAIRS) < 0.01 * PAIRS
    low, high = recordings.window_S
    x = pairs.x.numpy().astype(np.float64) * pairs.scaling.g_start.scale
    start, target = x[:, 0], x[:, 0] + x[:, 1]
    assert target.min() >= low - 1e-9 and target.max() <= high + 1e-9
    uniform = (np.arange(8) + 0.5) / 8
    for values in (start, target):
        np.testing.assert_allclose(np.quantile((values - low) / (high - low), uniform), uniform, atol=0.03)


def test_errors_are_those_of_the_run(lab: Path) -> None:
    recordings = read_recordings(lab)
    pairs = recorded_pairs(recordings)
    low, _ = recordings.window_S
    number = int(np.flatnonzero(recordings.g_start_S >= low)[0])
    start, change = (pairs.x[0].numpy() * pairs.scaling.g_start.scale).tolist()
    assert start == pytest.approx(recordings.g_start_S[number], rel=1e-6)
    target, width_s = start + change, 10.0 ** float(pairs.log_time[50])
    expected = abs(recordings.response_S(number, width_s) - target) / target
    assert float(pairs.rpd[0, 50]) == pytest.approx(float(expected), rel=1e-4, abs=1e-5)


def test_the_network_hits_held_out_runs_and_its_c_is_exactly_its_integers(
    lab: Path, network: Path, tmp_path: Path
) -> None:
    metadata = load_network(network).metadata
    assert metadata.trained_on.noise_preset == read_recordings(lab).name
    assert metadata.trained_on.cadence_s is None
    records = tmp_path / "records.json"
    words = ["cosim", str(network), "--recordings", str(lab), "--trials", "2000", "-o", str(records)]
    done = CliRunner().invoke(codegen_main.main, words)
    assert done.exit_code == 0, done.exception
    reference, c = json.loads(records.read_text())["records"]
    assert {**reference, "realisation": "c"} == c
    assert c["mean_rpd"] < 0.1 and c["within_50"] > 0.99  # speeds differ by a fifth either way
    low, high = c["mean_rpd_ci95"]
    assert low < c["mean_rpd"] < high
    assert high - low > 0.01  # two dozen devices, however many trials
    assert c["device_model"] == "recorded" and c["cadence_s"] is None
    folder = tmp_path / "firmware"
    words = ["firmware", str(network), "--board", "generic", "--results", str(records), "-o", str(folder)]
    assert CliRunner().invoke(codegen_main.main, words).exit_code == 0
    readme = (folder / "README.md").read_text()
    assert f"2000 trials on recorded devices (`{metadata.trained_on.noise_preset}`)" in readme


def test_float_records_and_c_records_make_one_report(lab: Path, network: Path, tmp_path: Path) -> None:
    tried = ["--recordings", str(lab), "--trials", "300", "--seed", "7"]
    run_train("evaluate", str(network), *tried, "-o", str(tmp_path / "float.json"))
    words = ["cosim", str(network), *tried, "-o", str(tmp_path / "c.json")]
    assert CliRunner().invoke(codegen_main.main, words).exit_code == 0
    files = [str(tmp_path / name) for name in ("float.json", "c.json")]
    shown = run_train("report", *files, "-o", str(tmp_path / "results.json"))
    assert "300 one-shot trials on recorded devices (lab.csv" in shown and "recorded   C" in shown


def test_a_finished_network_is_kept_until_recordings_or_window_change(lab: Path, network: Path) -> None:
    before = network.read_bytes()
    again = ["recorded", str(lab), "--divide-epochs", "8", "-o", str(network)]
    assert "already there" in run_train(*again)
    assert network.read_bytes() == before
    other = network.with_name("narrow.onnx")
    assert "window 50.00 .. 150.00 uS" in run_train(*again[:-1], str(other), "--window", "5e-5,1.5e-4")
    assert load_network(other).metadata.window.g_max_S == 1.5e-4


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--window", "1e-4"], "two conductances in S"),
        (["--window", "9e-4,8e-4"], "below the upper one"),
        (["-o", "network.json"], "must be called NAME.onnx"),
    ],
)
def test_bad_options_say_what_to_give(lab: Path, tmp_path: Path, words: list[str], complaint: str) -> None:
    done = CliRunner().invoke(train_main.main, ["recorded", str(lab), "-o", str(tmp_path / "n.onnx"), *words])
    assert done.exit_code != 0
    assert complaint in f"{done.output} {done.exception}"
    assert not list(tmp_path.iterdir())
