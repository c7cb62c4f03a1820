"""Banks of networks: costs, which network answers, what each one learns from, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sim.closed_loop import Pulses
from sim.dataset import TRAIN, PulseDataset
from train.model import PulsePredictorMLP
from train.paper import ranges, ranges_table
from train.paper.quantities import window_S
from train.paper.ranges import BANKS, Bank, RangePredictor, within
from train.paper.ranges_verbs import ranges as command


def test_costs_are_those_of_the_networks() -> None:
    for bank in BANKS:
        model = PulsePredictorMLP(bank.sizes)
        assert bank.parameters == bank.networks * sum(p.numel() for p in model.parameters())
        assert bank.multiplications == sum(layer.weight.numel() for layer in model.layers)
        rival = ranges_table.rival_of(bank)
        assert (rival is None) == (bank.networks == 1)
        if rival:  # no more flash than the single network, and nearly all of it
            assert 0.9 * rival.parameters < bank.parameters <= rival.parameters


class Constant:
    """Answers with its own number."""

    def __init__(self, ticks: int) -> None:
        self.ticks = ticks

    def predict(self, g_start_nS: np.ndarray, g_target_nS: np.ndarray) -> Pulses:
        n = len(g_start_nS)
        return Pulses(np.ones(n, np.int8), np.full(n, self.ticks, np.int64), np.full(n, -1, np.int64))


def test_the_start_chooses_the_network() -> None:
    bank = RangePredictor(np.array([200, 300]), [Constant(1), Constant(2), Constant(3)])
    start = np.array([0, 199, 200, 299, 300, 999, 200])
    direction, ticks, v_uV = bank.predict(start, start[::-1])
    assert ticks.tolist() == [1, 1, 2, 2, 3, 3, 2]
    assert direction.tolist() == [1] * 7 and v_uV.tolist() == [-1] * 7


def test_a_network_learns_its_range_and_a_little_beyond(
    synthetic_dataset: Callable[..., PulseDataset],
) -> None:
    data = synthetic_dataset(400)
    low, high = 2e-4, 3e-4
    kept = within(data, low, high).split == TRAIN
    expected = (data.g_start_S >= low - 1e-5) & (data.g_start_S <= high + 1e-5) & (data.split == TRAIN)
    assert 0 < kept.sum() < 400 and np.array_equal(kept, expected)
    edges = Bank(4, 15).edges_S
    assert (edges[0], edges[-1]) == pytest.approx(window_S()) and len(edges) == 5


def test_the_command_compares_and_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = (Bank(1, 4), Bank(2, 2))
    for module in (ranges, ranges_table):
        monkeypatch.setattr(module, "BANKS", few)
    begin, end = ranges_table.BEGIN, ranges_table.END
    (tmp_path / "page.md").write_text(f"before\n{begin}\n{end}\nafter\n", encoding="utf-8")
    quick = "--seeds 1 --pairs 100 --trials 50 --divide-epochs 100 --noise none --jobs 1"
    options = [*quick.split(), "--document", str(tmp_path / "page.md"), "-o", str(tmp_path / "out")]
    for _ in range(2):
        done = CliRunner().invoke(command, options)
        assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "ranges.json").read_text(encoding="utf-8"))
    assert [bank["bank"] for bank in content["banks"]] == [bank.name for bank in few]
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert page == f"before\n{begin}\n{ranges_table.markdown(content)}{end}\nafter\n"
    networks = sorted((tmp_path / "out" / "seed-1" / "ranges").rglob("*.onnx"))
    assert len(networks) == 3
    before = networks[0].stat().st_mtime_ns
    CliRunner().invoke(command, options)
    assert networks[0].stat().st_mtime_ns == before
