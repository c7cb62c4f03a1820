"""Responses of many fresh noisy devices to long pulses: what the floor is computed from and predictors learn from.

From each start conductance on an even grid over the window, `devices` fresh devices are pulsed in both directions,
and their conductance is recorded at log-spaced times. One device's record holds its answer to every pulse time at
once, and so its error for every target.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sim import jart_fit
from sim.device import DeviceArray
from sim.errors import UserError
from sim.models import DeviceModel, load_model
from sim.noise import NoisePreset, load_preset
from sim.output_files import whole_file
from sim.params import OperatingWindow, require_in_range
from sim.population import DT_S
from sim.units import Floats, Ints

FORMAT = "ouroboros-responses-1"
DIRECTIONS = (1, -1)
"""SET, RESET: the first axis of the conductances."""
EVEN, ENDS = "even", "ends"
_FIRST_DEVICE = 1 << 31  # random streams that no data set and no evaluation uses
CHUNK_STEPS = 500_000_000  # device-steps between two files to resume from: several seconds

Conductances = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ResponseParams:
    """Everything that determines the responses. By default they are those for the floor and for training.

    Attributes:
        starts: start conductances.
        spacing: of the starts: "even", at the midpoints of as many equal parts of the window, so that their mean is
            that over the window; or "ends", denser towards its ends (Chebyshev's nodes), where responses change most.
        devices: per start and direction.
        longest_pulse_s: where the records end.
        points_per_decade: of time; with 24 a best time is at most 5 % off, nothing beside the noise of `ouroboros`.
    """

    starts: int = 64
    devices: int = 256
    seed: int = 1
    noise: NoisePreset = field(default_factory=lambda: load_preset("ouroboros"))
    v_set_V: float = jart_fit.V_SET_V
    v_reset_V: float = jart_fit.V_RESET_V
    window: OperatingWindow = field(default_factory=OperatingWindow)
    longest_pulse_s: float = 1e-3
    points_per_decade: int = 24
    device_model: str = jart_fit.NAME
    spacing: str = EVEN

    def __post_init__(self) -> None:
        """Refuse models, counts, voltages and times that cannot be simulated."""
        load_model(self.device_model)
        if self.spacing not in (EVEN, ENDS):
            raise UserError(f"spacing of starts = {self.spacing}: choose {EVEN} or {ENDS}")
        require_in_range("start conductances", self.starts, 2, 10_000, "")
        require_in_range("devices per start", self.devices, 2, 100_000, "")
        require_in_range("points per decade", self.points_per_decade, 1, 1000, "")
        require_in_range("longest pulse", self.longest_pulse_s, DT_S, 1.0, "s")
        require_in_range("-v_set", -self.v_set_V, 0.0, 2.0, "V")
        require_in_range("v_reset", self.v_reset_V, 0.0, 2.0, "V")

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> ResponseParams:
        """The parameters in `values`, as `as_json` or a data set gives them; others are left aside."""
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        known["window"] = OperatingWindow(**known["window"])
        known["noise"] = NoisePreset(**known["noise"])
        return cls(**known)

    @classmethod
    def like_dataset(cls, parameters: Mapping[str, Any]) -> ResponseParams:
        """Responses of the devices and at the voltages of a data set, for training beside it."""
        return cls.of_json({k: v for k, v in parameters.items() if k != "longest_pulse_s"})

    def as_json(self) -> str:
        """Stable JSON of all parameters."""
        model_params = asdict(self.model.params)  # type: ignore[call-overload]
        fields_of_self = asdict(self)
        if self.spacing == EVEN:  # files from before there was a choice have no such entry
            del fields_of_self["spacing"]
        values = {
            **fields_of_self,
            "noise": self.noise.model_dump(),
            "model_params": model_params,
            "dt_s": DT_S,
        }
        return json.dumps(values, sort_keys=True)

    def sha256(self) -> str:
        """Hash of the parameters and the file format."""
        return hashlib.sha256((FORMAT + self.as_json()).encode()).hexdigest()

    @property
    def model(self) -> DeviceModel:
        """The physics."""
        return load_model(self.device_model)

    def window_S(self) -> tuple[float, float]:
        """Lowest and highest conductance of the window [S]."""
        low, high = self.model.conductances([self.window.n_low_1e26, self.window.n_high_1e26])
        return float(low), float(high)

    def g_start_S(self) -> Floats:
        """The start conductances [S], (starts,)."""
        low, high = self.window_S()
        share = (np.arange(self.starts) + 0.5) / self.starts
        if self.spacing == ENDS:
            share = 0.5 - 0.5 * np.cos(np.pi * share)
        return np.asarray(low + (high - low) * share)

    def steps(self) -> Ints:
        """Numbers of 10 ns steps after which conductances are recorded, ascending from 1."""
        longest = max(1, round(self.longest_pulse_s / DT_S))
        count = 2 + round(self.points_per_decade * np.log10(longest))
        return np.unique(np.rint(np.geomspace(1, longest, count)).astype(np.int64))

    def v_V(self, direction: int) -> float:
        """Pulse voltage of a direction, +1 SET or -1 RESET [V]."""
        return self.v_set_V if direction > 0 else self.v_reset_V


@dataclass(frozen=True)
class Responses:
    """Recorded conductances.

    Attributes:
        step: (k,) pulse widths in steps of 10 ns, ascending.
        g_S: (2, starts, devices, k) float32 conductance after each width, SET first [S].
    """

    params: ResponseParams
    step: Ints
    g_S: Conductances

    @property
    def g_start_S(self) -> Floats:
        """(starts,)"""
        return self.params.g_start_S()


def recorded(
    path: Path,
    params: ResponseParams,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda n_steps: None,
) -> Responses:
    """The responses at `path`; recorded first if they are missing or have other parameters.

    An interrupted run continues from its finished chunks beside the file. The result does not depend on `jobs`.

    Args:
        progress: called with the number of device-steps just finished or found.

    Raises:
        UserError: `path` exists and is something else.
    """
    if path.exists() and parameters_of(path) == json.loads(params.as_json()):
        progress(total_steps(params))
        return _load(path, params)
    parts_folder = path.with_name(f".{path.name}.{params.sha256()[:12]}.parts")
    parts_folder.mkdir(parents=True, exist_ok=True)
    try:
        g_S = np.empty((2, params.starts, params.devices, len(params.steps())), dtype=np.float32)
        for row, direction in enumerate(DIRECTIONS):
            for starts in _chunks(params):
                part = parts_folder / f"{row}_{starts.start:05d}.npy"
                g_S[row, starts] = _chunk(part, params, direction, starts, jobs)
                progress((starts.stop - starts.start) * params.devices * int(params.steps()[-1]))
        responses = Responses(params, params.steps(), g_S)
        _save(path, responses)
        shutil.rmtree(parts_folder, ignore_errors=True)
        return responses
    finally:
        with suppress(OSError):  # kept if it holds finished chunks
            parts_folder.rmdir()


def total_steps(params: ResponseParams) -> int:
    """Device-steps to simulate."""
    return 2 * params.starts * params.devices * int(params.steps()[-1])


def parameters_of(path: Path) -> dict[str, Any]:
    """The parameters a responses file was made with.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise UserError(f"{path} is not a file of recorded responses; give another name")
            found: dict[str, Any] = json.loads(file.attrs["parameters"])
            return found
    except FileNotFoundError:
        raise UserError(f"responses not found: {path}; `python -m train floor` records them") from None
    except (OSError, KeyError, ValueError, TypeError):
        raise UserError(f"{path} is no file of recorded responses, or a damaged one; delete it") from None


def load(path: Path) -> Responses:
    """Read a responses file with whatever parameters it was made with.

    Raises:
        UserError: it is missing, damaged or something else.
    """
    try:
        params = ResponseParams.of_json(parameters_of(path))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} is a damaged file of recorded responses; delete it") from None
    return _load(path, params)


def _load(path: Path, params: ResponseParams) -> Responses:
    shape = (2, params.starts, params.devices, len(params.steps()))
    try:
        with h5py.File(path, "r") as file:
            g_S = file["g_S"][...]
            sound = g_S.shape == shape and file.attrs["content_sha256"] == _content_sha256(g_S)
    except (OSError, KeyError, ValueError):
        sound = False
    if not sound:
        raise UserError(f"{path} is a damaged file of recorded responses; delete it")
    return Responses(params, params.steps(), g_S)


def _content_sha256(g_S: Conductances) -> str:
    return hashlib.sha256(np.ascontiguousarray(g_S).tobytes()).hexdigest()


def _save(path: Path, responses: Responses) -> None:
    """Made in memory, as data sets are: HDF5 itself does not survive a full disk."""
    with h5py.File(path.name, "w", driver="core", backing_store=False, libver="latest") as file:
        file.attrs["format"] = FORMAT
        file.attrs["parameters"] = responses.params.as_json()
        file.attrs["content_sha256"] = _content_sha256(responses.g_S)
        for name, values, unit in (
            ("g_start_S", responses.g_start_S, "S"),
            ("step", responses.step, f"{DT_S:g} s"),
            ("g_S", responses.g_S, "S; SET and RESET, start, device, step"),
        ):
            file.create_dataset(name, data=values).attrs["unit"] = unit
        file.flush()
        image = file.id.get_file_image()
    with whole_file(path) as temporary:
        temporary.write_bytes(image)


def _chunks(params: ResponseParams) -> list[range]:
    """Start numbers in runs of similar cost. The devices' numbers do not depend on the runs."""
    per_start = params.devices * int(params.steps()[-1])
    at_once = max(1, CHUNK_STEPS // per_start)
    return [range(i, min(i + at_once, params.starts)) for i in range(0, params.starts, at_once)]


def _chunk(
    part: Path, params: ResponseParams, direction: int, starts: range, jobs: int | None
) -> Conductances:
    """One chunk's conductances, (starts, devices, k), from its file if a run before has left it."""
    shape = (len(starts), params.devices, len(params.steps()))
    with suppress(OSError, ValueError):
        found = np.load(part)
        if found.shape == shape:
            return np.asarray(found, dtype=np.float32)
    g_S = _simulate(params, direction, starts, jobs).reshape(shape)
    with whole_file(part) as temporary, temporary.open("wb") as stream:
        np.save(stream, g_S)
    return g_S


def _simulate(params: ResponseParams, direction: int, starts: range, jobs: int | None) -> Conductances:
    """Conductances (starts x devices, k) of fresh devices under one long pulse."""
    row = DIRECTIONS.index(direction)
    n_devices = len(starts) * params.devices
    devices = DeviceArray(
        n_devices,
        params.noise,
        params.seed,
        np.repeat(params.g_start_S()[starts.start : starts.stop], params.devices),
        model=params.model,
        window=params.window,
        first_device=_FIRST_DEVICE + (row * params.starts + starts.start) * params.devices,
        jobs=jobs,
    )
    steps = params.steps()
    g_S = np.empty((n_devices, len(steps)), dtype=np.float32)
    for k, more in enumerate(np.diff(steps, prepend=0)):
        devices.advance(params.v_V(direction), np.full(n_devices, more), continues=k > 0)
        g_S[:, k] = devices.g_S
    return g_S
