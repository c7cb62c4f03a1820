"""The modelled board around a device array: ADC, DAC and timer, in the firmware's integer units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sim import counter_rng
from sim.device import DeviceArray
from sim.units import Floats, Ints, uV_to_V


@dataclass(frozen=True)
class BenchParams:
    """What a board's hardware does to the loop; integers as the firmware knows them."""

    timer_Hz: int
    min_ticks: int
    max_ticks: int
    adc_bits: int
    adc_full_scale_nS: int
    adc_noise_lsb: float
    v_read_uV: int
    dac_bits: int
    dac_lsb_uV: int
    v_set_uV: int
    v_reset_uV: int

    def code_to_nS(self, code: npt.ArrayLike) -> Ints:
        """Conductance of an ADC code, (code * full scale + half) >> bits, as in C [nS]."""
        half = 1 << (self.adc_bits - 1)
        return (np.asarray(code, dtype=np.int64) * self.adc_full_scale_nS + half) >> self.adc_bits

    def full_v_uV(self, direction: npt.ArrayLike) -> Ints:
        """The full pulse voltage of each direction, +1 SET, -1 RESET; 0 for 0 [uV]."""
        d = np.asarray(direction, dtype=np.int64)
        return np.where(d > 0, self.v_set_uV, np.where(d < 0, self.v_reset_uV, 0))

    @property
    def highest_code(self) -> int:
        """Largest ADC code; it and code 0 mean a saturated read."""
        return (1 << self.adc_bits) - 1

    @property
    def tick_s(self) -> float:
        """Duration of one timer tick [s]."""
        return 1.0 / self.timer_Hz

    def ticks(self, width_s: npt.ArrayLike) -> Ints:
        """Pulse widths [s] as ticks, rounded to nearest and limited to the timer's range; NaN gives 0."""
        exact = np.rint(np.asarray(width_s, dtype=np.float64) * self.timer_Hz)
        limited = np.clip(np.nan_to_num(exact, posinf=self.max_ticks), 0, self.max_ticks)
        return np.asarray(limited, dtype=np.int64)

    def dac_uV(self, v_uV: npt.ArrayLike) -> Ints:
        """The voltage a signed DAC really gives for a request: nearest code, saturating [uV]."""
        half_range = 1 << (self.dac_bits - 1)
        code = np.floor(np.asarray(v_uV, dtype=np.float64) / self.dac_lsb_uV + 0.5).astype(np.int64)
        return np.clip(code, -half_range, half_range - 1) * self.dac_lsb_uV


class Devices(Protocol):
    """What a board has in front of it: `sim.device.DeviceArray`, `sim.replay.RecordedDevices`."""

    def __len__(self) -> int: ...

    @property
    def numbers(self) -> npt.NDArray[np.uint32]:
        """The number of each device, (n,); the noise of its readings follows from it."""
        ...

    @property
    def g_S(self) -> Floats:
        """Where every device is [S], (n,)."""
        ...

    def read(self, index: Ints) -> Floats:
        """One reading of the devices at `index`, before the board's converter [S]."""
        ...

    def apply_pulse(
        self, v_V: npt.ArrayLike, width_s: npt.ArrayLike, index: npt.ArrayLike | None = None
    ) -> None:
        """One pulse on each device at `index` [all]."""
        ...


class Bench:
    """Reads and pulses devices the way a board does. `seed` drives the ADC noise only."""

    def __init__(self, devices: Devices, params: BenchParams, seed: int) -> None:
        self.devices = devices
        self.params = params
        self.seed = seed
        self._reads = np.zeros(len(devices), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.devices)

    def read_codes(self, index: npt.ArrayLike | None = None) -> Ints:
        """ADC codes of one read of each device at `index` [all]; 0 and the highest code mean saturation."""
        chosen = np.arange(len(self)) if index is None else np.atleast_1d(np.asarray(index, dtype=np.int64))
        p = self.params
        level = self.devices.read(chosen) * 1e9 / p.adc_full_scale_nS * (1 << p.adc_bits)
        if p.adc_noise_lsb > 0.0:
            device = self.devices.numbers[chosen]
            draw = counter_rng.normal(self.seed, counter_rng.Purpose.ADC_NOISE, device, self._reads[chosen])
            self._reads[chosen] += 1
            level = level + p.adc_noise_lsb * draw
        return np.clip(np.floor(level + 0.5), 0, p.highest_code).astype(np.int64)

    def read_nS(self, index: npt.ArrayLike | None = None) -> Ints:
        """One read of each device at `index` [all] on the firmware's scale [nS]."""
        return self.params.code_to_nS(self.read_codes(index))

    def pulse(self, v_uV: npt.ArrayLike, ticks: npt.ArrayLike, index: npt.ArrayLike | None = None) -> Ints:
        """Pulse each device at `index` [all]; returns the ticks really given.

        Widths above the timer's range are cut to it; below its shortest pulse nothing is given.
        """
        p = self.params
        given = np.minimum(np.atleast_1d(np.asarray(ticks, dtype=np.int64)), p.max_ticks)
        given = np.where(given < p.min_ticks, 0, given)
        self.devices.apply_pulse(uV_to_V(p.dac_uV(v_uV)), given * p.tick_s, index)
        return given


class SimulatedBench(Bench):
    """A bench in front of simulated devices, which may be looked into."""

    devices: DeviceArray
