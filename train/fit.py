"""Training from the ground up: mean squared error on the (scaled) pulse time (paper, section III-A)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from train.loop import Progress, Schedule, Selected, Selection, reproducible, run_epochs
from train.model import PAPER_SIZES, PulsePredictorMLP
from train.samples import Samples

# The paper gives neither optimiser, rate nor batch size; small batches helped the heavy-tailed linear time.
PAPER_FIT = Schedule(epochs=100, rate=3e-3, batch=64)


@dataclass(frozen=True)
class FitResult:
    """The paper's two selections from one run: best validation RPD of t, and of G through the histories."""

    best_t: Selected
    best_g: Selected


def fit(
    training: Samples,
    validation: Samples,
    *,
    seed: int,
    sizes: tuple[int, ...] = PAPER_SIZES,
    schedule: Schedule = PAPER_FIT,
    progress: Progress = lambda: None,
) -> FitResult:
    """Train one network on the pulse time and return both selections. Reproducible from `seed`."""
    selection = Selection(validation)
    with reproducible():
        model = PulsePredictorMLP(sizes, seed)
        generator = torch.Generator().manual_seed(seed)

        def loss(y: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.mse_loss(y, training.y_target[chosen])

        def after_epoch() -> None:
            selection.offer(model)
            progress()

        run_epochs(model, training, loss, schedule, generator, after_epoch)
    return FitResult(selection.best_t, selection.best_g)
