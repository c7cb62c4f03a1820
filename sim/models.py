"""The device models by name, behind one interface: current, state rate and read-out at any point.

State of all of them is N, the oxygen-vacancy concentration of the disc in 1e26 m^-3; geometry is the filament radius r
and the disc length l in metres. SET is V < 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import elementwise

from sim import jart_fit, jart_full
from sim.errors import UserError
from sim.jart import Hopping
from sim.params import N_LOWEST_1E26, JartFullParams, JartParams
from sim.units import Floats

Rates = Callable[[Floats, Floats, Floats, Floats], tuple[Floats, Hopping]]


@dataclass(frozen=True)
class DeviceModel:
    """One device model.

    `rates(v_V, r_m, l_m, n_1e26)` gives the current [A] and the state's rate,
    `read_conductance(r_m, l_m, n_1e26)` gives G = I / V at 0.2 V [S]; both take arrays of one shape and refuse
    what is out of range. `n_lowest_1e26` is where the model starts to hold; `params` are its parameters.
    """

    name: str
    description: str
    n_lowest_1e26: float
    params: JartParams
    rates: Rates
    read_conductance: Callable[[Floats, Floats, Floats], Floats]


def _read_fit(r_m: Floats, l_m: Floats, n_1e26: Floats) -> Floats:
    """In the fit the current ignores the geometry."""
    return jart_fit.read_conductance(n_1e26)


MODELS = {
    model.name: model
    for model in (
        DeviceModel(
            jart_fit.NAME, jart_fit.DESCRIPTION, N_LOWEST_1E26, JartParams(), jart_fit.rates, _read_fit
        ),
        DeviceModel(
            jart_full.NAME,
            jart_full.DESCRIPTION,
            jart_full.N_LOWEST_1E26,
            JartFullParams(),
            jart_full.rates,
            jart_full.read_conductance,
        ),
    )
}


def concentration(model: DeviceModel, g_S: npt.ArrayLike, r_m: float, l_m: float) -> Floats:
    """Inverse of the model's read-out: the concentration [1e26 m^-3] that reads as `g_S`.

    Raises:
        UserError: no concentration of the model's range reads as that.
    """
    g = np.atleast_1d(np.asarray(g_S, dtype=np.float64))
    ends = np.array([model.n_lowest_1e26, model.params.n_max_1e26])
    g_low, g_high = model.read_conductance(np.full(2, r_m), np.full(2, l_m), ends)
    if not np.all((g >= g_low) & (g <= g_high)):
        raise UserError(
            f"conductance must lie within {g_low * 1e6:.2f} .. {g_high * 1e6:.2f} uS for model {model.name}"
        )

    def excess(log_n: Floats, wanted_S: Floats) -> Floats:
        n = np.clip(np.exp(log_n), *ends)
        return model.read_conductance(np.full_like(n, r_m), np.full_like(n, l_m), n) - wanted_S

    found = elementwise.find_root(excess, tuple(np.log(ends)), args=(g,))
    return np.asarray(np.clip(np.exp(found.x), *ends), dtype=np.float64)


def load_model(name: str) -> DeviceModel:
    """Return a model by name.

    Raises:
        UserError: unknown name; the message lists the known ones.
    """
    if name not in MODELS:
        raise UserError(f"unknown device model '{name}'; known: {', '.join(sorted(MODELS))}")
    return MODELS[name]
