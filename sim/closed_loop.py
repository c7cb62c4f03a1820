"""The programming loop: read, predict, pulse, read. Every predictor runs in this one loop.

The float network, the integer reference and the compiled C predictor are three implementations of
`PulsePredictor`; the compiled controller runs the same loop in C (`codegen.cosim`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sim import counter_rng
from sim.bench import Bench, BenchParams, SimulatedBench
from sim.device import DeviceArray
from sim.models import JART_FIT, DeviceModel
from sim.noise import NoisePreset
from sim.units import Floats, Ints, S_to_nS

Directions = npt.NDArray[np.int8]


class Pulses(NamedTuple):
    """One pulse per device, (n,) each: +1 SET, -1 RESET or 0 for none; timer ticks; signed device voltage."""

    direction: Directions
    ticks: Ints
    v_uV: Ints


class PulsePredictor(Protocol):
    """Maps conductance now and wanted, both in nS, to one pulse."""

    def predict(self, g_start_nS: Ints, g_target_nS: Ints) -> Pulses:
        """One pulse per device; of its width and voltage nothing is given where the direction is 0."""
        ...


@dataclass(frozen=True)
class ProgramTrace:
    """What a programming run did. `k` iterations of `n` devices.

    `g_read_nS` is (k + 1, n): the read before each pulse, then the last one. `g_end_S` is the true
    conductance at the end; `direction`, `ticks` and `v_uV` are (k, n): the pulses given.
    """

    g_target_nS: Ints
    g_read_nS: Ints
    g_end_S: Floats
    direction: Directions
    ticks: Ints
    v_uV: Ints


def one_shot(bench: Bench, predictor: PulsePredictor, g_target_nS: Ints) -> ProgramTrace:
    """One read, one predicted pulse, one read."""
    return write_and_verify(bench, predictor, g_target_nS, iterations=1)


def write_and_verify(
    bench: Bench, predictor: PulsePredictor, g_target_nS: Ints, iterations: int
) -> ProgramTrace:
    """`iterations` rounds of read, predict and pulse on every device, then a last read."""
    reads, directions, ticks, voltages = [bench.read_nS()], [], [], []
    for _ in range(iterations):
        direction, width_ticks, v_uV = predictor.predict(reads[-1], g_target_nS)
        given = bench.pulse(v_uV, np.where(direction == 0, 0, width_ticks))
        directions.append(direction)
        ticks.append(given)
        voltages.append(np.where(direction == 0, 0, bench.params.dac_uV(v_uV)))
        reads.append(bench.read_nS())
    return ProgramTrace(
        g_target_nS=g_target_nS,
        g_read_nS=np.stack(reads),
        g_end_S=bench.devices.g_S,
        direction=np.stack(directions),
        ticks=np.stack(ticks),
        v_uV=np.stack(voltages),
    )


class TrialSet(Protocol):
    """Start and target conductances of an evaluation, (n,) each, and the devices to try them on."""

    @property
    def g_start_S(self) -> Floats: ...

    @property
    def g_target_nS(self) -> Ints: ...

    @property
    def seed(self) -> int: ...

    @property
    def device_model(self) -> str: ...

    @property
    def noise_preset(self) -> str: ...

    @property
    def cadence_s(self) -> float | None:
        """Time under pulse between two draws of the noise [s]; None where it is not simulated."""
        ...

    @property
    def group(self) -> Ints | None:
        """Trials of one number are on the same device, (n,); None where each has its own."""
        ...

    def bench(self, params: BenchParams, jobs: int | None = None) -> Bench:
        """A bench with the devices at their starts: the same ones, with the same noise, at every call."""
        ...


@dataclass(frozen=True)
class Trials:
    """A `TrialSet` of fresh simulated devices; `seed` is that of the trials, the devices and the bench."""

    g_start_S: Floats
    g_target_nS: Ints
    noise: NoisePreset
    seed: int
    model: DeviceModel = JART_FIT
    group: None = None

    @property
    def device_model(self) -> str:
        return self.model.name

    @property
    def noise_preset(self) -> str:
        return self.noise.name

    @property
    def cadence_s(self) -> float:
        return self.noise.cadence_s

    def bench(self, params: BenchParams, jobs: int | None = None) -> SimulatedBench:
        """A bench with fresh devices: the same ones at every call, so predictors meet the same noise."""
        devices = DeviceArray(
            len(self.g_start_S), self.noise, self.seed, self.g_start_S, model=self.model, jobs=jobs
        )
        return SimulatedBench(devices, params, self.seed)


def draw_trials(n_trials: int, noise: NoisePreset, seed: int, model: DeviceModel = JART_FIT) -> Trials:
    """Uniform start and target conductances in the model's window (paper, section II-B); targets in nS."""
    g_low, g_high = model.conductances([model.window.n_low_1e26, model.window.n_high_1e26])
    first, second, _, _ = counter_rng.words(
        seed, counter_rng.Purpose.TRIAL_DRAW, np.arange(n_trials, dtype=np.uint32), 0
    )
    span = g_high - g_low
    target_nS = S_to_nS(g_low + span * counter_rng.uniform(second))
    lowest, highest = int(np.ceil(g_low * 1e9)), int(np.floor(g_high * 1e9))
    return Trials(
        g_start_S=g_low + span * counter_rng.uniform(first),
        g_target_nS=np.clip(target_nS, lowest, highest),
        noise=noise,
        seed=seed,
        model=model,
    )
