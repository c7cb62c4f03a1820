"""Campaigns: one pulse on many devices under every combination of the conditions that are swept.

A campaign is cut into chunks - a range of devices under one condition - which any worker can simulate in any order:
a device's future depends on its seed and number alone. Finished chunks are kept beside the output until the campaign
is whole, so an interrupted or broken run continues.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from sim import tables
from sim.device import DeviceArray, whole_steps
from sim.errors import UserError
from sim.models import load_model
from sim.noise import NoisePreset, load_preset
from sim.output_files import whole_directory, whole_file, write_json
from sim.params import require_in_range
from sim.population import DT_S
from sim.units import Floats

FORMAT = "ouroboros-campaign-2"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Condition:
    """One combination: model, pulse, start, noise, seed and changed model parameters (name, value)."""

    model: str
    v_V: float
    width_s: float
    g_start_S: float
    noise: NoisePreset
    seed: int
    changed: tuple[tuple[str, float], ...] = ()

    def columns(self) -> dict[str, float | int | str]:
        """The condition as one row of a table."""
        return {
            "model": self.model,
            "v_V": self.v_V,
            "width_s": self.width_s,
            "g_start_S": self.g_start_S,
            "noise": self.noise.name,
            "cadence_s": self.noise.cadence_s,
            "seed": self.seed,
            **dict(self.changed),
        }


@dataclass(frozen=True)
class Chunk:
    """Devices `first .. first + count - 1` of one condition."""

    number: int
    condition: Condition
    first: int
    count: int


@dataclass(frozen=True)
class Campaign:
    """All conditions, in order, with `devices` fresh devices each."""

    conditions: tuple[Condition, ...]
    devices: int
    devices_per_chunk: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what cannot be run, before anything is."""
        require_in_range("devices", self.devices, 1, 2**32 - 1, "")
        require_in_range("devices per chunk", self.devices_per_chunk, 1, 10_000_000, "")
        if not self.conditions:
            raise UserError("a campaign needs at least one value of everything that it sweeps")
        for condition in self.conditions:
            whole_steps(np.array([condition.width_s]))
            device_array(condition, 0, 1).stepper(condition.v_V)

    def chunks(self) -> Iterator[Chunk]:
        """Every chunk, numbered in order."""
        starts = range(0, self.devices, self.devices_per_chunk)
        for number, (condition, first) in enumerate(itertools.product(self.conditions, starts)):
            yield Chunk(number, condition, first, min(self.devices_per_chunk, self.devices - first))

    def as_json(self) -> str:
        """Stable JSON of everything that determines the result."""
        rows = [
            {**asdict(replace(c, noise=load_preset("none"))), "noise": c.noise.model_dump()}
            for c in self.conditions
        ]
        return json.dumps(
            {
                "format": FORMAT,
                "dt_s": DT_S,
                "devices": self.devices,
                "conditions": rows,
            },
            sort_keys=True,
        )

    def sha256(self) -> str:
        """Hash of everything that determines the result, and of how it is cut."""
        return hashlib.sha256(f"{self.as_json()} {self.devices_per_chunk}".encode()).hexdigest()


def combinations(
    models: tuple[str, ...],
    voltages_V: tuple[float, ...],
    widths_s: tuple[float, ...],
    g_starts_S: tuple[float, ...],
    noises: tuple[NoisePreset, ...],
    seeds: tuple[int, ...],
    changed: dict[str, tuple[float, ...]],
) -> tuple[Condition, ...]:
    """Every combination of the values given; `changed` maps parameters of the models to values."""
    parameters = [tuple(zip(changed, values, strict=True)) for values in itertools.product(*changed.values())]
    return tuple(
        Condition(*values)
        for values in itertools.product(models, voltages_V, widths_s, g_starts_S, noises, seeds, parameters)
    )


def device_array(condition: Condition, first: int, count: int) -> DeviceArray:
    """The fresh devices of a chunk; one thread, as chunks are what runs side by side."""
    return DeviceArray(
        count,
        condition.noise,
        condition.seed,
        condition.g_start_S,
        model=load_model(condition.model).changed(**dict(condition.changed)),
        first_device=first,
        jobs=1,
    )


def simulate(chunk: Chunk) -> Floats:
    """Conductances after the pulse [S], (count,): what workers run."""
    devices = device_array(chunk.condition, chunk.first, chunk.count)
    devices.apply_pulse(chunk.condition.v_V, chunk.condition.width_s)
    return devices.g_S


Engine = Callable[[Iterator[Chunk], Callable[[Chunk, Floats], None]], None]
"""Runs `simulate` on every chunk and hands each result over, in any order."""


def run(
    campaign: Campaign, output: Path, engine: Engine, progress: Callable[[int], None] = lambda devices: None
) -> None:
    """Run what is missing and write the folder `output`, whole or not at all.

    Memory holds a few chunks, whatever the campaign's size.

    Args:
        progress: called with the number of devices just finished, or found finished.
    """
    parts = output.with_name(f".{output.name}.{campaign.sha256()[:12]}.parts")
    parts.mkdir(parents=True, exist_ok=True)

    def part(chunk: Chunk) -> Path:
        return parts / f"{chunk.number:08d}.npy"

    def missing() -> Iterator[Chunk]:
        for chunk in campaign.chunks():
            if _is_whole(part(chunk), chunk.count):
                progress(chunk.count)
            else:
                yield chunk

    def keep(chunk: Chunk, g_end_S: Floats) -> None:
        with whole_file(part(chunk)) as temporary, temporary.open("wb") as file:
            np.save(file, g_end_S)
        progress(chunk.count)

    engine(missing(), keep)
    with whole_directory(output) as folder:
        _assemble(campaign, part, folder)
    shutil.rmtree(parts, ignore_errors=True)


def _is_whole(path: Path, count: int) -> bool:
    try:
        return bool(np.load(path, mmap_mode="r").shape == (count,))
    except (OSError, ValueError, EOFError):
        return False


def _assemble(campaign: Campaign, part: Callable[[Chunk], Path], folder: Path) -> None:
    """Join the chunks: `g_end_S.npy` (conditions, devices), `conditions.csv` with statistics, `campaign.json`."""
    shape = (len(campaign.conditions), campaign.devices)
    g_end_S = np.lib.format.open_memmap(folder / "g_end_S.npy", "w+", np.float64, shape)
    per_condition = -(-campaign.devices // campaign.devices_per_chunk)
    for chunk in campaign.chunks():
        row = chunk.number // per_condition
        g_end_S[row, chunk.first : chunk.first + chunk.count] = np.load(part(chunk))
    g_end_S.flush()
    rows = [{**c.columns(), **_statistics(g_S)} for c, g_S in zip(campaign.conditions, g_end_S, strict=True)]
    tables.write_csv(
        folder / "conditions.csv", {name: np.array([row[name] for row in rows]) for name in rows[0]}
    )
    write_json(folder / "campaign.json", {**json.loads(campaign.as_json()), "sha256": campaign.sha256()})


def _statistics(g_S: Floats) -> dict[str, float | int]:
    """Columns of `conditions.csv` for the devices of one condition."""
    quantiles = zip(QUANTILES, np.quantile(g_S, QUANTILES), strict=True)
    return {
        "devices": len(g_S),
        "g_end_mean_S": float(g_S.mean()),
        "g_end_std_S": float(g_S.std()),
        **{f"g_end_q{q * 100:02.0f}_S": float(value) for q, value in quantiles},
    }
