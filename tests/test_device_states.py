"""States of devices on a virtual board: calibrated, learned, told and kept, as the Python reference has them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen.batch import COLUMNS, STATE_COLUMNS, journal_of
from codegen.bench_verb import bench as bench_verb
from codegen.boards import load_board
from codegen.build import host_library
from codegen.controllers import CALIBRATE, ONE_SHOT, ControllerBank, Request
from codegen.device_state import DeviceStates, calibration_target_nS, reference_ticks, updated
from codegen.firmware import Firmware, make_firmware
from codegen.fuzz import fuzz
from codegen.instrument import Instrument, simulated_instrument
from codegen.reference import ReferencePredictor
from codegen.scpi_client import DeviceState, Programmed, ScpiClient
from codegen.status import Status
from sim.bench import Bench
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.noise import load_preset

NOISE = load_preset("ouroboros-devices")
DEVICES, COLUMNS_OF_ARRAY, SEED = 24, 6, 3
TRIALS = draw_trials(DEVICES, NOISE, SEED)
LONGEST_TICKS = 10_000  # long pulses take long to simulate


@pytest.fixture(scope="module")
def firmware(networks: Any, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    folder = tmp_path_factory.mktemp("states")
    network, board = networks.write_device_aware(folder / "net.onnx"), load_board("generic")
    timer = board.timer.model_copy(update={"max_ticks": LONGEST_TICKS})
    limits = board.limits.model_copy(update={"max_pulse_ticks": LONGEST_TICKS})
    return make_firmware(
        network, board.model_copy(update={"timer": timer, "limits": limits}), folder / "fw", None, False
    )


@pytest.fixture
def board(firmware: Firmware) -> Instrument:
    return simulated_instrument(firmware.folder, NOISE, SEED, DEVICES, COLUMNS_OF_ARRAY)


@contextmanager
def served(board: Instrument, programs: int = 10**9) -> Iterator[str]:
    """A port where `board` answers, and where the line breaks after so many programs."""

    def run(server: socket.socket) -> None:
        left = programs
        connection, _ = server.accept()
        with connection:
            while left > 0 and (received := connection.recv(4096)):
                left -= received.count(b"PROG:")
                connection.sendall(board.exchange(received))

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=run, args=[server], daemon=True).start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"


class ReferenceBoard:
    """The controller's loop around the integer reference, one device at a time."""

    def __init__(self, firmware: Firmware) -> None:
        self.model = firmware.model
        self.predictor = ReferencePredictor(firmware.model)
        self.reference = firmware.model.reference_times()
        self.bench: Bench = TRIALS.bench(firmware.board.bench_params())
        self.states = DeviceStates.fresh(DEVICES)

    def measure(self, device: int) -> int:
        return int(self.bench.read_nS(np.array([device]))[0])

    def calibrate(self, device: int, pulses: int) -> Programmed:
        return self._run(device, None, pulses, 0)

    def one_shot(self, device: int, g_target_nS: int) -> Programmed:
        return self._run(device, g_target_nS, 1, 0)

    def verify(self, device: int, g_target_nS: int, tolerance_nS: int, iterations: int) -> Programmed:
        return self._run(device, g_target_nS, iterations, tolerance_nS)

    def _run(self, device: int, target_nS: int | None, iterations: int, tolerance_nS: int) -> Programmed:
        verifies = tolerance_nS > 0
        assert target_nS is not None or not verifies
        start = now = self.measure(device)
        ways, widths, voltages = [0], [0], [0]
        made, status = 0, Status.OK
        while True:
            if verifies and target_nS is not None and abs(now - target_nS) <= tolerance_nS:
                status = Status.CONVERGED
                break
            if made == iterations:
                status = Status.ERR_NOT_CONVERGED if verifies else Status.OK
                break
            way, ticks, v_uV = self._pulse(device, now, target_nS)
            made += 1
            if way == 0:
                assert not verifies, "start and target are the same, and no tolerance"
                status = Status.NO_PULSE_NEEDED
                break
            index = np.array([device])
            given = int(self.bench.pulse(np.array([v_uV]), np.array([ticks]), index)[0])
            before, now = now, self.measure(device)
            self._learn(index, before, now, way, given)
            ways.append(way)
            widths.append(given)
            voltages.append(int(v_uV))
        return Programmed(
            status, start, now, made, len(ways) - 1, ways[-1], widths[-1], sum(widths), voltages[-1]
        )

    def _pulse(self, device: int, g_nS: int, target_nS: int | None) -> tuple[int, int, int]:
        known, here = self.states.take(np.array([device])), np.array([g_nS])
        if target_nS is not None:
            direction, ticks, v_uV = self.predictor.predict(here, [target_nS], known)
            return int(direction[0]), int(ticks[0]), int(v_uV[0])
        aim = calibration_target_nS(self.reference, here)
        width = reference_ticks(self.reference, known, here, aim)
        way = int(np.sign(aim - here)[0])
        voltages = self.model.voltages
        v_uV = voltages.v_set_uV if way > 0 else voltages.v_reset_uV
        return way, int(np.clip(width, self.model.min_ticks, self.model.max_ticks)[0]), v_uV

    def _learn(self, index: Any, before: int, after: int, way: int, given: int) -> None:
        states = updated(
            self.states.take(index),
            self.reference,
            np.array([before]),
            np.array([after]),
            np.array([way], dtype=np.int8),
            np.array([given]),
        )
        self.states.put(index, states)

    def state(self, device: int) -> DeviceState:
        return DeviceState(int(self.states.log2_rate_q4[device]), int(self.states.pulses[device]))


def test_calibrated_devices_meet_their_targets_as_in_the_reference(
    firmware: Firmware, board: Instrument
) -> None:
    """Three calibration pulses each, then one shot: over the line, in the lockstep of controllers, in Python."""
    reference, targets = ReferenceBoard(firmware), TRIALS.g_target_nS
    bench, states = TRIALS.bench(firmware.board.bench_params()), DeviceStates.fresh(DEVICES)
    bank = ControllerBank(host_library(firmware.folder))
    calibration = bank.run(bench, targets, Request(mode=CALIBRATE, max_iterations=3), states)
    shot = bank.run(bench, targets, Request(mode=ONE_SHOT, max_iterations=1), states)
    with served(board) as url, ScpiClient(url) as client:
        for device, target_nS in enumerate(targets.tolist()):
            cell = divmod(device, COLUMNS_OF_ARRAY)
            assert client.device_state(*cell) == DeviceState(0, 0)
            calibrated = client.calibrate_device(*cell)
            assert calibrated == reference.calibrate(device, 3)
            assert calibrated.pulses == 3 and calibrated.total_ticks == calibration.total_ticks[device]
            programmed = client.program_one_shot(*cell, target_nS)
            assert programmed == reference.one_shot(device, target_nS)
            assert (programmed.g_start_nS, programmed.last_ticks) == (
                shot.g_start_nS[device],
                shot.trace.ticks[0, device],
            )
            assert programmed.g_last_nS == shot.g_last_nS[device] == shot.trace.g_read_nS[1, device]
            assert client.device_state(*cell) == reference.state(device)
            assert client.measure(*cell) == reference.measure(device)
        np.testing.assert_array_equal(states.log2_rate_q4, reference.states.log2_rate_q4)
        np.testing.assert_array_equal(states.pulses, reference.states.pulses)
        assert len(np.unique(states.log2_rate_q4)) > 10 and set(states.pulses) == {4}
        client.forget_devices()
        assert client.device_state(0, 0) == DeviceState(0, 0)
    assert board.is_safe and calibration.unsafe == shot.unsafe == 0


cells = st.integers(0, 3)
conductances = st.integers(94_450, 559_300)
programs = st.one_of(
    st.tuples(st.just("one_shot"), cells, conductances),
    st.tuples(st.just("verify"), cells, conductances, st.integers(1000, 50_000), st.integers(1, 5)),
    st.tuples(st.just("calibrate"), cells, st.integers(1, 4)),
    st.tuples(st.just("measure"), cells),
    st.tuples(st.just("set"), cells, st.integers(-128, 127), st.integers(0, 255)),
    st.just(("reset",)),
)


def lines_of(program: tuple[Any, ...]) -> str:
    """What to send for it; every program has a reply."""
    name, *values = program
    if name == "reset":
        return "DEV:RES\n"
    cell = ",".join(map(str, divmod(values[0], COLUMNS_OF_ARRAY)))
    return {
        "one_shot": "PROG:ONES {cell},{0}\n",
        "verify": "CONF:TOL {1}\nCONF:ITER {2}\nPROG:VER {cell},{0}\n",
        "calibrate": "CAL:DEV {cell},{0}\n",
        "measure": "MEAS:COND? {cell}\n",
        "set": "DEV:STAT {cell},{0},{1}\n",
    }[name].format(*values[1:], cell=cell)


def told(program: tuple[Any, ...], reference: ReferenceBoard) -> list[str]:
    """What the reference replies."""
    name, *values = program
    if name == "reset":
        reference.states = DeviceStates.fresh(DEVICES)
        return []
    if name == "set":
        device, rate, pulses = values
        reference.states.log2_rate_q4[device], reference.states.pulses[device] = rate, pulses
        return []
    found = getattr(reference, name)(*values)
    if name == "measure":
        return [f"0,{found}"]
    return [",".join(str(int(value)) for value in vars(found).values())]


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(programs, max_size=12))
def test_states_over_the_line_equal_the_reference_after_any_programs(
    firmware: Firmware, sequence: list[tuple[Any, ...]]
) -> None:
    board = simulated_instrument(firmware.folder, NOISE, SEED, DEVICES, COLUMNS_OF_ARRAY)
    reference = ReferenceBoard(firmware)
    sent, wanted = "CONF:TOL:REL 0\nCONF:STUC 0,0\n", []
    for program in sequence:
        sent += lines_of(program)
        wanted += told(program, reference)
    sent += "".join(f"DEV:STAT? 0,{device}\n" for device in range(4)) + "*CLS\n"
    wanted += [f"{state.log2_rate_q4},{state.pulses}" for state in map(reference.state, range(4))]
    replies = [board.exchange(f"{line}\n".encode()).decode().split() for line in sent.splitlines()]
    assert [reply for lines in replies for reply in lines] == wanted
    assert board.is_safe


# ---- bench: states on disk ------------------------------------------------------------------------------


@pytest.fixture
def targets(tmp_path: Path) -> Path:
    """Every cell once, the first row a second time."""
    order = [*range(DEVICES), *range(COLUMNS_OF_ARRAY)]
    lines = [f"{d // COLUMNS_OF_ARRAY},{d % COLUMNS_OF_ARRAY},{TRIALS.g_target_nS[d]}" for d in order]
    path = tmp_path / "targets.csv"
    path.write_text("\n".join(["r,c,g_target_nS", *lines]) + "\n")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(bench_verb, [str(argument) for argument in (*arguments, "--mode", "one_shot")])


def complaint(result: Result) -> str:
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def states_in(path: Path) -> dict[tuple[int, int], tuple[int, int]]:
    with h5py.File(path) as file:
        r, c, rate, pulses = (file[name][:].tolist() for name in ("r", "c", "log2_rate_q4", "pulses"))
    return dict(zip(zip(r, c, strict=True), zip(rate, pulses, strict=True), strict=True))


def reference_states(
    firmware: Firmware, pulses: int, rounds: int = 1
) -> dict[tuple[int, int], tuple[int, int]]:
    """After `rounds` runs of the targets, calibrated before the first one."""
    reference = ReferenceBoard(firmware)
    for _ in range(rounds):
        for device in [*range(DEVICES), *range(COLUMNS_OF_ARRAY)]:
            if reference.states.pulses[device] == 0:
                reference.calibrate(device, pulses)
            reference.one_shot(device, int(TRIALS.g_target_nS[device]))
            reference.measure(device)
    found = [reference.state(device) for device in range(DEVICES)]
    return {divmod(d, COLUMNS_OF_ARRAY): (s.log2_rate_q4, s.pulses) for d, s in enumerate(found)}


def test_a_run_calibrates_what_is_unknown_and_keeps_what_it_learned(
    firmware: Firmware, board: Instrument, targets: Path, tmp_path: Path
) -> None:
    states = tmp_path / "states.h5"
    options = ["--states", states, "--calibrate", 3]
    for rounds in (1, 2):
        with served(board) as url:
            assert run(targets, "--port", url, "-o", tmp_path / f"{rounds}.h5", *options).exit_code == 0
        assert states_in(states) == reference_states(firmware, 3, rounds)
        board.exchange(b"DEV:RES\n")  # as a board does without power
    with h5py.File(tmp_path / "2.h5") as results, h5py.File(states) as kept:
        assert set(results) == {*COLUMNS, *STATE_COLUMNS}
        assert results["known_pulses"][:COLUMNS_OF_ARRAY].tolist() == [6] * COLUMNS_OF_ARRAY
        assert results.attrs["calibration_pulses"] == 3 and len(results.attrs["states_sha256"]) == 64
        assert (kept.attrs["board"], len(kept.attrs["network"])) == ("generic", 12)
    assert not journal_of(tmp_path / "2.h5").exists()


def test_a_run_that_was_stopped_goes_on_with_what_it_had_learned(
    firmware: Firmware, board: Instrument, targets: Path, tmp_path: Path
) -> None:
    """The line breaks at the 26th program; the board has lost its states when it is back."""
    arguments = [targets, "-o", tmp_path / "out.h5", "--states", tmp_path / "states.h5", "--calibrate", 2]
    with served(board, 26) as url:
        assert "the line broke" in complaint(run(*arguments, "--port", url))
    assert not (tmp_path / "states.h5").exists()
    journal = journal_of(tmp_path / "out.h5")
    done = len(journal.read_text().splitlines()) - 2
    assert done in (25, 26)
    board.exchange(b"DEV:RES\n")
    with served(board) as url:
        assert run(*arguments, "--port", url).exit_code == 0
    found, wanted = states_in(tmp_path / "states.h5"), reference_states(firmware, 2)
    redone = divmod(done % DEVICES, COLUMNS_OF_ARRAY)  # its pulse was given twice
    assert {cell for cell in found if found[cell] != wanted[cell]} <= {redone}
    assert {pulses for _, pulses in found.values()} == {3, 4}


def test_without_a_file_the_board_s_own_states_are_used(
    firmware: Firmware, board: Instrument, targets: Path, tmp_path: Path
) -> None:
    board.exchange(b"DEV:STAT 0,0,5,9\n")
    with served(board) as url:
        assert run(targets, "--port", url, "-o", tmp_path / "out.csv", "--calibrate", 1).exit_code == 0
    assert board.exchange(b"DEV:STAT? 0,0\n").decode().split(",")[1].strip() == "11"
    assert board.exchange(b"DEV:STAT? 3,5\n").decode().split(",")[1].strip() == "2"


def test_states_of_another_network_or_board_are_refused(
    board: Instrument, targets: Path, tmp_path: Path
) -> None:
    states, output = tmp_path / "states.h5", tmp_path / "out.h5"
    with served(board) as url:
        assert run(targets, "--port", url, "-o", output, "--states", states).exit_code == 0
    for name, value in (("network", "0123456789ab"), ("board", "another")):
        with h5py.File(states, "a") as file:
            kept, file.attrs[name] = file.attrs[name], value
        with served(board) as url:
            refused = run(targets, "--port", url, "-o", tmp_path / "no.h5", "--states", states)
        assert f"holds states for {name} {value}, this is {name} {kept}" in complaint(refused)
        with h5py.File(states, "a") as file:
            file.attrs[name] = kept
    for path in (targets, output):
        with served(board) as url:
            refused = run(targets, "--port", url, "-o", tmp_path / "no.h5", "--states", path)
        assert "holds no states of devices" in complaint(refused)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "states.h5", "targets.csv"]


def test_boards_whose_network_knows_no_devices_say_so(networks: Any, targets: Path, tmp_path: Path) -> None:
    network = networks.write(tmp_path / "net.onnx", networks.layers((2, 8, 1)), "log10_s")
    made = make_firmware(network, load_board("generic"), tmp_path / "fw", None, False)
    ordinary = simulated_instrument(made.folder, NOISE, SEED, DEVICES, COLUMNS_OF_ARRAY)
    with served(ordinary) as url, ScpiClient(url) as client:
        for call in (client.calibrate_device, client.device_state):
            with pytest.raises(UserError, match="its network does not know its devices"):
                call(0, 0)
    with served(ordinary) as url:
        refused = run(targets, "--port", url, "-o", tmp_path / "no.h5", "--calibrate", 3)
    assert "its network does not know its devices" in complaint(refused)
    assert not journal_of(tmp_path / "no.h5").exists()
    assert ordinary.exchange(b"DEV:RES\nSYST:ERR?\n") == b'-113,"Undefined header"\n'


def test_mutated_lines_find_nothing_in_the_commands_for_devices(firmware: Firmware) -> None:
    found = fuzz(firmware.folder, 20_000, seed=1)
    assert found.findings == 0 and found.pulses > 1000
