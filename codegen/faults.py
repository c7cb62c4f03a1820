"""The faults that are put into the simulated hardware: what each does to the bench or to the HAL.

A fault *seen* by the hardware shows in what the HAL reports (a voltage read back, ticks counted); an *unseen* one does
not, and no firmware can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sim import counter_rng
from sim.bench import BenchParams
from sim.units import Floats, Ints

PENDING, FAILED, NONSENSE = 0, 2, 77  # answers of a HAL poll; the last is no ouro_hal_progress_t

NOISE_LSB = 20
GAIN_permille, GAIN_SEEN_permille = 200, 500
OFFSET_uV = 20_000
STUCK_HRS_nS, STUCK_LRS_nS = 20_000, 620_000


@dataclass(frozen=True)
class Moment:
    """A read of the devices that a fault acts on, (k,) each: their numbers, reads so far and last good codes."""

    params: BenchParams
    seed: int
    device: Ints
    step: Ints
    good_code: Ints

    def normal(self) -> Floats:
        """A standard normal number for each read."""
        return counter_rng.normal(self.seed, counter_rng.Purpose.FAULT, self.device, 1 + self.step)

    def codes(self, *, of_device: bool = False) -> Ints:
        """Any code for each read, or one for each device."""
        step = 0 * self.step if of_device else 1 + self.step
        word = counter_rng.words(self.seed, counter_rng.Purpose.FAULT, self.device, step)[2]
        codes: Ints = np.right_shift(word, 32 - self.params.adc_bits).astype(np.int64)
        return codes

    def chance(self, probability: float) -> npt.NDArray[np.bool_]:
        """True with a probability for each read."""
        word = counter_rng.words(self.seed, counter_rng.Purpose.FAULT, self.device, 1 + self.step)[3]
        return np.asarray(counter_rng.uniform(word) < probability)


@dataclass(frozen=True)
class Fault:
    """One fault of one device's hardware, from its onset on.

    `code` turns the ADC's codes into those read, `drive_uV` the driver's voltage into that at the device, `length` the
    ticks asked for into those given. `is_counted`: the HAL reports the ticks given, not those asked for.
    `stuck_nS`: the device has this conductance whatever is done. `inject` is a fault of `ouro_fault_t` and its value,
    put in at a device's first `moment` after the onset. `is_reset`: one pulse is cut by a reset of the processor.
    """

    name: str
    text: str
    code: Callable[[Moment, Ints], Ints] | None = None
    drive_uV: Callable[[Ints], Ints] | None = None
    length: Callable[[Ints], Ints] | None = None
    is_counted: bool = True
    stuck_nS: int | None = None
    inject: tuple[str, int] | None = None
    moment: Literal["select", "read", "pulse"] = "read"
    is_reset: bool = False


def _noisy(moment: Moment, codes: Ints) -> Ints:
    noise = np.rint(NOISE_LSB * moment.normal()).astype(np.int64)
    return np.asarray(np.clip(codes + noise, 0, moment.params.highest_code), dtype=np.int64)


def _spikes(moment: Moment, codes: Ints) -> Ints:
    return np.where(moment.chance(0.25), moment.codes(), codes)


def _stuck(moment: Moment, codes: Ints) -> Ints:
    return moment.codes(of_device=True)


FAULTS = (
    Fault("none", "for comparison"),
    Fault("ADC holds", "every read repeats the last good code", code=lambda m, codes: m.good_code),
    Fault("ADC stuck", "every read gives one code, any for each device", code=_stuck),
    Fault("ADC saturated high", "every read gives the highest code",
          code=lambda m, codes: np.full_like(codes, m.params.highest_code)),
    Fault("ADC saturated low", "every read gives code 0", code=lambda m, codes: np.zeros_like(codes)),
    Fault("ADC noisy", f"{NOISE_LSB} LSB rms more", code=_noisy),
    Fault("ADC spikes", "one read of four gives any code", code=_spikes),
    Fault("DAC gain, read back", f"+{GAIN_SEEN_permille / 10:.0f} %", inject=("GAIN_permille", GAIN_SEEN_permille)),
    Fault("DAC gain high, unseen", f"+{GAIN_permille / 10:.0f} %", drive_uV=lambda v: v + v * GAIN_permille // 1000),
    Fault("DAC gain low, unseen", f"-{GAIN_permille / 10:.0f} %", drive_uV=lambda v: v - v * GAIN_permille // 1000),
    Fault("DAC offset, read back", f"+{OFFSET_uV // 1000} mV", inject=("VOLTAGE_uV", OFFSET_uV)),
    Fault("DAC offset, unseen", f"+{OFFSET_uV // 1000} mV", drive_uV=lambda v: v + OFFSET_uV),
    Fault("DAC zero", f"{OFFSET_uV // 1000} mV remain after a pulse", inject=("ZERO_uV", OFFSET_uV)),
    Fault("ticks lost, counted", "half of each pulse", length=lambda t: t // 2),
    Fault("ticks lost, unseen", "half of each pulse", length=lambda t: t // 2, is_counted=False),
    Fault("ticks doubled, counted", "each pulse twice as long", length=lambda t: 2 * t),
    Fault("ticks doubled, unseen", "each pulse twice as long", length=lambda t: 2 * t, is_counted=False),
    Fault("pulse missing, unseen", "the driver never switches", length=lambda t: 0 * t, is_counted=False),
    Fault("stuck at HRS", f"{STUCK_HRS_nS // 1000} uS whatever is done", stuck_nS=STUCK_HRS_nS),
    Fault("stuck at LRS", f"{STUCK_LRS_nS // 1000} uS whatever is done", stuck_nS=STUCK_LRS_nS),
    Fault("selector", "reports that it failed", inject=("SELECT", 1), moment="select"),
    Fault("settling never ends", "HAL time-out", inject=("SETTLE_ANSWER", PENDING)),
    Fault("read never ends", "HAL time-out", inject=("READ_ANSWER", PENDING)),
    Fault("read fails", "the HAL says so", inject=("READ_ANSWER", FAILED)),
    Fault("read nonsense", f"the HAL answers {NONSENSE}", inject=("READ_ANSWER", NONSENSE)),
    Fault("pulse's end unreported", "HAL time-out", inject=("PULSE_ANSWER", PENDING), moment="pulse"),
    Fault("pulse fails", "the HAL says so", inject=("PULSE_ANSWER", FAILED), moment="pulse"),
    Fault("reset in mid-pulse", "memory lost, pulse cut; then started again", is_reset=True),
)  # fmt: skip
