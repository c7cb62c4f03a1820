"""The accuracy that co-simulation measured for a network's C, as the firmware folder's README states it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from codegen.validation import first_problem
from sim.accuracy import AccuracyRecord
from sim.errors import UserError

REALISATION = "c"


def measured_accuracy(path: Path, predictor: str, board_name: str) -> AccuracyRecord:
    """The record of `predictor` as compiled C on a board, from what `codegen cosim` or `train report` wrote.

    Raises:
        UserError: the file cannot be read or has no such record; the message names those it has.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content if isinstance(content, list) else content["records"]
        fields = [record for record in found if record["realisation"] == REALISATION]
        records = [TypeAdapter(AccuracyRecord).validate_python(record) for record in fields]
    except ValidationError as error:
        raise UserError(f"cannot read records from {path}: {first_problem(error)}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"cannot read records from {path} ({error}); 'codegen cosim' writes such a file"
        ) from None
    for record in records:
        if (record.predictor, record.board) == (predictor, board_name):
            return record
    there = ", ".join(f"'{record.predictor}' on '{record.board}'" for record in records) or "none"
    raise UserError(f"{path} has no record of '{predictor}' as C on board '{board_name}'; it has {there}")


def accuracy_rows(record: AccuracyRecord | None) -> list[tuple[str, str, str, str]]:
    """Name, value and ends of the 95 % interval of each figure, as text."""
    if record is None:
        return []
    figures = (
        ("mean RPD", ".3f", record.mean_rpd, record.mean_rpd_ci95),
        ("median RPD", ".3f", record.median_rpd, record.median_rpd_ci95),
        ("within 50 %", ".1%", record.within_50, record.within_50_ci95),
        ("within 20 %", ".1%", record.within_20, record.within_20_ci95),
        ("within 10 %", ".1%", record.within_10, record.within_10_ci95),
        ("wrong direction", ".1%", record.wrong_direction, record.wrong_direction_ci95),
    )
    return [
        (name, format(value, form), format(low, form), format(high, form))
        for name, form, value, (low, high) in figures
    ]
