"""The compiled full-physics circuit against reference vectors and against its NumPy twin."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import jart, jart_fit, jart_full, jart_full_reference
from sim.errors import UserError
from sim.jart_full import Circuit
from sim.params import JartFullParams, JartParams
from sim.units import NM, Floats

GOLDEN = Path(__file__).parents[1] / "golden"
P = JartFullParams()
EDGE_V = P.phi_bn0_V - P.phi_n_V
FIELDS = ("i_A", "v_schottky_V", "t_K", "r_disc_Ohm", "r_plug_Ohm", "r_series_Ohm")

Points = tuple[Floats, Floats, Floats, Floats]


def golden() -> dict[str, Floats]:
    """Columns of the reference vectors; an absent value is NaN."""
    with (GOLDEN / "jart_full_iv.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def golden_points(c: dict[str, Floats]) -> Points:
    return c["V"], c["r_nm"] * NM, c["l_nm"] * NM, c["N"]


def drawn(count: int, seed: int = 0, v_low: float = -2.0, wide: bool = False) -> Points:
    """Random points over the model's range: of the devices' spread, or `wide`, of everything accepted."""
    rng = np.random.default_rng(seed)
    r, l = ((1.0, 1000.0), (0.01, 3.0)) if wide else ((40.0, 50.0), (0.3, 0.5))
    return (
        rng.uniform(v_low, 2.0, count),
        np.exp(rng.uniform(*np.log(r), count)) * NM,
        np.exp(rng.uniform(*np.log(l), count)) * NM,
        np.exp(rng.uniform(*np.log((0.008, 20.0)), count)),
    )


def same_bits(a: Circuit, b: Circuit) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


def assert_solves_like_numpy(points: Points, p: JartFullParams = P, rtol: float = 1e-9) -> None:
    ours, numpys = jart_full.solve(*points, p), jart_full_reference.solve(*points, p)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(ours, name), getattr(numpys, name), rtol=rtol, err_msg=name)


def relative_mismatch(v_s: Floats, points: Points, p: JartFullParams = P) -> Floats:
    """(junction current - circuit current) / circuit current at trial junction voltages."""
    x = jart_full_reference._Point.of(*points, p)
    i, t = jart_full_reference._circuit_state(v_s, x)
    return jart_full_reference.junction_current(v_s, t, x.n, x.area, p) / i - 1.0


@pytest.mark.parametrize("solver", [jart_full.solve, jart_full_reference.solve])
def test_reference_vectors(solver: object) -> None:
    c = golden()
    solved = solver(*golden_points(c))  # type: ignore[operator]
    for name, column in zip(FIELDS, ("I", "V_schottky", "T", "Rdisc", "Rplug", "Rseries"), strict=True):
        np.testing.assert_allclose(getattr(solved, name), c[column], rtol=1e-7, err_msg=column)
    assert len(c["V"]) == 2000


def test_rates_match_the_reference_vectors() -> None:
    c = golden()
    i, state = jart_full.rates(*golden_points(c))
    np.testing.assert_allclose(i, c["I"], rtol=1e-7)
    np.testing.assert_allclose(state.dn_dt_1e26_s, c["dNdt"], rtol=1e-6)


def test_of_three_solutions_the_first_is_taken() -> None:
    c = golden()
    three = c["n_roots"] == 3
    assert three.sum() > 600
    points = tuple(x[three] for x in golden_points(c))
    ours = jart_full.solve(*points)
    assert np.all(ours.v_schottky_V < EDGE_V) and np.all(c["Vs_alt"][three] > EDGE_V)
    # The other solution is one of ours' equation too (it is given to nine digits).
    assert np.all(np.abs(relative_mismatch(c["Vs_alt"][three], points)) < 1e-6)
    # Below ours the junction passes less than the circuit: nothing was skipped.
    for share in np.linspace(0.005, 0.995, 100):
        assert np.all(relative_mismatch(share * ours.v_schottky_V, points) < 0.0)


signed_log = st.builds(lambda e, s: s * 10.0**e, st.floats(-9.0, np.log10(2.0)), st.sampled_from((-1.0, 1.0)))
voltages = st.sampled_from((-2.0, 2.0, 0.0, 1e-6, -1e-6)) | st.floats(-2.0, 2.0) | signed_log
concentrations = st.sampled_from((0.008, 20.0)) | st.floats(np.log(0.008), np.log(20.0)).map(
    lambda e: min(max(float(np.exp(e)), 0.008), 20.0)
)
a_point = st.tuples(voltages, st.floats(40e-9, 50e-9), st.floats(0.3e-9, 0.5e-9), concentrations)


@settings(max_examples=60)
@given(st.lists(a_point, min_size=1, max_size=60))
def test_compiled_equals_numpy_on_drawn_points(points: list[tuple[float, float, float, float]]) -> None:
    columns = np.array(points).T
    columns[0, np.abs(columns[0]) < 1e-9] = 0.0  # at lower voltages NumPy's V - V_s keeps too few digits
    assert_solves_like_numpy(tuple(columns))


@pytest.mark.parametrize("wide", [False, True])
def test_compiled_equals_numpy_over_the_whole_range(wide: bool) -> None:
    assert_solves_like_numpy(drawn(20_000, wide=wide))


@pytest.mark.parametrize(
    "changed",
    [
        dict(t0_K=77.0),
        dict(phi_bn0_V=0.3, phi_n_V=0.05),
        dict(phi_n_V=0.17),
        dict(phi_n_V=0.2),
        dict(eps_phi_b=20.0),
        dict(richardson_A_m2K2=1e4),
        dict(r_th0_K_W=1e8),
        dict(alpha_line_1_K=1.0),
    ],
    ids=str,
)
def test_compiled_equals_numpy_for_other_parameters(changed: dict[str, float]) -> None:
    assert_solves_like_numpy(drawn(2_000), JartFullParams(**changed))


@pytest.mark.parametrize("n_1e26", [0.01, 0.02, 0.05])
@pytest.mark.parametrize("beside", [1e-3, 1e-6, 1e-9, 1e-11])
def test_branch_beside_the_points_where_two_solutions_merge(n_1e26: float, beside: float) -> None:
    """In a cryostat the lower branch ends at some voltage and is back at a higher one, where the cell is hot."""
    cold = JartFullParams(t0_K=77.0)
    r, l, n = (np.array([x]) for x in (45 * NM, 0.4 * NM, n_1e26))

    def on_lower(v: float) -> bool:
        return float(jart_full.solve(v, r, l, n, cold).v_schottky_V[0]) < EDGE_V

    sweep = np.linspace(0.05, 2.0, 400)
    lower = [on_lower(v) for v in sweep]
    ends = [k for k in range(1, len(sweep)) if lower[k] != lower[k - 1]]
    assert len(ends) == 2
    for k in ends:
        low, high = sweep[k - 1], sweep[k]
        while (middle := 0.5 * (low + high)) not in (low, high):
            low, high = (middle, high) if on_lower(middle) == lower[k - 1] else (low, middle)
        for v, expected in ((low * (1.0 - beside), lower[k - 1]), (high * (1.0 + beside), lower[k])):
            points = (np.array([v]), r, l, n)
            v_s = jart_full.solve(*points, cold).v_schottky_V
            assert on_lower(v) == expected
            assert abs(float(relative_mismatch(v_s, points, cold)[0])) < 1e-9
            trial = np.linspace(0.0, min(float(v_s[0]), EDGE_V), 20_002)[1:-1]
            assert np.all(relative_mismatch(trial, points, cold) < 1e-13)


def test_batch_order_and_threads_change_no_bit() -> None:
    points = drawn(10_001, wide=True)
    whole = jart_full.solve(*points, jobs=1)
    for jobs in (2, 3):
        assert same_bits(jart_full.solve(*points, jobs=jobs), whole)
    order = np.random.default_rng(1).permutation(len(points[0]))
    shuffled = jart_full.solve(*(x[order] for x in points))
    assert all(np.array_equal(getattr(shuffled, name), getattr(whole, name)[order]) for name in FIELDS)
    for k in range(0, len(order), 500):
        alone = jart_full.solve(*(x[k] for x in points))
        assert all(getattr(alone, name) == getattr(whole, name)[k] for name in FIELDS)


@pytest.mark.parametrize("wide", [False, True])
def test_solutions_are_physical(wide: bool) -> None:
    v, r, l, n = drawn(50_000, seed=2, wide=wide)
    v[::5] = np.copysign(10.0 ** (-10.0 * np.abs(v[::5])), v[::5])  # down to 1e-20 V
    solved = jart_full.solve(v, r, l, n)
    assert all(np.all(np.isfinite(getattr(solved, name))) for name in FIELDS)
    assert np.all(np.sign(solved.i_A) == np.sign(v))
    assert np.all(np.sign(solved.v_schottky_V) == np.sign(v))
    assert np.all(np.abs(solved.v_schottky_V) < np.abs(v)) and np.all(solved.t_K >= P.t0_K)


def test_the_devices_spread_never_needs_the_scan() -> None:
    points = drawn(100_000, seed=4)
    points[0][::2] = np.copysign(10.0 ** (-3.0 * np.abs(points[0][::2])), points[0][::2])  # down to 1e-6 V
    solved = Circuit(*np.empty((len(FIELDS), 100_000)))
    assert jart_full.solve_into(solved, points, P, jobs=1) == 0


def test_no_voltage_no_current() -> None:
    solved = jart_full.solve([0.0, -0.0, 1e-300, -1e-300], 45 * NM, 0.4 * NM, 1.0)
    assert not solved.i_A.any() and not solved.v_schottky_V.any() and np.all(solved.t_K == P.t0_K)


def test_current_grows_with_voltage_and_concentration() -> None:
    """Below 10 mV SET the current has a maximum over N: with the barrier gone, it is of a higher order in V."""
    v = np.concatenate([-np.geomspace(2.0, 1e-6, 200), np.geomspace(1e-6, 2.0, 200)])
    n = np.geomspace(0.008, 20.0, 200)
    i = jart_full.solve(v[:, None], 45 * NM, 0.4 * NM, n[None, :]).i_A
    assert np.all(np.diff(i, axis=0) > 0.0)
    assert np.all(np.diff(np.abs(i[(v < -0.01) | (v > 0.0)]), axis=1) > 0.0)


def test_shapes_follow_broadcasting() -> None:
    assert jart_full.solve(0.2, 45 * NM, 0.4 * NM, 1.0).i_A.shape == ()
    assert jart_full.solve(np.ones((3, 1)), 45 * NM, 0.4 * NM, np.ones(4)).t_K.shape == (3, 4)
    assert jart_full.solve(np.empty(0), 45 * NM, 0.4 * NM, 1.0).i_A.shape == (0,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (dict(v_V=2.001), "V = 2.001 V in row 2"),
        (dict(v_V=np.nan), "V = nan V in row 2"),
        (dict(r_m=0.5 * NM), "r_nm = 0.5 nm in row 2"),
        (dict(l_m=4.0 * NM), "l_nm = 4 nm in row 2"),
        (dict(n_1e26=0.007), "N = 0.007 1e26"),
        (dict(n_1e26=np.inf), "N = inf 1e26"),
    ],
)
def test_refuses_points_outside_the_model(changed: dict[str, float], message: str) -> None:
    points = dict(v_V=0.2, r_m=45 * NM, l_m=0.4 * NM, n_1e26=1.0)
    rows = {name: [value, changed.get(name, value)] for name, value in points.items()}
    with pytest.raises(UserError, match=message):
        jart_full.solve(**rows)


def test_refuses_no_threads() -> None:
    with pytest.raises(UserError, match="jobs = 0"):
        jart_full.solve(0.2, 45 * NM, 0.4 * NM, 1.0, jobs=0)


@pytest.mark.parametrize("wide", [False, True])
def test_rates_are_finite_up_to_the_highest_voltage(wide: bool) -> None:
    v, r, l, n = drawn(20_000, seed=3, wide=wide)
    v[::4] = 2.0 * np.sign(v[::4])
    _, full = jart_full.rates(v, r, l, n)
    simplified = jart.hopping(v, jart_fit.current(v, n), r, l, n, JartParams())
    for state in (full, simplified):
        assert np.all(np.isfinite(state.dn_dt_1e26_s)) and np.all(np.abs(state.gamma) <= 1.0)
    assert not wide or np.any(np.abs(full.gamma) == 1.0)
