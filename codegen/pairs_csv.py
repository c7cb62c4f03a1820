"""The CSV files of `codegen predict`: pairs in, pulses out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codegen.csv_lines import read_lines
from codegen.fixed import INT32_MAX, INT32_MIN, Int64Array
from codegen.predictions import Predictions
from codegen.status import Status
from sim.errors import UserError

PAIR_COLUMNS = ("g_start_nS", "g_target_nS")


def read_pairs(path: Path, g_min_nS: int, g_max_nS: int) -> tuple[Int64Array, Int64Array]:
    """Start and target conductances, (n,) each.

    Raises:
        UserError: the file or one of its lines is unusable, or a target lies outside the window; names the line.
    """
    _, lines = read_lines(path, lambda header: tuple(header) == PAIR_COLUMNS, ",".join(PAIR_COLUMNS), "pairs")
    pairs = [_parse(row, g_min_nS, g_max_nS, where) for where, row in lines]
    columns = np.array(pairs, dtype=np.int64)
    return columns[:, 0], columns[:, 1]


def format_pulses(pulses: Predictions, with_voltage: bool, with_wish: bool = False) -> str:
    """`ticks,direction` lines, one per pair.

    Args:
        with_voltage: add `v_uV`, for a predictor that chooses the voltage.
        with_wish: add `promised`: 0 where the pulse cannot be expected to keep the wish, else 1.
    """
    columns = {"ticks": pulses.ticks, "direction": pulses.direction.astype(np.int64)}
    if with_voltage:
        columns["v_uV"] = pulses.v_uV
    if with_wish:
        columns["promised"] = (pulses.status != Status.NOT_PROMISED).astype(np.int64)
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"


def _parse(row: list[str], g_min_nS: int, g_max_nS: int, where: str) -> tuple[int, int]:
    try:
        start, target = (int(value) for value in row)
    except ValueError:
        raise UserError(f"{where}: '{','.join(row)}' are not two whole numbers of nanosiemens") from None
    if not INT32_MIN <= start <= INT32_MAX:
        raise UserError(f"{where}: start {start} nS does not fit a 32-bit integer")
    if not g_min_nS <= target <= g_max_nS:
        raise UserError(
            f"{where}: target {target} nS is outside the trained window {g_min_nS} .. {g_max_nS} nS"
        )
    return start, target
