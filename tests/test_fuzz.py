"""`codegen fuzz`: nothing found in the protocol as it is, and faults that are put in are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from codegen.__main__ import main
from codegen.boards import load_board
from codegen.firmware import Firmware, make_firmware
from codegen.fuzz import LINES_PER_SESSION, fuzz
from sim.errors import UserError


@pytest.fixture
def firmware(networks: Any, tmp_path: Path) -> Firmware:
    network = networks.write(tmp_path / "net.onnx", networks.layers((2, 8, 1), seed=2), "log10_s")
    return make_firmware(network, load_board("generic"), tmp_path / "fw", None, False)


def test_mutated_sessions_find_nothing_and_reach_everything(firmware: Firmware) -> None:
    executions = LINES_PER_SESSION + 10_000
    once = fuzz(firmware.folder, executions, seed=1, jobs=1)
    assert once == fuzz(firmware.folder, executions, seed=1, jobs=2)
    assert (once.executions, once.findings) == (executions, 0)
    assert min(once.replies, once.pulses, once.secured) > 1000  # or it fuzzed nothing
    done = CliRunner().invoke(main, ["fuzz", str(firmware.folder), "--executions", "1000", "--seed", "2"])
    assert "1,000 executions, 0 findings" in done.output


@pytest.mark.parametrize(
    ("sound", "broken", "complaint"),
    [
        (
            "scpi->line_length < OURO_SCPI_LINE",
            "scpi->line_length < OURO_SCPI_LINE + 2U",
            "runtime error: index 8",
        ),
        ("(void)ouro_controller_abort(&s->controller);", "", "execution [0-9]+: rules broken"),
    ],
)
def test_a_fault_is_found(firmware: Firmware, sound: str, broken: str, complaint: str) -> None:
    source = firmware.folder / "src" / "ouro_scpi.c"
    assert sound in source.read_text()
    source.write_text(source.read_text().replace(sound, broken))
    with pytest.raises(UserError, match=complaint):
        fuzz(firmware.folder, 10_000, seed=1)
