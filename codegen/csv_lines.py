"""The lines of a user's CSV file, each with the words that name it in an error."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from sim.errors import UserError


def read_lines(
    path: Path, is_header: Callable[[list[str]], bool], columns: str, what: str
) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The header, and for each line below it that is not empty its place (file and line number) and its values.

    Args:
        is_header: whether these column names will do; `columns` says in an error which would.
        what: name of the things that the lines hold, for an error.

    Raises:
        UserError: the file cannot be read, has other columns, or no line, or too few or too many values in one.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file") from None
    rows = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(rows, [])]
    if not is_header(header):
        raise UserError(f"{path}, line 1: the columns must be {columns}")
    lines = []
    try:
        for row in rows:
            if row:
                where = f"{path}, line {rows.line_num}"
                if len(row) != len(header):
                    raise UserError(f"{where}: {len(row)} values instead of {len(header)}")
                lines.append((where, row))
    except csv.Error as error:
        raise UserError(f"{path}, line {rows.line_num}: {error}") from None
    if not lines:
        raise UserError(f"{path}: no {what} below the header")
    return header, lines
