"""The pulse predictor network: a small fully connected ReLU network (paper, section III-A)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

PAPER_SIZES = (2, 32, 64, 32, 1)


class PulsePredictorMLP(nn.Module):
    """(g_start, delta_g, ...) normalised -> normalised pulse time, or pulse time and expected error.

    ReLU between layers, none after the last.
    """

    def __init__(self, sizes: Sequence[int] = PAPER_SIZES, seed: int = 0):
        """`sizes` from inputs (2 or more) to outputs (1 or 2); weights are PyTorch's default initialisation from
        `seed` alone.
        """
        super().__init__()
        if len(sizes) < 2 or sizes[0] < 2 or sizes[-1] not in (1, 2) or min(sizes) < 1:
            raise ValueError(f"layer sizes must start with 2 or more and end with 1 or 2, not {list(sizes)}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(sizes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map inputs of shape (n, inputs) to outputs of shape (n,), two outputs to (n, 2)."""
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        output: torch.Tensor = self.layers[-1](x)
        return output.squeeze(1)

    @property
    def sizes(self) -> tuple[int, ...]:
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        return (linear[0].in_features, *(layer.out_features for layer in linear))
