"""Programming a list of cells on a board: every result is on disk before the next cell is touched.

While it runs, results gather in a journal beside the output: a comment line with the provenance as JSON, a header, one
line per cell. A run that was stopped goes on from its journal.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codegen import VERSION
from codegen.scpi_client import UNKNOWN, DeviceState, Programmed, ScpiClient, VerifySettings
from codegen.states_file import Cell, read_states, states_sha256, write_states
from codegen.targets_csv import Target
from sim.errors import UserError
from sim.output_files import whole_file, write_text

FORMAT = "ouroboros-bench-1"
SUFFIXES = (".h5", ".csv")
TEXT_COLUMNS = ("mode", "status", "time_utc")
COLUMNS = (
    *(field.name for field in fields(Target)),
    *(field.name for field in fields(Programmed)),
    "g_end_nS",  # one reading after the program
    "time_utc",  # of that reading
)
STATE_COLUMNS = ("log2_rate_q4", "known_pulses")  # of a run that minds its devices' states: after the program
UNITS = {"nS": "nS", "ticks": "timer ticks", "q4": "octave / 16"}
MAY_DIFFER = ("port", "started_utc")  # between a run and the one that goes on with it


@dataclass(frozen=True)
class Devices:
    """What a run does about the states of a device-aware board.

    Attributes:
        states: file they are restored from and saved to; of a cell that is not in it nothing is known. None: the
            board's own are used, and kept there.
        calibration_pulses: for each cell of which nothing is known, before its first program.
    """

    states: Path | None = None
    calibration_pulses: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the run's results."""
        return COLUMNS + STATE_COLUMNS if self.states or self.calibration_pulses else COLUMNS


@dataclass(frozen=True)
class Batch:
    """What a run did: `results` has one line of `columns` per target, `provenance` says who, where, when and how."""

    provenance: dict[str, Any]
    columns: tuple[str, ...]
    results: list[list[str]]

    def statuses(self) -> dict[str, int]:
        """How many programs ended how."""
        at = self.columns.index("status")
        return dict(sorted(Counter(row[at] for row in self.results).items()))

    def states(self) -> dict[Cell, DeviceState]:
        """What was known of each device after its last program; empty for a run that did not mind."""
        if self.columns == COLUMNS:
            return {}
        r, c, rate, pulses = (self.columns.index(name) for name in ("r", "c", *STATE_COLUMNS))
        return {
            (int(row[r]), int(row[c])): DeviceState(int(row[rate]), int(row[pulses])) for row in self.results
        }


def require_free(output: Path, force: bool) -> None:
    """Check an output's name before anything is done.

    Raises:
        UserError: its suffix says no format, or it exists and `force` is not set.
    """
    if output.suffix not in SUFFIXES:
        raise UserError(f"{output}: results are written as {' or '.join(SUFFIXES)}")
    if output.exists() and not force:
        raise UserError(f"{output} exists; choose another or add --force")


def journal_of(output: Path) -> Path:
    """Where a run's results gather until `output` is written."""
    return output.with_name(f"{output.name}.part")


def run_batch(
    board: ScpiClient,
    targets: Sequence[Target],
    targets_sha256: str,
    settings: VerifySettings,
    output: Path,
    devices: Devices = Devices(),
    progress: Callable[[int], None] = lambda done: None,
) -> Batch:
    """Program every target in order, or those that the journal beside `output` lacks; then write `output`.

    States of devices are restored before and saved after; those of a run that was stopped are in its journal.

    Args:
        progress: called with the number of targets just done.

    Raises:
        UserError: the board refused or failed, or the journal or the states are another's.
    """
    known = read_states(devices.states, board.identity) if devices.states else {}
    if devices.columns != COLUMNS:
        board.device_state(targets[0].r, targets[0].c)  # refused before anything is begun
    provenance = {
        "format": FORMAT,
        "generator": VERSION,
        "identity": str(board.identity),
        "port": board.port,
        "started_utc": _now_utc(),
        "settings": asdict(settings),
        "targets": len(targets),
        "targets_sha256": targets_sha256,
    }
    if devices.columns != COLUMNS:
        provenance["calibration_pulses"] = devices.calibration_pulses
        provenance["states_sha256"] = states_sha256(devices.states)
    journal = journal_of(output)
    batch = _begin(journal, Batch(provenance, devices.columns, []), targets)
    progress(len(batch.results))
    known |= batch.states()
    for cell in dict.fromkeys((target.r, target.c) for target in targets[len(batch.results) :]):
        if devices.states or cell in known:
            board.set_device_state(*cell, known.get(cell, UNKNOWN))
    with journal.open("a", encoding="utf-8", newline="") as file:
        for target in targets[len(batch.results) :]:
            row = _program(board, target, settings, devices)
            file.write(",".join(row) + "\n")
            file.flush()
            batch.results.append(row)
            progress(1)
    write_batch(batch, output)
    if devices.states:
        write_states(devices.states, board.identity, known | batch.states())
    journal.unlink()
    return batch


def write_batch(batch: Batch, output: Path) -> None:
    """Write CSV, provenance in a `#` comment on top, or HDF5, one data set per column: as `output`'s suffix says."""
    if output.suffix == ".csv":
        lines = [",".join(row) for row in batch.results]
        write_text(output, "\n".join([*_head(batch), *lines]) + "\n")
        return
    with whole_file(output) as temporary, h5py.File(temporary, "w") as file:
        for name, value in batch.provenance.items():
            file.attrs[name] = json.dumps(value) if isinstance(value, dict) else value
        for name, column in zip(batch.columns, zip(*batch.results, strict=True), strict=True):
            if name in TEXT_COLUMNS:
                file.create_dataset(name, data=list(column), dtype=h5py.string_dtype())
            else:
                dataset = file.create_dataset(name, data=np.array([int(value) for value in column]))
                dataset.attrs["unit"] = UNITS.get(name.rpartition("_")[2], "1")


def _program(board: ScpiClient, target: Target, settings: VerifySettings, devices: Devices) -> list[str]:
    cell = target.r, target.c
    if devices.calibration_pulses and board.device_state(*cell).pulses == 0:
        board.calibrate_device(*cell, devices.calibration_pulses)
    if target.mode == "one_shot":
        found = board.program_one_shot(*cell, target.g_target_nS)
    else:
        found = board.program_verify(*cell, target.g_target_nS, settings)
    _, g_end_nS = board.reading(*cell)
    values = {**asdict(target), **asdict(found), "status": found.status.name, "g_end_nS": g_end_nS}
    values["time_utc"] = _now_utc()
    if devices.columns != COLUMNS:
        values |= zip(STATE_COLUMNS, asdict(board.device_state(*cell)).values(), strict=True)
    return [str(values[name]) for name in devices.columns]


def _begin(journal: Path, new: Batch, targets: Sequence[Target]) -> Batch:
    """What `journal` holds of this very run; a new journal when there is none."""
    provenance, columns = new.provenance, new.columns
    if not journal.exists():
        write_text(journal, "\n".join(_head(new)) + "\n")
        return new
    text = journal.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]  # a line that a crash cut off is done again
    first, _, rest = whole.partition("\n")
    try:
        found = json.loads(first.removeprefix("# "))
        lines = list(csv.reader(io.StringIO(rest)))
        is_ours = tuple(lines[0]) == columns and all(len(line) == len(columns) for line in lines)
        different = [k for k, v in provenance.items() if k not in MAY_DIFFER and found[k] != v]
        wanted = [[str(value) for value in vars(target).values()] for target in targets]
        if any(line[: len(w)] != w for line, w in zip(lines[1:], wanted, strict=False)):
            different.append("mode")
    except (ValueError, LookupError, TypeError, csv.Error):
        is_ours, different = False, []
    if not is_ours or different:
        what = f"its {different[0]} differs" if different else "it is not a journal"
        raise UserError(f"{journal} is not of this run ({what}): remove it or choose another output")
    write_text(journal, whole)
    return Batch(found, columns, lines[1:])


def _head(batch: Batch) -> list[str]:
    return [f"# {json.dumps(batch.provenance)}", ",".join(batch.columns)]


def _now_utc() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
