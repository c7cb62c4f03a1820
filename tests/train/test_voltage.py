"""The voltage as a knob: floors within budgets, sequences of two pulses, training at several voltages, the commands."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from codegen.onnx_import import load_network
from sim.errors import UserError
from train.__main__ import main
from train.expected import TOO_LONG, ExpectedRpd
from train.features import VOLTAGE_SCALING
from train.floor import floor_of
from train.loop import Schedule
from train.recipes import VOLTAGE
from train.responses import DIRECTIONS, ResponseParams, Responses
from train.voltage import Levels, VoltageRange, floor_within, sequences_within, train_voltage

RANGE = replace(VoltageRange(), levels=3)
SLOWER = 10.0
"""By which each level is slower than the one before."""
SPREAD = 0.5
"""Of the logarithm of a device's speed at the full voltage; each level halves it."""


@pytest.fixture(scope="module")
def levels() -> Levels:
    """Devices that approach the window's end exponentially: slower at each level, and more alike."""
    base = ResponseParams(starts=16, devices=24)
    deviation = np.random.default_rng(3).normal(0.0, 1.0, base.devices)
    found = []
    for level, params in enumerate(RANGE.params(base)):
        step, start = params.steps(), params.g_start_S()[:, None, None]
        speeds = 3e-3 * np.exp(SPREAD / 2**level * deviation) / SLOWER**level
        ends = dict(zip(DIRECTIONS, reversed(params.window_S()), strict=True))
        share = 1.0 - np.exp(-speeds[:, None] * step)
        g_S = [start + (ends[direction] - start) * share for direction in DIRECTIONS]
        found.append(Responses(params, step, np.array(g_S, dtype=np.float32)))
    return found


def test_levels_lead_from_the_full_voltages_to_the_lowest() -> None:
    voltages = [(p.v_set_V, p.v_reset_V) for p in RANGE.params(ResponseParams())]
    np.testing.assert_allclose(voltages, [(-0.39, 0.80), (-0.3225, 0.67), (-0.255, 0.54)])


def test_one_level_has_the_floor_of_fixed_voltages(levels: Levels) -> None:
    found = floor_within(levels[:1], 20, 1e-2)
    wanted = floor_of(levels[0], 20)
    assert np.array_equal(found.rpd, wanted.rpd)
    np.testing.assert_array_equal(found.time_s, np.abs(wanted.best_time_s))


def test_time_buys_precision_up_to_the_calmest_level(levels: Levels) -> None:
    budgets_s = (3e-6, 3e-5, 3e-4, 1e-2)
    found = [floor_within(levels, 20, budget_s) for budget_s in budgets_s]
    means = [floor.rpd.mean() for floor in found]
    assert all(later < earlier for earlier, later in pairwise(means[:-1]))
    assert all((floor.time_s <= budget_s).all() for floor, budget_s in zip(found, budgets_s, strict=True))
    assert all(floor.optimistic_rpd.mean() <= mean for floor, mean in zip(found, means, strict=True))
    # With time enough no level but the calmest is best.
    alone = floor_within(levels[-1:], 20, 1e-2)
    assert abs(means[-1] / alone.rpd.mean() - 1) < 0.02


def test_two_pulses_are_no_worse_than_one_and_share_its_budget(levels: Levels) -> None:
    for budget_s in (3e-5, 1e-3):
        found = sequences_within(levels, 12, budget_s, every=6)
        assert found.best_mean_rpd <= found.one_mean_rpd * 1.02
        assert 0.0 <= found.share_of_two <= 1.0 and found.best_within_10 >= found.one_within_10 - 0.02
    # A budget that holds one shortest pulse holds no two.
    assert sequences_within(levels, 12, 1e-8, every=1).share_of_two == 0.0


def test_pairs_that_no_recorded_time_suffices_for_learn_to_say_so(levels: Levels) -> None:
    short = [replace_steps(each, 40) for each in levels]
    told = [(each, (reduction,)) for each, reduction in zip(short, RANGE.reductions_V(), strict=True)]
    pairs = ExpectedRpd.of_levels(told, 10, VOLTAGE_SCALING)
    share = [pairs.too_long[pairs.x[:, 2] == x].float().mean().item() for x in pairs.x[:, 2].unique()]
    assert share[0] < share[-1] and pairs.too_long.any() and not pairs.too_long.all()
    everything = torch.arange(len(pairs))
    longest = VOLTAGE_SCALING.output.normalise(np.array([pairs.log_time[-1].item() + TOO_LONG]))[0]
    loss = pairs.of_outputs(torch.full((len(pairs),), float(longest)), everything)
    assert loss[pairs.too_long].max() < 1e-5 and loss[~pairs.too_long].min() > 0.0
    early = pairs.of_outputs(torch.full((len(pairs),), float(longest) - 1.0), everything)
    np.testing.assert_allclose(early[pairs.too_long], 1.0, rtol=1e-4)


def replace_steps(responses: Responses, count: int) -> Responses:
    """The first `count` recorded times alone."""
    return Responses(responses.params, responses.step[:count], responses.g_S[..., :count])


def test_a_network_learns_every_level(levels: Levels, tmp_path: Path) -> None:
    recipe = replace(
        VOLTAGE, schedule=Schedule(epochs=16, rate=1e-2, batch=64), targets=16, sizes=(3, 24, 24, 1)
    )
    path = tmp_path / "net.onnx"
    train_voltage(levels, RANGE, path, recipe, seed=1)
    again = tmp_path / "again.onnx"
    train_voltage(levels, RANGE, again, recipe, seed=1)
    assert path.read_bytes() == again.read_bytes()
    network = load_network(path)
    assert network.metadata.chooses_voltage
    pulse = network.metadata.pulse
    assert (pulse.v_set_V, pulse.set_reduction_V, pulse.v_reset_V, pulse.reset_reduction_V) == (
        -0.39,
        0.135,
        0.8,
        0.26,
    )
    start, target = np.full(3, 2e-4), np.full(3, 3e-4)
    reductions = np.array([set_V for set_V, _ in RANGE.reductions_V()])
    times = network.width_s(start, target, reductions)
    ratio = times[1:] / times[:-1]
    assert (ratio > SLOWER / 2).all() and (ratio < SLOWER * 2).all()


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on next to nothing."""
    path = tmp_path_factory.mktemp("knob") / "log_voltage.onnx"
    small_run(path)
    return path


def small_run(path: Path) -> str:
    options = ["--starts", "3", "--devices", "2", "--levels", "2", "--divide-epochs", "100"]
    return run("voltage", *options, "--responses", str(path.parent / "responses"), "-o", str(path))


def test_the_command_keeps_what_it_made(small: Path) -> None:
    before = small.stat().st_mtime_ns
    assert "already there" in small_run(small) and small.stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"must be called NAME\.onnx"):
        run("voltage", "-o", str(small.with_suffix(".h5")))


def test_the_front_is_measured_drawn_and_written_into_a_page(small: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- table: written by `python -m train front` -->\nold\n<!-- end of table -->\nafter\n"
    )
    options = ["--starts", "3", "--devices", "2", "--levels", "2", "--targets", "4", "--trials", "12"]
    places = [
        "--responses",
        str(small.parent / "responses"),
        "--page",
        str(page),
        "-o",
        str(tmp_path / "front"),
    ]
    found = json.loads(run("front", str(small), "--budgets", "1e-5,2e-6", *options, *places, "--json"))
    names = [(p["name"], p["pulses"], p["budget_s"]) for p in found["points"]]
    assert names == [
        ("floor", 1, 2e-6),
        ("floor", 2, 2e-6),
        ("floor", 1, 1e-5),
        ("floor", 2, 1e-5),
        *(("log_voltage", pulses, budget_s) for budget_s in (2e-6, 1e-5) for pulses in (1, 2)),
    ]
    for point in found["points"]:
        assert point["mean_rpd_ci95"][0] <= point["mean_rpd"] <= point["mean_rpd_ci95"][1]
        assert point["median_time_s"] is None or point["median_time_s"] <= point["budget_s"] * (1 + 1e-9)
    assert json.loads((tmp_path / "front" / "front.json").read_text()) == found
    assert (tmp_path / "front" / "front.png").stat().st_size > 10_000
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| 0.002 ms | floor |" in text and "| 0.01 ms | log_voltage, two pulses, read between |" in text


@pytest.mark.parametrize("budgets", ["x", "1e-9", "1"])
def test_bad_budgets_are_refused(tmp_path: Path, budgets: str) -> None:
    with pytest.raises(UserError, match="--budgets"):
        run("front", "--budgets", budgets, "-o", str(tmp_path / "front"))
    assert not (tmp_path / "front").exists()
