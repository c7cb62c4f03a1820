"""Collects the records of a run: `results.json`, the printed table, the check of C against float, the README.

Everything shown comes from the records; nothing is computed twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from codegen.validation import first_problem
from sim.accuracy import AccuracyRecord
from sim.document import replace_section
from sim.errors import UserError
from train.floor import PREDICTOR as FLOOR
from train.floor import REALISATION as ORACLE

Record = dict[str, Any]

# What the compiled C may differ by from the float network it was made from (same devices, same noise).
MOST_FRACTION_DIFFERENCE = 0.003
MOST_RELATIVE_MEAN_RPD_DIFFERENCE = 0.02

TITLES = {
    "noise_free_inverse": "noise-free model, inverted",
    "noise_free_scaled": "the same, with one fitted time-scale factor",
    "mlp_rpd_t": "MLP, linear time, best RPD of t",
    "mlp_rpd_g": "MLP, linear time, best RPD of G",
    "ft_unsmoothed": "fine-tuned on G, unsmoothed",
    "ft_smoothed": "fine-tuned on G, smoothed (the paper's full recipe)",
    "log_mlp": "MLP, log time",
    "log_smoothed": "MLP, log time, fine-tuned on RPD of G",
    "table_16x16": "look-up table, 16 x 16 log times per direction",
    "log_expected": "MLP, log time, trained on expected RPD",
    "recorded": "MLP, log time, trained on recorded runs",
    "log_voltage": "MLP, log time, also of the voltage; the lowest voltage whose pulse fits",
    FLOOR: "best fixed pulse time of each pair",
}
FREE_VOLTAGE = ("log_voltage",)
"""Predictors that the floor of fixed voltages says nothing about."""
PHYSICS = ("device_model", "noise_preset", "cadence_s")
REALISATIONS = ("float", "reference", "c", ORACLE)
BEGIN, END = "<!-- results: written by `make readme` -->", "<!-- end of results -->"


@dataclass(frozen=True)
class Agreement:
    """How far the compiled C of one predictor is from its float network; all differences are C - float."""

    predictor: str
    within_50: float
    within_10: float
    mean_rpd_relative: float

    @property
    def holds(self) -> bool:
        """True within the limits above."""
        return (
            _within(self.within_50, MOST_FRACTION_DIFFERENCE)
            and _within(self.within_10, MOST_FRACTION_DIFFERENCE)
            and _within(self.mean_rpd_relative, MOST_RELATIVE_MEAN_RPD_DIFFERENCE)
        )


def _within(difference: float, limit: float) -> bool:
    return abs(difference) <= limit * (1 + 1e-9)  # 0.953 - 0.95 is a rounding error above 0.003


def collect(paths: Sequence[Path]) -> list[Record]:
    """Read the `records` of several JSON files, ordered by predictor and realisation.

    Raises:
        UserError: a file is missing or unreadable, there is no record, one occurs twice, or runs of different
            settings mix.
    """
    records: list[Record] = []
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = content if isinstance(content, list) else content["records"]
            records += [_checked(record) for record in found]
        except ValidationError as error:
            raise UserError(f"cannot read records from {path}: {first_problem(error)}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"cannot read records from {path} ({error}); run the stage that writes it"
            ) from None
    if not records:
        raise UserError("there is no record in the files given; run the stages that write them")
    keys = [(r["predictor"], r["realisation"]) for r in records]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise UserError(f"two records of {twice[0][0]} ({twice[0][1]}); give each file once")
    evaluated = [r for r in records if r["realisation"] != ORACLE]  # the floor has trials of its own
    for setting, compared in (
        *((name, records) for name in PHYSICS),
        *((name, evaluated) for name in ("seed", "trials", "board")),
    ):
        if len({str(r[setting]) for r in compared}) > 1:
            raise UserError(f"the records differ in {setting}; evaluate every predictor on the same trials")
    return sorted(
        records, key=lambda r: (_rank(TITLES, r["predictor"]), _rank(REALISATIONS, r["realisation"]))
    )


def _checked(fields: Record) -> Record:
    """The fields of a record, as an `AccuracyRecord` has them.

    Raises:
        TypeError, ValueError: a field is missing, unknown or of the wrong kind.
    """
    record = AccuracyRecord(**fields)
    if record.realisation not in REALISATIONS:
        raise ValueError(f"unknown realisation '{record.realisation}'")
    return vars(TypeAdapter(AccuracyRecord).validate_python(vars(record)))


def _rank(order: Any, name: str) -> tuple[int, str]:
    names = list(order)
    return (names.index(name) if name in names else len(names), name)


def agreements(records: Sequence[Record]) -> list[Agreement]:
    """Compare C and float of every predictor that has both."""
    by_key = {(r["predictor"], r["realisation"]): r for r in records}
    found = []
    for (predictor, realisation), c in by_key.items():
        flt = by_key.get((predictor, "float"))
        if realisation == "c" and flt is not None:
            found.append(
                Agreement(
                    predictor,
                    within_50=c["within_50"] - flt["within_50"],
                    within_10=c["within_10"] - flt["within_10"],
                    mean_rpd_relative=c["mean_rpd"] / flt["mean_rpd"] - 1.0,
                )
            )
    return found


def read_floor(path: Path, like: Mapping[str, object]) -> tuple[list[Record], str]:
    """The floor in a file of `train floor`, or none if it is that of other devices; and a line that says so.

    Args:
        like: a record, or its `PHYSICS` alone, that the floor must be of.

    Raises:
        UserError: no such file.
    """
    (floor,) = collect([path])
    if floor["realisation"] != ORACLE:
        raise UserError(f"{path} is not a file that `python -m train floor -o` wrote")
    if any(floor[name] != like[name] for name in PHYSICS):
        return [], (
            f"the floor in {path} is that of {', '.join(str(floor[name]) for name in PHYSICS)}: not shown;"
            " `python -m train floor` finds another"
        )
    return [floor], f"the floor: {path}"


def _floor_mean(records: Sequence[Record]) -> float | None:
    """Mean RPD of the floor, if it is among the records."""
    return next((r["mean_rpd"] for r in records if r["predictor"] == FLOOR), None)


def _cells(r: Record, floor_mean: float | None) -> list[str]:
    def fraction(name: str) -> str:
        low, high = r[f"{name}_ci95"]
        return f"{r[name]:.1%} ({low * 100:.1f} - {high * 100:.1f})"

    def number(name: str) -> str:
        low, high = r[f"{name}_ci95"]
        return f"{r[name]:.3f} ({low:.3f} - {high:.3f})"

    return [
        r["predictor"],
        {"c": "C", "reference": "integers"}.get(r["realisation"], r["realisation"]),
        number("mean_rpd"),
        *([] if floor_mean is None else [_distance(r, floor_mean)]),
        number("median_rpd"),
        *(fraction(name) for name in ("within_50", "within_20", "within_10", "wrong_direction")),
    ]


def _distance(r: Record, floor_mean: float) -> str:
    return "" if r["predictor"] in FREE_VOLTAGE else f"{r['mean_rpd'] / floor_mean:.2f}"


def _header(floor_mean: float | None) -> list[str]:
    distance = [] if floor_mean is None else ["x floor"]
    shares = ["within 50 %", "within 20 %", "within 10 %", "wrong way"]
    return ["predictor", "as", "mean RPD", *distance, "median RPD", *shares]


def conditions(records: Sequence[Record]) -> str:
    """One line that says what the numbers of `records` hold for."""
    r = next(r for r in records if r["realisation"] != ORACLE)
    devices, noise = f"recorded devices ({r['noise_preset']})", ""
    if r["cadence_s"] is not None:
        devices = "fresh noisy devices"
        noise = f", noise preset '{r['noise_preset']}' drawn every {r['cadence_s'] * 1e9:g} ns"
    return (
        f"{r['trials']:,} one-shot trials on {devices}, board '{r['board']}'{noise}, evaluation seed {r['seed']};"
        " in brackets: 95 % intervals"
    )


def text_table(records: Sequence[Record]) -> str:
    """The records as an aligned text table."""
    floor_mean = _floor_mean(records)
    rows = [_header(floor_mean), *(_cells(r, floor_mean) for r in records)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def agreement_lines(found: Sequence[Agreement]) -> str:
    """The differences between C and float, one predictor a line."""
    return "\n".join(
        f"C - float, {a.predictor}: within 50 % {a.within_50 * 100:+.2f} pp, within 10 %"
        f" {a.within_10 * 100:+.2f} pp, mean RPD {a.mean_rpd_relative:+.2%}"
        + ("" if a.holds else "   <- beyond the limits (0.3 pp, 0.3 pp, 2 %)")
        for a in found
    )


def markdown(records: Sequence[Record]) -> str:
    """Conditions and table for the README: one row per predictor, as C where there is C."""
    floor_mean = _floor_mean(records)
    header = _header(floor_mean)
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for r in shown(records):
        cells = _cells(r, floor_mean)
        cells[0] = f"`{r['predictor']}`: {TITLES.get(r['predictor'], '')}".removesuffix(": ")
        lines.append("| " + " | ".join(cells) + " |")
    return f"{conditions(records)}.\n\n" + "\n".join(lines) + "\n"


def shown(records: Sequence[Record]) -> list[Record]:
    """One record per predictor: as C where there is C."""
    last = {r["predictor"]: r for r in records if r["realisation"] != "reference"}
    return list(last.values())  # C follows float in the order of `collect`


def update_readme(readme: Path, records: Sequence[Record]) -> None:
    """Replace the results between the README's markers.

    Raises:
        UserError: the markers are missing.
    """
    replace_section(readme, BEGIN, END, markdown(records))
