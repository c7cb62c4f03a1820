"""Arrays of simulated memristors: read, pulse, waveform, state. One class for every model and way of using a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from sim import counter_rng, jart_fit
from sim.errors import UserError
from sim.exact_stepper import ExactStepper
from sim.models import JART_FIT, DeviceModel, concentration
from sim.noise import NoisePreset
from sim.params import JartParams, OperatingWindow, require_in_range
from sim.population import DT_S, Advance, Population, Trace
from sim.rate_surface import Span, rate_surface
from sim.rate_table import ReadTable, rate_table, read_table
from sim.stepper import Stepper, advance, conductances
from sim.surface_stepper import SurfaceStepper
from sim.turns import begin_pulse
from sim.units import Floats, Ints

WIDTH_HIGHEST_S = 10.0
"""Longest pulse a simulation accepts: 1e9 steps."""


class DeviceArray:
    """`n_devices` independent devices of one model under one noise preset.

    A device's future depends on (seed, its number, what it has lived through) only, so splitting an array, reordering
    pulses between devices or using more threads changes nothing.

    Noise-free devices of the simplified model follow its exact rates; everything else runs on tabulated rates, whose
    error `sim.rate_surface` states.
    """

    def __init__(
        self,
        n_devices: int,
        noise: NoisePreset,
        seed: int,
        g_start_S: npt.ArrayLike,
        *,
        model: DeviceModel = JART_FIT,
        window: OperatingWindow | None = None,
        first_device: int = 0,
        jobs: int | None = None,
    ) -> None:
        """Create devices whose read conductance is `g_start_S` (scalar or (n,), S).

        Args:
            seed: 0 .. 2**63 - 1; the only source of randomness.
            model: the physics, with its parameters.
            window: limits of N [the model's]; their walks make G_min and G_max noisy.
            first_device: number of the first device, i.e. of its random stream.
            jobs: worker threads [all cores]; never changes a result.

        Raises:
            UserError: a parameter, the seed or a conductance is out of range.
        """
        require_in_range("number of devices", n_devices, 1, 2**32 - 1, "")
        if not 0 <= seed <= counter_rng.SEED_HIGHEST:
            raise UserError(f"seed = {seed} is outside 0 .. {counter_rng.SEED_HIGHEST}")
        self.model = model
        self.noise = noise
        self.seed = seed
        self.window = window or model.window
        self.jobs = jobs
        g_S = np.broadcast_to(np.asarray(g_start_S, dtype=np.float64), (n_devices,))
        self.population = self._fresh_population(g_S, first_device)

    def _fresh_population(self, g_start_S: Floats, first_device: int) -> Population:
        """Devices with values of their own, dealt out by their number.

        A device whose own window does not reach its start begins at the window's end.
        """
        lowest, highest = self.concentration_limits()
        p = self.model.params
        device = np.arange(first_device, first_device + len(g_start_S), dtype=np.uint32)
        drawn = counter_rng.words(self.seed, counter_rng.Purpose.DEVICE_SPREAD, device, 0)
        nominal = (p.r0_m, p.l0_m, self.window.n_low_1e26, self.window.n_high_1e26)
        r, l, low, high = (
            value * spread.factors(counter_rng.uniform(word))
            for value, spread, word in zip(nominal, self.noise.spreads, drawn, strict=True)
        )
        n = concentration(self.model, g_start_S, r, l)
        if self.noise.differs:
            n = np.clip(n, low, high)
        elif np.any(n < lowest) or np.any(n > highest):
            g_low, g_high = self.model.conductances([lowest, highest]) * 1e6
            raise UserError(f"start conductance is outside {g_low:.2f} .. {g_high:.2f} uS")
        return Population.fresh(n, r, l, low, high, device)

    def __len__(self) -> int:
        return len(self.population)

    @property
    def numbers(self) -> npt.NDArray[np.uint32]:
        """The number of each device, i.e. of its random stream, (n,)."""
        return self.population.device

    def concentration_limits(self) -> tuple[float, float]:
        """Smallest and largest concentration that the walking window can allow [1e26 m^-3].

        Raises:
            UserError: the model does not hold that far.
        """
        low = self.window.n_low_1e26 * self.noise.factor_span(2)[0]
        high = self.window.n_high_1e26 * self.noise.factor_span(3)[1]
        lowest, highest = self.model.n_lowest_1e26, self.model.params.n_max_1e26
        if low < lowest or high > highest:
            raise UserError(
                f"noise preset '{self.noise.name}' lets N reach {low:g} .. {high:g} 1e26 m^-3, outside"
                f" {lowest:g} .. {highest:g} of model {self.model.name}; reduce its window bounds or spreads"
            )
        return low, high

    @property
    def g_S(self) -> Floats:
        """True read conductance of every device now [S], (n,)."""
        return self.model.read_conductance(*self.population.geometry, self.population.n_1e26)

    def read(self, index: npt.ArrayLike | None = None) -> Floats:
        """Conductance [S] as one read of the devices at `index` [all] sees it, read noise included."""
        chosen = self._index(index)
        part = self.population.take(chosen)
        g = self.model.read_conductance(*part.geometry, part.n_1e26)
        sigma = self.noise.read_sigma_rel
        if sigma > 0.0:
            draw = counter_rng.normal(self.seed, counter_rng.Purpose.READ_NOISE, part.device, part.reads)
            self.population.reads[chosen] += 1
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
        continues: bool = False,
    ) -> Advance:
        """Advance devices by whole steps at one voltage; see `sim.stepper.advance`.

        Args:
            g_stop_S: stop a device after the step that reaches this conductance, read at nominal geometry.
            continues: the pulse before goes on: nothing that is drawn once per pulse is drawn again.
        """
        n_steps = np.ascontiguousarray(n_steps, dtype=np.int64)
        stepper = self.stepper(v_V)
        chosen = None if index is None else self._index(index)
        part = self.population if chosen is None else self.population.take(chosen)
        if not continues:
            begin_pulse(part, n_steps > 0, self.noise, self.seed, v_V < 0.0, self.model.params)
        stop = None
        if g_stop_S is not None:
            stop = concentration(self.model, g_stop_S, self.model.params.r0_m, self.model.params.l0_m)
        done = advance(stepper, part, n_steps, n_stop_1e26=stop, trace=trace, jobs=self.jobs)
        if chosen is not None:
            self.population.put(chosen, part)
        return done

    def pulse_in_parts(self, v_V: float, stops: Ints) -> Iterator[None]:
        """Give every device one pulse, and pause after each of the rising step numbers `stops`."""
        lived = 0
        for stop in stops.tolist():
            self.advance(v_V, np.full(len(self), stop - lived), continues=lived > 0)
            lived = stop
            yield

    def stepper(self, v_V: float) -> Stepper:
        """What advances this array's devices at one voltage, over everything they can reach."""
        limits = self.concentration_limits()
        spans = [Span(*self.noise.factor_span(which)) for which in (0, 1)]
        p = self.model.params
        if self.noise.is_silent and self.model.name == jart_fit.NAME and isinstance(p, JartParams):
            return ExactStepper(rate_table(v_V, p, *limits, p.r0_m * spans[0].low))
        surface = rate_surface(self.model, v_V, Span(*limits), *spans)
        return SurfaceStepper(surface, self.noise, self.seed)

    def conductances(self, n_1e26: Floats) -> Floats:
        """Read conductance [S] of concentrations of the simplified model that this array can reach, by table (fast)."""
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
            "device_model": self.model.name,
            "params": asdict(self.model.params),  # type: ignore[call-overload]
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
