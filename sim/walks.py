"""Random walks of filament radius, disc length and the window bounds, drawn while a pulse lasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim import counter_rng
from sim.noise import NoisePreset
from sim.population import DT_S, Population
from sim.units import Floats, Ints

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Walks:
    """The walks of one preset and seed, in single precision, of r/r_0, l/l_0 and the bounds of N: arrays (4, n)."""

    noise: NoisePreset
    seed: int
    r0_m: float
    l0_m: float

    @property
    def cadence_steps(self) -> int:
        """Steps between two draws; 0 where nothing moves during a pulse."""
        return max(1, round(self.noise.cadence_s / DT_S)) if self.noise.walks_during_pulses else 0

    def of(self, devices: Population) -> tuple[Singles, Singles, Singles]:
        """Where the devices' walks are, and the limits they are clamped to."""
        d = devices
        units = (self.r0_m, self.l0_m, 1.0, 1.0)
        now = (d.r_m, d.l_m, d.low_1e26, d.high_1e26)
        own = (d.r_dev_m, d.l_dev_m, d.low_dev_1e26, d.high_dev_1e26)
        bounds = [walk.bound for walk in self.noise.walks]

        def singles(values: list[Floats]) -> Singles:
            return np.stack(values).astype(np.float32)

        return (
            singles([x / unit for x, unit in zip(now, units, strict=True)]),
            singles([x * (1.0 - b) / unit for x, b, unit in zip(own, bounds, units, strict=True)]),
            singles([x * (1.0 + b) / unit for x, b, unit in zip(own, bounds, units, strict=True)]),
        )

    def keep(self, devices: Population, walking: Singles, steps: Ints) -> None:
        """Back to metres; exact, so that a pulse in two parts is the same pulse. Who took no step is left untouched."""
        stepped = np.flatnonzero(steps)
        r, l, low, high = walking[:, stepped].astype(np.float64)
        devices.r_m[stepped], devices.l_m[stepped] = r * self.r0_m, l * self.l0_m
        devices.low_1e26[stepped], devices.high_1e26[stepped] = low, high

    def after_step(
        self, device: counter_rng.Words, step: Ints, walking: Singles, lowest: Singles, highest: Singles
    ) -> Singles:
        """Where the walks are once the devices have lived through `step` steps: they move at the cadence.

        Draw number step / cadence takes one half of each word of a random block that two draws share.
        """
        cadence = self.cadence_steps
        if cadence == 0:
            return walking
        draw = step // cadence
        words = np.stack(counter_rng.words(self.seed, counter_rng.Purpose.WALK, device, draw >> 1))
        half = ((words << np.where(draw & 1, 0, 16).astype(np.uint32)).view(np.int32) >> 16).astype(
            np.float32
        )
        s = np.array([[walk.step] for walk in self.noise.walks])
        one, scale = (1.0 + s * 2.0**-16).astype(np.float32), (s * 2.0**-15).astype(np.float32)
        moved = np.minimum(np.maximum(walking * (one + scale * half), lowest), highest)
        return np.where(step % cadence == 0, moved, walking)
