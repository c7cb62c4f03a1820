"""The firmware on an ArC TWO: a stand-in for pyarc2 around simulated devices does what the simulated bench does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from codegen.__main__ import main
from codegen.arc2 import PLCC_32X32, Mapping, arc_two, read_mapping
from codegen.boards import load_board
from codegen.build import host_library
from codegen.firmware import make_firmware
from codegen.instrument import Instrument, serve_tcp, simulated_instrument
from codegen.scpi_client import ScpiClient, VerifySettings
from codegen.status import Status
from sim.bench import Bench
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.noise import load_preset

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NOISE = load_preset("ouroboros")
MAPPING = Mapping(bits=(15, 32, 14), words=(16, 63, 17, 62))
DEVICES, SEED = MAPPING.cells, 5
BOARD = load_board("arc-two")
DESCRIBE = """
import enum, inspect, json, pyarc2
def parameters(function):
    return [(p.name, p.default is p.empty) for p in inspect.signature(function).parameters.values()]
methods = {name: parameters(getattr(pyarc2.Instrument, name)) for name in dir(pyarc2.Instrument)
           if not name.startswith("_") and callable(getattr(pyarc2.Instrument, name))
           and not isinstance(getattr(pyarc2.Instrument, name), property)}
print(json.dumps({
    "version": pyarc2.LIBARC2_VERSION,
    "methods": methods,
    "open": parameters(pyarc2.Instrument.__init__),
    "find_ids": parameters(pyarc2.find_ids),
    "idle": {mode.name: mode.value for mode in pyarc2.IdleMode},
    "error": [base.__name__ for base in pyarc2.ArC2Error.__mro__],
}))
"""


class SimulatedCells:
    """Crosspoints whose devices are those of a `Bench`; `sign` is -1 when they are mounted the other way round."""

    def __init__(self, bench: Bench, mapping: Mapping, sign: int = 1) -> None:
        self.bench, self.sign = bench, sign
        cells = [(bit, word) for bit in mapping.bits for word in mapping.words]
        self.device = {cell: k for k, cell in enumerate(cells)}

    def current_A(self, low: int, high: int, v_V: float) -> float:
        assert v_V == np.float32(self.sign * BOARD.adc.v_read_uV * 1e-6)
        (code,) = self.bench.read_codes(self.device[low, high])
        return code * BOARD.adc.full_scale_nS * 1e-9 / 2**BOARD.adc.bits * v_V

    def pulse(self, low: int, high: int, v_V: float, nanos: int) -> None:
        v_uV, ticks = round(self.sign * v_V * 1e6), round(nanos * 1e-9 * BOARD.timer.frequency_Hz)
        self.bench.pulse(v_uV, ticks, self.device[low, high])


@pytest.fixture
def pyarc2(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The stand-in, as `import pyarc2` finds it, with nothing connected."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.delitem(sys.modules, "pyarc2", raising=False)
    import pyarc2

    assert Path(pyarc2.__file__).parent == HERE
    pyarc2.CONNECTED.clear()
    yield pyarc2
    sys.modules.pop("pyarc2")


@pytest.fixture(scope="module")
def network(networks: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    return networks.write(folder / "net.onnx", networks.layers((2, 8, 1), seed=2), "log10_s")


@pytest.fixture(scope="module")
def firmware(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arc2") / "fw"
    make_firmware(network, BOARD, folder, None, False)
    return folder


@pytest.fixture
def bitstream(tmp_path: Path) -> Path:
    (tmp_path / "arc2fw.bin").write_bytes(b"a bitstream")
    return tmp_path / "arc2fw.bin"


def simulated() -> Bench:
    return draw_trials(DEVICES, NOISE, SEED).bench(BOARD.bench_params(), jobs=1)


def connect(board: Instrument) -> ScpiClient:
    """A client of an instrument in this process."""
    urls: list[str] = []
    is_ready = threading.Event()

    def ready(url: str) -> None:
        urls.append(url)
        is_ready.set()

    threading.Thread(target=serve_tcp, args=(board.relay, "127.0.0.1", 0, ready), daemon=True).start()
    assert is_ready.wait(10)
    return ScpiClient(urls[0])


def session(board: Instrument) -> list[Any]:
    """Everything a board can be asked for, on every cell."""
    settings = VerifySettings(tolerance_permille=50, max_iterations=20)
    cells = [(r, c) for r in range(len(MAPPING.bits)) for c in range(len(MAPPING.words))]
    with connect(board) as client:
        return [
            client.identity.board,
            [client.measure(*cell) for cell in cells],
            [client.program_one_shot(*cell, 200_000 + 20_000 * k) for k, cell in enumerate(cells)],
            [client.program_verify(*cell, 300_000, settings) for cell in cells],
        ]


@pytest.mark.parametrize("inverted", [False, True])
def test_the_firmware_on_an_arc_two_does_what_it_does_on_the_simulated_bench(
    pyarc2, firmware, bitstream, inverted
) -> None:
    cells = SimulatedCells(simulated(), MAPPING, -1 if inverted else 1)
    pyarc2.CONNECTED.append(cells)
    with arc_two(bitstream, None, BOARD.bench_params(), MAPPING, inverted) as bench:
        found = session(Instrument(host_library(firmware), bench, len(MAPPING.words)))
    virtual = simulated_instrument(firmware, NOISE, SEED, DEVICES, len(MAPPING.words))
    assert found == session(virtual)
    assert (cells.bench.devices.g_S == virtual.bench.devices.g_S).all()
    assert found[0] == "arc-two" and any(program.pulses > 1 for program in found[3])

    (arc,) = pyarc2.OPENED[-1:]
    assert arc.is_safe and arc.misuse == []
    assert len(arc.pulses) == sum(program.pulses for program in found[2] + found[3])
    directions = {np.sign(v_V) for _, _, v_V, _ in arc.pulses}
    assert directions == {-1.0, 1.0}
    for low, high, v_V, nanos in arc.pulses:
        assert low in MAPPING.bits and high in MAPPING.words
        assert abs(v_V) * 1e6 <= BOARD.limits.v_max_uV
        assert 40 <= nanos <= BOARD.limits.max_pulse_ticks * 10 and nanos % 10 == 0


def test_the_firmware_s_gate_keeps_a_pulse_from_the_instrument(pyarc2, network, bitstream, tmp_path) -> None:
    narrow = BOARD.model_copy(update={"limits": BOARD.limits.model_copy(update={"max_pulse_ticks": 5})})
    make_firmware(network, narrow, tmp_path / "narrow", None, False)
    pyarc2.CONNECTED.append(SimulatedCells(simulated(), MAPPING))
    with arc_two(bitstream, None, BOARD.bench_params(), MAPPING, False) as bench:
        board = Instrument(host_library(tmp_path / "narrow"), bench, len(MAPPING.words))
        with connect(board) as client, pytest.raises(UserError, match="ended with ERR_LIMIT_WIDTH"):
            client.program_one_shot(0, 0, 500_000)
        assert board.is_safe
    assert pyarc2.OPENED[-1].pulses == [] and pyarc2.OPENED[-1].is_safe


@pytest.mark.parametrize("g_S", [0.0, 1.0])
def test_what_the_reading_cannot_tell_is_not_pulsed(pyarc2, firmware, bitstream, g_S) -> None:
    crossbar = pyarc2.Crossbar()
    crossbar.current_A = lambda low, high, v_V: g_S * v_V
    pyarc2.CONNECTED.append(crossbar)
    with (
        arc_two(bitstream, None, BOARD.bench_params(), PLCC_32X32, False) as bench,
        connect(Instrument(host_library(firmware), bench, 32)) as client,
    ):
        assert client.program_one_shot(31, 31, 300_000).status == Status.ERR_READ_SATURATED
    assert pyarc2.OPENED[-1].pulses == []


# --- failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ArC2Error", "PanicException"])
def test_an_instrument_that_fails_is_grounded_and_named(pyarc2, bitstream, kind) -> None:
    pyarc2.CONNECTED.append(pyarc2.Crossbar())
    with arc_two(bitstream, None, BOARD.bench_params(), PLCC_32X32, False) as bench:
        arc = pyarc2.OPENED[-1]
        arc.failure = getattr(pyarc2, kind)("Writing to FPGA failed:\n  no device")
        line = r"failed: Writing to FPGA failed: no device$"
        with pytest.raises(UserError, match=rf"^ArC TWO: the read of cell \(1, 2\) {line}"):
            bench.read_codes(34)
        assert arc.is_safe
        with pytest.raises(UserError, match=rf"^ArC TWO: the pulse of cell \(0, 3\) {line}"):
            bench.pulse(-342_000, 100, 3)
        assert arc.is_safe and arc.pulses == []


def test_a_pulse_that_does_not_end_and_a_reading_that_is_none_are_failures(
    pyarc2, bitstream, monkeypatch
) -> None:
    monkeypatch.setattr("codegen.arc2.PULSE_TIMEOUT_S", 0.05)
    pyarc2.CONNECTED.append(pyarc2.Crossbar())
    with arc_two(bitstream, None, BOARD.bench_params(), PLCC_32X32, False) as bench:
        arc = pyarc2.OPENED[-1]
        arc.is_stuck = True
        with pytest.raises(UserError, match=r"the pulse of cell .* still busy 0.05 s after the pulse"):
            bench.pulse(-342_000, 100, 0)
        arc.crossbar.current_A = lambda low, high, v_V: float("nan")
        with pytest.raises(UserError, match=r"the reading of cell \(0, 0\) is nan"):
            bench.read_codes(0)
        assert arc.is_safe


@pytest.mark.parametrize("what", ["read_codes", "pulse"])
def test_ctrl_c_leaves_the_instrument_grounded(pyarc2, bitstream, what) -> None:
    pyarc2.CONNECTED.append(pyarc2.Crossbar())
    with (
        pytest.raises(KeyboardInterrupt),
        arc_two(bitstream, None, BOARD.bench_params(), PLCC_32X32, False) as bench,
    ):
        pyarc2.OPENED[-1].failure = KeyboardInterrupt()
        bench.read_codes(0) if what == "read_codes" else bench.pulse(-342_000, 100, 0)
    assert pyarc2.OPENED[-1].is_safe


def refusal(*options: str) -> str:
    done = CliRunner().invoke(main, ["arctwo", *options])
    assert isinstance(done.exception, UserError), (done.output, done.exception)
    assert "\n" not in str(done.exception)
    return str(done.exception)


def test_the_command_says_what_is_missing(
    pyarc2, firmware, bitstream, network, tmp_path, monkeypatch
) -> None:
    command = [str(firmware), "--bitstream", str(bitstream)]
    assert "say either --tcp PORT or --pty" in refusal(*command)
    command += ["--tcp", "0"]
    assert "no ArC TWO is connected" in refusal(*command)
    pyarc2.CONNECTED.extend([pyarc2.Crossbar(), pyarc2.Crossbar()])
    assert "ArC TWOs 0, 1 are connected: choose one with --id" in refusal(*command)
    assert "no ArC TWO 7 is connected" in refusal(*command, "--id", "7")
    assert "no mapping" in refusal(*command, "--mapping", str(bitstream))
    monkeypatch.setattr(pyarc2, "find_ids", lambda: [5])
    assert "the ArC TWO cannot be used: Invalid ArC2 device id: 5" in refusal(*command)
    bitstream.unlink()
    assert f"{bitstream} is no file: give the instrument's firmware" in refusal(*command)
    make_firmware(network, load_board("generic"), tmp_path / "generic", None, False)
    assert "make it with --board arc-two" in refusal(str(tmp_path / "generic"), *command[1:])
    monkeypatch.setitem(sys.modules, "pyarc2", None)
    assert "pyarc2 is not installed: pip install pyarc2" in refusal(*command)


# --- mappings ----------------------------------------------------------------------------------------------


def test_a_mapping_of_arc2control_is_read(tmp_path) -> None:
    text = '[config]\nname = "mine"\nwords = 2\nbits = 3\n[mapping]\nwords = [16, 63]\nbits = [15, 32, 14]\n'
    (tmp_path / "mine.toml").write_text(text)
    assert read_mapping(tmp_path / "mine.toml") == Mapping(bits=(15, 32, 14), words=(16, 63))
    assert sorted(PLCC_32X32.bits + PLCC_32X32.words) == list(range(64))
    assert PLCC_32X32.bits[:4] == (15, 32, 14, 33) and PLCC_32X32.words[-4:] == (30, 49, 31, 48)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[mapping", "is no mapping"),
        ("[config]\nwords = 2", "is no mapping"),
        ("[mapping]\nwords = []\nbits = [1]", "mapping.words must be a list of channels"),
        ("[mapping]\nwords = [1]\nbits = [true]", "mapping.bits must be a list of channels"),
        ("[mapping]\nwords = [1, 64]\nbits = [2]", "channel 64 is outside 0 .. 63"),
        ("[mapping]\nwords = [1, 2]\nbits = [2]", "channel 2 is used twice"),
    ],
)
def test_unusable_mappings_are_refused(tmp_path, text, complaint) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_mapping(tmp_path / "bad.toml")


# --- as a process, and against the real library ------------------------------------------------------------


def test_a_batch_of_cells_on_the_instrument(firmware, bitstream, tmp_path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "codegen", "arctwo", firmware, "--bitstream", bitstream, "--tcp", "0"]
    (tmp_path / "targets.csv").write_text("r,c,g_target_nS,mode\n0,0,300000,one_shot\n31,31,251000,verify\n")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    try:
        url, _, rest = process.stdout.readline().partition(": ")
        assert rest.strip() == "ArC TWO, 32 x 32 cells; Ctrl-C ends it"
        options = ["--port", url, "--tolerance-permille", "50", "-o", str(tmp_path / "results.h5")]
        done = CliRunner().invoke(main, ["bench", str(tmp_path / "targets.csv"), *options])
        assert done.exit_code == 0, done.exception
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    with h5py.File(tmp_path / "results.h5") as file:
        assert file["g_start_nS"][:].tolist() == file["g_end_nS"][:].tolist() == [250_000, 250_000]
        assert file["status"].asstr()[:].tolist() == ["OK", "CONVERGED"]
        assert "arc-two" in file.attrs["identity"]


def test_the_stand_in_is_like_the_real_library() -> None:
    def describe(**environment: str) -> subprocess.CompletedProcess[str]:
        settings = {**os.environ, **environment}
        command = [sys.executable, "-c", DESCRIBE]
        return subprocess.run(command, capture_output=True, text=True, env=settings, cwd=ROOT, check=False)

    real = describe()
    if real.returncode:
        pytest.skip(f"pyarc2 is not here: {real.stderr.splitlines()[-1]}")
    wanted, found = json.loads(real.stdout), json.loads(describe(PYTHONPATH=str(HERE)).stdout)
    assert found.pop("methods").items() <= wanted.pop("methods").items()
    assert found == wanted
