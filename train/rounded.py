"""Quantisation-aware fine-tuning: training goes on with the weights as the firmware will hold them.

Forward, weights and activations are rounded to the grid that `codegen.quantize` gives them: every row of weights has
the power-of-two scale that its width allows, every activation its own. Backward, rounding counts as the identity (the
straight-through estimator; Bengio et al., arXiv:1308.3432). The network file then holds weights that lie on the grid
already, and its inputs and output are scaled so that the quantiser folds nothing more into them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from codegen.boards import Board
from codegen.calibration import grid_pairs
from codegen.fixed import INT16_MAX, Int64Array
from codegen.folding import UNITS, fold, window_nS
from codegen.metadata import InputScaling, NetworkMetadata, OutputScaling
from codegen.onnx_import import FloatNetwork
from codegen.qmodel import INPUT_FRACTION_BITS, InputStage, WeightBits, largest_weight
from codegen.quantize import output_bits
from codegen.reference import quantise_inputs
from train.expected import ExpectedRpd
from train.export import write_network
from train.loop import Progress, Schedule, Weights, reproducible, run_epochs
from train.model import PulsePredictorMLP


@dataclass(frozen=True)
class IntegerInputs:
    """Pairs as the firmware sees them: integer inputs / 2**15, (p, 2) float32."""

    x: torch.Tensor

    def __len__(self) -> int:
        return len(self.x)


class RoundedMLP(PulsePredictorMLP):
    """A network from integer inputs / 2**15 to y' (`codegen.folding.FoldedNetwork`), rounded as its integers are.

    Without `weight_bits` nothing is rounded.
    """

    def __init__(self, sizes: Sequence[int], weight_bits: Sequence[WeightBits] | None) -> None:
        super().__init__(sizes)
        self._weight_bits = weight_bits
        self._x_bits = [torch.full((n,), INPUT_FRACTION_BITS) for n in sizes[:-1]]  # of every layer's inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """y' for inputs (n, inputs), (n,)."""
        for index in range(len(self._x_bits)):
            weight, bias = self.rounded_layer(index)
            x = nn.functional.linear(x, weight, bias)
            if index + 1 < len(self._x_bits):
                x = torch.relu(x)
                if self._weight_bits is not None:
                    x = _rounded(x, self._x_bits[index + 1], INT16_MAX)
        return x.squeeze(1)

    def rounded_layer(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and bias of a layer, the weights on their grid."""
        layer = self.layers[index]
        assert isinstance(layer, nn.Linear)
        if self._weight_bits is None:
            return layer.weight, layer.bias
        largest = largest_weight(self._weight_bits[index])
        x_bits = self._x_bits[index]
        per_step = torch.ldexp(layer.weight.detach(), -x_bits).abs().amax(dim=1, keepdim=True)
        bits = torch.floor(torch.log2(largest / per_step)) - x_bits  # fraction bits of each weight
        return _rounded(layer.weight, bits, largest), layer.bias

    @torch.no_grad()
    def scale_activations(self, x: torch.Tensor) -> None:
        """Give every activation the scale that its largest value on these inputs asks for."""
        if self._weight_bits is None:
            return
        for index in range(len(self._x_bits) - 1):
            x = torch.relu(nn.functional.linear(x, *self.rounded_layer(index)))
            largest = x.amax(dim=0).double().numpy()
            self._x_bits[index + 1] = torch.from_numpy(output_bits(largest))


def _rounded(value: torch.Tensor, bits: torch.Tensor, largest: int) -> torch.Tensor:
    """To the nearest multiple of 2**-bits, `largest` of them at most; the gradient is that of `value`."""
    found = torch.ldexp(torch.round(torch.ldexp(value, bits)).clamp(-largest, largest), -bits)
    return value + (found - value).detach()


def finetune_rounded(
    network: FloatNetwork,
    board: Board,
    pairs: ExpectedRpd,
    path: Path,
    *,
    weight_bits: Sequence[WeightBits] | None,
    schedule: Schedule,
    seed: int,
    progress: Progress = lambda: None,
) -> None:
    """Go on training `network` on expected RPD with rounded weights, and write the network file.

    Args:
        network: of two inputs, trained on pairs of this scaling.
        board: decides with the window what the integer inputs are.
        weight_bits: width of every layer's weights; None trains on without rounding, for comparison.
    """
    folded = fold(network, board)
    scaling, sizes = pairs.scaling, (2, *(len(layer.bias) for layer in folded.layers))
    calibration = grid_pairs(*window_nS(network))
    g_start_S, delta_S = (
        axis.scale * pairs.x[:, k].double().numpy()
        for k, axis in enumerate((scaling.g_start, scaling.delta_g))
    )
    values = [np.rint(1e9 * value).astype(np.int64) for value in (g_start_S, delta_S)]
    shift = (scaling.output.offset + math.log10(board.timer.frequency_Hz)) / scaling.output.scale
    with reproducible():
        model = RoundedMLP(sizes, weight_bits)
        model.load_state_dict(
            {
                f"layers.{i}.{name}": torch.from_numpy(value.astype(np.float32))
                for i, layer in enumerate(folded.layers)
                for name, value in (("weight", layer.weights), ("bias", layer.bias))
            }
        )
        on_grid = _inputs(folded.inputs, calibration.values)

        def after_epoch() -> None:
            model.scale_activations(on_grid)
            progress()

        def loss(y: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
            return pairs.of_outputs(y - shift, chosen).mean()

        model.scale_activations(on_grid)
        generator = torch.Generator().manual_seed(seed)
        inputs = IntegerInputs(_inputs(folded.inputs, values))
        run_epochs(model, inputs, loss, schedule, generator, after_epoch)
        weights: Weights = {}
        for index in range(len(folded.layers)):
            weight, bias = (value.detach() for value in model.rounded_layer(index))
            weights |= {f"layers.{index}.weight": weight, f"layers.{index}.bias": bias}
    write_network(path, weights, _metadata(network.metadata, folded.inputs, board))


def _inputs(stages: Sequence[InputStage], values: Sequence[Int64Array]) -> torch.Tensor:
    x = quantise_inputs(stages, values) / 2.0**INPUT_FRACTION_BITS
    return torch.from_numpy(x.astype(np.float32))


def _metadata(trained: NetworkMetadata, stages: Sequence[InputStage], board: Board) -> NetworkMetadata:
    """Scales that make folding the identity: inputs are the integers / 2**15, the output is y'."""
    inputs = tuple(
        InputScaling(
            name=stage.name,
            offset=stage.offset * UNITS[stage.name],
            scale=2.0 ** (stage.shift + INPUT_FRACTION_BITS) * UNITS[stage.name],
        )
        for stage in stages
    )
    output = OutputScaling(
        encoding="log10_s", offset=-math.log10(board.timer.frequency_Hz), scale=trained.output.scale
    )
    return trained.model_copy(update={"inputs": inputs, "output": output})
