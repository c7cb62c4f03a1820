"""Counter-based random numbers: every draw is a pure function of (seed, purpose, device, step).

Philox4x32-7 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the fewest rounds that pass all
of BigCrush. Results therefore do not depend on batch sizes, order or workers. The C kernel holds the same generator for
the `WALK` purpose.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from sim.units import Floats

Words = npt.NDArray[np.uint32]
SEED_HIGHEST = 2**63 - 1
ROUNDS = 7


class Purpose(IntEnum):
    """Independent streams; the fourth counter word."""

    WALK = 0
    READ_NOISE = 1
    DATASET_DRAW = 2
    ADC_NOISE = 3
    TRIAL_DRAW = 4
    DEVICE_SPREAD = 5
    PULSE_WALK = 6
    TURN = 7
    FAULT = 8


def philox(counter: tuple[npt.ArrayLike, ...], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Philox4x32-7 of four counter words (broadcast arrays of uint32) under a key of two words."""
    low32 = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint64) for c in np.broadcast_arrays(*counter))
    k0, k1 = key
    for _ in range(ROUNDS):
        p0 = c0 * np.uint64(0xD2511F53)
        p1 = c2 * np.uint64(0xCD9E8D57)
        c0, c1 = (p1 >> shift) ^ c1 ^ np.uint64(k0), p1 & low32
        c2, c3 = (p0 >> shift) ^ c3 ^ np.uint64(k1), p0 & low32
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return tuple(c.astype(np.uint32) for c in (c0, c1, c2, c3))  # type: ignore[return-value]


def words(
    seed: int, purpose: Purpose, device: npt.ArrayLike, step: npt.ArrayLike
) -> tuple[Words, Words, Words, Words]:
    """Four random 32-bit words for each (device, step); `device` < 2**32, `step` < 2**64."""
    step64 = np.asarray(step).astype(np.uint64)
    counter = (step64 & np.uint64(0xFFFFFFFF), step64 >> np.uint64(32), device, int(purpose))
    return philox(counter, (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF))


def uniform(word: Words) -> Floats:
    """Uniform in (0, 1) from one word, never 0 or 1."""
    return np.asarray((word.astype(np.float64) + 0.5) * 2.0**-32)


def symmetric_uniform(word: Words) -> Floats:
    """Uniform in (-1, 1), never 0; the kernel's `symmetric_uniform`."""
    return np.asarray(((word ^ np.uint32(0x80000000)).view(np.int32).astype(np.float64) + 0.5) * 2.0**-31)


def normal(seed: int, purpose: Purpose, device: npt.ArrayLike, step: npt.ArrayLike) -> Floats:
    """Standard normal for each (device, step), by inversion."""
    return np.asarray(ndtri(uniform(words(seed, purpose, device, step)[0])))
