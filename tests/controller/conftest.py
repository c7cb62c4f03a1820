"""The C controller on its mailbox HAL with a scripted predictor, driven step by step."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cffi
import pytest

from firmware_templates import HOST, STATIC

HERE = Path(__file__).parent
SOURCES = [
    STATIC / "ouro_controller.c",
    STATIC / "ouro_pulse_gate.c",
    STATIC / "ouro_request.c",
    STATIC / "ouro_scpi.c",
    HOST / "ouro_lockstep.c",
    HOST / "ouro_mailbox_hal.c",
    HERE / "rig.c",
]
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror"]
# Chosen by test_build.py, which runs these tests again in a process of their own.
SANITIZE_FLAGS = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
COVERAGE_FLAGS = ["-O0", "--coverage"]

NS_PER_CODE = 160


def declarations(header: Path) -> str:
    """A header without preprocessor lines: what cffi reads."""
    return "\n".join(line for line in header.read_text().splitlines() if not line.startswith("#"))


def compile_objects(
    folder: Path, sources: list[Path], flags: list[str], defines: tuple[str, ...] = ()
) -> list[str]:
    """One call per file, so that coverage data carries the source's name."""
    include = [f"-I{path}" for path in (HERE, STATIC, HOST)]
    objects = []
    for source in sources:
        objects.append(str(folder / f"{source.stem}.o"))
        command = ["gcc", *STRICT, *flags, *include, *(f"-D{d}" for d in defines)]
        subprocess.run([*command, "-c", str(source), "-o", objects[-1]], check=True)
    return objects


def build(folder: Path, *defines: str) -> Rig:
    """Compile the controller with the rig and load it."""
    flags = ["-O1"]
    if os.environ.get("OURO_TEST_SANITIZE"):
        flags = SANITIZE_FLAGS
    elif coverage := os.environ.get("OURO_TEST_COVERAGE"):
        folder, flags = Path(tempfile.mkdtemp(dir=coverage)), COVERAGE_FLAGS
    library = folder / "rig.so"
    objects = compile_objects(folder, SOURCES, [*flags, "-fPIC"], defines)
    subprocess.run(["gcc", *flags, "-shared", *objects, "-o", str(library)], check=True)
    return Rig(library)


@pytest.fixture(scope="session")
def scpi_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scpi_host.c with parser, controller and mailbox HAL, under sanitizers unless coverage is counted."""
    folder, flags = tmp_path_factory.mktemp("scpi"), SANITIZE_FLAGS
    if coverage := os.environ.get("OURO_TEST_COVERAGE"):
        folder, flags = Path(tempfile.mkdtemp(dir=coverage)), COVERAGE_FLAGS
    sources = [source for source in SOURCES if source.stem not in ("ouro_lockstep", "rig")]
    objects = compile_objects(folder, [*sources, HERE / "rule_predictor.c", HERE / "scpi_host.c"], flags)
    program = folder / "scpi"
    subprocess.run(["gcc", *flags, *objects, "-o", str(program)], check=True)
    return program


class Rig:
    """One controller (instance 0), its simulated hardware and a scripted predictor."""

    ONE_SHOT, WRITE_VERIFY, CALIBRATE = 0, 1, 2
    TARGET_nS = 220_000
    V_SET_uV, V_RESET_uV = -342_000, 706_500

    def __init__(self, library: Path) -> None:
        self.ffi = cffi.FFI()
        for header in (STATIC / "ouro_status.h", HOST / "ouro_lockstep.h", HERE / "rig.h"):
            self.ffi.cdef(declarations(header))
        self.lib: Any = self.ffi.dlopen(str(library))
        self.names = {number: name.removeprefix("OURO_") for number, name in self._statuses().items()}
        self.lockstep = self.ffi.NULL
        self.pulses: list[tuple[int, int]] = []

    def _statuses(self) -> dict[int, str]:
        return dict(self.ffi.typeof("ouro_status_t").elements)

    @staticmethod
    def code(g_nS: int) -> int:
        """The ADC code of a conductance on the test board."""
        return g_nS // NS_PER_CODE

    def reset(self) -> None:
        """A new controller on faultless hardware; the predictor says SET, 1000 ticks."""
        self.close()
        self.lockstep = self.lib.ouro_lockstep_new(1)
        self.pulses = []
        self.script()

    def close(self) -> None:
        self.lib.ouro_lockstep_free(self.lockstep)
        self.lockstep = self.ffi.NULL

    def script(self, status: str = "OK", direction: int = 1, ticks: int = 1000, lowered_uV: int = 0) -> None:
        """What the predictor answers from now on, its amplitude lowered from the full one."""
        self.lib.rig_script(getattr(self.lib, f"OURO_{status}"), direction, ticks, lowered_uV)

    def inject(self, fault: str, value: int) -> None:
        self.lib.ouro_lockstep_inject(self.lockstep, 0, getattr(self.lib, f"OURO_FAULT_{fault}"), value)

    def damage(self, field: str, value: int) -> None:
        self.lib.rig_damage(self.lockstep, 0, getattr(self.lib, f"RIG_{field}"), value)

    def start(
        self,
        mode: int = ONE_SHOT,
        target_nS: int = TARGET_nS,
        tolerance_nS: int = 0,
        tolerance_permille: int = 0,
        max_iterations: int = 5,
        stuck_pulses: int = 0,
        stuck_move_nS: int = 1000,
        budget_ticks: int = 1_000_000,
        wish_permille: int = 0,
    ) -> str:
        return self.names[
            self.lib.ouro_lockstep_start(
                self.lockstep,
                0,
                mode,
                target_nS,
                tolerance_nS,
                tolerance_permille,
                max_iterations,
                stuck_pulses,
                stuck_move_nS,
                budget_ticks,
                wish_permille,
            )
        ]

    def step(self) -> str:
        return self.names[self.lib.ouro_lockstep_step(self.lockstep, 0)]

    def abort(self) -> str:
        return self.names[self.lib.ouro_lockstep_abort(self.lockstep, 0)]

    def init(self) -> str:
        return self.names[self.lib.ouro_lockstep_init(self.lockstep, 0)]

    def waiting(self) -> str | None:
        """'read', 'pulse' or None; notes a pulse's voltage and length."""
        index, v_uV, ticks = (self.ffi.new("int64_t[1]") for _ in range(3))
        for wait, name in ((self.lib.OURO_WAIT_READ, "read"), (self.lib.OURO_WAIT_PULSE, "pulse")):
            if self.lib.ouro_lockstep_waiting(self.lockstep, wait, index, v_uV, ticks):
                if name == "pulse":
                    self.pulses.append((v_uV[0], ticks[0]))
                return name
        return None

    def serve_read(self, adc_code: int) -> None:
        self.lib.ouro_lockstep_serve_reads(self.lockstep, 1, [0], [adc_code])

    def serve_pulse(self, ticks_given: int) -> None:
        self.lib.ouro_lockstep_serve_pulses(self.lockstep, 1, [0], [ticks_given])

    def run(
        self, read: Callable[[], int], given: Callable[[int], int] = lambda ticks: ticks, until: str = ""
    ) -> str:
        """Step to the outcome, or until the controller waits for `until`; serves reads and pulses."""
        for _ in range(10_000):
            status = self.step()
            wait = self.waiting()
            if status != "BUSY" or (until and wait == until):
                return status
            if wait == "read":
                self.serve_read(read())
            elif wait == "pulse":
                self.serve_pulse(given(self.pulses[-1][1]))
        raise AssertionError("no outcome after 10,000 steps")

    def result(self) -> dict[str, int]:
        kinds = "int32_t " * 7 + "int64_t " * 2
        arrays = [self.ffi.new(f"{kind}[1]") for kind in kinds.split()]
        self.lib.ouro_lockstep_results(self.lockstep, *arrays)
        fields = ["status", "stage", "iterations", "pulses", "g_start_nS", "g_last_nS"]
        fields += ["direction", "last_ticks", "total_ticks"]
        return {name: array[0] for name, array in zip(fields, arrays, strict=True)}

    @property
    def violations(self) -> int:
        return int(self.lib.ouro_lockstep_violations(self.lockstep, 0))

    @property
    def is_safe(self) -> bool:
        return bool(self.lib.ouro_lockstep_is_safe(self.lockstep, 0))


@pytest.fixture(scope="session")
def rig_library(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    return build(tmp_path_factory.mktemp("rig"))


@pytest.fixture
def rig(rig_library: Rig) -> Iterator[Rig]:
    """A fresh controller; whatever a test did, no safety rule may be broken and the end must be safe."""
    rig_library.reset()
    yield rig_library
    assert rig_library.violations == 0
    assert rig_library.is_safe
    rig_library.close()


@pytest.fixture(scope="session")
def rig_build() -> Callable[..., Rig]:
    """`build(folder, *defines)`: the rig with other limits."""
    return build


@pytest.fixture(scope="session")
def rig_sources() -> tuple[list[Path], list[str], list[str]]:
    """C files, warning flags and include flags (with the sanitizers' in a run under them)."""
    include = [f"-I{path}" for path in (HERE, STATIC, HOST)]
    return SOURCES, STRICT, include + (SANITIZE_FLAGS if os.environ.get("OURO_TEST_SANITIZE") else [])
