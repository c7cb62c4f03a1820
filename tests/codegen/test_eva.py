"""`codegen eva`: no alarm in predictor and controller as they are, and errors that are put in raise one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from codegen.__main__ import main
from codegen.boards import load_board
from codegen.eva import ANALYSES, STATES, Alarm, analyse
from codegen.firmware import make_firmware
from sim.errors import UserError

PREDICTOR, CONTROLLER = ANALYSES
needs_frama_c = pytest.mark.skipif(
    shutil.which("frama-c") is None, reason="no frama-c: scripts/frama_c.sh installs it, some 800 MB"
)


@pytest.fixture(scope="module")
def network(networks: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eva")
    path: Path = networks.write(folder / "net.onnx", networks.layers((2, 8, 1)), "log10_s")
    return path


@pytest.fixture(scope="module")
def device_aware(networks: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = networks.write_device_aware(tmp_path_factory.mktemp("eva_states") / "net.onnx")
    return path


def mutant(network: Path, folder: Path, file: str, sound: str, broken: str) -> Path:
    make_firmware(network, load_board("generic"), folder, None, False)
    source = folder / "src" / file
    assert sound in source.read_text()
    source.write_text(source.read_text().replace(sound, broken, 1))
    return folder


def found(folder: Path, analysis: Any) -> list[tuple[str, str]]:
    return [(Path(alarm.file).name, alarm.kind) for alarm in analyse(folder, analysis).alarms]


@needs_frama_c
def test_predictor_and_controller_raise_no_alarm(network: Path) -> None:
    done = CliRunner().invoke(main, ["eva", str(network), "--board", "generic"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for line, what in zip(done.output.splitlines(), ("predictor", "controller"), strict=True):
        assert re.fullmatch(
            rf"{what} of generic, .*: no alarm, [12][0-9] assertions and contracts proven", line
        )


@needs_frama_c
def test_the_predictor_of_a_linear_network_that_knows_its_error_raises_no_alarm(
    networks: Any, tmp_path: Path
) -> None:
    error = {"encoding": "log2_rpd", "offset": -3.0, "scale": 4.0}
    layers = networks.layers((2, 6, 2))
    network = networks.write(tmp_path / "net.onnx", layers, "linear_s", expected_error=error)
    firmware = make_firmware(network, load_board("openmena"), tmp_path / "fw", None, False)
    assert analyse(firmware.folder, PREDICTOR).alarms == []


@needs_frama_c
@pytest.mark.parametrize(
    ("sound", "broken", "alarm"),
    [
        ("", "", None),
        ("ouro_clamp(right - left, -MOST_STEP_q4, MOST_STEP_q4)", "right - left", "signed_overflow"),
        ("ouro_clamp(g_from_nS, OURO_G_MIN_nS, OURO_G_MAX_nS)", "g_from_nS", "mem_access"),
        ("pulse->width_ticks = OURO_MIN_ticks;", "pulse->width_ticks = 0U;", "user assertion"),
    ],
)
def test_states_of_devices_raise_no_alarm_but_for_errors_put_in(
    device_aware: Path, tmp_path: Path, sound: str, broken: str, alarm: str | None
) -> None:
    folder = mutant(device_aware, tmp_path / "fw", "ouro_device_state.c", sound, broken)
    kinds = {kind for _, kind in found(folder, STATES)}
    assert alarm in kinds if alarm else kinds == set()


@needs_frama_c
@pytest.mark.parametrize(
    ("analysis", "file", "sound", "broken", "alarm"),
    [
        (PREDICTOR, "ouro_predictor.c", "ouro_clamp(g_start_nS, OURO_G_MIN_nS, OURO_G_MAX_nS)", "g_start_nS",
         ("ouro_predictor.c", "signed_overflow")),
        (PREDICTOR, "ouro_predictor.c", "? wanted.longest_ticks : width_ticks", "? wanted.longest_ticks : 0U",
         ("ouro_contracts.h", "postcondition")),
        (CONTROLLER, "ouro_pulse_gate.c", " || (ticks > (uint32_t)OURO_LIMIT_PULSE_ticks)", "",
         ("controller.c", "user assertion")),
    ],
)  # fmt: skip
def test_an_error_that_is_put_in_raises_an_alarm(
    network: Path, tmp_path: Path, analysis: Any, file: str, sound: str, broken: str, alarm: tuple[str, str]
) -> None:
    assert alarm in found(mutant(network, tmp_path / "fw", file, sound, broken), analysis)


def test_without_frama_c_the_message_says_how_to_get_it(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_firmware(network, load_board("generic"), tmp_path / "fw", None, False).folder
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="apt install frama-c-base"):
        analyse(folder, PREDICTOR)


def test_an_alarm_reads_like_a_compiler_s() -> None:
    assert str(Alarm("a.c", 3, "signed_overflow", "x + 1 <= 2")) == "a.c:3: signed_overflow: x + 1 <= 2"
