"""Builds the C kernel as the extension module `sim.kernel._jart_kernel` (called by setuptools)."""

import re
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
header = (HERE / "jart_kernel.h").read_text(encoding="utf-8")
declarations = re.sub(r"^\s*#.*$", "", header, flags=re.MULTILINE)

ffibuilder = FFI()
ffibuilder.cdef(declarations)
ffibuilder.set_source(
    "sim.kernel._jart_kernel",
    (HERE / "jart_kernel.c").read_text(encoding="utf-8"),
    include_dirs=[str(HERE)],
    # No contraction to fused multiply-add: the same bits with every compiler and vector width.
    extra_compile_args=["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"],
)
