"""What happens to devices between pulses: once-per-pulse walks, and moves at changes of polarity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim import counter_rng
from sim.counter_rng import Purpose
from sim.models import ModelParams
from sim.noise import NoisePreset
from sim.population import Population
from sim.units import Ints


def begin_pulse(
    devices: Population,
    pulsed: npt.NDArray[np.bool_],
    noise: NoisePreset,
    seed: int,
    is_set: bool,
    p: ModelParams,
) -> None:
    """Draw what the `pulsed` devices draw when a pulse begins, in place.

    A change of polarity deals out a new radius and length as `noise.turns` say (JART VCM v1b var; the first pulse
    counts as one). From then on they move there linearly with the switched fraction of the concentration:
    r = r_old + (r_new - r_old) (N - N_old) / (N_max - N_old) in SET, (N_old - N) / (N_old - N_min) in RESET.
    """
    devices.pulses += pulsed
    if noise.walks_between_pulses:
        _change(devices, np.flatnonzero(pulsed), lambda d: _walk(d, noise, seed))
    if noise.moves_geometry:
        turned = np.flatnonzero(pulsed & (devices.polarity != (1 if is_set else -1)))
        _change(devices, turned, lambda d: _turn(d, noise, seed, is_set, p))


def _change(devices: Population, index: Ints, change: Callable[[Population], None]) -> None:
    part = devices.take(index)
    change(part)
    devices.put(index, part)


def _walk(d: Population, noise: NoisePreset, seed: int) -> None:
    drawn = counter_rng.words(seed, Purpose.PULSE_WALK, d.device, d.pulses)
    own = (d.r_dev_m, d.l_dev_m, d.low_dev_1e26, d.high_dev_1e26)
    names = ("r_m", "l_m", "low_1e26", "high_1e26")
    for name, walk, centre, word in zip(names, noise.walks, own, drawn, strict=True):
        moved = getattr(d, name) * (1.0 + walk.step * counter_rng.symmetric_uniform(word))
        setattr(d, name, np.clip(moved, centre * (1.0 - walk.bound), centre * (1.0 + walk.bound)))
    d.n_1e26 = np.clip(d.n_1e26, d.low_1e26, d.high_1e26)


def _turn(d: Population, noise: NoisePreset, seed: int, is_set: bool, p: ModelParams) -> None:
    d.turns += 1
    d.polarity[:] = 1 if is_set else -1
    drawn = counter_rng.words(seed, Purpose.TURN, d.device, d.turns)
    n_end = p.n_max_1e26 if is_set else p.n_min_1e26
    to_go = n_end - d.n_1e26
    for k, (spread, word) in enumerate(zip(noise.turns, drawn, strict=False)):
        at, slope = 2 * k, 2 * k + 1
        old = d.moves[:, at] + d.moves[:, slope] * d.n_1e26
        new = spread.factors(counter_rng.uniform(word))
        d.moves[:, slope] = np.where(to_go == 0.0, 0.0, (new - old) / np.where(to_go == 0.0, 1.0, to_go))
        d.moves[:, at] = old - d.moves[:, slope] * d.n_1e26
