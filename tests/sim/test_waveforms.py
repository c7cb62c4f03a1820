"""Waveforms and the response to them: the full model's reference trajectories and I-V loop, bad input."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sim import jart_fit
from sim.device import DeviceArray
from sim.errors import UserError
from sim.models import MODELS, concentration, load_model
from sim.noise import load_preset
from sim.params import OperatingWindow
from sim.trajectory import respond
from sim.waveform import Waveform, pulse_train, staircase, triangle

GOLDEN = Path(__file__).parents[1] / "golden"
FULL = load_model("jart-v1b")


def golden(name: str) -> list[dict[str, str]]:
    with (GOLDEN / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def constant(v_V: float, width_s: float) -> Waveform:
    return Waveform(np.array([0.0, width_s]), np.array([v_V, v_V]))


@pytest.mark.parametrize("case", range(10))
def test_full_model_pulses_match_the_reference(case: int) -> None:
    rows = [row for row in golden("jart_full_trajectories.csv") if row["case"] == str(case)]
    v_V = jart_fit.V_SET_V if rows[0]["dir"] == "SET" else jart_fit.V_RESET_V
    t_s = column(rows, "t")
    # The vectors start at the simplified model's N; nine digits of it would not do where switching runs away.
    n_start = float(jart_fit.concentration(float(rows[0]["G0_uS"]) * 1e-6))
    done = respond(FULL, constant(v_V, t_s[-1]), n_start, t_s)
    for name, ours in (("N", done.n_1e26), ("G_read", done.g_read_S), ("I_pulse", done.i_A)):
        np.testing.assert_allclose(ours, column(rows, name), rtol=1e-6, err_msg=name)


def test_the_hysteresis_loop_is_reproduced() -> None:
    rows = golden("jart_full_ivsweep.csv")  # seven digits
    done = respond(FULL, triangle([-1.5, 2.0], 1.0), 0.06, column(rows, "t"))
    for name, ours in (("V", done.v_V), ("N", done.n_1e26), ("I", done.i_A), ("T", done.t_K)):
        np.testing.assert_allclose(ours, column(rows, name), rtol=1e-6, atol=1e-15, err_msg=name)
    assert done.n_1e26.max() == pytest.approx(20.0) and done.n_1e26[-1] == pytest.approx(0.008)


@pytest.mark.parametrize("v_V", [jart_fit.V_SET_V, jart_fit.V_RESET_V])
def test_the_integrator_and_the_stepper_agree(v_V: float) -> None:
    """Explicit Euler at 10 ns is first order: near the end of a slow pulse it is within 1e-3."""
    device = DeviceArray(1, load_preset("none"), 0, 3e-4, window=OperatingWindow(0.01, 19.9))
    device.apply_pulse(v_V, 2e-3)
    n_start = float(jart_fit.concentration(3e-4))
    done = respond(load_model("jart-fit"), constant(v_V, 2e-3), n_start, np.array([0.0, 2e-3]))
    assert done.n_1e26[-1] == pytest.approx(float(device.population.n_1e26[0]), rel=1e-3)


def test_a_train_of_short_pulses_adds_up() -> None:
    """At 0 V nothing moves: ten pulses of 10 us do what one of 100 us does, but for their edges."""
    train = pulse_train(0.7065, 1e-5, 1e-4, 10, rise_s=1e-9, fall_s=1e-9)
    ends = respond(FULL, train, 1.0, np.array([0.0, train.duration_s])).n_1e26
    once = respond(FULL, constant(0.7065, 1e-4), 1.0, np.array([0.0, 1e-4])).n_1e26
    assert ends[0] == once[0]
    assert ends[-1] < 0.99 * ends[0]
    assert ends[-1] == pytest.approx(once[-1], rel=1e-3)


def test_shapes() -> None:
    sweep = triangle([-1.5, 2.0], 0.5)
    np.testing.assert_allclose(sweep.t_s, [0.0, 3.0, 6.0, 10.0, 14.0])
    assert sweep.v_V.tolist() == [0.0, -1.5, 0.0, 2.0, 0.0]
    np.testing.assert_allclose(sweep.voltage(np.array([1.5, 8.0])), [-0.75, 1.0])
    steps = staircase([-0.1, -0.2], 1e-3, edge_s=1e-6)
    np.testing.assert_allclose(steps.voltage(np.array([5e-4, 1.5e-3])), [-0.1, -0.2])
    train = pulse_train(1.0, 2e-6, 1e-5, 3, rise_s=1e-6, fall_s=1e-6)
    assert len(train.t_s) == 13 and train.duration_s == pytest.approx(3e-5)
    np.testing.assert_allclose(
        train.voltage(np.array([0.5e-6, 2e-6, 3.5e-6, 6e-6, 1.2e-5])), [0.5, 1, 0.5, 0, 1]
    )


@pytest.mark.parametrize(
    ("t_s", "v_V", "complaint"),
    [
        (
            [0.0, 1.0, 1.0],
            [0.0, 1.0, 0.0],
            r"times must rise, but corner 3 at 1 s does not follow corner 2 at 1 s",
        ),
        ([0.0, 2.0, 1.0], [0.0, 1.0, 0.0], "times must rise"),
        ([-1.0, 1.0], [0.0, 1.0], "t = -1 s of corner 1"),
        ([0.0, np.nan], [0.0, 1.0], "t = nan s of corner 2"),
        ([0.5, 1.0], [0.0, 1.0], "first corner must be at t = 0"),
        ([0.0, 1.0], [0.0, np.nan], "V = nan V of corner 2"),
        ([0.0, 1.0], [0.0, 2.5], r"V = 2\.5 V of corner 2 is outside -2 \.\. 2 V"),
        ([0.0], [0.0], "two or more corners"),
        ([0.0, 1.0], [0.0], "two or more corners"),
    ],
)
def test_unplayable_waveforms_are_refused(t_s: list[float], v_V: list[float], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Waveform(np.array(t_s), np.array(v_V))


def test_unusable_shapes_are_refused() -> None:
    with pytest.raises(UserError, match="none of them 0 V"):
        triangle([1.0, 0.0], 1.0)
    with pytest.raises(UserError, match="sweep rate = 0"):
        triangle([1.0], 0.0)
    with pytest.raises(UserError, match="must exceed rise"):
        pulse_train(1.0, 1e-5, 1e-5, 2)
    with pytest.raises(UserError, match="width = -1"):
        pulse_train(1.0, -1.0, 1e-5, 2)


def test_a_start_outside_the_model_is_refused() -> None:
    with pytest.raises(UserError, match=r"start N = 0\.007 1e26 m\^-3 is outside 0\.008 \.\. 20"):
        respond(FULL, constant(0.1, 1e-6), 0.007, np.array([0.0, 1e-6]))
    with pytest.raises(UserError, match="times must rise within"):
        respond(FULL, constant(0.1, 1e-6), 0.1, np.array([0.0, 2e-6]))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_read_out_inverts(name: str) -> None:
    model = load_model(name)
    n = np.geomspace(0.02, 15.0, 20)
    r, l = model.params.r0_m, model.params.l0_m
    g_S = model.read_conductance(np.full_like(n, r), np.full_like(n, l), n)
    np.testing.assert_allclose(concentration(model, g_S, r, l), n, rtol=1e-9)
    with pytest.raises(UserError, match=r"conductance = 1e\+06 uS must lie"):
        concentration(model, 1.0, r, l)


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown device model 'x'; known: jart-fit, jart-v1b"):
        load_model("x")
