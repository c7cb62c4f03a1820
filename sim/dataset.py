"""The pulse data set: what it holds, and its HDF5 file with units, parameters and hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sim import jart_fit
from sim.errors import UserError
from sim.noise import NoisePreset, load_preset
from sim.output_files import whole_file
from sim.params import OperatingWindow, require_in_range
from sim.population import DT_S
from sim.units import Floats, Ints

FORMAT = "ouroboros-pulse-dataset-1"
HISTORY_TOLERANCE_S = 0.05e-6
"""Error bound of a stored history against every 10 ns sample: 0.05 uS."""
TRAIN, VALIDATION, TEST = 0, 1, 2
_UNITS = {
    "g_start_S": "S",
    "g_target_S": "S",
    "g_end_S": "S",
    "t_pulse_s": "s",
    "split": "0 train, 1 validation, 2 test",
    "history_offset": "first knot of each sample",
    "history_step": "dt_s",
    "history_g_S": "S",
}


@dataclass(frozen=True)
class DatasetParams:
    """Everything that determines a data set.

    A target that is not reached within `longest_pulse_s` is redrawn: the walking window bounds keep some
    conductances near the window's ends out of reach for good. `pairs_per_chunk` names the random streams.
    """

    pairs: int = 10_000
    seed: int = 1
    noise: NoisePreset = field(default_factory=lambda: load_preset("ouroboros"))
    v_set_V: float = jart_fit.V_SET_V
    v_reset_V: float = jart_fit.V_RESET_V
    window: OperatingWindow = field(default_factory=OperatingWindow)
    longest_pulse_s: float = 0.01
    pairs_per_chunk: int = 1000

    def __post_init__(self) -> None:
        """Refuse counts and times that cannot make a data set."""
        require_in_range("pairs", self.pairs, 10, 10_000_000, "")
        require_in_range("longest_pulse_s", self.longest_pulse_s, DT_S, 1.0, "s")
        require_in_range("|v_set_V|", -self.v_set_V, 0.0, 2.0, "V")
        require_in_range("v_reset_V", self.v_reset_V, 0.0, 2.0, "V")

    def as_json(self) -> str:
        """Stable JSON of all parameters."""
        values = {
            **asdict(self),
            "noise": self.noise.model_dump(),
            "device_model": jart_fit.NAME,
            "dt_s": DT_S,
        }
        return json.dumps(values, sort_keys=True)

    def sha256(self) -> str:
        """Hash of the parameters and the file format."""
        return hashlib.sha256((FORMAT + self.as_json()).encode()).hexdigest()


@dataclass(frozen=True)
class PulseDataset:
    """Arrays of n samples. `t_pulse_s` is signed, + SET.

    Sample i's history G(t) is piecewise linear with knots
    `history_offset[i]:history_offset[i + 1]` at times `history_step * dt_s` along the pulse (unsigned); it
    starts at `g_start_S` and ends after twice the pulse. `redrawn` counts pairs that were out of reach.
    """

    g_start_S: Floats
    g_target_S: Floats
    g_end_S: Floats
    t_pulse_s: Floats
    split: npt.NDArray[np.uint8]
    history_offset: Ints
    history_step: npt.NDArray[np.uint32]
    history_g_S: npt.NDArray[np.float32]
    redrawn: int
    dt_s: float = DT_S

    def __len__(self) -> int:
        return len(self.g_start_S)


def join(parts: list[PulseDataset]) -> PulseDataset:
    """Concatenate data sets in order and deal the splits 80/10/10 by position."""
    joined: dict[str, Any] = {
        f.name: np.concatenate([getattr(p, f.name) for p in parts])
        for f in fields(PulseDataset)
        if f.name not in ("history_offset", "redrawn", "dt_s", "split")
    }
    knots = np.concatenate([[0], *(np.diff(p.history_offset) for p in parts)])
    n = len(joined["g_start_S"])
    split = np.full(n, TRAIN, dtype=np.uint8)
    split[round(0.8 * n) :] = VALIDATION
    split[round(0.9 * n) :] = TEST
    return PulseDataset(
        **joined,
        history_offset=np.cumsum(knots).astype(np.int64),
        split=split,
        redrawn=sum(p.redrawn for p in parts),
    )


def content_sha256(dataset: PulseDataset) -> str:
    """Hash of all arrays."""
    digest = hashlib.sha256()
    for name in _UNITS:
        digest.update(np.ascontiguousarray(getattr(dataset, name)).tobytes())
    return digest.hexdigest()


def save(path: Path, dataset: PulseDataset, params: DatasetParams) -> None:
    """Write the HDF5 file whole or not at all.

    It is made in memory: HDF5 itself does not survive a full disk.
    """
    with h5py.File(path.name, "w", driver="core", backing_store=False, libver="latest") as file:
        file.attrs["format"] = FORMAT
        file.attrs["parameters"] = params.as_json()
        file.attrs["parameters_sha256"] = params.sha256()
        file.attrs["content_sha256"] = content_sha256(dataset)
        file.attrs["seed"] = params.seed
        file.attrs["dt_s"] = dataset.dt_s
        file.attrs["redrawn"] = dataset.redrawn
        file.attrs["history_tolerance_S"] = HISTORY_TOLERANCE_S
        for name, unit in _UNITS.items():
            file.create_dataset(_location(name), data=getattr(dataset, name)).attrs["unit"] = unit
        file.flush()
        image = file.id.get_file_image()
    with whole_file(path) as temporary:
        temporary.write_bytes(image)


def load(path: Path) -> PulseDataset:
    """Read a data set and check it against its hash.

    Raises:
        UserError: the file is missing, of another format, truncated or changed.
    """
    values, attributes = _read(path)
    dataset = PulseDataset(**values, redrawn=int(attributes["redrawn"]), dt_s=float(attributes["dt_s"]))
    if content_sha256(dataset) != attributes["content_sha256"]:
        raise UserError(f"data set {path} is damaged: its contents do not match its hash; generate it again")
    return dataset


def parameters(path: Path) -> dict[str, Any]:
    """The parameters a data set was generated with, as `DatasetParams.as_json` wrote them."""
    _, attributes = _read(path, arrays=False)
    parsed: dict[str, Any] = json.loads(attributes["parameters"])
    return parsed


def parameters_sha256(path: Path) -> str:
    """Hash of the parameters a data set was generated with."""
    _, attributes = _read(path, arrays=False)
    return str(attributes["parameters_sha256"])


def _location(name: str) -> str:
    return name.replace("history_", "history/", 1)


def _read(path: Path, arrays: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"data set not found: {path}; make one with 'python -m sim dataset -o {path}'")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise UserError(f"{path} is not a pulse data set of format {FORMAT}")
            attributes = dict(file.attrs)
            values = {name: file[_location(name)][...] for name in _UNITS} if arrays else {}
    except (OSError, KeyError, RuntimeError) as error:
        raise UserError(f"data set {path} is truncated or damaged ({error}); generate it again") from None
    return values, attributes
