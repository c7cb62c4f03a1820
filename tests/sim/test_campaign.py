"""Campaigns: the same bits from any engine and number of workers, nothing lost with a worker or by Ctrl-C."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sim import campaign as campaign_module
from sim.campaign import Campaign, Chunk, combinations, run
from sim.campaign_engines import in_processes, on_dask
from sim.device import DeviceArray
from sim.errors import UserError
from sim.models import load_model
from sim.noise import load_preset
from sim.units import Floats

ROOT = Path(__file__).parents[2]
NOISE = load_preset("ouroboros-devices")


def small(devices: int = 100, chunk: int = 17) -> Campaign:
    """Eight conditions."""
    changed = {"r0_m": (45e-9, 46e-9)}
    return Campaign(
        combinations(("jart-fit",), (-0.342, 0.7065), (1e-6, 2e-6), (2e-4,), (NOISE,), (3,), changed),
        devices,
        chunk,
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Floats:
    folder = tmp_path_factory.mktemp("campaign") / "out"
    run(small(), folder, in_processes(1))
    return np.load(folder / "g_end_S.npy")


def test_rows_are_what_devices_do_under_their_conditions(tmp_path: Path, expected: Floats) -> None:
    run(small(), tmp_path / "out", in_processes(1))
    with (tmp_path / "out" / "conditions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert expected.shape == (8, 100) and len(rows) == 8
    for row, g_end_S in zip(rows, expected, strict=True):
        model = load_model(row["model"]).changed(r0_m=float(row["r0_m"]))
        devices = DeviceArray(100, NOISE, int(row["seed"]), float(row["g_start_S"]), model=model)
        devices.apply_pulse(float(row["v_V"]), float(row["width_s"]))
        assert np.array_equal(devices.g_S, g_end_S)
        assert float(row["g_end_q50_S"]) == np.median(g_end_S) and row["noise"] == "ouroboros-devices"
    stated = json.loads((tmp_path / "out" / "campaign.json").read_text())
    assert stated["devices"] == 100 and len(stated["conditions"]) == 8
    assert stated["conditions"][7]["changed"] == [["r0_m", 46e-9]]
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "no parts are left"


@pytest.mark.parametrize(("workers", "chunk"), [(1, 100), (2, 17), (8, 5)])
def test_workers_and_chunks_change_nothing(
    tmp_path: Path, expected: Floats, workers: int, chunk: int
) -> None:
    run(small(chunk=chunk), tmp_path / "out", in_processes(workers))
    assert np.array_equal(np.load(tmp_path / "out" / "g_end_S.npy"), expected)


def test_a_dask_cluster_gives_the_same(tmp_path: Path, expected: Floats) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        run(small(), tmp_path / "out", on_dask(cluster.scheduler_address))
    assert np.array_equal(np.load(tmp_path / "out" / "g_end_S.npy"), expected)


def test_no_scheduler_is_one_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed")
    with pytest.raises(UserError, match="no Dask scheduler at 127"):
        run(small(), tmp_path / "out", on_dask("127.0.0.1:1", timeout_s=0.5))
    assert not (tmp_path / "out").exists()


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


@pytest.mark.parametrize("pause_s", [0.0, 1.0], ids=["noticed by a result", "noticed when giving out"])
def test_a_killed_worker_loses_nothing(tmp_path: Path, expected: Floats, pause_s: float) -> None:
    if sys.platform != "linux":
        pytest.skip("finds workers through /proc")
    killed: list[int] = []

    def kill_one(devices: int) -> None:
        # Among the children is multiprocessing's resource tracker, which is started first.
        if not killed and len(workers := children(os.getpid())[1:]) >= 2:
            killed.append(workers[-1])
            os.kill(workers[-1], signal.SIGKILL)
            time.sleep(pause_s)

    run(small(), tmp_path / "out", in_processes(2), kill_one)
    assert killed
    assert np.array_equal(np.load(tmp_path / "out" / "g_end_S.npy"), expected)


def test_an_interrupted_campaign_continues(tmp_path: Path, expected: Floats) -> None:
    simulated: list[int] = []

    def engine(stop_after: int) -> Callable[[Iterator[Chunk], Callable[[Chunk, Floats], None]], None]:
        def work(chunks: Iterator[Chunk], keep: Callable[[Chunk, Floats], None]) -> None:
            for count, chunk in enumerate(chunks):
                if count == stop_after:
                    raise KeyboardInterrupt
                simulated.append(chunk.number)
                keep(chunk, campaign_module.simulate(chunk))

        return work

    with pytest.raises(KeyboardInterrupt):
        run(small(), tmp_path / "out", engine(10))
    assert not (tmp_path / "out").exists()
    (parts,) = tmp_path.iterdir()
    (parts / "00000004.npy").write_bytes((parts / "00000004.npy").read_bytes()[:-9])  # cut short
    run(small(), tmp_path / "out", engine(1000))
    assert simulated == [*range(10), 4, *range(10, 48)]
    assert np.array_equal(np.load(tmp_path / "out" / "g_end_S.npy"), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--vary", "r9=1"], "unknown parameter 'r9' of model jart-fit; known: e_C"),
        (["--vary", "r0_m"], "'r0_m' is not NAME=VALUE,VALUE"),
        (["--voltages", "x"], "give numbers, separated by commas"),
        (["--voltages", "3"], "|pulse voltage| = 3 V is outside 0 .. 2"),
        (["--widths=-1"], "pulse width = -1 s is outside"),
        (["--g-starts", "1"], "conductance"),
        (["--noise", "loud"], "unknown noise preset 'loud'"),
        (["--vary", "r0_m=-1"], "r0_m = -1 is outside"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sim", "campaign", *arguments, "-o", tmp_path / "out"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_does_not_clobber(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sim",
        "campaign",
        "--devices",
        "10",
        "--widths",
        "1e-6",
        "-o",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 conditions, 10 devices" in done.stdout
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "is there already" in again.stderr
