"""State of many devices, and what an advance of them reports."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from sim.counter_rng import Words
from sim.units import Floats, Ints

DT_S = 1e-8
"""Euler step and time resolution of every pulse (Yu et al. 2022)."""


@dataclass
class Population:
    """State of n devices, arrays (n,): concentration, filament, window bounds, and the devices' own centres.

    `step` counts the steps a device has lived through, `pulses` the pulses, `turns` the changes of polarity (the last
    one in `polarity`: +1 SET, -1 RESET, 0 none yet), `reads` the noisy reads; `device` names its random stream:
    together they make its noise a pure function of the seed. `moves` (n, 4) makes radius and length follow the
    concentration: r is r_m (moves[0] + moves[1] N), l is l_m (moves[2] + moves[3] N).
    """

    n_1e26: Floats
    r_m: Floats
    l_m: Floats
    low_1e26: Floats
    high_1e26: Floats
    r_dev_m: Floats
    l_dev_m: Floats
    low_dev_1e26: Floats
    high_dev_1e26: Floats
    moves: Floats
    step: Ints
    pulses: Ints
    turns: Ints
    reads: Ints
    polarity: npt.NDArray[np.int8]
    device: Words

    @classmethod
    def fresh(
        cls, n_1e26: Floats, r_m: Floats, l_m: Floats, low_1e26: Floats, high_1e26: Floats, device: Words
    ) -> Population:
        """Devices that have lived through nothing yet, at their own values."""
        count = len(n_1e26)
        return cls(
            n_1e26=n_1e26.copy(),
            r_m=r_m.copy(),
            l_m=l_m.copy(),
            low_1e26=low_1e26.copy(),
            high_1e26=high_1e26.copy(),
            r_dev_m=r_m,
            l_dev_m=l_m,
            low_dev_1e26=low_1e26,
            high_dev_1e26=high_1e26,
            moves=np.tile([1.0, 0.0, 1.0, 0.0], (count, 1)),
            **{name: np.zeros(count, dtype=np.int64) for name in ("step", "pulses", "turns", "reads")},
            polarity=np.zeros(count, dtype=np.int8),
            device=device,
        )

    def __len__(self) -> int:
        return len(self.n_1e26)

    def take(self, index: Ints) -> Population:
        """Copy of the devices at `index`."""
        return Population(*(np.ascontiguousarray(getattr(self, f.name)[index]) for f in fields(self)))

    def put(self, index: Ints, part: Population) -> None:
        """Write the state of `part` back to `index`."""
        for f in fields(self):
            getattr(self, f.name)[index] = getattr(part, f.name)

    def put_stepped(self, index: Ints, part: Population) -> None:
        """Write back what steps change."""
        for name in ("n_1e26", "r_m", "l_m", "low_1e26", "high_1e26", "step"):
            getattr(self, name)[index] = getattr(part, name)

    @property
    def geometry(self) -> tuple[Floats, Floats]:
        """Filament radius and disc length now [m]."""
        m, n = self.moves.T, self.n_1e26
        return self.r_m * (m[0] + m[1] * n), self.l_m * (m[2] + m[3] * n)


@dataclass(frozen=True)
class Advance:
    """What an advance did: steps taken and the concentration one step before the last, arrays (n,)."""

    steps: Ints
    n_before_1e26: Floats


@dataclass(frozen=True)
class Trace:
    """Concentration after every step, device i in `n_1e26[offset[i]:offset[i] + n_steps[i]]`."""

    offset: Ints
    n_1e26: Floats

    @classmethod
    def for_steps(cls, n_steps: Ints) -> Trace:
        """Room for a full trace of each device."""
        offset = np.zeros(len(n_steps), dtype=np.int64)
        np.cumsum(n_steps[:-1], out=offset[1:])
        return cls(offset=offset, n_1e26=np.empty(int(n_steps.sum())))
