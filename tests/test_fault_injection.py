"""`codegen faults`: the page is what the command finds, and the command finds what is unsafe or untrue."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from codegen.__main__ import main
from codegen.boards import load_board
from codegen.build import host_library
from codegen.controllers import ControllerBank
from codegen.faults import FAULTS, Fault
from codegen.faults_serial import LINE_FAULTS, LineFault, try_line_fault
from codegen.faults_trials import FaultOutcome, try_fault
from codegen.faults_verb import BEGIN, END, try_all
from codegen.firmware import Firmware, make_firmware
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.noise import load_preset

ROOT = Path(__file__).parents[1]
BOARD = load_board("generic")
NOISE = load_preset("ouroboros")
TRIALS = draw_trials(8, NOISE, seed=3)
VOLTAGE = "status = OURO_ERR_VOLTAGE"
BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    folder = tmp_path_factory.mktemp("faults") / "fw"
    return make_firmware(ROOT / "docs" / "examples" / "log_expected.onnx", BOARD, folder, None, False)


def attempt(firmware: Firmware, fault: Fault, mode: str) -> FaultOutcome:
    return try_fault(ControllerBank(host_library(firmware.folder)), firmware, fault, mode, TRIALS)


def mutant(firmware: Firmware, folder: Path, file: str, sound: str, broken: str) -> Firmware:
    """The same firmware with one piece of its C replaced."""
    shutil.copytree(firmware.folder, folder)
    source = folder / "src" / file
    assert sound in source.read_text()
    source.write_text(source.read_text().replace(sound, broken, 1))
    return replace(firmware, folder=folder)


def test_the_page_is_what_the_command_finds(firmware: Firmware, tmp_path: Path) -> None:
    committed = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    page = tmp_path / "faults.md"
    page.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    arguments = ["faults", str(firmware.folder), "--page", str(page)]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert page.read_text(encoding="utf-8") == committed[committed.index(BEGIN) :], "run make faults"


def test_workers_change_nothing(firmware: Firmware) -> None:
    few = tuple(BY_NAME[name] for name in ("none", "ADC noisy", "reset in mid-pulse"))
    once, again = (try_all(firmware, NOISE, 1, 4, jobs, few).as_json() for jobs in (1, 2))
    assert once == again


@pytest.mark.parametrize(
    ("file", "sound", "broken", "fault", "finding"),
    [
        # The gate lets any voltage through; outputs stay on after an outcome, after a reset; wrong statuses.
        ("ouro_pulse_gate.c", f"{VOLTAGE};\n    }} else", "status = OURO_OK;\n    } else",
         "DAC gain, read back", "limits"),
        ("ouro_controller.c", "ouro_hal_safe(c->hal);", "", "read fails", "safe"),
        ("ouro_controller.c", "ouro_hal_safe(hal);", "", "reset in mid-pulse", "safe"),
        ("ouro_controller.c", "OURO_ERR_TIMEOUT", "OURO_ERR_HAL", "read never ends", "untrue"),
        ("ouro_pulse_gate.c", "OURO_ERR_PULSE_LENGTH", "OURO_OK", "ticks lost, counted", "untrue"),
        ("ouro_controller.c", "OURO_ERR_STUCK", "OURO_CONVERGED", "stuck at HRS", "untrue"),
    ],
)  # fmt: skip
def test_a_broken_controller_is_caught(
    firmware: Firmware, tmp_path: Path, file: str, sound: str, broken: str, fault: str, finding: str
) -> None:
    mode = "write-and-verify" if sound == "OURO_ERR_STUCK" else "one-shot"
    assert attempt(firmware, BY_NAME[fault], mode).is_good
    found = attempt(mutant(firmware, tmp_path / "fw", file, sound, broken), BY_NAME[fault], mode)
    assert not found.is_good
    bad = {"limits": found.beyond_limits, "safe": found.trials - found.safe, "untrue": found.untrue}
    assert bad[finding] > 0


def test_the_command_fails_when_something_is_unsafe(firmware: Firmware, tmp_path: Path) -> None:
    broken = mutant(firmware, tmp_path / "fw", "ouro_controller.c", "OURO_ERR_TIMEOUT", "OURO_ERR_HAL")
    arguments = ["faults", str(broken.folder), "--trials", "1"]
    complaint = r"not safe or not true: .*read never ends \(one-shot\).*; please report this"
    with pytest.raises(UserError, match=complaint):
        CliRunner().invoke(main, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("gain", "+50 %, unseen", drive_uV=lambda v: v + v // 2),
        Fault("endless", "a million ticks more", length=lambda t: t + 1_000_000, is_counted=False),
    ],
)
def test_hardware_beyond_the_limits_is_counted(firmware: Firmware, fault: Fault) -> None:
    """No firmware can prevent these; the count at the device shows them."""
    found = attempt(firmware, fault, "one-shot")
    assert found.beyond_at_device > 0 and found.beyond_limits == 0
    assert found.is_good


@pytest.mark.parametrize(
    ("sound", "broken", "finding"),
    [
        ("is_good && (upper(s->line[end + 1U + place]) == hex_digit(crc, place))", "is_good", "altered"),
        ("push_error(s, ERR_COMMUNICATION);", "s->line_length = 0U;", "silent"),
    ],
)
def test_a_broken_parser_is_caught(
    firmware: Firmware, tmp_path: Path, sound: str, broken: str, finding: str
) -> None:
    fault = next(fault for fault in LINE_FAULTS if fault.name == "bits flipped" and fault.has_crc)

    def line(tried: Firmware, fault: LineFault = fault) -> dict[str, object]:
        found = try_line_fault(host_library(tried.folder), BOARD, fault, TRIALS)
        return {**found.as_json(), "is_good": found.is_good}

    assert line(firmware)["is_good"]
    found = line(mutant(firmware, tmp_path / "fw", "ouro_scpi.c", sound, broken))
    assert not found["is_good"] and found[finding]
