"""CSV tables of numbers with named columns."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim.errors import UserError
from sim.output_files import whole_file
from sim.units import Floats


def read_csv(path: Path, columns: Sequence[str]) -> dict[str, Floats]:
    """Read the named columns as floats; lines that start with `#` are comments, other columns are ignored.

    Raises:
        UserError: missing file or column, or a cell that is not a finite number (named by its line).
    """
    if not path.is_file():
        raise UserError(f"file not found: {path}")
    with path.open(newline="", encoding="utf-8") as file:
        try:
            lines = [(number, line) for number, line in enumerate(file, start=1) if not line.startswith("#")]
        except UnicodeDecodeError:
            raise UserError(f"{path} is not a text file") from None
    if not lines:
        raise UserError(f"{path} is empty; expected columns {','.join(columns)}")
    rows = list(csv.reader(line for _, line in lines))
    header = [name.strip() for name in rows[0]]
    missing = [name for name in columns if name not in header]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; expected {','.join(columns)}")
    values = np.empty((len(rows) - 1, len(columns)))
    positions = [header.index(name) for name in columns]
    for k, row in enumerate(rows[1:]):
        values[k] = [_number(path, lines[k + 1][0], row, at, header) for at in positions]
    return {name: np.ascontiguousarray(values[:, k]) for k, name in enumerate(columns)}


def _number(path: Path, line: int, row: list[str], at: int, header: list[str]) -> float:
    text = row[at] if at < len(row) else ""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UserError(f"{path}, line {line}: {header[at]} = '{text}' is not a finite number")
    return value


def write_csv(path: Path, columns: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write equally long columns; floats with the digits that read back as the same number."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
