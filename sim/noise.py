"""Noise presets: named, documented sets of cycle-to-cycle and read noise, stored as TOML in `sim/presets`."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.special import ndtr, ndtri

from sim.errors import UserError
from sim.units import Floats


class Walk(BaseModel):
    """Random walk x <- clamp(x (1 + step u), x_dev (1 - bound), x_dev (1 + bound)), u uniform in (-1, 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: float = Field(0.0, ge=0.0, le=0.9, description="relative amplitude s of one draw")
    bound: float = Field(0.0, ge=0.0, le=0.9, description="relative limit b around the device's own value")

    @property
    def reach(self) -> float:
        """Largest relative deviation from the device's own value."""
        return self.bound if self.step > 0.0 else 0.0


class Spread(BaseModel):
    """Device-to-device spread: a device's own value is nominal x (1 + std z), z standard normal, within 1 +- limit.

    `truncated` redraws what lies beyond the limits (as a truncated normal distribution), `clamped` puts it on them
    (what the reference code of Yu et al. 2022 does: with its std of 100 %, nine devices of ten sit on a limit).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    std: float = Field(0.0, ge=0.0, le=10.0, description="relative standard deviation before the limits")
    limit: float = Field(0.0, ge=0.0, le=0.9, description="largest relative deviation")
    shape: Literal["truncated", "clamped"] = "truncated"

    @property
    def reach(self) -> float:
        """Largest relative deviation from nominal."""
        return self.limit if self.std > 0.0 else 0.0

    def factors(self, uniform: Floats) -> Floats:
        """Device values over the nominal one, for uniform draws in (0, 1)."""
        if self.std == 0.0 or self.limit == 0.0:
            return np.ones_like(uniform)
        edge = self.limit / self.std
        if self.shape == "truncated":
            low = ndtr(-edge)
            deviation = ndtri(low + uniform * (1.0 - 2.0 * low))
        else:
            deviation = ndtri(uniform)
        return np.asarray(1.0 + self.std * np.clip(deviation, -edge, edge))


NO_SPREAD = Spread(std=0.0, limit=0.0)


class NoisePreset(BaseModel):
    """One noise model; `cadence_s` is the time under pulse between two draws of the walks.

    The walks go around each device's own values, which the spreads of radius, length and window bounds deal out.
    With `once_per_pulse` they are drawn before each pulse instead, however long it is.

    `window_low` and `window_high` are the walks of the concentration bounds of the operating window, which
    make G_min and G_max noisy. `radius_turn` and `length_turn` are JART VCM v1b var's cycle-to-cycle variability: at
    each change of polarity a new radius and length are dealt out, towards which a device moves linearly with the
    switched fraction of the concentration (`sim.turns`). `read_sigma_rel` is the relative standard deviation of one
    read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    cadence_s: float = Field(1e-8, gt=0.0, le=1e-2)
    radius: Walk = Walk(step=0.0, bound=0.0)
    length: Walk = Walk(step=0.0, bound=0.0)
    window_low: Walk = Walk(step=0.0, bound=0.0)
    window_high: Walk = Walk(step=0.0, bound=0.0)
    radius_spread: Spread = NO_SPREAD
    length_spread: Spread = NO_SPREAD
    window_low_spread: Spread = NO_SPREAD
    window_high_spread: Spread = NO_SPREAD
    once_per_pulse: bool = False
    radius_turn: Spread = NO_SPREAD
    length_turn: Spread = NO_SPREAD
    read_sigma_rel: float = Field(0.0, ge=0.0, le=0.5)

    @property
    def walks(self) -> tuple[Walk, Walk, Walk, Walk]:
        """The walks of radius, length, lower and upper window bound."""
        return self.radius, self.length, self.window_low, self.window_high

    @property
    def spreads(self) -> tuple[Spread, Spread, Spread, Spread]:
        """The device-to-device spreads of the same four."""
        return self.radius_spread, self.length_spread, self.window_low_spread, self.window_high_spread

    @property
    def turns(self) -> tuple[Spread, Spread]:
        """What changes of polarity deal out: radius and length."""
        return self.radius_turn, self.length_turn

    @property
    def walks_during_pulses(self) -> bool:
        """True when a walk is drawn at the cadence of `cadence_s`."""
        return not self.once_per_pulse and any(w.step > 0.0 for w in self.walks)

    @property
    def walks_between_pulses(self) -> bool:
        """True when a walk is drawn once per pulse."""
        return self.once_per_pulse and any(w.step > 0.0 for w in self.walks)

    @property
    def moves_geometry(self) -> bool:
        """True when radius or length follow the concentration between changes of polarity."""
        return any(t.std > 0.0 and t.limit > 0.0 for t in self.turns)

    @property
    def is_silent(self) -> bool:
        """True when no pulse changes anything at random."""
        return not (self.walks_during_pulses or self.walks_between_pulses or self.moves_geometry)

    @property
    def differs(self) -> bool:
        """True when devices differ from each other."""
        return any(s.std > 0.0 and s.limit > 0.0 for s in self.spreads)

    @property
    def cadence(self) -> str:
        """When the walks are drawn, for people."""
        return "once per pulse" if self.once_per_pulse else f"every {self.cadence_s * 1e9:g} ns"

    def factor_span(self, which: int) -> tuple[float, float]:
        """Smallest and largest value over nominal of radius (0), length (1) and window bounds (2, 3)."""
        deviations = [self.spreads[which].reach, self.walks[which].reach]
        if which < len(self.turns):
            deviations.append(self.turns[which].reach)
        low, high = 1.0, 1.0
        for d in deviations:
            low, high = low * (1.0 - d), high * (1.0 + d)
        return low, high

    @property
    def window_differs(self) -> bool:
        """True when devices differ in their window bounds."""
        return self.window_low_spread.limit > 0.0 or self.window_high_spread.limit > 0.0


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
