"""The CSV file of `codegen bench`: which cells to bring to which conductance."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from sim.errors import UserError

REQUIRED = ("r", "c", "g_target_nS")
MODES = ("one_shot", "verify")
HIGHEST = {"r": 2**16 - 1, "c": 2**16 - 1, "g_target_nS": 2**31 - 1}


@dataclass(frozen=True)
class Target:
    """One cell and the conductance it is to have."""

    r: int
    c: int
    g_target_nS: int
    mode: str


def read_targets(path: Path, default_mode: str) -> list[Target]:
    """The lines of `path`, columns `r,c,g_target_nS` and, when modes differ, `mode`, in any order.

    Raises:
        UserError: the file or one of its lines is unusable; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file") from None
    rows = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(rows, [])]
    if set(header) not in ({*REQUIRED}, {*REQUIRED, "mode"}) or len(header) != len(set(header)):
        raise UserError(f"{path}, line 1: the columns must be {','.join(REQUIRED)} and, if wanted, mode")
    targets = []
    try:
        for row in rows:
            if row:
                where = f"{path}, line {rows.line_num}"
                if len(row) != len(header):
                    raise UserError(f"{where}: {len(row)} values instead of {len(header)}")
                targets.append(_parse(dict(zip(header, row, strict=True)), default_mode, where))
    except csv.Error as error:
        raise UserError(f"{path}, line {rows.line_num}: {error}") from None
    if not targets:
        raise UserError(f"{path}: no targets below the header")
    return targets


def _parse(fields: dict[str, str], default_mode: str, where: str) -> Target:
    numbers = {}
    for name in REQUIRED:
        try:
            numbers[name] = int(fields[name])
        except ValueError:
            raise UserError(f"{where}: {name} = '{fields[name]}' is not a whole number") from None
        if not 0 <= numbers[name] <= HIGHEST[name]:
            raise UserError(f"{where}: {name} = {numbers[name]} is outside 0 .. {HIGHEST[name]}")
    mode = fields.get("mode", "").strip() or default_mode
    if mode not in MODES:
        raise UserError(f"{where}: mode '{mode}' is neither {' nor '.join(MODES)}")
    return Target(**numbers, mode=mode)
