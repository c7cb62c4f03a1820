"""The controller's tests again under sanitizers and coverage; other compilers; limits set otherwise."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
INNER = bool(os.environ.get("OURO_TEST_SANITIZE") or os.environ.get("OURO_TEST_COVERAGE"))
outer_only = pytest.mark.skipif(INNER, reason="already inside a run of its own")


def run_again(*options: str, **environment: str) -> None:
    """Run this folder's other tests in a process of their own."""
    command = [sys.executable, "-m", "pytest", str(HERE), "-q", "-x", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@outer_only
def test_under_address_and_undefined_behaviour_sanitizers() -> None:
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip("this gcc has no address sanitizer")
    # Builds with other limits are left out for their compile time; Python itself leaks by design at exit.
    run_again(
        "-k", "not test_build", OURO_TEST_SANITIZE="1", LD_PRELOAD=runtime, ASAN_OPTIONS="detect_leaks=0"
    )


@outer_only
def test_every_branch_is_taken(tmp_path: Path) -> None:
    if shutil.which("gcov") is None:
        pytest.skip("no gcov")
    run_again("--ignore", str(HERE / "test_lockstep.py"), OURO_TEST_COVERAGE=str(tmp_path))
    taken: dict[str, int] = {}
    for data in sorted(tmp_path.glob("*/ouro_*.gcda")):  # several builds of each file
        report = subprocess.run(
            ["gcov", "--branch-probabilities", "--json-format", "--stdout", str(data)],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        ).stdout
        for file in json.loads(report)["files"]:
            if Path(file["file"]).parent.name != "static":
                continue
            for line in file["lines"]:
                name = f"{Path(file['file']).name}:{line['line_number']}"
                for k, branch in enumerate([line, *line["branches"]]):
                    key = f"{name}:{k}"
                    taken[key] = taken.get(key, 0) + branch["count"]
    assert len(taken) > 200
    assert [key for key, count in taken.items() if count == 0] == []


@pytest.mark.parametrize(
    ("limit_uV", "outcomes"),
    [(700_000, {1: "OK", -1: "ERR_LIMIT_VOLTAGE"}), (300_000, dict.fromkeys((1, -1), "ERR_LIMIT_VOLTAGE"))],
)
def test_a_voltage_beyond_the_boards_limit_is_refused(
    tmp_path: Path, rig_build: Any, limit_uV: int, outcomes: dict[int, str]
) -> None:
    """SET at -342 mV and RESET at 706.5 mV on more limited boards: never prepared, never given."""
    rig = rig_build(tmp_path, f"OURO_LIMIT_V_uV={limit_uV}")
    rig.reset()
    for direction, outcome in outcomes.items():
        rig.script("OK", direction, 1000)
        rig.start()
        assert rig.run(lambda: 1000) == outcome
    assert all(abs(v_uV) <= limit_uV for v_uV, _ in rig.pulses)
    assert (rig.violations, rig.is_safe) == (0, True)
    rig.close()


@pytest.mark.parametrize("direction", [1, -1])
def test_a_small_voltage_that_comes_out_with_the_other_sign_is_refused(
    tmp_path: Path, rig_build: Any, direction: int
) -> None:
    rig = rig_build(tmp_path, "OURO_V_SET_uV=-400", "OURO_V_RESET_uV=400")
    rig.reset()
    rig.script("OK", direction, 1000)
    rig.inject("VOLTAGE_uV", direction * 600)  # the DAC's nearest voltage is 500 uV
    rig.start()
    assert rig.run(lambda: 1000) == "ERR_LIMIT_VOLTAGE"
    assert (rig.pulses, rig.violations, rig.is_safe) == ([], 0, True)
    rig.close()


@outer_only
@pytest.mark.parametrize("compiler", ["gcc", "clang", "arm-none-eabi-gcc"])
@pytest.mark.parametrize("level", ["-O0", "-Os", "-O3"])
def test_compiles_without_a_warning(tmp_path: Path, compiler: str, level: str, rig_sources: Any) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    sources, strict, include = rig_sources
    for source in sources:
        command = [compiler, *strict, level, *include, "-c", str(source), "-o", str(tmp_path / "out.o")]
        subprocess.run(command, check=True)


@outer_only
def test_firmware_sources_use_no_float_and_no_heap(rig_sources: Any) -> None:
    sources, _, _ = rig_sources
    for source in sources:
        if source.parent.name == "static":
            words = source.read_text()
            for banned in ("float", "double", "malloc", "calloc", "goto"):
                assert banned not in words, f"{source.name}: {banned}"


def indirect_calls(source: Path, folder: Path, include: list[str]) -> bool:
    """Does the compiler see a call whose target is not a named function, however it is written?"""
    command = ["gcc", "-std=c11", "-O0", "-fcallgraph-info", *include, "-c", str(source), "-o", "out.o"]
    subprocess.run(command, cwd=folder, check=True)
    (graph,) = folder.glob("*.ci")
    text = graph.read_text()
    graph.unlink()
    assert "node:" in text
    return "__indirect_call" in text


@outer_only
def test_firmware_sources_call_no_function_through_a_pointer(tmp_path: Path, rig_sources: Any) -> None:
    sources, _, include = rig_sources
    found = [source.name for source in sources if indirect_calls(source, tmp_path, include)]
    assert found == []
    for call in ("(*f)(1)", "f(1)", "table[0](1)"):  # the check fires
        injected = tmp_path / "injected.c"
        injected.write_text(
            f"typedef int call_t(int);\nextern call_t *table[1];\n"
            f"int run(call_t *f);\nint run(call_t *f) {{ (void)f; return {call}; }}\n"
        )
        assert indirect_calls(injected, tmp_path, include), call
