"""A virtual board and its client: the same numbers as co-simulation; every failure a clear line."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen.boards import load_board
from codegen.build import host_library
from codegen.controllers import ControllerBank, ControllerRun, Request
from codegen.firmware import Firmware, make_firmware
from codegen.instrument import Instrument, simulated_instrument
from codegen.scpi_client import ScpiClient, VerifySettings
from codegen.status import Status
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.noise import load_preset

ROOT = Path(__file__).parents[1]
NOISE = load_preset("ouroboros")
DEVICES, COLUMNS, SEED = 48, 8, 5
TRIALS = draw_trials(DEVICES, NOISE, SEED)


@pytest.fixture(scope="module")
def firmware(networks: Any, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    folder = tmp_path_factory.mktemp("instrument")
    network = networks.write(folder / "net.onnx", networks.layers((2, 8, 1), seed=2), "log10_s")
    return make_firmware(network, load_board("generic"), folder / "fw", None, False)


@contextmanager
def serving(firmware: Firmware, *options: str) -> Iterator[str]:
    """`codegen instrument` in a process of its own; its URL."""
    command = [sys.executable, "-m", "codegen", "instrument", str(firmware.folder), *options]
    command += ["--devices", str(DEVICES), "--columns", str(COLUMNS), "--seed", str(SEED)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().rsplit(": ", 1)[0]
        finally:
            process.terminate()


@pytest.fixture
def fresh_url(firmware: Firmware) -> Iterator[str]:
    with serving(firmware, "--tcp", "0") as found:
        yield found


@pytest.fixture(scope="module")
def url(firmware: Firmware) -> Iterator[str]:
    """For tests that do not mind what others did to the devices."""
    with serving(firmware, "--tcp", "0") as found:
        yield found


def program_all(url: str, request: Request, **options: Any) -> dict[str, list[int]]:
    """Every device to its target, in an order of no meaning; fields of `ControllerRun`, and a reading after."""
    rows: list[Any] = [None] * DEVICES
    settings = VerifySettings(
        tolerance_nS=request.tolerance_nS,
        tolerance_permille=request.tolerance_permille,
        max_iterations=request.max_iterations,
        stuck_pulses=request.stuck_pulses,
        stuck_move_nS=request.stuck_move_nS,
    )
    with ScpiClient(url, **options) as board:
        for device in np.random.default_rng(1).permutation(DEVICES).tolist():
            cell = divmod(device, COLUMNS)
            target_nS = int(TRIALS.g_target_nS[device])
            if request.mode == 0:
                found = board.program_one_shot(*cell, target_nS)
            else:
                found = board.program_verify(*cell, target_nS, settings)
            rows[device] = [*vars(found).values(), board.measure(*cell)]
    names = [*vars(found), "g_after_nS"]
    return {name: [int(row[k]) for row in rows] for k, name in enumerate(names)}


def cosimulated(firmware: Firmware, request: Request) -> tuple[ControllerRun, list[int]]:
    bench = TRIALS.bench(firmware.board.bench_params())
    bank = ControllerBank(host_library(firmware.folder))
    return bank.run(bench, TRIALS.g_target_nS, request), bench.read_nS().tolist()


@pytest.mark.parametrize(
    ("request_", "crc"),
    [
        (Request(mode=0, max_iterations=1), False),
        (Request(tolerance_permille=20, max_iterations=6, stuck_pulses=3), True),
    ],
)
def test_results_through_the_protocol_are_those_of_co_simulation(
    firmware: Firmware, fresh_url: str, request_: Request, crc: bool
) -> None:
    found = program_all(fresh_url, request_, crc=crc)
    run, after_nS = cosimulated(firmware, request_)
    for name in ("status", "g_start_nS", "g_last_nS", "iterations", "pulses", "total_ticks"):
        assert found[name] == getattr(run, name).tolist(), name
    assert found["g_after_nS"] == after_nS
    assert max(found["pulses"]) > 0 and run.unsafe == 0


def test_a_terminal_is_as_good_as_a_socket_and_outlives_its_clients(
    firmware: Firmware, fresh_url: str
) -> None:
    pytest.importorskip("termios")
    request = Request(mode=0, max_iterations=1)
    with serving(firmware, "--pty") as terminal:
        assert terminal.startswith("/dev/")
        with ScpiClient(terminal, crc=True):
            pass  # leaves the CRC on
        assert program_all(terminal, request) == program_all(fresh_url, request)


def test_the_identity_names_board_and_network(firmware: Firmware, url: str) -> None:
    manifest = json.loads((firmware.folder / "manifest.json").read_text())
    with ScpiClient(url) as board:
        identity = board.identity
    assert (identity.manufacturer, identity.board) == ("Ouroboros", "generic")
    assert identity.network == manifest["network"]["sha256"][:12]
    assert identity.versions == f"{manifest['generator']}/{manifest['runtime_version']}"


def test_the_documents_example_runs(url: str) -> None:
    document = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", document, flags=re.DOTALL)
    assert "socket://localhost:5025" in example
    code = example.replace("socket://localhost:5025", url)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4 and "status=<Status." in done.stdout


def test_the_same_bytes_in_any_pieces_give_the_same_replies(firmware: Firmware) -> None:
    text = b"*IDN?\nPROG:VER 0,1,220uS\nMEAS:COND? 0,1\nPROG:VER 9,9,220uS\nSYST:ERR?\n" * 3
    whole, pieces = (simulated_instrument(firmware.folder, NOISE, SEED, 6, 3) for _ in range(2))
    assert whole.exchange(text) == b"".join(pieces.exchange(text[k : k + 1]) for k in range(len(text)))
    assert whole.is_safe and pieces.is_safe
    assert b'28,"Device error"' in pieces.exchange(b"MEAS:COND? 2,0\nSYST:ERR?\n")


def test_devices_that_fill_no_rows_are_refused(firmware: Firmware) -> None:
    with pytest.raises(UserError, match="48 devices do not make"):
        Instrument(host_library(firmware.folder), TRIALS.bench(firmware.board.bench_params()), 7)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda board: board.measure(6, 0), "MEAS:COND. 6,0' ended with ERR_SELECT"),
        (lambda board: board.measure(0, 65536), "refused 'MEAS.*-222"),
        (lambda board: board.program_one_shot(0, 0, 1), "ERR_TARGET_RANGE"),
        (lambda board: board.program_verify(0, 0, -1), "refused 'PROG.*-104"),
        (
            lambda board: board.program_verify(0, 0, 220_000, VerifySettings(max_iterations=0)),
            "CONF:ITER 0.*-222",
        ),
    ],
)
def test_a_refusal_is_one_clear_error_and_the_board_goes_on(
    url: str, call: Callable[[ScpiClient], Any], complaint: str
) -> None:
    with ScpiClient(url) as board:
        with pytest.raises(UserError, match=complaint):
            call(board)
        assert board.measure(0, 0) > 0


@contextmanager
def fake(answer: Callable[[str], str | None]) -> Iterator[str]:
    """A line whose other end answers each line by a function, or hangs up at None."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with closing(connection), connection.makefile("r", newline="\n") as lines:
                for line in lines:
                    if (reply := answer(line.strip())) is None:
                        return
                    connection.sendall(reply.encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=10)


IDENTITY = "Ouroboros,board,0123,1/2\n"


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ({}, "no answer to 'MEAS:COND. 0,0' within 0.5 s"),
        ({"MEAS:COND? 0,0": None}, "the line broke"),
        ({"MEAS:COND? 0,0": "0,12x\n"}, "answered with '0,12x'"),
        ({"MEAS:COND? 0,0": "0,1,2\n"}, "answered with '0,1,2'"),
    ],
)
def test_a_bad_line_is_a_clear_error(answers: dict[str, str | None], complaint: str) -> None:
    with (
        fake(lambda line: {"*IDN?": IDENTITY, **answers}.get(line, "")) as port,
        pytest.raises(UserError, match=complaint),
        ScpiClient(port, timeout_s=0.5) as board,
    ):
        board.measure(0, 0)


def test_a_damaged_answer_is_told_from_a_good_one() -> None:
    answers = {"*IDN?": IDENTITY, "SYST:ERR?": '0,"No error"*FFFF\n'}
    with (
        fake(lambda line: answers.get(line.split("*")[0] or line, "")) as port,
        pytest.raises(UserError, match="came damaged"),
    ):
        ScpiClient(port, crc=True, timeout_s=0.5)


def test_a_slow_programs_error_does_not_stay_in_the_queue() -> None:
    """On a board the error queue is asked while the program runs; its error then comes after its result."""
    result = "22,1,2,3,4,1,6,7,8\n"
    errors = iter(['0,"No error"\n' + result, '22,"Device error"\n', '0,"No error"\n0,5\n'])

    def answer(line: str) -> str:
        if line == "SYST:ERR?":
            return next(errors)
        return IDENTITY if line == "*IDN?" else ""

    with fake(answer) as port, ScpiClient(port, timeout_s=2.0) as board:
        assert board.program_verify(0, 0, 220_000).status == Status.ERR_NOT_CONVERGED
        assert board.measure(0, 0) == 5


def test_a_port_without_a_board_is_a_clear_error(tmp_path: Path) -> None:
    for port in (str(tmp_path / "tty"), "socket://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(UserError, match=f"cannot open port {re.escape(port)}"):
            ScpiClient(port)
    with fake(lambda line: "") as port, pytest.raises(UserError, match="no Ouroboros firmware answered on"):
        ScpiClient(port, timeout_s=0.3)
