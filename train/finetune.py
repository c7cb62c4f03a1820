"""Fine-tuning on the conductance reached, through the recorded histories (paper, section III-B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from train.loop import Loss, Progress, Schedule, Selected, Selection, Weights, reproducible, run_epochs
from train.model import PAPER_SIZES, PulsePredictorMLP
from train.samples import Samples

Criterion = Literal["mse", "rpd"]


@dataclass(frozen=True)
class Stage:
    """Some epochs with one smoothing kernel (in noise steps of 10 ns; 1 is none)."""

    kernel: int
    schedule: Schedule


UNSMOOTHED = (Stage(1, Schedule(epochs=100, rate=5e-4, batch=256)),)
SMOOTHED = tuple(Stage(kernel, Schedule(epochs=50, rate=5e-4, batch=256)) for kernel in (1001, 101, 11, 1))


def finetune(
    weights: Weights,
    training: Samples,
    validation: Samples,
    stages: Sequence[Stage],
    *,
    seed: int,
    criterion: Criterion = "mse",
    sizes: tuple[int, ...] = PAPER_SIZES,
    progress: Progress = lambda: None,
) -> Selected:
    """Fine-tune from `weights` through the stages in turn; keep the best validation RPD of G.

    Validation always uses the unsmoothed histories, so that stages compare. The weights come along from stage
    to stage; the starting weights themselves are a candidate too, so that fine-tuning never returns something
    worse.

    Args:
        criterion: `mse` is the paper's loss on G; `rpd` the relative difference it is judged by.
    """
    selection = Selection(validation)
    with reproducible():
        model = PulsePredictorMLP(sizes, seed)
        model.load_state_dict(weights)
        generator = torch.Generator().manual_seed(seed)
        selection.offer(model)

        def after_epoch() -> None:
            selection.offer(model)
            progress()

        for stage in stages:
            loss = _loss(training, stage.kernel, criterion)
            run_epochs(model, training, loss, stage.schedule, generator, after_epoch)
    return selection.best_g


def _loss(training: Samples, kernel: int, criterion: Criterion) -> Loss:
    """Return the loss on normalised G_out through histories smoothed with `kernel`."""
    target = training.g_target_S / training.scaling.g_start.scale

    def mse(y: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.mse_loss(training.g_out(chosen, y, kernel), target[chosen])

    def rpd(y: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        return ((training.g_out(chosen, y, kernel) - target[chosen]).abs() / target[chosen]).mean()

    return mse if criterion == "mse" else rpd
