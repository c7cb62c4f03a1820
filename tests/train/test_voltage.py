"""The voltage as a knob: floors within budgets, sequences of two pulses, training at several voltages, the commands."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from codegen.onnx_import import FloatNetwork, load_network
from sim.errors import UserError
from train.__main__ import main
from train.expected import TOO_LONG, ExpectedRpd
from train.features import VOLTAGE_SCALING
from train.floor import floor_of
from train.front import Front, FrontPoint
from train.loop import Schedule
from train.recipes import VOLTAGE
from train.responses import DIRECTIONS, ResponseParams, Responses
from train.voltage import (
    LONGEST_S,
    Levels,
    VoltageRange,
    floor_within,
    floors_wishing,
    sequences_within,
    train_voltage,
)
from train.wishes import at_equal

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
        VOLTAGE, schedule=Schedule(epochs=16, rate=1e-2, batch=64), targets=16, sizes=(3, 24, 24, 2)
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
    check_honesty(network, levels)


def check_honesty(network: FloatNetwork, levels: Levels) -> None:
    """What the network expects of its own pulses, and what the recorded devices make of them."""
    told = [(each, (reduction,)) for each, reduction in zip(levels, RANGE.reductions_V(), strict=True)]
    pairs = ExpectedRpd.of_levels(told, 16, VOLTAGE_SCALING)
    y = torch.from_numpy(pairs.x.numpy().astype(np.float64))
    for layer in network.layers:
        y = torch.from_numpy(layer.evaluate(y.numpy()))
    time, error = (column.float() for column in y.unbind(dim=1))
    reached = pairs.of_outputs(time, torch.arange(len(pairs))).numpy()
    assert VOLTAGE_SCALING.error is not None
    expected = 2.0 ** (VOLTAGE_SCALING.error.offset + VOLTAGE_SCALING.error.scale * error.numpy())
    inside = ~pairs.too_long.numpy()
    assert 0.8 < reached[inside].mean() / expected[inside].mean() < 1.25
    assert np.corrcoef(np.log(reached[inside]), np.log(expected[inside]))[0, 1] > 0.5


def test_expecting_the_mean_is_the_least_misjudgement(levels: Levels) -> None:
    pairs = ExpectedRpd.of_levels([(levels[0], ((0.0, 0.0),))], 10, VOLTAGE_SCALING)
    everything, y = torch.arange(len(pairs)), torch.zeros(len(pairs))
    assert VOLTAGE_SCALING.error is not None
    inside = ~pairs.too_long
    mean = pairs.of_outputs(y, everything)[inside].clamp_min(1e-3).mean().double()
    best = VOLTAGE_SCALING.error.normalise(np.log2(mean.numpy()))

    def total(error: float) -> float:
        return pairs.misjudgement(y, torch.full((len(pairs),), error), everything).double().mean().item()

    assert total(float(best)) < min(total(float(best) - 0.02), total(float(best) + 0.02))


def test_a_modest_wish_takes_less_time_and_is_kept_more_often(levels: Levels) -> None:
    wishes = (1e-6, 0.02, 0.1, 1e9)
    found = floors_wishing(levels, 20, LONGEST_S, wishes)
    shares, times = [f.promised.mean() for f in found], [f.time_s.mean() for f in found]
    assert (
        shares == sorted(shares)
        and times == sorted(times, reverse=True)
        and shares[0] < shares[1] < shares[2]
    )
    for wish, floor in zip(wishes, found, strict=True):
        assert floor.time_s.max() <= LONGEST_S * (1 + 1e-9)
        if floor.promised.any():
            assert floor.rpd[floor.promised].mean() <= wish * 1.1
    precise = floor_within(levels, 20, LONGEST_S)
    np.testing.assert_array_equal(found[0].rpd[~found[0].promised], precise.rpd[~found[0].promised])
    assert found[-1].promised.all() and not found[-1].time_s.any()


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


def test_float_networks_are_evaluated_with_a_wish(small: Path, networks: Any, tmp_path: Path) -> None:
    (record,) = json.loads(run("evaluate", str(small), "--wish", "0.3", "--trials", "20", "--json"))
    assert record["wish_permille"] == 300
    plain = networks.write_voltage(tmp_path / "plain.onnx")
    with pytest.raises(UserError, match="does not know the errors of its pulses"):
        run("evaluate", str(plain), "--wish", "0.3", "--trials", "20")


def test_the_front_is_measured_drawn_and_written_into_a_page(small: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- table: written by `python -m train front` -->\nold\n<!-- end of table -->\nbetween\n"
        "<!-- wishes: written by `python -m train front` -->\nold\n<!-- end of wishes -->\nafter\n"
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
    asked = ["--budgets", "1e-5,2e-6", "--wishes", "0.5,0.2"]
    found = json.loads(run("front", str(small), *asked, *options, *places, "--json"))
    wishes = found.pop("wishes")
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
    assert [(p["name"], p["wish"]) for p in wishes["points"]] == [
        (name, wish) for name in ("floor", "log_voltage") for wish in (0.2, 0.5)
    ]
    assert all(0.0 <= p["promised"] <= 1.0 for p in wishes["points"])
    assert json.loads((tmp_path / "front" / "wishes.json").read_text()) == wishes
    assert (tmp_path / "front" / "wishes.png").stat().st_size > 10_000
    assert "| 0.2 | floor |" in text and "| 0.5 | log_voltage |" in text and "between" in text


def test_a_budget_at_equal_time_and_at_equal_error_is_interpolated() -> None:
    fields = dict.fromkeys([f.name for f in dataclasses.fields(FrontPoint)], 0.0)
    curve = [
        FrontPoint(**{**fields, "name": "it", "pulses": 1, "budget_s": t, "mean_time_s": t, "mean_rpd": rpd})
        for t, rpd in ((1e-2, 0.05), (1e-4, 0.2), (1e-3, 0.1))
    ]
    found = at_equal(Front("", curve), "it", 10**-3.5, 0.1)
    np.testing.assert_allclose(found, (0.1 * 2**0.5, 1e-3))
    assert at_equal(Front("", curve), "it", 1e-5, 0.3) == (None, None)


@pytest.mark.parametrize("wishes", ["x", "0", "2", "0.0005"])
def test_bad_wishes_are_refused(tmp_path: Path, wishes: str) -> None:
    with pytest.raises(UserError, match="--wishes"):
        run("front", "--wishes", wishes, "-o", str(tmp_path / "front"))
    assert not (tmp_path / "front").exists()


@pytest.mark.parametrize("budgets", ["x", "1e-9", "1"])
def test_bad_budgets_are_refused(tmp_path: Path, budgets: str) -> None:
    with pytest.raises(UserError, match="--budgets"):
        run("front", "--budgets", budgets, "-o", str(tmp_path / "front"))
    assert not (tmp_path / "front").exists()
