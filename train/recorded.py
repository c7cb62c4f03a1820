"""A predictor from a lab's own measurements.

Every run is one device's response from one start: its RPD for any target as a function of the pulse time. A network
that is trained on many of them at once learns what is best on average over devices that start near each other.
"""

from __future__ import annotations

import numpy as np
import torch

from codegen.metadata import NetworkMetadata, metadata_from_dict
from sim.recordings import DEVICE_MODEL, Recordings
from sim.units import Floats
from train.expected import ExpectedRpd
from train.features import Affine, Scaling

PAIRS = 32_768
"""Pairs of start and target, over all runs."""
POINTS_PER_DECADE = 24
FINER = 10.0  # than the readings are the shortest times considered: in between, conductance is linear
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)


def _pulse_times_s(recordings: Recordings) -> Floats:
    """(k,) pulse times at which responses are looked up, ascending [s]."""
    shortest = min(np.diff(recordings.run(i)[0]).min() for i in range(len(recordings))) / FINER
    longest = float(recordings.t_s.max())
    count = 2 + round(POINTS_PER_DECADE * np.log10(longest / shortest))
    return np.asarray(np.geomspace(shortest, longest, count))


def _scaling(g_max_S: float, width_s: Floats) -> Scaling:
    """Inputs by the window's upper end, the logarithm of time around the middle of those considered."""
    scale = float(f"{g_max_S:.3g}")
    middle = float(np.round(np.log10(width_s[[0, -1]]).mean(), 1))
    return Scaling(Affine(0.0, scale), Affine(0.0, scale), Affine(middle, 1.0), "log10_s")


def recorded_pairs(recordings: Recordings) -> ExpectedRpd:
    """Every run that starts in the window, with targets spread evenly over its side of it.

    Runs have as many targets as their side is wide, so that pairs cover the plane as uniform random trials do.
    """
    low, high = recordings.window_S
    width_s = _pulse_times_s(recordings)
    scaling = _scaling(high, width_s)
    starts = recordings.g_start_S
    inside = np.flatnonzero((starts >= low) & (starts <= high)).tolist()
    per_S = PAIRS / sum(_side_S(recordings, number) for number in inside)
    x, rpd = [], []
    for number in inside:
        direction, start = int(recordings.direction[number]), float(starts[number])
        side = _side_S(recordings, number)
        count = int(side * per_S + (number * _GOLDEN) % 1.0)  # on average as many as are due
        target = start + direction * side * (np.arange(count) + (number * _GOLDEN) % 1.0) / max(count, 1)
        target = target[target != start]
        response = recordings.response_S(number, width_s)
        x.append(scaling.inputs(np.full(len(target), start), target - start))
        rpd.append((np.abs(response - target[:, None]) / target[:, None]).astype(np.float32))
    every = torch.from_numpy(np.concatenate(rpd))
    return ExpectedRpd(
        x=torch.from_numpy(np.concatenate(x)),
        log_time=torch.from_numpy(np.log10(width_s).astype(np.float32)),
        rpd=every,
        too_long=torch.zeros(len(every), dtype=torch.bool),
        scaling=scaling,
    )


def metadata_of(recordings: Recordings, scaling: Scaling, seed: int) -> NetworkMetadata:
    """That of a network trained on their pairs, which have this scaling."""
    low, high = recordings.window_S
    return metadata_from_dict(
        {
            "schema": 1,
            **scaling.metadata_fields(),
            "window": {"g_min_S": low, "g_max_S": high},
            "pulse": {"v_set_V": recordings.v_set_V, "v_reset_V": recordings.v_reset_V},
            "trained_on": {"device_model": DEVICE_MODEL, "noise_preset": recordings.name, "seed": seed},
        }
    )


def _side_S(recordings: Recordings, number: int) -> float:
    """How much of the window lies on the side that a run goes to [S]."""
    low, high = recordings.window_S
    start = float(recordings.g_start_S[number])
    return high - start if recordings.direction[number] > 0 else start - low
