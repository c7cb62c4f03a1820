"""States of a board's devices on disk: its RAM forgets them when the power goes.

One HDF5 file for one array on one firmware: data sets `r`, `c`, `log2_rate_q4` and `pulses`, one line for each device
that something is known of; attributes say which board and network they belong to.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np

from codegen import VERSION
from codegen.scpi_client import DeviceState, Identity
from sim.errors import UserError
from sim.output_files import whole_file

FORMAT = "ouroboros-states-1"
COLUMNS = {"r": np.uint16, "c": np.uint16, "log2_rate_q4": np.int8, "pulses": np.uint8}
UNITS = {"log2_rate_q4": "octave / 16"}

Cell = tuple[int, int]


def read_states(path: Path, identity: Identity) -> dict[Cell, DeviceState]:
    """States by cell (row, column); empty when there is no file yet.

    Raises:
        UserError: not such a file, or one of another board or network than those of `identity`.
    """
    if not path.exists():
        return {}
    try:
        with h5py.File(path) as file:
            if file.attrs["format"] != FORMAT:
                raise ValueError(file.attrs["format"])
            owner = {name: str(file.attrs[name]) for name in ("board", "network")}
            columns = [file[name][:].astype(kind, casting="no").tolist() for name, kind in COLUMNS.items()]
            lines = list(zip(*columns, strict=True))
    except (OSError, KeyError, ValueError, TypeError, AttributeError):
        raise UserError(f"{path} holds no states of devices: choose another file") from None
    for name, value in owner.items():
        if value != getattr(identity, name):
            raise UserError(
                f"{path} holds states for {name} {value}, this is {name} {getattr(identity, name)}: they mean nothing "
                "here; choose another file, and calibrate"
            )
    return {(r, c): DeviceState(log2_rate_q4, pulses) for r, c, log2_rate_q4, pulses in lines}


def write_states(path: Path, identity: Identity, states: dict[Cell, DeviceState]) -> None:
    """Write all of `states`, sorted by cell, or nothing."""
    lines = [(*cell, state.log2_rate_q4, state.pulses) for cell, state in sorted(states.items())]
    table = np.array(lines, dtype=np.int64).reshape(-1, len(COLUMNS))
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["generator"] = VERSION
        file.attrs["board"] = identity.board
        file.attrs["network"] = identity.network
        for (name, kind), column in zip(COLUMNS.items(), table.T, strict=True):
            dataset = file.create_dataset(name, data=column.astype(kind))
            dataset.attrs["unit"] = UNITS.get(name, "1")


def states_sha256(path: Path | None) -> str:
    """Hash of the states themselves, empty when there are none."""
    if path is None or not path.exists():
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()
