"""Builds the C kernels as the extension module `sim.kernel._jart_kernel` (called by setuptools)."""

import re
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
HEADERS = ("jart_kernel.h", "walk_kernel.h", "full_solve.h")
SOURCES = ("jart_kernel.c", "walk_kernel.c", "full_solve.c", "full_scan.c")


def declarations(header: str) -> str:
    """What cffi reads of a header: everything but the preprocessor's lines."""
    return re.sub(r"^\s*#.*$", "", (HERE / header).read_text(encoding="utf-8"), flags=re.MULTILINE)


ffibuilder = FFI()
ffibuilder.cdef("\n".join(declarations(header) for header in HEADERS))
ffibuilder.set_source(
    "sim.kernel._jart_kernel",
    "\n".join(f'#include "{header}"' for header in HEADERS),
    sources=[f"sim/kernel/{name}" for name in SOURCES],  # from the project's root, where setuptools runs
    include_dirs=["sim/kernel"],
    depends=[str(path.relative_to(HERE.parents[1])) for path in sorted(HERE.glob("*.h"))],
    # No contraction to fused multiply-add: the same bits with every compiler and vector width.
    extra_compile_args=[
        "-O3",
        "-std=gnu11",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fopenmp-simd",
    ],
)
