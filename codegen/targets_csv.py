"""The CSV file of `codegen bench`: which cells to bring to which conductance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codegen.csv_lines import read_lines
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
    header, lines = read_lines(
        path,
        lambda names: set(names) in ({*REQUIRED}, {*REQUIRED, "mode"}) and len(names) == len(set(names)),
        f"{','.join(REQUIRED)} and, if wanted, mode",
        "targets",
    )
    return [_parse(dict(zip(header, row, strict=True)), default_mode, where) for where, row in lines]


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
