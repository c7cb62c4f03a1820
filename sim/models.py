"""The device models by name, behind one interface: current, state rate and read-out at any point.

A model's state is one positive number N; for the JART family it is the oxygen-vacancy concentration of the disc in
1e26 m^-3. Geometry is the filament radius r and the disc length l in metres, which noise presets vary. SET is V < 0.
docs/own-model.md adds a model in one file.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import elementwise

from sim import jart_fit, jart_full
from sim.errors import UserError
from sim.jart import Hopping
from sim.params import N_LOWEST_1E26, JartFullParams, JartParams, OperatingWindow
from sim.units import Floats


class ModelParams(Protocol):
    """Parameters of any model: a frozen dataclass with at least nominal geometry and the range of N."""

    @property
    def r0_m(self) -> float: ...
    @property
    def l0_m(self) -> float: ...
    @property
    def n_min_1e26(self) -> float: ...
    @property
    def n_max_1e26(self) -> float: ...


@dataclass(frozen=True)
class DeviceModel:
    """One device model.

    `rates(v_V, r_m, l_m, n_1e26)` gives the current [A] and the state's rate, `read_conductance(r_m, l_m, n_1e26)`
    gives G = I / V at the read voltage [S], rising with N; both take arrays of one shape and refuse what is out of
    range. `n_lowest_1e26` is where the model starts to hold, `window` where devices are operated. `with_params` makes
    the same model with other parameters, where it has any to change.
    """

    name: str
    description: str
    n_lowest_1e26: float
    params: ModelParams
    rates: Callable[[Floats, Floats, Floats, Floats], tuple[Floats, Hopping]] = field(compare=False)
    read_conductance: Callable[[Floats, Floats, Floats], Floats] = field(compare=False)
    v_set_V: float = jart_fit.V_SET_V
    v_reset_V: float = jart_fit.V_RESET_V
    window: OperatingWindow = field(default_factory=OperatingWindow)
    with_params: Callable[[Any], DeviceModel] | None = field(default=None, compare=False)

    def changed(self, **values: float) -> DeviceModel:
        """The same model with some parameters changed.

        Raises:
            UserError: the model has no such parameter, or the value is out of range.
        """
        if not values:
            return self
        known = asdict(self.params) if self.with_params else {}  # type: ignore[call-overload]
        if unknown := sorted(set(values) - set(known)):
            raise UserError(
                f"unknown parameter '{unknown[0]}' of model {self.name}; known: {', '.join(known) or 'none'}"
            )
        return self.with_params(replace(self.params, **values))  # type: ignore[misc,type-var]

    def conductances(self, n_1e26: npt.ArrayLike) -> Floats:
        """Read conductance [S] of concentrations at nominal geometry."""
        n = np.asarray(n_1e26, dtype=np.float64)
        return self.read_conductance(np.full_like(n, self.params.r0_m), np.full_like(n, self.params.l0_m), n)


def _jart_fit(p: JartParams) -> DeviceModel:
    """In the fit the current ignores the geometry."""
    return DeviceModel(
        jart_fit.NAME,
        jart_fit.DESCRIPTION,
        N_LOWEST_1E26,
        p,
        partial(jart_fit.rates, p=p),
        lambda r_m, l_m, n_1e26: jart_fit.read_conductance(n_1e26),
        with_params=_jart_fit,
    )


def _jart_full(p: JartFullParams) -> DeviceModel:
    return DeviceModel(
        jart_full.NAME,
        jart_full.DESCRIPTION,
        jart_full.N_LOWEST_1E26,
        p,
        partial(jart_full.rates, p=p),
        partial(jart_full.read_conductance, p=p),
        with_params=_jart_full,
    )


MODELS: dict[str, DeviceModel] = {}


def register(model: DeviceModel) -> DeviceModel:
    """Make a model known by its name.

    Raises:
        UserError: another model has that name.
    """
    if MODELS.get(model.name, model) != model:
        raise UserError(f"there is a device model '{model.name}' already; choose another name")
    MODELS[model.name] = model
    return model


JART_FIT = register(_jart_fit(JartParams()))
JART_FULL = register(_jart_full(JartFullParams()))


def load_model(name: str) -> DeviceModel:
    """Return a model by name, or the `MODEL` that a Python file defines.

    Raises:
        UserError: unknown name; the message lists the known ones. Or the file defines no model.
    """
    if name.endswith(".py"):
        return register(_model_of(Path(name).resolve()))
    if name not in MODELS:
        raise UserError(f"unknown device model '{name}'; known: {', '.join(sorted(MODELS))}, or a .py file")
    return MODELS[name]


@lru_cache(maxsize=64)
def _model_of(path: Path) -> DeviceModel:
    if not path.is_file():
        raise UserError(f"device model file not found: {path}")
    spec = importlib.util.spec_from_file_location(f"device_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"device model {path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"device model {path} failed to load: {type(error).__name__}: {error}") from None
    model = getattr(module, "MODEL", None)
    if not isinstance(model, DeviceModel):
        raise UserError(f"device model {path} must define MODEL = DeviceModel(...); see docs/own-model.md")
    return model


def concentration(model: DeviceModel, g_S: npt.ArrayLike, r_m: npt.ArrayLike, l_m: npt.ArrayLike) -> Floats:
    """Inverse of the model's read-out: the concentrations [1e26 m^-3] that read as `g_S` at each geometry.

    Raises:
        UserError: no concentration of the model's range reads as that.
    """
    g, r, l = (
        np.atleast_1d(x)
        for x in np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (g_S, r_m, l_m)))
    )
    if model.name == jart_fit.NAME:
        return jart_fit.concentration(g)
    low, high = model.n_lowest_1e26, model.params.n_max_1e26
    g_low, g_high = (model.read_conductance(r, l, np.full_like(r, n)) for n in (low, high))
    if not np.all((g >= g_low) & (g <= g_high)):
        bad = float(g[~((g >= g_low) & (g <= g_high))][0])
        raise UserError(
            f"conductance = {bad * 1e6:g} uS must lie within {g_low.max() * 1e6:.2f} .. {g_high.min() * 1e6:.2f} uS"
            f" for model {model.name}"
        )

    def excess(log_n: Floats, wanted_S: Floats, radius_m: Floats, length_m: Floats) -> Floats:
        n = np.clip(np.exp(log_n), low, high)
        return model.read_conductance(radius_m, length_m, n) - wanted_S

    ends = (np.full_like(g, np.log(low)), np.full_like(g, np.log(high)))
    found = elementwise.find_root(excess, ends, args=(g, r, l))
    return np.asarray(np.clip(np.exp(found.x), low, high), dtype=np.float64)
