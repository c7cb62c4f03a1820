"""The floor of a predictor that knows the device: radius, length and whatever else differs from device to device.

Devices are dealt evenly from the preset's spread. Each is known: for every pair (start, target) it has a best pulse
time of its own, over its cycle-to-cycle noise. Beside it the floor of a predictor without that knowledge, on the same
recorded devices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.errors import UserError
from sim.placing import spread_evenly
from sim.units import Floats
from train.floor import Floor, floor_of
from train.lived import known_device, pooled
from train.responses import ResponseParams, Responses


@dataclass(frozen=True)
class KnownFloor:
    """Floors of predictors that know the device, and of one that does not.

    Attributes:
        known: pairs of all devices, one device after the other; judged with each device's own best times.
        unknown: the same pairs, judged with the times that are best over all devices.
        factors: (d, 4) radius, length and window bounds of the devices over nominal.
    """

    known: Floor
    unknown: Floor
    factors: Floats

    def device_means(self) -> Floats:
        """Mean RPD at the floor of each known device, (d,)."""
        per_device = self.known.rpd.reshape(len(self.factors), -1)
        return np.asarray(per_device.mean(axis=1, dtype=np.float64))

    def as_json(self) -> dict[str, Any]:
        """Conditions, both floors with their intervals, and each device's."""
        each = zip(self.factors.tolist(), self.device_means().tolist(), strict=True)
        return {
            **self.known.means(),
            "lived": True,
            "history_free": self.unknown.means(),
            "known_devices": [
                {"radius_ratio": f[0], "length_ratio": f[1], "window_ratios": f[2:], "mean_rpd": rpd}
                for f, rpd in each
            ],
        }


def known_floor(
    params: ResponseParams,
    count: int,
    targets: int,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda devices: None,
) -> KnownFloor:
    """Both floors over `count` known devices.

    Args:
        params: `devices` is how often each start of a known device is pulsed in each direction.
        progress: called with 1 after each device.

    Raises:
        UserError: the preset's devices do not differ.
    """
    if not params.noise.differs:
        raise UserError(
            f"devices of noise preset '{params.noise.name}' do not differ; for known devices give one with spreads"
        )
    factors = spread_evenly(params.noise, count)
    parts: list[Responses] = []
    for number, own in enumerate(factors):
        parts.append(known_device(params, own, number, jobs))
        progress(1)
    floors = [floor_of(part, targets) for part in parts]
    everyone = pooled(replace(params, devices=params.devices * count), parts)
    return KnownFloor(_joined(floors), floor_of(everyone, targets), factors)


def _joined(floors: list[Floor]) -> Floor:
    """The pairs of several floors as one."""

    def column(name: str) -> Any:
        return np.concatenate([getattr(floor, name) for floor in floors])

    names = ("g_start_S", "g_target_S", "best_time_s", "rpd", "optimistic_rpd", "optimistic_within_50")
    at_longest = float(np.mean([floor.at_longest for floor in floors]))
    return Floor(params=floors[0].params, at_longest=at_longest, **{name: column(name) for name in names})
