"""Pairs of conductances on which activations are scaled and quantisation errors measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from codegen.device_state import SURE_PULSES, DeviceStates
from codegen.fixed import Int64Array
from codegen.qmodel import Voltages
from codegen.voltage_choice import reduction_uV, steps_of
from sim.errors import UserError

GRID = 113  # start conductances x target conductances
NEAR = 16  # steps to nearby targets, where the pulse width changes fastest
MAX_PAIRS = 16384
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)


@dataclass(frozen=True, eq=False)
class CalibrationPairs:
    """Start and target within the window in nS, (n,) each, and where they come from.

    `further` are the values of the network's inputs beyond these two, in their integer units, (n,) each.
    """

    g_start_nS: Int64Array
    g_target_nS: Int64Array
    source: str
    further: tuple[Int64Array, ...] = ()

    @property
    def values(self) -> tuple[Int64Array, ...]:
        """Of every input, (n,) each."""
        return (self.g_start_nS, self.g_target_nS - self.g_start_nS, *self.further)

    def with_states(self) -> CalibrationPairs:
        """The pairs, each with a device state of its own, spread evenly over rates and known pulses."""
        number = np.arange(len(self.g_start_nS))
        rate = np.floor(((number * _GOLDEN) % 1.0) * 256.0) - 128.0
        states = DeviceStates(rate.astype(np.int8), (number % (SURE_PULSES + 1)).astype(np.uint8))
        return replace(self, further=states.inputs())

    def with_reductions(self, voltages: Voltages) -> CalibrationPairs:
        """The pairs, each at an amplitude of its own, spread evenly over those of its direction."""
        if not voltages.greatest_reduction_uV:
            return self
        direction = np.sign(self.g_target_nS - self.g_start_nS)
        share = (np.arange(len(direction)) * _GOLDEN) % 1.0
        step = np.floor(share * (steps_of(voltages, direction) + 1)).astype(np.int64)
        return replace(self, further=(reduction_uV(voltages, direction, step),))


def grid_pairs(g_min_nS: int, g_max_nS: int) -> CalibrationPairs:
    """A regular grid over window x window, and steps from a thousandth of the window on near its diagonal."""
    span_nS = g_max_nS - g_min_nS
    axis = np.linspace(g_min_nS, g_max_nS, GRID).round().astype(np.int64)
    start, target = (values.ravel() for values in np.meshgrid(axis, axis, indexing="ij"))
    upward = np.geomspace(span_nS / 1000, span_nS / GRID, NEAR // 2)
    steps = np.rint(np.concatenate([-upward, upward])).astype(np.int64)
    near_start, step = (values.ravel() for values in np.meshgrid(axis, steps, indexing="ij"))
    start = np.concatenate([start, near_start])
    target = np.concatenate([target, np.clip(near_start + step, g_min_nS, g_max_nS)])
    different = start != target
    return CalibrationPairs(
        start[different], target[different], f"grid {GRID} x {GRID} and {NEAR} near steps"
    )


def dataset_pairs(path: Path, g_min_nS: int, g_max_nS: int) -> CalibrationPairs:
    """The pairs of a data set (`g_start_S`, `g_target_S`), thinned evenly, and the corners of the window.

    Raises:
        UserError: not a readable data set, or no pair of it lies within the window.
    """
    try:
        with h5py.File(path, "r") as file:
            start_S, target_S = (np.asarray(file[name], dtype=np.float64) for name in _NAMES)
    except FileNotFoundError:
        raise UserError(f"cannot read calibration data {path}: no such file") from None
    except (OSError, KeyError, ValueError, TypeError):
        raise UserError(f"{path}: not a data set with {' and '.join(_NAMES)}, or a truncated one") from None
    if start_S.ndim != 1 or start_S.shape != target_S.shape or not np.isfinite([start_S, target_S]).all():
        raise UserError(f"{path}: {' and '.join(_NAMES)} must be equally long lists of finite numbers")
    start, target = (np.rint(np.clip(v, -1.0, 1.0) * 1e9).astype(np.int64) for v in (start_S, target_S))
    inside = (np.minimum(start, target) >= g_min_nS) & (np.maximum(start, target) <= g_max_nS)
    inside &= start != target
    if not inside.any():
        raise UserError(f"{path}: no pair lies within the network's window {g_min_nS} .. {g_max_nS} nS")
    start, target = start[inside], target[inside]
    thinned = slice(None, None, -(-len(start) // MAX_PAIRS))
    corners = np.array([[g_min_nS, g_max_nS], [g_max_nS, g_min_nS]])
    return CalibrationPairs(
        np.concatenate([start[thinned], corners[:, 0]]),
        np.concatenate([target[thinned], corners[:, 1]]),
        f"data set {path.name}",
    )


_NAMES = ("g_start_S", "g_target_S")
