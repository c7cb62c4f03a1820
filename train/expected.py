"""Training on what a predictor is judged by: the expected RPD over many devices' recorded responses.

For a pair of start and target, the expected RPD is a function of the pulse time alone; recorded at log-spaced times
and interpolated between them, it is a loss that carries the noise of all devices at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sim.population import DT_S
from train.features import Scaling
from train.floor import pair_errors
from train.loop import Progress, Schedule, Weights, reproducible, run_epochs
from train.model import PAPER_SIZES, PulsePredictorMLP
from train.responses import Responses

BEYOND = 0.1
"""Loss per decade that a predicted time lies outside the recorded ones, so that it finds back."""
TOO_LONG = 0.1
"""Decades beyond the longest recorded time that a pair is sent to whose best time lies there."""
LATEST = 2
"""A best time among this many last recorded ones counts as lying beyond them."""

IN_PASSING = 0.03
"""Weight of the error's loss beside the time's: so much that it is learned, so little that times do not suffer."""
LEAST_RPD = 1e-3
"""Recorded mean RPDs below this count as this."""


@dataclass(frozen=True)
class ExpectedRpd:
    """p pairs, evenly spread over the plane of starts and targets, at one pulse voltage each.

    Attributes:
        x: (p, inputs) float32, as `scaling` normalises start, change and further inputs.
        log_time: (k,) float32, log10 of the recorded pulse times in seconds, ascending.
        rpd: (p, k) float32, mean RPD over all devices after each of these times.
        too_long: (p,) bool, pairs that no recorded time is long enough for: all that is known of theirs.
    """

    x: torch.Tensor
    log_time: torch.Tensor
    rpd: torch.Tensor
    too_long: torch.Tensor
    scaling: Scaling

    @classmethod
    def of(cls, responses: Responses, targets: int, scaling: Scaling) -> ExpectedRpd:
        """Every recorded start with `targets` targets each. `scaling` must be of a log10_s output.

        The recorded times count as long enough for all pairs: the best of them is what a pair learns.
        """
        pairs = cls.of_levels([(responses, ())], targets, scaling)
        return cls(pairs.x, pairs.log_time, pairs.rpd, torch.zeros(len(pairs), dtype=torch.bool), scaling)

    @classmethod
    def of_levels(
        cls,
        levels: Sequence[tuple[Responses, tuple[tuple[float, float], ...]]],
        targets: int,
        scaling: Scaling,
    ) -> ExpectedRpd:
        """Responses recorded in several conditions, each with the further inputs that tell it: (SET, RESET) values."""
        x, rpd = [], []
        for responses, further in levels:
            for g_start_S, g_target_S, direction, errors in pair_errors(responses, targets):
                n = len(g_target_S)
                told = [
                    np.full(n, set_value if direction > 0 else reset_value)
                    for set_value, reset_value in further
                ]
                x.append(scaling.inputs(np.full(n, g_start_S), g_target_S - g_start_S, *told))
                rpd.append(errors[:, :, 1:].mean(axis=1))
        all_rpd = np.concatenate(rpd)
        step = levels[0][0].step
        return cls(
            x=torch.from_numpy(np.concatenate(x)),
            log_time=torch.from_numpy(np.log10(step * DT_S).astype(np.float32)),
            rpd=torch.from_numpy(all_rpd),
            too_long=torch.from_numpy(all_rpd.argmin(axis=1) >= len(step) - LATEST),
            scaling=scaling,
        )

    def __len__(self) -> int:
        return len(self.x)

    def of_outputs(self, y: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Expected RPD (m,) of outputs `y` on the given pairs, differentiable in y.

        Of a pair that is too long, by how many decades the output falls short of saying so.
        """
        log_time = self.scaling.output.offset + self.scaling.output.scale * y
        inside = log_time.clamp(self.log_time[0], self.log_time[-1])
        between = self._rpd_at(inside, chosen)
        short = torch.relu(self.log_time[-1] + TOO_LONG - log_time)
        return torch.where(self.too_long[chosen], short, between + BEYOND * (log_time - inside).abs())

    def misjudgement(self, y: torch.Tensor, error: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """How badly outputs `error` foretell the RPD of the pulses of outputs `y`, (m,) each; differentiable in error.

        The deviance of an exponential distribution: smallest, whatever the scatter of the recorded means, where the
        foretold RPD is their mean, so that predictions are honest on average. It counts relative errors, 10 % of 0.01
        as much as 10 % of 0.5. Pairs that are too long teach nothing.
        """
        scaling = self.scaling.error
        assert scaling is not None
        log_time = self.scaling.output.offset + self.scaling.output.scale * y.detach()
        rpd = self._rpd_at(log_time.clamp(self.log_time[0], self.log_time[-1]), chosen)
        foretold = math.log(2.0) * (scaling.offset + scaling.scale * error)
        deviance = rpd.clamp_min(LEAST_RPD) * torch.exp(-foretold) + foretold
        return torch.where(self.too_long[chosen], 0.0, deviance)

    def _rpd_at(self, log_time: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """RPD at times within the recorded ones, (m,)."""
        right = torch.searchsorted(self.log_time, log_time.detach()).clamp(1, len(self.log_time) - 1)
        left_time, right_time = self.log_time[right - 1], self.log_time[right]
        share = (log_time - left_time) / (right_time - left_time)
        return torch.lerp(self.rpd[chosen, right - 1], self.rpd[chosen, right], share)


def fit_expected(
    pairs: ExpectedRpd,
    *,
    seed: int,
    schedule: Schedule,
    sizes: tuple[int, ...] = PAPER_SIZES,
    progress: Progress = lambda: None,
) -> Weights:
    """Train a network on expected RPD; the weights at the end of the schedule. Reproducible from `seed`.

    A network with a second output learns in passing what RPD to expect of its own pulses.
    """
    with reproducible():
        model = PulsePredictorMLP(sizes, seed)
        generator = torch.Generator().manual_seed(seed)

        def loss(y: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
            if sizes[-1] == 1:
                return pairs.of_outputs(y, chosen).mean()
            time, error = y.unbind(dim=1)
            misjudged = pairs.misjudgement(time, error, chosen)
            return (pairs.of_outputs(time, chosen) + IN_PASSING * misjudged).mean()

        run_epochs(model, pairs, loss, schedule, generator, progress)
        return model.state_dict()
