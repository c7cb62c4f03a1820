"""The kernels from another compiler: the same bits, with and without wide vectors."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cffi import FFI

from sim import jart_full, kernel_call, surface_stepper
from sim.device import DeviceArray
from sim.kernel import _jart_kernel
from sim.kernel.build_kernel import HEADERS, HERE, SOURCES, declarations
from sim.models import JART_FULL
from sim.noise import load_preset

FLAGS = (
    "-std=gnu11",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fopenmp-simd",
    "-Werror",
)


def other_compilers() -> dict[str, list[str]]:
    found = {name: [name] for name in ("clang", "gcc") if shutil.which(name)}
    if importlib.util.find_spec("ziglang"):
        found["zig"] = [sys.executable, "-m", "ziglang", "cc"]
    return found


COMPILERS = other_compilers()


def devices() -> DeviceArray:
    return DeviceArray(
        100, load_preset("ouroboros-devices"), 3, np.linspace(1.2e-4, 5e-4, 100), model=JART_FULL
    )


@pytest.mark.parametrize("optimisation", ["-O3", "-O1"])
@pytest.mark.parametrize("name", ["clang", "gcc", "zig"])
def test_kernels_give_the_same_bits(
    name: str, optimisation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name not in COMPILERS:
        pytest.skip(f"no {name}")
    built_in = devices()
    built_in.advance(-0.342, np.arange(100) * 3)
    points = (
        np.linspace(-1.0, 1.0, 101),
        np.full(101, 45e-9),
        np.full(101, 0.4e-9),
        np.geomspace(0.01, 10.0, 101),
    )
    solved = jart_full.solve(*points)

    library = tmp_path / "kernel.so"
    sources = [str(HERE / source) for source in SOURCES]
    command = [
        *COMPILERS[name],
        optimisation,
        *FLAGS,
        "-fPIC",
        "-shared",
        *sources,
        "-o",
        str(library),
        "-lm",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ffi = FFI()
    ffi.cdef("\n".join(declarations(header) for header in HEADERS))
    for module in (surface_stepper, jart_full, kernel_call):
        monkeypatch.setattr(module, "ffi", ffi)
    loaded = ffi.dlopen(str(library))
    for module in (surface_stepper, jart_full):
        assert module.lib is _jart_kernel.lib
        monkeypatch.setattr(module, "lib", loaded)

    array = devices()
    array.advance(-0.342, np.arange(100) * 3)
    assert np.array_equal(array.population.n_1e26, built_in.population.n_1e26)
    assert np.array_equal(array.population.r_m, built_in.population.r_m)
    assert np.array_equal(jart_full.solve(*points).i_A, solved.i_A)


def test_no_flag_names_a_machine() -> None:
    text = (HERE / "build_kernel.py").read_text(encoding="utf-8")
    assert not re.search(r"-m(arch|avx|tune|fma|cpu)", text)
