"""What the calls of the compiled hot loops have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernel._jart_kernel import ffi
from sim.population import Advance, Population, Trace
from sim.units import Floats, Ints


class Pointers:
    """Makes C pointers to arrays and keeps the arrays alive, which cffi's structures do not."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def __call__(self, ctype: str, array: np.ndarray[Any, Any] | None) -> Any:
        """Pointer to the array's elements, NULL for None."""
        if array is None:
            return ffi.NULL
        self._kept.append(ffi.from_buffer(ctype, array))
        return self._kept[-1]

    def run_arguments(
        self,
        devices: Population,
        n_steps: Ints,
        n_stop_1e26: Floats | None,
        done: Advance,
        trace: Trace | None,
    ) -> tuple[Any, ...]:
        """From `count` on, the arguments that both hot loops take."""
        return (
            len(devices),
            self("int64_t[]", n_steps),
            self("double[]", n_stop_1e26),
            self("double[]", done.n_before_1e26),
            self("int64_t[]", done.steps),
            self("int64_t[]", None if trace is None else trace.offset),
            self("double[]", None if trace is None else trace.n_1e26),
        )


def new_advance(devices: Population) -> Advance:
    """An advance that has not begun."""
    return Advance(steps=np.zeros(len(devices), dtype=np.int64), n_before_1e26=devices.n_1e26.copy())
