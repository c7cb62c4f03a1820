"""A device array's whole state in one HDF5 file, to go on from later: same bits as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np

from sim.device import DeviceArray
from sim.errors import UserError
from sim.models import load_model
from sim.noise import NoisePreset
from sim.output_files import whole_file
from sim.params import OperatingWindow
from sim.population import Population

FORMAT = "ouroboros-devices-1"


def save(devices: DeviceArray, path: Path) -> None:
    """Write model, noise, seed and state of every device, whole or not at all."""
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["provenance"] = json.dumps(devices.provenance())
        for f in fields(Population):
            file[f.name] = getattr(devices.population, f.name)


def restore(path: Path, jobs: int | None = None) -> DeviceArray:
    """The devices that `save` wrote.

    A model that is not built in must be registered first (`sim.models.load_model` of its file).

    Raises:
        UserError: no such file, not one of `save`'s, or damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise UserError(f"{path} is no device file of format {FORMAT}")
            stated = json.loads(file.attrs["provenance"])
            population = Population(*(np.asarray(file[f.name][...]) for f in fields(Population)))
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"device file {path} is missing or damaged ({error})") from None
    model = load_model(stated["device_model"])
    devices = DeviceArray(
        len(population),
        NoisePreset.model_validate(stated["noise"]),
        stated["seed"],
        float(model.conductances(stated["window"]["n_low_1e26"])),
        model=model.changed(**stated["params"]) if model.with_params else model,
        window=OperatingWindow(**stated["window"]),
        jobs=jobs,
    )
    devices.population = population
    return devices
