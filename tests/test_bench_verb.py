"""`codegen bench` against a virtual board: results, provenance, resuming, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from codegen.batch import COLUMNS, journal_of
from codegen.bench_verb import bench
from codegen.boards import load_board
from codegen.build import host_library
from codegen.controllers import ControllerBank
from codegen.firmware import Firmware, make_firmware
from codegen.instrument import Instrument, simulated_instrument
from codegen.status import Status
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.noise import load_preset

NOISE = load_preset("ouroboros")
DEVICES, COLUMNS_OF_ARRAY, SEED = 12, 4, 7
TRIALS = draw_trials(DEVICES, NOISE, SEED)
Serve = Callable[..., str]


@pytest.fixture(scope="module")
def firmware(networks: Any, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    folder = tmp_path_factory.mktemp("bench")
    network = networks.write(folder / "net.onnx", networks.layers((2, 8, 1), seed=2), "log10_s")
    return make_firmware(network, load_board("generic"), folder / "fw", None, False)


@pytest.fixture
def serve(firmware: Firmware) -> Iterator[Serve]:
    """`serve(board, lines)`: a port where `board` answers, and where the line breaks after so many programs."""
    servers = []

    def start(board: Instrument, programs: int = 10**9) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run() -> None:
            left = programs
            connection, _ = server.accept()
            with connection:
                while left and (received := connection.recv(4096)):
                    left -= received.count(b"PROG:")
                    connection.sendall(board.exchange(received))

        threading.Thread(target=run, daemon=True).start()
        return f"socket://127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def board(firmware: Firmware) -> Instrument:
    return simulated_instrument(firmware.folder, NOISE, SEED, DEVICES, COLUMNS_OF_ARRAY)


@pytest.fixture
def targets(tmp_path: Path) -> Path:
    lines = [f"{i // 4},{i % 4},{g},one_shot" for i, g in enumerate(TRIALS.g_target_nS.tolist())]
    path = tmp_path / "targets.csv"
    path.write_text("\n".join(["r,c,g_target_nS,mode", *lines]) + "\n")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(bench, [str(argument) for argument in arguments])


def complaint(result: Result) -> str:
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def read_csv(path: Path) -> tuple[dict[str, Any], dict[str, list[str]]]:
    first, rest = path.read_text().split("\n", 1)
    header, *rows = csv.reader(io.StringIO(rest))
    return json.loads(first.removeprefix("# ")), dict(
        zip(header, map(list, zip(*rows, strict=True)), strict=True)
    )


def test_results_are_those_of_co_simulation_in_both_formats(
    firmware: Firmware, serve: Serve, targets: Path, tmp_path: Path
) -> None:
    for suffix in ("csv", "h5"):
        fresh = simulated_instrument(firmware.folder, NOISE, SEED, DEVICES, COLUMNS_OF_ARRAY)
        done = run(targets, "--port", serve(fresh), "--crc", "-o", tmp_path / f"out.{suffix}")
        assert done.exit_code == 0, done.output
    provenance, columns = read_csv(tmp_path / "out.csv")
    assert tuple(columns) == COLUMNS
    simulated = ControllerBank(host_library(firmware.folder)).one_shot(
        TRIALS.bench(firmware.board.bench_params()), TRIALS.g_target_nS
    )
    assert columns["status"] == [Status(int(s)).name for s in simulated.status]
    assert list(map(int, columns["g_start_nS"])) == simulated.g_start_nS.tolist()
    assert list(map(int, columns["last_ticks"])) == simulated.trace.ticks[0].tolist()
    assert list(map(int, columns["g_end_nS"])) == simulated.trace.g_read_nS[1].tolist()
    with h5py.File(tmp_path / "out.h5") as file:
        for name in set(COLUMNS) - {"time_utc"}:
            found = file[name].asstr()[:] if name in ("mode", "status") else file[name][:].astype(str)
            assert found.tolist() == columns[name], name
        assert file["g_end_nS"].attrs["unit"] == "nS" and file["pulses"].attrs["unit"] == "1"
        assert file.attrs["identity"] == provenance["identity"] and "generic" in provenance["identity"]
        assert json.loads(file.attrs["settings"]) == provenance["settings"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.h5", "targets.csv"]


def test_a_broken_run_goes_on_where_it_ended(
    firmware: Firmware, board: Instrument, serve: Serve, targets: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    assert "the line broke" in complaint(run(targets, "--port", serve(board, 5), "-o", output))
    kept = journal_of(output).read_text()
    assert not output.exists() and len(kept.splitlines()) == 2 + 4
    journal_of(output).write_text(kept + "1,1,2200")  # as a crash in mid-line leaves it
    assert run(targets, "--port", serve(board), "-o", output).exit_code == 0
    text = output.read_text()
    assert text.startswith(kept) and not journal_of(output).exists()
    provenance, columns = read_csv(output)
    assert (provenance["targets"], len(columns["r"])) == (DEVICES, DEVICES)
    # The device of the fifth target met its program twice; all others once.
    whole = tmp_path / "whole.csv"
    fresh = simulated_instrument(firmware.folder, NOISE, SEED, DEVICES, COLUMNS_OF_ARRAY)
    assert run(targets, "--port", serve(fresh), "-o", whole).exit_code == 0
    expected, found = read_csv(whole)[1]["g_end_nS"], columns["g_end_nS"]
    assert np.flatnonzero([a != b for a, b in zip(expected, found, strict=True)]).tolist() in ([], [4])


@pytest.mark.parametrize(
    ("options", "reason"),
    [(["--iterations", 3], "its settings differs"), (["--mode", "one_shot"], "its mode differs")],
)
def test_a_journal_of_another_run_is_refused(
    board: Instrument, serve: Serve, targets: Path, tmp_path: Path, options: list[Any], reason: str
) -> None:
    targets.write_text("r,c,g_target_nS\n0,0,220000\n0,1,220000\n")
    output = tmp_path / "out.csv"
    assert run(targets, "--port", serve(board, 2), "-o", output).exit_code != 0
    kept = journal_of(output).read_text()
    assert reason in complaint(run(targets, "--port", serve(board), "-o", output, *options))
    assert journal_of(output).read_text() == kept
    journal_of(output).write_text("mine\n")
    assert "not a journal" in complaint(run(targets, "--port", serve(board), "-o", output))


def test_an_output_that_exists_is_replaced_with_force_only(
    board: Instrument, serve: Serve, targets: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.h5"
    output.write_text("mine")
    assert "exists" in complaint(run(targets, "--port", "socket://127.0.0.1:1", "-o", output))
    assert output.read_text() == "mine"
    assert run(targets, "--port", serve(board), "--force", "-o", output).exit_code == 0
    assert h5py.is_hdf5(output)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("r,c\n0,0\n", "line 1: the columns must be r,c,g_target_nS"),
        ("r,c,g_target_nS\n", "no targets"),
        ("r,c,g_target_nS\n0,0\n", "line 2: 2 values instead of 3"),
        ("r,c,g_target_nS\n0,0,220uS\n", "line 2: g_target_nS = '220uS' is not a whole number"),
        ("r,c,g_target_nS\n0,70000,1\n", "line 2: c = 70000 is outside 0 .. 65535"),
        ("r,c,g_target_nS,mode\n0,0,1,twice\n", "line 2: mode 'twice' is neither one_shot nor verify"),
    ],
)
def test_bad_targets_are_named_before_the_port_is_opened(
    targets: Path, tmp_path: Path, text: str, reason: str
) -> None:
    targets.write_text(text)
    assert reason in complaint(run(targets, "--port", "nonsense://", "-o", tmp_path / "out.csv"))


def test_results_have_a_known_format(targets: Path) -> None:
    assert "written as .h5 or .csv" in complaint(run(targets, "--port", "nonsense://", "-o", "out.xlsx"))
