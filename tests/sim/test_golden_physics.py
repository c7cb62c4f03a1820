"""The simplified model against vectors computed from its authors' own code."""

import csv
from pathlib import Path

import numpy as np
import pytest

from sim import jart_fit
from sim.device import DeviceArray
from sim.noise import load_preset
from sim.params import JartParams, OperatingWindow
from sim.population import DT_S, Trace
from sim.rate_table import RELATIVE_ERROR, cell_of, rate_table
from sim.units import NM

GOLDEN = Path(__file__).parents[1] / "golden"
RTOL = 1e-7  # the vectors carry nine digits


def golden_rows(name: str) -> list[dict[str, str]]:
    with (GOLDEN / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def test_current_temperature_and_rate_match_the_reference_code() -> None:
    rows = golden_rows("yu_simplified_rates.csv")
    i, state = jart_fit.rates(
        column(rows, "V"), column(rows, "r_nm") * NM, column(rows, "l_nm") * NM, column(rows, "N")
    )
    g = jart_fit.read_conductance(column(rows, "N"))
    for name, ours in (
        ("I", i),
        ("T", state.t_K),
        ("gamma", state.gamma),
        ("dNdt", state.dn_dt_1e26_s),
        ("G_read", g),
    ):
        np.testing.assert_allclose(ours, column(rows, name), rtol=RTOL, err_msg=name)
    assert len(rows) > 3000


@pytest.mark.parametrize("case", range(10))
def test_noise_free_pulse_matches_the_reference_trajectory(case: int) -> None:
    rows = [row for row in golden_rows("yu_simplified_trajectories.csv") if row["case"] == str(case)]
    v_V = jart_fit.V_SET_V if rows[0]["dir"] == "SET" else jart_fit.V_RESET_V
    steps = np.rint(column(rows, "t") / DT_S).astype(np.int64)
    # The reference does not clip, so the window must not either.
    device = DeviceArray(
        1, load_preset("none"), 0, float(rows[0]["G0_uS"]) * 1e-6, window=OperatingWindow(0.01, 19.9)
    )
    n_start = device.population.n_1e26.copy()
    trace = Trace.for_steps(steps[-1:])
    device.advance(v_V, steps[-1:], trace=trace)
    n = np.concatenate([n_start, trace.n_1e26])[steps]
    np.testing.assert_allclose(n, column(rows, "N"), rtol=RTOL)
    np.testing.assert_allclose(jart_fit.read_conductance(n), column(rows, "G"), rtol=RTOL)


def test_read_out_inverts_in_closed_form() -> None:
    n = np.geomspace(0.01, 10.0, 200)
    np.testing.assert_allclose(jart_fit.concentration(jart_fit.read_conductance(n)), n, rtol=1e-12)


@pytest.mark.parametrize("v_V", [-0.5, jart_fit.V_SET_V, -0.28, 0.6, jart_fit.V_RESET_V, 0.8])
def test_tabulated_current_stays_within_its_stated_error(v_V: float) -> None:
    table = rate_table(v_V, JartParams(), 0.03, 4.0, 40e-9)
    n = np.random.default_rng(0).uniform(0.03, 4.0, 20_000)
    cell = cell_of(n) - table.first_cell
    octave = np.ldexp(1.0, np.frexp(n)[1] - 1)
    x = (n - octave * (1.0 + np.floor((n / octave - 1.0) * 64) / 64)) / octave
    heat = sum(table.heat_field[cell, k, 0] * x**k for k in range(4))
    i = jart_fit.current(v_V, n)
    r_series = 650 + 719.2437 * (1 + 719.2437 * 3.92e-3 * 90471.47 * i**2)
    direct = i * (v_V - i * r_series) * 15.72e6 * (1.0 if v_V < 0 else 0.27)
    np.testing.assert_allclose(heat, direct, rtol=RELATIVE_ERROR)
