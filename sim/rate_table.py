"""One pulse voltage's current as piecewise cubics of N: what the hot loop looks up instead of powers.

In the simplified model the current depends on V and N only, so at one voltage heating and field are functions
of N alone; the dependence on r and l stays exact arithmetic. Cells follow the floating-point format: the
exponent and the first six mantissa bits of N name the cell (64 per octave), the other bits the place in it.
Cubics through four Chebyshev nodes reproduce the functions within `RELATIVE_ERROR`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sim import jart, jart_fit
from sim.errors import UserError
from sim.params import N_HIGHEST_1E26, N_LOWEST_1E26, V_HIGHEST_V, JartParams, require_in_range
from sim.units import Floats, Ints

CELL_SHIFT = 46
RELATIVE_ERROR = 1e-9
GAMMA_HIGHEST = 0.4
"""The kernel's barrier series is exact to 1e-12 up to this reduced field."""
_CELL_WIDTH = 2.0**-6


def cell_of(n_1e26: Floats) -> Ints:
    """Global cell number of each concentration (the top 18 bits of the double)."""
    return np.asarray((n_1e26.view(np.uint64) >> np.uint64(CELL_SHIFT)).astype(np.int64))


def cubics(samples: Floats) -> Floats:
    """Cubic coefficients (cells, 4), constant first, from samples (cells, 4) at the nodes of `nodes`."""
    vandermonde = np.vander(_offsets(), 4, increasing=True)
    return np.asarray(np.linalg.solve(vandermonde, samples.T).T, dtype=np.float64)


def nodes(first_cell: int, last_cell: int) -> Floats:
    """Concentrations (cells, 4) at the Chebyshev nodes of each cell from first to last."""
    cells = np.arange(first_cell, last_cell + 1, dtype=np.uint64) << np.uint64(CELL_SHIFT)
    left = cells.view(np.float64)
    octave = np.ldexp(1.0, np.frexp(left)[1] - 1)
    return np.asarray(left[:, None] + octave[:, None] * _offsets()[None, :])


def _offsets() -> Floats:
    return np.asarray(_CELL_WIDTH * 0.5 * (1.0 + np.cos(np.pi * (2.0 * np.arange(4) + 1.0) / 8.0)))


@dataclass(frozen=True)
class RateTable:
    """Heating [K] and reduced field at nominal area for one voltage; `heat_field` is (cells, 4, 2)."""

    v_V: float
    params: JartParams
    n_low_1e26: float
    n_high_1e26: float
    first_cell: int
    heat_field: Floats

    @property
    def is_set(self) -> bool:
        """True for V < 0."""
        return self.v_V < 0.0


@lru_cache(maxsize=64)
def rate_table(
    v_V: float, params: JartParams, n_low_1e26: float, n_high_1e26: float, smallest_r_m: float
) -> RateTable:
    """Tabulate one voltage for N in [n_low, n_high] and filament radii down to `smallest_r_m`.

    Raises:
        UserError: voltage, concentrations or the reduced field are outside the model's range.
    """
    require_in_range("|pulse voltage|", abs(v_V), 0.0, V_HIGHEST_V, "V")
    require_in_range("lowest N", n_low_1e26, N_LOWEST_1E26, N_HIGHEST_1E26, "1e26 m^-3")
    require_in_range("highest N", n_high_1e26, n_low_1e26, N_HIGHEST_1E26, "1e26 m^-3")
    first, last = cell_of(np.array([n_low_1e26, n_high_1e26]))
    n = nodes(int(first), int(last))
    i = jart_fit.current(v_V, n)
    v_cell = jart.cell_voltage(np.asarray(v_V), i, params)
    heat = jart.heating_at_nominal_area(v_cell, i, params)
    field = jart.gamma_times_area(v_cell, i, n, np.asarray(1.0), params)
    if v_V < 0.0:
        field = field / params.area0_m2
    shrink = (params.r0_m / smallest_r_m) ** 2 if v_V < 0.0 else 1.0
    if np.max(np.abs(field)) * shrink > GAMMA_HIGHEST:
        raise UserError(f"pulse voltage {v_V:g} V drives the field beyond the model's range; lower |V|")
    return RateTable(
        v_V=v_V,
        params=params,
        n_low_1e26=n_low_1e26,
        n_high_1e26=n_high_1e26,
        first_cell=int(first),
        heat_field=np.ascontiguousarray(np.stack([cubics(heat), cubics(field)], axis=-1)),
    )


@dataclass(frozen=True)
class ReadTable:
    """Read conductance [S] as piecewise cubics of N, `cubics` is (cells, 4)."""

    first_cell: int
    cubics: Floats


@lru_cache(maxsize=4)
def read_table(n_low_1e26: float, n_high_1e26: float) -> ReadTable:
    """Tabulate `jart_fit.read_conductance` over [n_low, n_high]."""
    first, last = cell_of(np.array([n_low_1e26, n_high_1e26]))
    samples = jart_fit.read_conductance(nodes(int(first), int(last)))
    return ReadTable(first_cell=int(first), cubics=np.ascontiguousarray(cubics(samples)))
