"""One split of the data set as tensors, and the two errors the paper selects networks by (section III-A)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from sim.dataset import PulseDataset
from sim.errors import UserError
from train.features import Scaling
from train.history import HistoryMap, recorded_response

SPLIT_NAMES = ("training", "validation", "test")


@dataclass(frozen=True)
class Samples:
    """n samples of one split.

    Attributes:
        x: (n, 2) float32, y_target: (n,) float32, as `Scaling` normalises them.
        t_pulse_s: (n,) float64, signed, + is SET; g_start_S, g_target_S: (n,) float64.
        direction: (n,) float64, +1 SET or -1 RESET of the recorded pulse.
    """

    x: torch.Tensor
    y_target: torch.Tensor
    t_pulse_s: torch.Tensor
    g_start_S: torch.Tensor
    g_target_S: torch.Tensor
    direction: torch.Tensor
    histories: HistoryMap
    dt_s: float
    scaling: Scaling

    @classmethod
    def of_split(cls, dataset: PulseDataset, split: int, scaling: Scaling) -> Samples:
        """Gather one split.

        Raises:
            UserError: the split is empty, or its numbers cannot be trained on.
        """
        chosen = np.flatnonzero(dataset.split == split)
        if chosen.size == 0:
            raise UserError(f"data set: the {SPLIT_NAMES[split]} split is empty; build a larger data set")
        start, target = dataset.g_start_S[chosen], dataset.g_target_S[chosen]
        t_pulse = dataset.t_pulse_s[chosen]
        for name, values in (("g_start_S", start), ("g_target_S", target), ("t_pulse_s", t_pulse)):
            if not np.isfinite(values).all():
                raise UserError(f"data set: {name} holds values that are not finite; build it again")
        if np.any(target <= 0):
            raise UserError("data set: g_target_S must be positive; build it again")
        delta = target - start
        return cls(
            x=torch.from_numpy(scaling.inputs(start, delta)),
            y_target=torch.from_numpy(scaling.encode(t_pulse).astype(np.float32)),
            t_pulse_s=torch.from_numpy(t_pulse),
            g_start_S=torch.from_numpy(start),
            g_target_S=torch.from_numpy(target),
            # Not the sign of t_pulse: a target within half a step of the start has t_pulse = 0.
            direction=torch.from_numpy(np.where(delta >= 0, 1.0, -1.0)),
            histories=HistoryMap.from_arrays(
                dataset.history_offset, dataset.history_step, dataset.history_g_S, chosen
            ),
            dt_s=dataset.dt_s,
            scaling=scaling,
        )

    def __len__(self) -> int:
        return len(self.x)

    def recorded_time(self, sample: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the time along the recorded pulse that outputs `y` stand for, in dt, and its derivative in
        y.

        A `linear_s` output in the wrong direction lies before the record: its time is negative.
        """
        output = self.scaling.output
        value = output.offset + output.scale * y.detach().double()
        if self.scaling.encoding == "linear_s":
            direction = self.direction[sample]
            return direction * value / self.dt_s, direction * (output.scale / self.dt_s)
        t = torch.pow(10.0, value) / self.dt_s
        return t, t * (math.log(10.0) * output.scale)

    def g_out(self, sample: torch.Tensor, y: torch.Tensor, kernel: int = 1) -> torch.Tensor:
        """Return G_out (m,) of outputs `y` on the given samples, normalised, with the paper's backward."""
        t, dt_dy = self.recorded_time(sample, y)
        direction = self.direction[sample]
        return recorded_response(
            self.histories, sample, y, t, dt_dy, direction, kernel, self.scaling.g_start.scale
        )

    def rpd_t(self, y: torch.Tensor) -> float:
        """Return the mean relative difference of the pulse times (paper, eq. 1) for outputs y of shape
        (n,).
        """
        delta = self.direction.numpy()
        t_out = torch.from_numpy(self.scaling.decode(y.detach().double().numpy(), delta))
        known = self.t_pulse_s != 0
        difference = (t_out - self.t_pulse_s).abs()[known] / self.t_pulse_s.abs()[known]
        return float(difference.mean())

    def rpd_g(self, y: torch.Tensor) -> float:
        """Return the mean relative difference of G_out, through the unsmoothed histories (paper, eq. 1)."""
        everything = torch.arange(len(self))
        t, _ = self.recorded_time(everything, y)
        g_out_S = self.histories.value(everything, t)
        return float(((g_out_S - self.g_target_S).abs() / self.g_target_S).mean())
