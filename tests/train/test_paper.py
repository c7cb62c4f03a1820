"""The reproduction: statistics against their definitions, intervals, verdicts, and the whole command, resumed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from codegen.boards import load_board
from sim.errors import UserError
from sim.noise import load_preset
from train.paper.claims import Claim, bootstrap_interval, load_claims, measured, seeds_interval
from train.paper.experiment import CONVERGED, PREDICTORS, Settings, is_s_shaped, run_seeds
from train.paper.figures import FIGURES
from train.paper.quantities import BANDS, PROGRAMMED, STATISTICS, SWITCHING, Quantity, band_S, window_S
from train.paper.table import BEGIN, END, markdown
from train.paper.verbs import paper

CLAIM = Claim("a", "says", "where", "read as", "mean_rpd x all", "1", at_least=0.0, at_most=1.0)
LOW_S, HIGH_S = window_S()


def one_shot(n: int = 2000, seed: int = 0) -> dict[str, np.ndarray]:
    """Trials of two predictors: `x` overshoots by 10 %, `y` errs at random."""
    generator = np.random.default_rng(seed)
    start, target = generator.uniform(LOW_S, HIGH_S, (2, n))
    return {
        "g_start_S": start,
        "g_target_S": target,
        "x.g_end_S": 1.1 * target,
        "x.wrong": np.zeros(n, dtype=np.bool_),
        "y.g_end_S": target * (1 + generator.normal(0.0, 0.3, n)),
        "y.wrong": start < band_S("lowest")[1],
    }


def test_statistics_are_what_their_names_say() -> None:
    rows = one_shot()
    rpd = np.abs(rows["y.g_end_S"] / rows["g_target_S"] - 1)
    low = rows["g_start_S"] <= band_S("lowest")[1]
    expected = {
        "mean_rpd x all": 0.1,
        "median_rpd y all": np.median(rpd),
        "within_20 y lowest": (rpd[low] <= 0.2).mean(),
        "within_50 x all - within_50 y all": 1.0 - (rpd <= 0.5).mean(),
        "wrong_direction y lowest": 1.0,
        "wrong_direction y middle": 0.0,
    }
    assert {text: Quantity.parse(text).value(rows) for text in expected} == pytest.approx(expected)


def test_statistics_of_write_and_verify() -> None:
    """Two targets: at 220 uS devices sit 10 % beside it and still, at 340 uS they swing around it."""
    iteration = np.arange(21)
    swing = 1 + 0.2 * (-1.0) ** iteration
    rows = {
        "g_start_S": np.full(4, 3e-4),
        "g_target_S": np.array([220e-6, 220e-6, 340e-6, 340e-6]),
        "x.g_read_S": np.array([220e-6 * np.full(21, 1.1)] * 2 + [340e-6 * swing] * 2),
        "x.g_end_S": np.array([242e-6, 242e-6, 340e-6 * 0.8, 340e-6 * 1.2]),
    }
    expected = {
        "final_rpd x 220uS": 0.1,
        "final_offset x 220uS": 0.1,
        "final_offset x 340uS": 0.0,
        "final_spread x 340uS": 0.4 / np.sqrt(2),
        "wobble x 340uS": np.std([0.2, -0.2] * 5, ddof=1),
        "wobble x 220uS": 0.0,
        "settled_after_10 x 220uS": 1.0,
        "settled_after_10 x 340uS": 0.0,
        "final_within_10 x 340uS": 0.0,
    }
    found = {text: Quantity.parse(text).value(rows) for text in expected}
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mean_rpd x",
        "mean_rpd x all - final_rpd x all",
        "mean_rpd x all - mean_rpd x all - mean_rpd x all",
    ],
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        Quantity.parse(text)


def test_the_statements_are_complete_and_measurable() -> None:
    claims = load_claims()
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        assert claim.says and claim.where and claim.read_as and claim.at_least < claim.at_most
        assert np.isfinite([claim.at_least, claim.at_most]).any(), claim.id
        quantity = claim.quantity
        for term in (quantity.term, quantity.minus):
            if term is not None:
                assert term.statistic in STATISTICS, claim.id
                assert term.where in BANDS or term.where.endswith("uS"), claim.id
                known = {PROGRAMMED: CONVERGED, SWITCHING: ("device",)}.get(term.table, PREDICTORS)
                assert term.predictor in known, claim.id


@given(st.floats(-2, 3), st.floats(0, 2))
def test_a_verdict_says_where_the_interval_lies(low: float, width: float) -> None:
    interval = (low, low + width)
    inside, outside = low >= 0.0 and low + width <= 1.0, low + width < 0.0 or low > 1.0
    expected = "agrees" if inside else "differs" if outside else "undecided"
    assert CLAIM.verdict(interval) == expected


def test_an_open_range_has_one_end() -> None:
    claim = replace(CLAIM, at_most=float("inf"))
    assert [claim.verdict(i) for i in ((5.0, 6.0), (-2.0, -1.0), (-1.0, 1.0))] == [
        "agrees",
        "differs",
        "undecided",
    ]


def test_intervals_cover_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    covered = sum(low <= 0.0 <= high for low, high in map(seeds_interval, generator.normal(size=(2000, 5))))
    assert 0.93 < covered / 2000 < 0.97
    assert seeds_interval([1.0]) is None
    values = generator.normal(3.0, 1.0, 2500)
    low, high = bootstrap_interval(lambda rows: float(rows["v"].mean()), {"v": values})
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 50, rel=0.15)
    assert low < values.mean() < high


def test_the_mean_is_over_seeds_and_differences_are_paired() -> None:
    tables = [one_shot(500, seed) for seed in range(3)]
    pool = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    quantity = Quantity.parse("mean_rpd x all - mean_rpd x middle")
    found = measured(quantity, tables, pool)
    assert found.mean == pytest.approx(0.0, abs=1e-12) and len(found.per_seed) == 3
    assert found.trials_ci95 == pytest.approx((0.0, 0.0), abs=1e-12)


def test_s_shapes_are_told_from_other_curves() -> None:
    t_s = np.linspace(0.0, 1.0, 3001)[1:]
    logistic = LOW_S + (HIGH_S - LOW_S) / (1 + np.exp(-14 * (t_s - 0.5)))
    straight = LOW_S + (HIGH_S - LOW_S) * t_s
    saturating = LOW_S + (HIGH_S - LOW_S) * (1 - np.exp(-8 * t_s))
    accelerating = LOW_S + (HIGH_S - LOW_S) * t_s**6
    assert is_s_shaped(t_s, logistic) and is_s_shaped(t_s, logistic[::-1])
    assert not any(
        is_s_shaped(t_s, curve) for curve in (straight, saturating, accelerating, accelerating[::-1])
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A document beside the smallest run of the command."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "page.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    run(folder)
    return folder


def run(folder: Path, *more: str) -> str:
    quick = "--seeds 1 --pairs 60 --trials 200 --starts 2 --divide-epochs 50 --noise none --jobs 2"
    options = [*quick.split(), "--document", str(folder / "page.md"), "-o", str(folder / "out"), *more]
    done = CliRunner().invoke(paper, options)
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_writes_figures_numbers_and_the_page(finished: Path) -> None:
    result = json.loads((finished / "out" / "paper.json").read_text(encoding="utf-8"))
    assert {claim["id"] for claim in result["claims"]} == {claim.id for claim in load_claims()}
    assert set(result["accuracy"]) == set(PREDICTORS)
    page = (finished / "page.md").read_text(encoding="utf-8")
    assert page == f"before\n{BEGIN}\n{markdown(result)}{END}\nafter\n"
    assert json.loads((finished / "paper.json").read_text(encoding="utf-8")) == result
    for name in FIGURES:
        png = (finished / "figures" / "paper" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG") and len(png) < 150_000


def test_finished_tables_are_kept_and_a_changed_input_makes_them_again(
    finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished / "out", tmp_path, dirs_exist_ok=True)
    settings = Settings(
        folder=tmp_path,
        noise=load_preset("none"),
        board=load_board("generic"),
        pairs=60,
        trials=200,
        starts=2,
        divide_epochs=50,
        jobs=2,
    )
    folder = tmp_path / "seed-1"
    before = contents(folder)

    def remade(changed: Settings) -> set[str]:
        marked = {name: mtime_ns(folder, name) for name in before}
        run_seeds(changed, range(1, 2), lambda what: None)
        return {name for name in marked if mtime_ns(folder, name) != marked[name]}

    assert remade(settings) == set()
    (folder / "switching.npz").write_bytes(b"cut short")
    (folder / "switching.json").write_text("{}")  # as if interrupted: the sidecar comes last
    assert remade(settings) == {"switching.npz", "switching.json"}
    assert contents(folder) == before
    assert remade(replace(settings, trials=190)) == {"one_shot.npz", "one_shot.json"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mtime_ns(folder: Path, name: str) -> int:
    return (folder / name).stat().st_mtime_ns


def test_too_few_trials_for_a_statement_are_refused() -> None:
    with pytest.raises(UserError, match="too few trials to measure 'mean_rpd x lowest'"):
        measured(
            Quantity.parse("mean_rpd x lowest"),
            [{**one_shot(3), "g_start_S": np.full(3, HIGH_S)}],
            one_shot(),
        )


def test_a_document_without_markers_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("no markers", encoding="utf-8")
    with pytest.raises(UserError, match="no results section"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()
