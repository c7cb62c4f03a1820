"""One training loop for every network: shuffled minibatches, Adam, a decaying rate, best weights kept.

Reproducible from the seed: one thread (the network is far too small to gain from more), one generator for the
shuffles, no other source of randomness. Weights are bit-identical on one machine; another processor's vector
units may round differently.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch

from sim.errors import UserError
from train.model import PulsePredictorMLP
from train.samples import Samples

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(outputs y (m,), sample indices (m,)) -> scalar."""

Progress = Callable[[], None]
"""Called after every epoch."""

Weights = dict[str, torch.Tensor]


class TrainingInputs(Protocol):
    """What an epoch runs over."""

    @property
    def x(self) -> torch.Tensor:
        """Network inputs, (n, 2)."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Schedule:
    """Adam's learning rate falls along a half cosine from `rate` to `final_fraction * rate` over the
    epochs.
    """

    epochs: int
    rate: float
    final_fraction: float = 0.01
    batch: int = 64

    def rate_at(self, epoch: int) -> float:
        progress = epoch / max(1, self.epochs - 1)
        fall = 0.5 * (1 + math.cos(math.pi * progress))
        return self.rate * (self.final_fraction + (1 - self.final_fraction) * fall)


@dataclass(frozen=True)
class Selected:
    """Weights kept by a selection rule, and their validation scores (paper, eq. 1)."""

    weights: Weights
    rpd_t: float
    rpd_g: float


class Selection:
    """Keeps the weights with the lowest validation RPD of t, and those with the lowest RPD of G."""

    def __init__(self, validation: Samples) -> None:
        self._validation = validation
        self.best_t = Selected({}, math.inf, math.inf)
        self.best_g = Selected({}, math.inf, math.inf)

    def offer(self, model: PulsePredictorMLP) -> None:
        """Score the model as it is now on the unsmoothed validation histories."""
        y = outputs(model, self._validation)
        rpd_t, rpd_g = self._validation.rpd_t(y), self._validation.rpd_g(y)
        if rpd_t < self.best_t.rpd_t or rpd_g < self.best_g.rpd_g:
            now = Selected(copy.deepcopy(model.state_dict()), rpd_t, rpd_g)
            self.best_t = now if rpd_t < self.best_t.rpd_t else self.best_t
            self.best_g = now if rpd_g < self.best_g.rpd_g else self.best_g


@contextmanager
def reproducible() -> Iterator[None]:
    """Train on one thread with deterministic algorithms only, and leave torch as it was."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def run_epochs(
    model: PulsePredictorMLP,
    samples: TrainingInputs,
    loss: Loss,
    schedule: Schedule,
    generator: torch.Generator,
    after_epoch: Callable[[], None],
) -> None:
    """Train `model` in place, calling `after_epoch` after each pass over `samples`.

    Raises:
        UserError: the loss is no longer finite.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=schedule.rate, fused=True)
    for epoch in range(schedule.epochs):
        optimiser.param_groups[0]["lr"] = schedule.rate_at(epoch)
        order = torch.randperm(len(samples), generator=generator)
        for chosen in torch.split(order, schedule.batch):
            optimiser.zero_grad()
            value = loss(model(samples.x[chosen]), chosen)
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        if not math.isfinite(value.item()):
            raise UserError(f"training diverged in epoch {epoch + 1}; try a lower learning rate")
        after_epoch()


@torch.no_grad()
def outputs(model: PulsePredictorMLP, samples: Samples) -> torch.Tensor:
    """Return the network's outputs on all samples, shape (n,)."""
    result: torch.Tensor = model(samples.x)
    return result
