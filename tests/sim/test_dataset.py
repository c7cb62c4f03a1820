"""The training data set: the paper's algorithm, resumable and independent of workers."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from sim import dataset, dataset_generation
from sim.dataset import DatasetParams, PulseDataset
from sim.device import DeviceArray
from sim.errors import UserError
from sim.noise import load_preset
from sim.population import Trace

PARAMS = DatasetParams(pairs=60, seed=3, noise=load_preset("prototype"), pairs_per_chunk=20)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PulseDataset]:
    path = tmp_path_factory.mktemp("dataset") / "d.h5"
    return path, dataset_generation.generate(path, PARAMS, jobs=2)


def arrays(d: PulseDataset) -> dict[str, np.ndarray]:
    return {f.name: np.asarray(getattr(d, f.name)) for f in dataclasses.fields(d)}


def test_file_returns_what_was_generated(made: tuple[Path, PulseDataset]) -> None:
    path, generated = made
    loaded = dataset.load(path)
    for name, value in arrays(generated).items():
        np.testing.assert_array_equal(getattr(loaded, name), value, name)
    with h5py.File(path) as file:
        assert file["g_start_S"].attrs["unit"] == "S"
        assert file.attrs["seed"] == 3
    assert dataset.parameters(path)["noise"]["name"] == "prototype"
    assert not list(path.parent.glob(".*"))


def test_pulses_bracket_the_target_between_two_steps(made: tuple[Path, PulseDataset]) -> None:
    _, d = made
    steps = np.rint(np.abs(d.t_pulse_s) / d.dt_s).astype(int)
    assert np.all(np.sign(d.t_pulse_s) == np.sign(d.g_target_S - d.g_start_S))
    for i in range(len(d)):
        knots = slice(d.history_offset[i], d.history_offset[i + 1])
        t, g = d.history_step[knots].astype(int), d.history_g_S[knots].astype(float)
        assert (t[0], t[-1]) == (0, 2 * steps[i])
        near = np.interp([steps[i] - 1, steps[i], steps[i] + 1], t, g)
        slack = dataset.HISTORY_TOLERANCE_S
        assert abs(near[1] - d.g_end_S[i]) <= slack
        assert near.min() - slack <= d.g_target_S[i] <= near.max() + slack


def test_histories_hold_every_10_ns_sample_within_the_stated_bound(made: tuple[Path, PulseDataset]) -> None:
    _, d = made
    i = int(np.argmax(np.abs(d.t_pulse_s) * (d.t_pulse_s > 0)))
    candidates = range(chunk_first(i), chunk_first(i) + 40)
    v_V = PARAMS.v_set_V
    n = int(2 * round(abs(d.t_pulse_s[i]) / d.dt_s))
    for number in candidates:
        device = DeviceArray(1, PARAMS.noise, PARAMS.seed, d.g_start_S[i], first_device=number)
        trace = Trace.for_steps(np.array([n]))
        device.advance(v_V, np.array([n]), trace=trace)
        exact = np.concatenate([[d.g_start_S[i]], device.conductances(trace.n_1e26)])
        knots = slice(d.history_offset[i], d.history_offset[i + 1])
        stored = np.interp(np.arange(n + 1), d.history_step[knots], d.history_g_S[knots].astype(float))
        if np.max(np.abs(stored - exact)) <= dataset.HISTORY_TOLERANCE_S:
            return
    pytest.fail("no candidate device reproduces the recorded history")


def chunk_first(i: int) -> int:
    return (i // PARAMS.pairs_per_chunk) * (1 << 16)


@pytest.mark.parametrize("jobs", [1, 3])
def test_workers_do_not_change_the_data_set(
    made: tuple[Path, PulseDataset], tmp_path: Path, jobs: int
) -> None:
    again = dataset_generation.generate(tmp_path / "d.h5", PARAMS, jobs=jobs)
    assert dataset.content_sha256(again) == dataset.content_sha256(made[1])


def test_an_interrupted_run_resumes_from_its_finished_chunks(
    made: tuple[Path, PulseDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.h5"
    done = 0

    def interrupt(pairs: int) -> None:
        nonlocal done
        done += pairs
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataset_generation.generate(path, PARAMS, progress=interrupt)
    assert not path.exists()
    calls = []
    original = dataset_generation.generate_chunk
    monkeypatch.setattr(
        dataset_generation,
        "generate_chunk",
        lambda chunk, *rest: calls.append(chunk) or original(chunk, *rest),
    )
    resumed = dataset_generation.generate(path, PARAMS)
    assert calls == [2]
    assert dataset.content_sha256(resumed) == dataset.content_sha256(made[1])


def test_splits_are_80_10_10(made: tuple[Path, PulseDataset]) -> None:
    assert np.bincount(made[1].split).tolist() == [48, 6, 6]


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_file_is_refused(made: tuple[Path, PulseDataset], tmp_path: Path, kept: float) -> None:
    path = tmp_path / "cut.h5"
    whole = made[0].read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(UserError, match="truncated or damaged"):
        dataset.load(path)


def test_changed_values_are_refused(made: tuple[Path, PulseDataset], tmp_path: Path) -> None:
    path = tmp_path / "changed.h5"
    path.write_bytes(made[0].read_bytes())
    with h5py.File(path, "r+") as file:
        file["g_end_S"][3] *= 1.01
    with pytest.raises(UserError, match="do not match"):
        dataset.load(path)


def test_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="python -m sim dataset"):
        dataset.load(tmp_path / "none.h5")
