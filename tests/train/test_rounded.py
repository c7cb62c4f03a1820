"""Fine-tuning with rounding: what is trained is what the quantiser makes of the network file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codegen.boards import load_board
from codegen.calibration import grid_pairs
from codegen.folding import fold, window_nS
from codegen.onnx_import import FloatNetwork, load_network
from codegen.qmodel import WeightBits
from codegen.quantize import quantize
from train.expected import ExpectedRpd, fit_expected
from train.export import metadata_of_dataset, write_network
from train.features import LOG_SCALING
from train.loop import Schedule
from train.responses import load, parameters_of
from train.rounded import RoundedMLP, finetune_rounded

BOARD = load_board("generic")
SIZES = (2, 6, 5, 1)
BITS: list[WeightBits] = [8, 8, 16]


@pytest.fixture(scope="module")
def pairs(tiny_responses: Path) -> ExpectedRpd:
    return ExpectedRpd.of(load(tiny_responses), 24, LOG_SCALING)


@pytest.fixture(scope="module")
def network(
    pairs: ExpectedRpd, tiny_responses: Path, tmp_path_factory: pytest.TempPathFactory
) -> FloatNetwork:
    weights = fit_expected(pairs, seed=1, schedule=Schedule(10, rate=1e-2), sizes=SIZES)
    path = tmp_path_factory.mktemp("network") / "net.onnx"
    write_network(path, weights, metadata_of_dataset(LOG_SCALING, parameters_of(tiny_responses)))
    return load_network(path)


def tuned(
    network: FloatNetwork,
    pairs: ExpectedRpd,
    path: Path,
    bits: list[WeightBits] | None,
    schedule: Schedule,
    seed: int = 1,
) -> FloatNetwork:
    finetune_rounded(network, BOARD, pairs, path, weight_bits=bits, schedule=schedule, seed=seed)
    return load_network(path)


def loss_of(network: FloatNetwork, pairs: ExpectedRpd) -> float:
    x = pairs.x.double().numpy()
    start_S, delta_S = LOG_SCALING.g_start.scale * x[:, 0], LOG_SCALING.delta_g.scale * x[:, 1]
    y = LOG_SCALING.output.normalise(network.output(start_S, start_S + delta_S))
    return float(pairs.of_outputs(torch.from_numpy(y).float(), torch.arange(len(pairs))).mean())


def test_the_file_means_the_same_network_when_nothing_is_learned(
    network: FloatNetwork, pairs: ExpectedRpd, tmp_path: Path
) -> None:
    same = tuned(network, pairs, tmp_path / "same.onnx", None, Schedule(1, rate=1e-12))
    rng = np.random.default_rng(2)
    start_S, target_S = rng.uniform(1e-4, 5e-4, (2, 500))
    np.testing.assert_allclose(same.output(start_S, target_S), network.output(start_S, target_S), atol=2e-6)
    folded = fold(same, BOARD)
    for layer, stored in zip(folded.layers, same.layers, strict=True):  # nothing is folded any more
        assert np.array_equal(layer.weights, stored.weights) and np.array_equal(layer.bias, stored.bias)


def test_trained_weights_lie_on_the_quantisers_grid(
    network: FloatNetwork, pairs: ExpectedRpd, tmp_path: Path
) -> None:
    found = tuned(network, pairs, tmp_path / "tuned.onnx", BITS, Schedule(4, rate=2e-3))
    model = quantize(found, BOARD, grid_pairs(*window_nS(found)), BITS)
    x_bits = np.full(2, 15)
    for layer, stored in zip(model.layers[:-1], found.layers[:-1], strict=True):  # the last has 16 bits
        bits = np.array(layer.accumulator_bits)[:, None] - x_bits
        exact = np.ldexp(stored.weights, bits)
        # The grid is the quantiser's, or a finer one where a scale has moved since the last epoch.
        assert np.mean(np.abs(exact - np.rint(exact)) < 1e-6) > 0.9
        x_bits = np.array(layer.output_bits)
    assert not np.array_equal(found.layers[0].weights, fold(network, BOARD).layers[0].weights)


def test_it_learns_and_is_reproducible(network: FloatNetwork, pairs: ExpectedRpd, tmp_path: Path) -> None:
    schedule = Schedule(8, rate=5e-3)
    before = loss_of(network, pairs)
    first = tuned(network, pairs, tmp_path / "first.onnx", BITS, schedule)
    assert loss_of(first, pairs) < before
    tuned(network, pairs, tmp_path / "again.onnx", BITS, schedule)
    tuned(network, pairs, tmp_path / "other.onnx", BITS, schedule, seed=2)
    contents = [(tmp_path / f"{name}.onnx").read_bytes() for name in ("first", "again", "other")]
    assert contents[0] == contents[1] != contents[2]


def test_rounding_is_the_identity_backward() -> None:
    torch.manual_seed(0)
    rounded, plain = RoundedMLP(SIZES, BITS), RoundedMLP(SIZES, None)
    plain.load_state_dict(rounded.state_dict())
    x = torch.rand(200, 2)
    rounded.scale_activations(x)
    y, wanted = rounded(x), plain(x)
    assert 0.0 < float((y - wanted).detach().abs().max()) < 0.05
    for network, out in ((rounded, y), (plain, wanted)):
        network.zero_grad()
        out.sum().backward()
    for a, b in zip(rounded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=2.0, rtol=0.05)
