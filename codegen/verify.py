"""Proof by exhaustion: the integer reference and the compiled C, compared by exact equality."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from codegen.fixed import INT32_MAX, INT32_MIN, Int64Array
from codegen.host import HostLibrary, predict_sanitized
from codegen.predictions import Predictions
from codegen.reference import ReferencePredictor
from sim.command_line import progress_bar
from sim.errors import UserError

CODE_BITS = 12
BLOCK = 65536

Predict = Callable[[Int64Array, Int64Array], Predictions]


def verify_codes(library: HostLibrary, jobs: int | None = None, step: int = 1) -> int:
    """Compare on every pair of 12-bit conductance codes of the board's ADC range.

    Args:
        jobs: worker threads; None for all cores.
        step: take only every `step`-th start code.

    Returns:
        How many pairs were compared.

    Raises:
        UserError: the two differ; the message holds the first difference found.
    """
    adc_nS = code_conductances_nS(library.board.adc.full_scale_nS)
    reference = ReferencePredictor(library.model, library.budget_ticks, library.wish_permille)

    def check(start_nS: int) -> int:
        start = np.full(len(adc_nS), start_nS, dtype=np.int64)
        require_equal(reference.predict_batch, library.predict_batch, start, adc_nS)
        return len(start)

    return _run_all(check, adc_nS[::step].tolist(), jobs, "code pairs")


def verify_random(library: HostLibrary, count: int, seed: int, jobs: int | None = None) -> int:
    """Compare on `count` random int32 pairs, half of them with a target in the window; as `verify_codes`."""
    reference = ReferencePredictor(library.model, library.budget_ticks, library.wish_permille)

    def check(block: int) -> int:
        start, target = random_pairs(library, min(BLOCK, count - block * BLOCK), seed, block)
        require_equal(reference.predict_batch, library.predict_batch, start, target)
        return len(start)

    return _run_all(check, range(-(-count // BLOCK)), jobs, "random pairs")


def verify_sanitized(library: HostLibrary, count: int, seed: int) -> int:
    """Compare on random pairs with a build that address and undefined-behaviour sanitizers watch."""
    reference = ReferencePredictor(library.model)
    start, target = random_pairs(library, count, seed, 0)
    require_equal(
        reference.predict_batch, lambda s, t: predict_sanitized(library.folder, s, t), start, target
    )
    return len(start)


def code_conductances_nS(full_scale_nS: int) -> Int64Array:
    """Conductance of each 12-bit code, (4096,)."""
    codes = np.arange(2**CODE_BITS, dtype=np.int64)
    return (codes * full_scale_nS + (1 << (CODE_BITS - 1))) >> CODE_BITS


def random_pairs(library: HostLibrary, count: int, seed: int, block: int) -> tuple[Int64Array, Int64Array]:
    """Start and target (count,): all of int32 and, in turn, the window; always with the extremes and borders."""
    generator = np.random.default_rng([seed, block])
    g_min_nS, g_max_nS = library.model.g_min_nS, library.model.g_max_nS
    everywhere = generator.integers(INT32_MIN, INT32_MAX, size=(2, count), endpoint=True)
    inside = generator.integers(g_min_nS, g_max_nS, size=(2, count), endpoint=True)
    kind = np.arange(count) % 4
    start = np.where(kind % 2 == 0, inside[0], everywhere[0])
    target = np.where(kind < 3, inside[1], everywhere[1])
    special = [INT32_MIN, INT32_MIN + 1, -1, 0, g_min_nS - 1, g_min_nS, g_max_nS, g_max_nS + 1, INT32_MAX]
    corners = np.array([(s, t) for s in special for t in special], dtype=np.int64)[:count]
    start[: len(corners)], target[: len(corners)] = corners[:, 0], corners[:, 1]
    return start, target


def require_equal(reference: Predict, compiled: Predict, start: Int64Array, target: Int64Array) -> None:
    """Compare direction, ticks, voltage and status of every pair.

    Raises:
        UserError: the first pair on which they differ.
    """
    expected, found = reference(start, target), compiled(start, target)
    differ = (
        (expected.direction != found.direction)
        | (expected.ticks != found.ticks)
        | (expected.v_uV != found.v_uV)
        | (expected.status != found.status)
    )
    if differ.any():
        i = int(np.argmax(differ))
        raise UserError(
            f"the C differs from the integer model at g_start {start[i]} nS, g_target {target[i]} nS: "
            f"{_describe(found, i)} instead of {_describe(expected, i)}"
        )


def _describe(predictions: Predictions, i: int) -> str:
    p = predictions
    return f"direction {p.direction[i]}, {p.ticks[i]} ticks, {p.v_uV[i]} uV, status {p.status[i]}"


def _run_all(check: Callable[[int], int], items: Iterable[int], jobs: int | None, unit: str) -> int:
    """Run `check` on all items in threads (NumPy and the C release the lock), with a progress bar."""
    items = list(items)
    compared = 0
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        results = pool.map(check, items)
        try:
            with progress_bar(len(items), "verify", "block") as progress:
                for count in results:
                    compared += count
                    progress.update()
                    progress.set_postfix_str(f"{compared:,} {unit}", refresh=False)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return compared
