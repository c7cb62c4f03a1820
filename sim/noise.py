"""Noise presets: named, documented sets of cycle-to-cycle and read noise, stored as TOML in `sim/presets`."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sim.errors import UserError


class Walk(BaseModel):
    """Random walk x <- clamp(x (1 + step u), x_dev (1 - bound), x_dev (1 + bound)), u uniform in (-1, 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: float = Field(0.0, ge=0.0, le=0.9, description="relative amplitude s of one draw")
    bound: float = Field(0.0, ge=0.0, le=0.9, description="relative limit b around the device's own value")


class NoisePreset(BaseModel):
    """One noise model; `cadence_s` is the time under pulse between two draws of the walks.

    `window_low` and `window_high` are the walks of the concentration bounds of the operating window, which
    make G_min and G_max noisy. `read_sigma_rel` is the relative standard deviation of one read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    cadence_s: float = Field(1e-8, gt=0.0, le=1e-2)
    radius: Walk = Walk(step=0.0, bound=0.0)
    length: Walk = Walk(step=0.0, bound=0.0)
    window_low: Walk = Walk(step=0.0, bound=0.0)
    window_high: Walk = Walk(step=0.0, bound=0.0)
    read_sigma_rel: float = Field(0.0, ge=0.0, le=0.5)

    @property
    def is_silent(self) -> bool:
        """True when no pulse changes anything at random."""
        return all(w.step == 0.0 for w in (self.radius, self.length, self.window_low, self.window_high))


def preset_names() -> list[str]:
    """Names of the built-in presets."""
    files = resources.files("sim.presets").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


def load_preset(name: str, cadence_s: float | None = None) -> NoisePreset:
    """Load a built-in preset by name, or any TOML file by path.

    Args:
        name: a name from `preset_names()`, or a path that ends in `.toml`.
        cadence_s: replaces the preset's own cadence when given.

    Raises:
        UserError: unknown preset, unreadable file or a value out of its range.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"noise preset file not found: {name}")
        text = path.read_text(encoding="utf-8")
    elif name in preset_names():
        text = (resources.files("sim.presets") / f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise UserError(f"unknown noise preset '{name}'; known: {', '.join(preset_names())}, or a .toml file")
    try:
        values = tomllib.loads(text)
        if cadence_s is not None:
            values["cadence_s"] = cadence_s
        return NoisePreset.model_validate(values)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"noise preset {name} is not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"noise preset {name}: {field} = {first['input']!r}: {first['msg']}") from None
