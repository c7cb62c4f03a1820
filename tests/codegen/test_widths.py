"""Narrow weights: rounded together, chosen by measuring, the same numbers in every realisation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from codegen import widths
from codegen.__main__ import main
from codegen.boards import Board, load_board
from codegen.calibration import grid_pairs
from codegen.cores import CORES
from codegen.cosim import cosimulate
from codegen.cross import find_cross_compilers
from codegen.firmware import load_firmware, make_firmware
from codegen.folding import fold
from codegen.host import HostLibrary
from codegen.kernels import table_bytes
from codegen.nearest_plane import NearestPlane
from codegen.onnx_import import load_network
from codegen.profiles import PROFILES, SIZE
from codegen.qmodel import largest_weight
from codegen.quantize import quantize
from codegen.reference import ReferencePredictor
from codegen.size import measure, require_within
from codegen.verify import verify_random
from codegen.widths import WidthSearch, choose_widths
from firmware_templates import BUDGETS
from sim.accuracy import paired_difference
from sim.errors import UserError
from sim.noise import load_preset

WINDOW = (94_450, 559_300)
BOARD = load_board("generic")
NOISE = load_preset("ouroboros")
COMPILED = pytest.mark.skipif(not find_cross_compilers(), reason="no cross compiler")


@pytest.fixture
def network(networks, tmp_path: Path) -> Path:
    return networks.write(tmp_path / "net.onnx", networks.layers((2, 12, 9, 1), seed=3), "log10_s")


@pytest.mark.parametrize("seed", range(3))
def test_rounding_together_errs_less_than_rounding_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(400, 4)) @ rng.normal(size=(4, 20))
    x = common + 0.1 * rng.normal(size=(400, 20)) + 3.0  # correlated, as activations are
    weights = rng.normal(size=(5, 20))
    plane = NearestPlane.of(weights, x, x @ weights.T, np.ones((400, 5)))
    np.testing.assert_allclose(plane.weights, weights, rtol=1e-9)
    bits = np.full(5, 2)
    together = np.ldexp(plane.rounded(bits, 127).astype(float), -2)
    one_by_one = np.ldexp(np.rint(np.ldexp(weights, 2)), -2)

    def errors(rounded):
        return (x @ (rounded - weights).T).std(axis=0)  # the bias takes up the mean

    assert errors(together).mean() < 0.7 * errors(one_by_one).mean()
    assert np.abs(plane.rounded(bits + 8, 127)).max() == 127  # never more


def test_independent_inputs_are_rounded_one_by_one() -> None:
    x = np.kron(np.eye(4), [[1.0], [-1.0]]) * [1, 2, 3, 4]
    weights = np.array([[0.3, -1.7, 2.2, 0.9]])
    plane = NearestPlane.of(weights, x, x @ weights.T, np.zeros((8, 1)))
    assert plane.rounded(np.array([0]), 127).tolist() == [[0, -2, 2, 1]]


@pytest.mark.parametrize("encoding", ["linear_s", "log10_s"])
def test_few_bits_stay_within_their_width_and_near_the_float_network(
    networks, encoding: str, tmp_path: Path
) -> None:
    network = load_network(networks.write(tmp_path / "net.onnx", networks.layers(seed=1), encoding))
    pairs = grid_pairs(*WINDOW)
    start, delta = pairs.g_start_nS, pairs.g_target_nS - pairs.g_start_nS
    y = fold(network, BOARD).output([start, delta])
    errors = []
    for bits in (16, 12, 8):
        model = quantize(network, BOARD, pairs, (bits, bits, bits, 16))
        assert model.weight_bits == (bits, bits, bits, 16)
        largest = max(abs(w) for layer in model.layers[:-1] for row in layer.weights for w in row)
        assert largest_weight(bits) // 2 < largest <= largest_weight(bits)
        found = ReferencePredictor(model).accumulators([start, delta])
        error = np.ldexp(found.astype(float), -model.layers[-1].accumulator_bits[0]) - y
        errors.append(float(np.sqrt(np.mean(error**2)) / np.ptp(y)))
    assert errors[0] < 2e-4 and errors[1] < 2e-4 < errors[2] < 4e-3


def test_slopes_are_the_derivatives(networks, tmp_path: Path) -> None:
    folded = fold(load_network(networks.write(tmp_path / "net.onnx", networks.layers(seed=2))), BOARD)
    start, delta = np.array([200_000, 300_000]), np.array([100_000, -150_000])
    sums, step = folded.sums([start, delta]), 1e-7
    for index in range(len(sums)):
        slopes = folded.slopes(sums, index)
        for row in range(sums[index].shape[1]):
            x = sums[index] + step * (np.arange(sums[index].shape[1]) == row)
            for k, layer in enumerate(folded.layers[index + 1 :], start=index):
                x = (np.maximum(x, 0.0) if folded.layers[k].relu else x) @ layer.weights.T + layer.bias
            np.testing.assert_allclose((x - sums[-1])[:, 0] / step, slopes[:, row], atol=1e-5)


def test_a_paired_difference_counts_the_trials_that_differ() -> None:
    a, b = np.zeros(1000, dtype=bool), np.zeros(1000, dtype=bool)
    a[:30], b[20:35] = True, True
    found = paired_difference(a, b)
    assert found.difference == pytest.approx(0.015)  # 20 won, 5 lost
    half = 1.959964 * np.sqrt((25 / 1000 - 0.015**2) / 1000)
    np.testing.assert_allclose(found.ci95, (0.015 - half, 0.015 + half), rtol=1e-6)
    same = paired_difference(a, a)
    assert (same.difference, same.ci95) == (0.0, (0.0, 0.0))


class TestChoice:
    def choose(self, path: Path, trials: int = 3000, jobs: int | None = None, board: Board = BOARD):
        asked: list[str] = []
        search = WidthSearch(NOISE, trials, 5, jobs)
        found = choose_widths(load_network(path), board, grid_pairs(*WINDOW), search, asked.append)
        return *found, asked

    def test_eight_bits_where_nothing_is_lost(self, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(widths, "MOST_LOST", 1.0)
        model, choice, asked = self.choose(network, 200)
        assert model.weight_bits == choice.weight_bits == (8, 8, 16) and asked == ["8-8-16"]
        assert (choice.candidates, choice.measured.trials, choice.measured.seed) == (1, 200, 5)

    def test_wider_until_the_loss_is_small_enough(self, networks, tmp_path: Path) -> None:
        path = networks.write(tmp_path / "net.onnx", networks.layers((2, 12, 9, 1), seed=4), "log10_s")
        model, choice, asked = self.choose(path)
        assert asked == ["8-8-16", "16-8-16", "8-16-16"] and choice.candidates == 3
        assert "-".join(map(str, model.weight_bits)) in asked[1:]
        assert choice.measured.lost <= choice.most_lost == 0.001
        pairs = grid_pairs(*WINDOW)
        trial = widths.Trial(load_network(path), BOARD, WidthSearch(NOISE, 3000, 5))
        narrowest = quantize(load_network(path), BOARD, pairs, (8, 8, 16))
        assert trial.measure(narrowest).lost > 0.001
        everything = quantize(load_network(path), BOARD, pairs)
        assert table_bytes(model, "armv7em") < table_bytes(everything, "armv7em")

    def test_sixteen_bits_at_the_end(self, networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(widths, "MOST_LOST", -1.0)
        path = networks.write(tmp_path / "net.onnx", networks.layers((2, 32, 32, 1), seed=3), "log10_s")
        model, _, asked = self.choose(path, 20)
        assert model.weight_bits == (16, 16, 16)
        # 12 bits are tried where they save more than their code takes: not for two columns.
        assert asked[:3] == ["8-8-16", "16-8-16", "8-12-16"] and not any(a.startswith("12") for a in asked)

    def test_threads_do_not_matter(self, network: Path) -> None:
        one, two = (self.choose(network, 500, jobs) for jobs in (1, 2))
        assert one[0] == two[0] and one[1] == two[1]


def test_size_from_the_command_line_to_equal_c(network: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fw"
    arguments = ["firmware", str(network), "--board", "generic", "--profile", "size", "--trials", "100"]
    done = CliRunner().invoke(main, [*arguments, "-o", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0 and "profile size, weights of 8" in done.output
    made = load_firmware(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["profile"] == made.profile == SIZE
    assert (
        tuple(manifest["weight_bits"])
        == made.model.weight_bits
        == tuple(manifest["width_choice"]["weight_bits"])
    )
    assert manifest["width_choice"]["measured"]["trials"] == 100
    readme = (folder / "README.md").read_text()
    assert (
        "Profile size:\nweights of 8, " in readme and "On 100 simulated devices, noise `ouroboros`" in readme
    )
    assert verify_random(HostLibrary(folder), 20_000, 1, None) == 20_000
    assert cosimulate([folder], BOARD, NOISE, 1, 200)[0].c.trials == 200


def test_noise_that_is_no_preset_is_named(networks, tmp_path: Path) -> None:
    trained_on = {**networks.metadata()["trained_on"], "noise_preset": "my-chip"}
    path = networks.write(tmp_path / "net.onnx", networks.layers((2, 4, 1)), trained_on=trained_on)
    with pytest.raises(
        UserError, match=r"'my-chip', which the network was trained on, is no preset.*--noise"
    ):
        make_firmware(path, BOARD, tmp_path / "fw", None, False, profile=SIZE)
    assert not (tmp_path / "fw").exists()


@COMPILED
def test_profiles_stay_within_their_budgets(
    networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network of the default size, whose cost depends on its widths and not on its weights."""
    monkeypatch.setattr(widths, "MOST_LOST", 1.0)
    path = networks.write(tmp_path / "net.onnx", networks.layers(seed=3), "log10_s")
    for board, core in (("generic", "cortex-m4"), ("openmena", "cortex-m3")):
        found = {}
        for profile in PROFILES:
            folder = tmp_path / f"{profile}_{core}"
            search = WidthSearch(NOISE, trials=20)
            make_firmware(path, load_board(board), folder, None, False, profile=profile, search=search)
            found[profile] = measure(folder, CORES[core])
            require_within(found[profile], BUDGETS)
        size, balanced, speed = (found[profile] for profile in PROFILES)
        assert size.network_flash_bytes < 0.6 * balanced.network_flash_bytes
        assert speed.instructions <= balanced.instructions


@COMPILED
def test_the_profiles_verb(network: Path) -> None:
    arguments = ["profiles", str(network), "--core", "cortex-m3", "--trials", "60"]
    done = CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False)
    rows = json.loads(done.stdout)
    assert [(row["size"]["core"], row["profile"]) for row in rows] == [
        ("cortex-m3", each) for each in PROFILES
    ]
    assert [row["size"]["kernel"] for row in rows] == ["thumb", "thumb", "thumb32"]
    assert rows[1]["measured"] == rows[2]["measured"]  # the same integers
    table = CliRunner().invoke(main, arguments, catch_exceptions=False).stdout
    assert table.count("| cortex-m3 |") == 3 and "95 % intervals" in table and "60 trials" in table
