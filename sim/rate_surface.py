"""One pulse voltage's state rate as a table over concentration, filament radius and disc length, for any model.

At one voltage the rate is a smooth function of (N, r, l), so its logarithm is tabulated once and interpolated: the
noisy hot loop then costs the same for every model. Cells of N follow the floating-point format - exponent and first
six mantissa bits of a float, 64 per octave; r and l are cut into blocks some 20 % wide. In each cell and block
log2 |dN per step| is the polynomial `TERMS` of the places (a, b, x) of r, l and N in it, each -1 .. 1, fitted by
least squares at Chebyshev nodes.

Its error for both JART models at pulse voltages in the operating window is below `RELATIVE_ERROR`, except around the
kink of the full model where the Schottky barrier reaches zero (r and l both some 10 % below nominal, N = 0.09 .. 0.13):
0.1 % there. tests/sim/test_rate_surface.py measures both against the models' direct rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from sim.errors import UserError
from sim.kernel._jart_kernel import lib
from sim.models import DeviceModel
from sim.params import V_HIGHEST_V, require_in_range
from sim.population import DT_S
from sim.units import Floats, Ints
from sim.walks import Singles

CELL_BITS = int(lib.WALK_CELL_BITS)
RELATIVE_ERROR = 1e-4
TERMS = (  # exponents of (a, b, x), in the order in which the kernel evaluates them
    (4, 0, 0), (3, 0, 0), (2, 0, 0), (1, 0, 0), (0, 0, 0),
    (4, 1, 0), (3, 1, 0), (2, 1, 0), (1, 1, 0), (0, 1, 0),
    (2, 2, 0), (1, 2, 0), (0, 2, 0),
    (1, 3, 0), (0, 3, 0),
    (2, 0, 1), (1, 0, 1), (0, 0, 1), (0, 2, 1), (0, 1, 1), (1, 1, 1),
    (0, 0, 2),
)  # fmt: skip
LOG2_LOWEST = -126.0
"""Smaller changes per step count as none: they vanish beside any N."""

_NODES = (7, 6, 4)  # of r, l and N in each block and cell
_BLOCK_WIDTH = 0.205  # of the ratios r/r_0 and l/l_0
_MARGIN = 1e-4  # by which the blocks exceed the ratios' range: a walk's limits are rounded
_MOST_BLOCKS = 64
_LARGEST_RESIDUAL = 0.02  # of the logarithm; beyond it a rate is no smooth function
_CELLS_AT_ONCE = 64


@dataclass(frozen=True)
class Span:
    """Smallest and largest value that N [1e26 m^-3] or a ratio to nominal can take."""

    low: float
    high: float


@dataclass(frozen=True)
class Blocks:
    """A ratio's range cut into `count` blocks; the block number of a ratio is (ratio - low) * per_ratio."""

    low: float
    count: int
    per_ratio: float

    @classmethod
    def over(cls, span: Span) -> Blocks:
        """As few blocks as cover the span, with a margin."""
        low, high = span.low - _MARGIN, span.high + _MARGIN
        count = max(1, int(np.ceil((high - low) / _BLOCK_WIDTH)))
        # As the kernel's single precision has them.
        return cls(float(np.float32(low)), count, float(np.float32(count / (high - low))))

    def ratios(self, places: Floats) -> Floats:
        """Ratios (count, places) at `places` within each block, -1 .. 1."""
        block = np.arange(self.count)[:, None]
        return np.asarray(self.low + (block + 0.5 * (places + 1.0)) / self.per_ratio)


@dataclass(frozen=True)
class RateSurface:
    """log2 |dN| per step of 10 ns; `rows` is (cells, r blocks, l blocks, terms), single precision."""

    v_V: float
    first_cell: int
    r: Blocks
    l: Blocks
    rows: Singles
    direction: float
    """+1 where N grows (SET), -1 where it falls."""
    r0_m: float
    l0_m: float


def cell_of(n_1e26: Singles) -> Ints:
    """Global cell number of each concentration: the top 15 bits of the float."""
    return np.asarray((n_1e26.view(np.uint32) >> np.uint32(23 - CELL_BITS)).astype(np.int64))


@lru_cache(maxsize=160)  # a predictor that chooses voltages uses a hundred
def rate_surface(model: DeviceModel, v_V: float, n: Span, r: Span, l: Span) -> RateSurface:
    """Tabulate a model's rate at one voltage for N, r/r_0 and l/l_0 within the spans.

    Raises:
        UserError: the voltage or a span lies outside the model's range, the spans are too wide to tabulate, or the
            rate changes sign or jumps within them.
    """
    require_in_range("|pulse voltage|", abs(v_V), 0.0, V_HIGHEST_V, "V")
    r_blocks, l_blocks = Blocks.over(r), Blocks.over(l)
    if r_blocks.count * l_blocks.count > _MOST_BLOCKS:
        raise UserError(
            f"radius within {r.low:.2f} .. {r.high:.2f} and length within {l.low:.2f} .. {l.high:.2f} of nominal"
            " are too wide to tabulate; reduce the noise preset's bounds or spreads"
        )
    first, last = (int(c) for c in cell_of(np.array([n.low, n.high], dtype=np.float32)))
    a, b, x = (np.cos(np.pi * (np.arange(k) + 0.5) / k) for k in _NODES)
    places = np.array(list(product(a, b, x)))
    fit = np.asarray(np.linalg.pinv(_terms(*places.T)), dtype=np.float64)
    rows = np.empty((last - first + 1, r_blocks.count, l_blocks.count, len(TERMS)), dtype=np.float32)
    residual, still = np.empty(rows.shape[:3]), np.empty(rows.shape[:3], dtype=bool)
    direction = 0.0
    for begin in range(first, last + 1, _CELLS_AT_ONCE):
        cells = np.arange(begin, min(begin + _CELLS_AT_ONCE, last + 1))
        change = DT_S * _rates(
            model, v_V, _concentrations(cells, x, model), r_blocks.ratios(a), l_blocks.ratios(b)
        )
        signs = set(np.unique(np.sign(change))) - {0.0}
        if len(signs | ({direction} - {0.0})) > 1:
            raise UserError(
                f"model {model.name}: the state's rate changes sign at {v_V:g} V; it cannot be tabulated"
            )
        direction = signs.pop() if signs else direction
        samples = np.log2(np.maximum(np.abs(change), 2.0**LOG2_LOWEST))
        rows[cells - first], residual[cells - first] = _fitted(samples, fit, _terms(*places.T))
        still[cells - first] = samples.min(axis=(3, 4, 5)) <= LOG2_LOWEST
    _stop_at_ends(rows, residual, still, model, v_V)
    return RateSurface(
        v_V=v_V,
        first_cell=first,
        r=r_blocks,
        l=l_blocks,
        rows=rows,
        direction=direction or 1.0,
        r0_m=model.params.r0_m,
        l0_m=model.params.l0_m,
    )


def _terms(a: Floats, b: Floats, x: Floats) -> Floats:
    """Every term of the polynomial (points, terms)."""
    return np.stack([a**i * b**j * x**k for i, j, k in TERMS], axis=-1)


def _concentrations(cells: Ints, places: Floats, model: DeviceModel) -> Floats:
    """Concentrations (cells, places) at `places` within each cell; those beyond the model's range moved to its end."""
    left = (cells.astype(np.uint32) << np.uint32(23 - CELL_BITS)).view(np.float32).astype(np.float64)
    octave = np.ldexp(1.0, np.frexp(left)[1] - 1)
    n = left[:, None] + octave[:, None] * 2.0**-CELL_BITS * 0.5 * (places + 1.0)
    return np.asarray(np.clip(n, max(model.n_lowest_1e26, model.params.n_min_1e26), model.params.n_max_1e26))


def _rates(model: DeviceModel, v_V: float, n: Floats, r: Floats, l: Floats) -> Floats:
    """dN/dt (cells, r blocks, l blocks, a, b, x) at all nodes."""
    grid = np.broadcast_arrays(
        (r * model.params.r0_m)[None, :, None, :, None, None],
        (l * model.params.l0_m)[None, None, :, None, :, None],
        n[:, None, None, None, None, :],
    )
    shape = grid[0].shape
    flat = [np.ascontiguousarray(x).ravel() for x in grid]
    _, state = model.rates(np.full(flat[0].size, v_V), *flat)
    return np.asarray(state.dn_dt_1e26_s).reshape(shape)


def _fitted(samples: Floats, fit: Floats, terms: Floats) -> tuple[Floats, Floats]:
    """Coefficients (..., terms) and largest residuals (...) of samples (..., a, b, x) in cells and blocks (...)."""
    flat = samples.reshape(*samples.shape[:3], -1)
    coefficients = flat @ fit.T
    residual = np.abs(coefficients @ terms.T - flat).max(axis=-1) * np.log(2.0)
    return coefficients, residual


def _stop_at_ends(
    rows: Singles, residual: Floats, still: npt.NDArray[np.bool_], model: DeviceModel, v_V: float
) -> None:
    """Let N stand still in cells where its rate ends, and in those beside them that no polynomial follows to the end.

    Raises:
        UserError: a rate elsewhere that no polynomial follows.
    """
    beside = still.copy()
    beside[1:] |= still[:-1]
    beside[:-1] |= still[1:]
    rough = residual > _LARGEST_RESIDUAL
    if np.any(rough & ~beside):
        raise UserError(
            f"model {model.name}: the state's rate at {v_V:g} V is not smooth enough to be tabulated"
            f" (residual {residual[~beside].max():.2g}); use fewer volts or a narrower noise preset"
        )
    rows[still | rough] = np.array([LOG2_LOWEST if term == (0, 0, 0) else 0.0 for term in TERMS])
