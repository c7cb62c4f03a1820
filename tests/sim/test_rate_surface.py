"""The tabulated rate of every model: within its stated error of the direct one, trajectories too; bad models named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sim.kernel._jart_kernel import lib

from sim.device import DeviceArray
from sim.errors import UserError
from sim.jart import Hopping
from sim.models import JART_FIT, JART_FULL, MODELS, DeviceModel
from sim.noise import NoisePreset, load_preset
from sim.population import DT_S
from sim.rate_surface import RELATIVE_ERROR, TERMS, RateSurface, Span, rate_surface
from sim.surface_stepper import SurfaceStepper
from sim.trajectory import respond
from sim.units import Floats
from sim.waveform import Waveform

WINDOW, WALK, DEVICES = Span(0.054, 2.19), Span(0.9, 1.1), Span(0.81, 1.21)
STILL = load_preset("none")


def tabulated(surface: RateSurface, n: Floats, r: Floats, l: Floats) -> Floats:
    """dN/dt from the table, through the stepper that everything runs on."""
    array = DeviceArray(len(n), STILL, 0, 2e-4, model=JART_FIT)
    d = array.population
    d.n_1e26, d.low_1e26[:], d.high_1e26[:] = n.copy(), 1e-3, 30.0
    d.r_m, d.l_m = r * surface.r0_m, l * surface.l0_m
    d.r_dev_m, d.l_dev_m = d.r_m.copy(), d.l_m.copy()
    SurfaceStepper(surface, STILL, 0).run(d, np.ones(len(n), dtype=np.int64), None, None)
    return (d.n_1e26 - n) / DT_S


def test_the_terms_are_as_many_as_the_kernel_reads() -> None:
    assert len(TERMS) == len(set(TERMS)) == lib.WALK_COEFFICIENTS


@pytest.mark.parametrize("span", [WALK, DEVICES], ids=["walks", "walks and devices"])
@pytest.mark.parametrize("v_V", [-0.342, -0.3, 0.6, 0.7065])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_rates_stay_within_the_stated_error(name: str, v_V: float, span: Span) -> None:
    model = MODELS[name]
    rng = np.random.default_rng(5)
    count = 40_000
    n = np.exp(rng.uniform(np.log(WINDOW.low), np.log(WINDOW.high), count))
    r, l = rng.uniform(span.low, span.high, (2, count)).astype(np.float32).astype(np.float64)
    _, direct = model.rates(np.full(count, v_V), r * model.params.r0_m, l * model.params.l0_m, n)
    surface = rate_surface(model, v_V, WINDOW, span, span)
    error = np.abs(tabulated(surface, n, r, l) / direct.dn_dt_1e26_s - 1.0)
    allowed = np.full(count, RELATIVE_ERROR)
    allowed += 4e-16 * n / (DT_S * np.abs(direct.dn_dt_1e26_s))  # what N's own rounding hides of one step
    if model is JART_FULL and v_V < 0.0:  # the Schottky barrier reaches zero in a corner: the rate has a kink
        kink = (n > 0.05) & (n < 0.25)
        assert error[kink].max() < 3e-3
        allowed[kink] = 3e-3
        assert np.mean(error[kink] > RELATIVE_ERROR) < 0.25
    assert np.all(error <= allowed), (n[error > allowed], r[error > allowed], l[error > allowed])


@pytest.mark.parametrize("case", [(-0.342, 0.07), (-0.342, 0.5), (0.7065, 1.9), (0.7065, 0.3)])
def test_whole_trajectories_of_the_full_model_match_the_direct_solve(case: tuple[float, float]) -> None:
    """Within 1e-3 in G along a pulse that crosses most of the window; the direct way is an adaptive integrator."""
    v_V, n_start = case
    array = DeviceArray(1, STILL, 0, 2e-4, model=JART_FULL)
    array.population.n_1e26[:] = n_start
    t_s = np.array([1e-6, 1e-5, 1e-4, 5e-4, 2e-3])
    p = JART_FULL.params
    direct = respond(JART_FULL, Waveform(np.array([0.0, 2e-3]), np.array([v_V, v_V])), n_start, t_s)
    inside = (direct.n_1e26 > 0.06) & (direct.n_1e26 < 1.9897)
    lived = 0
    for k in np.flatnonzero(inside):
        steps = round(t_s[k] / DT_S) - lived
        array.advance(v_V, np.array([steps]), continues=lived > 0)
        lived += steps
        assert array.g_S[0] == pytest.approx(direct.g_read_S[k], rel=1e-3)
    assert inside.sum() >= 3 and array.population.r_m[0] == pytest.approx(p.r0_m)


def test_whole_trajectories_of_the_simplified_model_match_its_exact_rates() -> None:
    for v_V, n_start in ((-0.342, 0.07), (0.7065, 1.9)):
        exact = DeviceArray(1, STILL, 0, 2e-4)
        exact.population.n_1e26[:] = n_start
        table = DeviceArray(1, STILL, 0, 2e-4)
        table.population.n_1e26[:] = n_start
        surface = SurfaceStepper(rate_surface(JART_FIT, v_V, WINDOW, WALK, WALK), STILL, 0)
        for steps in (1_000, 20_000, 100_000):
            exact.advance(v_V, np.array([steps]))
            surface.run(table.population, np.array([steps]), None, None)
            assert table.g_S[0] == pytest.approx(exact.g_S[0], rel=1e-4)


def test_a_state_stops_where_its_rate_ends() -> None:
    """Beyond N_min a RESET rate would turn round: N comes to rest there instead."""
    noise = load_preset("yu-2022")
    array = DeviceArray(200, noise, 1, 1e-4)
    array.population.n_1e26[:] = array.population.low_1e26[:] = 0.0085
    array.population.low_dev_1e26[:] = 0.06
    array.apply_pulse(0.7065, 1e-3)
    assert np.all(array.population.n_1e26 > 0.0059)


def broken(rate: Floats | float) -> DeviceModel:
    def rates(v: Floats, r: Floats, l: Floats, n: Floats) -> tuple[Floats, Hopping]:
        i, state = JART_FIT.rates(v, r, l, n)
        found = state.dn_dt_1e26_s * (np.sign(n - 0.5) if rate == "turns" else np.where(n > 0.503, 1.0, 9.0))
        return i, replace(state, dn_dt_1e26_s=found)

    return replace(JART_FIT, name=f"broken {rate}", rates=rates)


@pytest.mark.parametrize(("kind", "complaint"), [("turns", "changes sign"), ("jumps", "not smooth enough")])
def test_a_rate_that_cannot_be_tabulated_is_refused(kind: str, complaint: str) -> None:
    with pytest.raises(UserError, match=f"broken {kind}.*{complaint}"):
        DeviceArray(1, load_preset("ouroboros"), 0, 2e-4, model=broken(kind)).apply_pulse(-0.342, 1e-6)


def test_spreads_too_wide_to_tabulate_are_refused() -> None:
    wide = {"std": 1.0, "limit": 0.9}
    noise = NoisePreset(name="wide", source="test", radius_spread=wide, length_spread=wide)
    array = DeviceArray(1, noise, 0, 2e-4, model=JART_FULL)
    with pytest.raises(UserError, match="too wide to tabulate; reduce the noise preset's bounds or spreads"):
        array.apply_pulse(-0.342, 1e-6)
