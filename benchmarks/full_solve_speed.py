"""Time per operating point of the full-physics circuit: compiled on 1 and 2 threads, and NumPy beside it.

Run with `make bench`. Each figure is the fastest of several repetitions; one and many threads solve the same points.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from sim import jart_full, jart_full_reference
from sim.units import NM, Floats

POINTS = 100_000
NUMPY_POINTS = 2_000
REPETITIONS = 7
THREADS = (1, 2)


def points(v_low_V: float, v_high_V: float, count: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Random points over the devices' spread: voltage uniform, concentration log-uniform over the whole range."""
    rng = np.random.default_rng(1)
    return (
        rng.uniform(v_low_V, v_high_V, count),
        rng.uniform(40.0, 50.0, count) * NM,
        rng.uniform(0.3, 0.5, count) * NM,
        np.exp(rng.uniform(np.log(0.008), np.log(20.0), count)),
    )


def fastest_ns(run: Callable[[], object], count: int, repetitions: int) -> float:
    """Fastest time per point [ns]."""
    best = float("inf")
    for _ in range(repetitions):
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
    return best / count * 1e9


def main() -> None:
    """Print the table."""
    print(
        f"ns per point, {POINTS} points (NumPy {NUMPY_POINTS}), fastest of {REPETITIONS}, input checks included"
    )
    columns = "".join(f"{f'{jobs} thread' + 's' * (jobs > 1):>12}" for jobs in THREADS)
    print(f"{'voltages':18}{columns}{'NumPy':>10}{'NumPy/1 thread':>16}")
    for name, low, high in (
        ("SET -2..0 V", -2.0, 0.0),
        ("RESET 0..2 V", 0.0, 2.0),
        ("both -2..2 V", -2.0, 2.0),
    ):
        many, few = points(low, high, POINTS), points(low, high, NUMPY_POINTS)
        compiled = [
            fastest_ns(lambda jobs=jobs, x=many: jart_full.solve(*x, jobs=jobs), POINTS, REPETITIONS)
            for jobs in THREADS
        ]
        reference = fastest_ns(lambda x=few: jart_full_reference.solve(*x), NUMPY_POINTS, 2)
        figures = "".join(f"{ns:12.1f}" for ns in compiled)
        print(f"{name:18}{figures}{reference:10.0f}{reference / compiled[0]:16.0f}")


if __name__ == "__main__":
    main()
