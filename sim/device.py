"""Arrays of simulated memristors: read, pulse, state. One class for every way of using a device."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from sim import counter_rng, jart_fit
from sim.errors import UserError
from sim.noise import NoisePreset
from sim.params import N_HIGHEST_1E26, N_LOWEST_1E26, JartParams, OperatingWindow, require_in_range
from sim.rate_table import RateTable, ReadTable, rate_table, read_table
from sim.stepper import DT_S, Advance, Population, Trace, advance, conductances
from sim.units import Floats, Ints

WIDTH_HIGHEST_S = 10.0
"""Longest pulse a simulation accepts: 1e9 steps."""


class DeviceArray:
    """`n_devices` independent devices of the simplified JART VCM v1b under one noise preset.

    A device's future depends on (seed, its number, the steps it has lived through) only, so splitting an
    array, reordering pulses between devices or using more threads changes nothing.
    """

    def __init__(
        self,
        n_devices: int,
        noise: NoisePreset,
        seed: int,
        g_start_S: npt.ArrayLike,
        *,
        params: JartParams | None = None,
        window: OperatingWindow | None = None,
        first_device: int = 0,
        jobs: int | None = None,
    ) -> None:
        """Create devices whose read conductance is `g_start_S` (scalar or (n,), S).

        Args:
            seed: 0 .. 2**63 - 1; the only source of randomness.
            window: limits of N; their walks make G_min and G_max noisy.
            first_device: number of the first device, i.e. of its random stream.
            jobs: worker threads [all cores]; never changes a result.

        Raises:
            UserError: a parameter, the seed or a conductance is out of range.
        """
        require_in_range("number of devices", n_devices, 1, 2**32 - 1, "")
        if not 0 <= seed <= counter_rng.SEED_HIGHEST:
            raise UserError(f"seed = {seed} is outside 0 .. {counter_rng.SEED_HIGHEST}")
        self.noise = noise
        self.seed = seed
        self.params = params or JartParams()
        self.window = window or OperatingWindow()
        self.jobs = jobs
        n = jart_fit.concentration(np.broadcast_to(np.asarray(g_start_S, dtype=np.float64), (n_devices,)))
        low, high = self.concentration_limits()
        if np.any(n < low) or np.any(n > high):
            g_low, g_high = jart_fit.read_conductance(np.array([low, high])) * 1e6
            raise UserError(f"start conductance is outside {g_low:.2f} .. {g_high:.2f} uS")
        self.population = self._fresh_population(n, first_device)
        self._reads = np.zeros(n_devices, dtype=np.int64)

    def _fresh_population(self, n: Floats, first_device: int) -> Population:
        """Devices with values of their own, dealt out by their number.

        A device whose own window does not reach its start begins at the window's end.
        """
        device = np.arange(first_device, first_device + len(n), dtype=np.uint32)
        drawn = counter_rng.words(self.seed, counter_rng.Purpose.DEVICE_SPREAD, device, 0)
        r, l, low, high = (
            nominal * spread.factors(counter_rng.uniform(word))
            for nominal, spread, word in zip(
                (self.params.r0_m, self.params.l0_m, self.window.n_low_1e26, self.window.n_high_1e26),
                (
                    self.noise.radius_spread,
                    self.noise.length_spread,
                    self.noise.window_low_spread,
                    self.noise.window_high_spread,
                ),
                drawn,
                strict=True,
            )
        )
        return Population(
            n_1e26=np.clip(n, low, high) if self.noise.window_differs else n.copy(),
            r_m=r.copy(),
            l_m=l.copy(),
            low_1e26=low.copy(),
            high_1e26=high.copy(),
            r_dev_m=r,
            l_dev_m=l,
            low_dev_1e26=low,
            high_dev_1e26=high,
            step=np.zeros(len(n), dtype=np.int64),
            device=device,
        )

    def __len__(self) -> int:
        return len(self.population)

    def concentration_limits(self) -> tuple[float, float]:
        """Smallest and largest concentration that the walking window can allow [1e26 m^-3].

        Raises:
            UserError: the model does not hold that far.
        """
        low = self.window.n_low_1e26 * self.noise.lowest_window_low
        high = self.window.n_high_1e26 * self.noise.highest_window_high
        if low < N_LOWEST_1E26 or high > N_HIGHEST_1E26:
            raise UserError(
                f"noise preset '{self.noise.name}' lets N reach {low:g} .. {high:g} 1e26 m^-3, outside"
                f" {N_LOWEST_1E26:g} .. {N_HIGHEST_1E26:g} of the model; reduce its window bounds or spreads"
            )
        return low, high

    @property
    def g_S(self) -> Floats:
        """True read conductance of every device now [S], (n,)."""
        return jart_fit.read_conductance(self.population.n_1e26)

    def read(self, index: npt.ArrayLike | None = None) -> Floats:
        """Conductance [S] as one read of the devices at `index` [all] sees it, read noise included."""
        chosen = self._index(index)
        g = jart_fit.read_conductance(self.population.n_1e26[chosen])
        sigma = self.noise.read_sigma_rel
        if sigma > 0.0:
            draw = counter_rng.normal(
                self.seed, counter_rng.Purpose.READ_NOISE, self.population.device[chosen], self._reads[chosen]
            )
            self._reads[chosen] += 1
            g = g * (1.0 + sigma * draw)
        return np.asarray(g)

    def apply_pulse(
        self, v_V: npt.ArrayLike, width_s: npt.ArrayLike, index: npt.ArrayLike | None = None
    ) -> None:
        """Apply one rectangular pulse to each device at `index` [all].

        Args:
            v_V: pulse voltage, scalar or one per device; < 0 SET, > 0 RESET, |V| <= 2 V.
            width_s: pulse width, rounded to whole steps of 10 ns; 0 leaves the device untouched.

        Raises:
            UserError: a width is negative, not finite or too long, or a voltage is out of range.
        """
        chosen = self._index(index)
        v = np.broadcast_to(np.asarray(v_V, dtype=np.float64), chosen.shape)
        n_steps = whole_steps(np.broadcast_to(np.asarray(width_s, dtype=np.float64), chosen.shape))
        for voltage in np.unique(v[n_steps > 0]):
            at = np.flatnonzero((v == voltage) & (n_steps > 0))
            self.advance(float(voltage), n_steps[at], chosen[at])

    def advance(
        self,
        v_V: float,
        n_steps: Ints,
        index: npt.ArrayLike | None = None,
        *,
        g_stop_S: Floats | None = None,
        trace: Trace | None = None,
    ) -> Advance:
        """Advance devices by whole steps at one voltage; see `sim.stepper.advance`."""
        chosen = self._index(index)
        part = self.population.take(chosen)
        stop = None if g_stop_S is None else jart_fit.concentration(g_stop_S)
        done = advance(
            self.rate_table(v_V),
            self.noise,
            self.seed,
            part,
            np.ascontiguousarray(n_steps, dtype=np.int64),
            n_stop_1e26=stop,
            trace=trace,
            jobs=self.jobs,
        )
        self.population.put(chosen, part)
        return done

    def rate_table(self, v_V: float) -> RateTable:
        """The tabulated rates of one voltage over everything this array can reach."""
        low, high = self.concentration_limits()
        smallest_r_m = float(self.population.r_dev_m.min()) * (1.0 - self.noise.radius.bound)
        return rate_table(v_V, self.params, low, high, smallest_r_m)

    def conductances(self, n_1e26: Floats) -> Floats:
        """Read conductance [S] of concentrations this array can reach, by table (fast)."""
        return conductances(self._read_table(), n_1e26)

    def _read_table(self) -> ReadTable:
        return read_table(*self.concentration_limits())

    def _index(self, index: npt.ArrayLike | None) -> Ints:
        if index is None:
            return np.arange(len(self), dtype=np.int64)
        return np.atleast_1d(np.asarray(index, dtype=np.int64))

    def provenance(self) -> dict[str, object]:
        """Everything that determines this array's behaviour, ready for JSON."""
        return {
            "device_model": jart_fit.NAME,
            "params": asdict(self.params),
            "window": asdict(self.window),
            "noise": self.noise.model_dump(),
            "seed": self.seed,
            "dt_s": DT_S,
        }


def whole_steps(width_s: Floats) -> Ints:
    """Pulse widths as numbers of 10 ns steps, rounded to nearest.

    Raises:
        UserError: a width is negative, not finite or longer than 10 s.
    """
    bad = ~((width_s >= 0.0) & (width_s <= WIDTH_HIGHEST_S))
    if np.any(bad):
        value = float(width_s.ravel()[int(np.flatnonzero(bad.ravel())[0])])
        raise UserError(f"pulse width = {value:g} s is outside 0 .. {WIDTH_HIGHEST_S:g} s")
    return np.rint(width_s / DT_S).astype(np.int64)
