"""The report: every record once, one setting, limits enforced, the README rewritten between its markers."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim.accuracy import AccuracyRecord
from sim.errors import UserError
from train.report import BEGIN, END, agreement_lines, agreements, collect, markdown, text_table, update_readme
from train.report_figure import draw_accuracy
from train.report_verbs import report

FLOAT = AccuracyRecord(
    predictor="ft_smoothed",
    realisation="float",
    noise_preset="prototype",
    cadence_s=1e-8,
    seed=1,
    trials=1000,
    board="generic",
    mean_rpd=0.2,
    mean_rpd_ci95=(0.19, 0.21),
    median_rpd=0.1,
    median_rpd_ci95=(0.09, 0.11),
    within_50=0.95,
    within_50_ci95=(0.93, 0.96),
    within_20=0.7,
    within_20_ci95=(0.67, 0.73),
    within_10=0.5,
    within_10_ci95=(0.47, 0.53),
    wrong_direction=0.0,
    wrong_direction_ci95=(0.0, 0.004),
)
C = replace(FLOAT, realisation="c")


def written(path: Path, *records: AccuracyRecord) -> Path:
    path.write_text(json.dumps([asdict(r) for r in records]))
    return path


def test_records_are_ordered_by_predictor_and_realisation(tmp_path: Path) -> None:
    own = replace(FLOAT, predictor="mine")
    first = written(tmp_path / "a.json", own, FLOAT)
    second = tmp_path / "b.json"
    second.write_text(json.dumps({"records": [asdict(C)]}))  # as `codegen cosim` writes them
    found = [(r["predictor"], r["realisation"]) for r in collect([first, second])]
    assert found == [("ft_smoothed", "float"), ("ft_smoothed", "c"), ("mine", "float")]


@pytest.mark.parametrize("field", ["noise_preset", "cadence_s", "seed", "trials", "board"])
def test_runs_of_different_settings_do_not_mix(tmp_path: Path, field: str) -> None:
    value = "other" if isinstance(getattr(C, field), str) else 2 * getattr(C, field)
    path = written(tmp_path / "a.json", FLOAT, replace(C, **{field: value}))
    with pytest.raises(UserError, match=f"differ in {field}"):
        collect([path])


def test_a_record_given_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", FLOAT)
    with pytest.raises(UserError, match=r"two records of ft_smoothed \(float\)"):
        collect([path, path])


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"predictor": "x"}]', "[]"])
def test_what_holds_no_records_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match="record"):
        collect([tmp_path / "a.json"])


@pytest.mark.parametrize(
    "change",
    [{"mean_rpd": "x"}, {"mean_rpd": None}, {"within_50_ci95": [0.9]}, {"realisation": "gpu"}],
)
def test_a_damaged_record_is_one_line_and_writes_nothing(tmp_path: Path, change: dict[str, object]) -> None:
    path, output = tmp_path / "a.json", tmp_path / "results.json"
    path.write_text(json.dumps([{**asdict(FLOAT), **change}]))
    done = CliRunner().invoke(report, [str(path), "-o", str(output)])
    assert isinstance(done.exception, UserError)
    (line,) = str(done.exception).splitlines()
    assert line.startswith(f"cannot read records from {path}")
    assert not output.exists()


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"within_50": 0.953}, True),
        ({"within_50": 0.9531}, False),
        ({"within_50": 0.9469}, False),
        ({"within_10": 0.497}, True),
        ({"within_10": 0.4969}, False),
        ({"mean_rpd": 0.204}, True),
        ({"mean_rpd": 0.2041}, False),
        ({"within_20": 0.1}, True),  # not part of the promise
    ],
)
def test_the_limits_between_c_and_float(tmp_path: Path, change: dict[str, float], holds: bool) -> None:
    path = written(tmp_path / "a.json", FLOAT, replace(C, **change))
    (agreement,) = agreements(collect([path]))
    assert agreement.holds is holds
    assert ("beyond the limits" in agreement_lines([agreement])) is not holds
    done = CliRunner().invoke(report, [str(path), "-o", str(tmp_path / "results.json")])
    assert (done.exception is None) is holds
    assert isinstance(done.exception, UserError | None)


def test_tables_show_the_numbers_they_were_given(tmp_path: Path) -> None:
    records = collect([written(tmp_path / "a.json", FLOAT, C)])
    assert text_table(records).count("95.0% (93.0 - 96.0)") == 2
    shown = markdown(records)
    assert "1,000 one-shot trials" in shown and "'prototype' drawn every 10 ns" in shown
    assert shown.count("95.0% (93.0 - 96.0)") == 1, "one row per predictor: the C"
    assert "| C | 0.200 (0.190 - 0.210) |" in shown


def test_the_readme_is_rewritten_between_its_markers(tmp_path: Path) -> None:
    records = collect([written(tmp_path / "a.json", FLOAT)])
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        update_readme(readme, records)
        assert readme.read_text() == f"before\n{BEGIN}\n{markdown(records)}{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_readme_without_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    records = collect([written(tmp_path / "a.json", FLOAT)])
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(UserError, match="has no results section"):
        update_readme(readme, records)
    assert readme.read_text() == text


def test_the_figure_depends_on_the_records_only(tmp_path: Path) -> None:
    records = collect([written(tmp_path / "a.json", FLOAT, C)])
    other = collect([written(tmp_path / "b.json", FLOAT, replace(C, within_50=0.8))])
    for name, shown in (("1.png", records), ("2.png", records), ("3.png", other)):
        draw_accuracy(shown, tmp_path / name)
    first, second, third = ((tmp_path / f"{n}.png").read_bytes() for n in (1, 2, 3))
    assert first == second != third


def test_the_command_writes_all_it_was_asked_for_or_nothing(tmp_path: Path) -> None:
    records = written(tmp_path / "a.json", FLOAT, C)
    outputs = {name: tmp_path / name for name in ("results.json", "accuracy.png", "README.md")}
    arguments = [
        str(records), "-o", str(outputs["results.json"]), "--figure", str(outputs["accuracy.png"]),
        "--readme", str(outputs["README.md"]),
    ]  # fmt: skip
    outputs["README.md"].write_text("no markers")
    done = CliRunner().invoke(report, arguments)
    assert isinstance(done.exception, UserError) and "has no results section" in str(done.exception)
    assert sorted(tmp_path.iterdir()) == sorted([records, outputs["README.md"]])

    outputs["README.md"].write_text(f"{BEGIN}{END}")
    done = CliRunner().invoke(report, arguments)
    assert done.exit_code == 0, done.output
    assert collect([outputs["results.json"]]) == collect([records])
    assert outputs["README.md"].read_text() == f"{BEGIN}\n{markdown(collect([records]))}{END}"
    assert outputs["accuracy.png"].is_file()


# --- the floor --------------------------------------------------------------------------------------------

FLOOR = replace(FLOAT, predictor="floor", realisation="oracle", seed=9, trials=5, board="none", mean_rpd=0.16)


def test_the_distance_to_the_floor_is_shown(tmp_path: Path) -> None:
    records, floor, out = tmp_path / "records.json", tmp_path / "floor.json", tmp_path / "results.json"
    records.write_text(json.dumps([asdict(FLOAT)]))
    floor.write_text(json.dumps({"records": [asdict(FLOOR)]}))
    done = CliRunner().invoke(report, [str(records), "--floor", str(floor), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert [r["predictor"] for r in json.loads(out.read_text())] == ["ft_smoothed", "floor"]
    assert "x floor" in done.stdout and " 1.25 " in done.stdout
    assert "| 1.25 |" in markdown(collect([out])) and "| 1.00 |" in markdown(collect([out]))
    draw_accuracy(collect([out]), tmp_path / "figure.png")


def test_a_floor_of_other_noise_is_not_shown(tmp_path: Path) -> None:
    records, floor, out = tmp_path / "records.json", tmp_path / "floor.json", tmp_path / "results.json"
    records.write_text(json.dumps([asdict(FLOAT)]))
    floor.write_text(json.dumps({"records": [asdict(replace(FLOOR, cadence_s=1e-6))]}))
    done = CliRunner().invoke(report, [str(records), "--floor", str(floor), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "not shown; `python -m train floor` finds another" in done.stdout and "x floor" not in done.stdout
    assert len(json.loads(out.read_text())) == 1


def test_what_is_no_floor_is_refused(tmp_path: Path) -> None:
    records, out = tmp_path / "records.json", tmp_path / "results.json"
    records.write_text(json.dumps([asdict(FLOAT)]))
    done = CliRunner().invoke(report, [str(records), "--floor", str(records), "-o", str(out)])
    assert isinstance(done.exception, UserError) and "train floor -o" in str(done.exception)
    assert not out.exists()
