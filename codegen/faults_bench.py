"""The simulated bench with a fault in it, and a record of what it delivered and what reached the devices."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from codegen.boards import Board
from codegen.controllers import Lockstep
from codegen.faults import Fault, Moment
from sim import counter_rng
from sim.bench import Bench
from sim.closed_loop import Trials
from sim.units import Floats, Ints, nS_to_S, uV_to_V


@dataclass(frozen=True)
class PulseSeen:
    """One pulse as the HAL knows it: after how many readings, at what voltage of the driver, ticks asked for and ticks
    reported (None: no report came)."""

    reading: int
    v_uV: int
    asked: int
    reported: int | None


@dataclass
class DeviceRecord:
    """What one device's controller was told since its last start, and since ever: pulses, those that were asked for
    beyond the board's limits, as far as the firmware could know, and those that were beyond them at the device."""

    codes: list[int] = field(default_factory=list)
    pulses: list[PulseSeen] = field(default_factory=list)
    is_injected: bool = False
    pulses_ever: int = 0
    beyond_limits: int = 0
    beyond_at_device: int = 0

    def forget(self) -> None:
        """A new program begins."""
        self.codes, self.pulses = [], []


class FaultyBench(Bench):
    """A bench whose hardware breaks, for each device at a read of its own: one of the first 1 + `latest_onset`."""

    def __init__(
        self,
        trials: Trials,
        board: Board,
        fault: Fault,
        lockstep: Lockstep | None,
        latest_onset: int = 0,
        jobs: int | None = None,
    ) -> None:
        """Fresh devices. `lockstep`: whose hardware to inject faults into; None when `fault` is none of the HAL's."""
        super().__init__(trials.bench(board.bench_params(), jobs).devices, board.bench_params(), trials.seed)
        self.records = [DeviceRecord() for _ in range(len(self))]
        self.reset_devices = np.zeros(len(self), dtype=np.bool_)
        self.was_unsafe = np.zeros(len(self), dtype=np.bool_)
        self._fault, self._limits, self._lockstep = fault, board.limits, lockstep
        number = np.arange(len(self))
        onset, cut, _, _ = counter_rng.words(trials.seed, counter_rng.Purpose.FAULT, number, 0)
        self._onset = (onset % np.uint32(latest_onset + 1)).astype(np.int64)
        self._cut = counter_rng.uniform(cut)
        self._reads_made = np.zeros(len(self), dtype=np.int64)
        self._good_code = np.zeros(len(self), dtype=np.int64)
        self._injected = np.zeros(len(self), dtype=np.bool_)
        if fault.moment == "select":
            self._inject(number)

    @property
    def g_S(self) -> Floats:
        """True conductances now, those of stuck devices included, (n,)."""
        g_S = self.devices.g_S
        if self._fault.stuck_nS is not None:
            g_S[self._is_active(np.arange(len(self)))] = nS_to_S(self._fault.stuck_nS)
        return g_S

    def read_codes(self, index: npt.ArrayLike | None = None) -> Ints:
        """As `Bench.read_codes`, through the fault."""
        chosen = np.arange(len(self)) if index is None else np.atleast_1d(np.asarray(index, dtype=np.int64))
        codes = super().read_codes(chosen)
        fault, active = self._fault, self._is_active(chosen, after=1)
        good_code = np.where(self._reads_made[chosen] > 0, self._good_code[chosen], codes)
        moment = Moment(self.params, self.seed, chosen, self._reads_made[chosen], good_code)
        if fault.code is not None:
            codes = np.where(active, fault.code(moment, codes), codes)
        if fault.stuck_nS is not None:
            level = fault.stuck_nS * (self.params.highest_code + 1) / self.params.adc_full_scale_nS
            stuck = np.floor(level + self.params.adc_noise_lsb * moment.normal() + 0.5).astype(np.int64)
            codes = np.where(active, stuck, codes)
        self._good_code[chosen] = np.where(active, good_code, codes)
        self._reads_made[chosen] += 1
        if fault.moment == "read":
            self._inject(chosen[active])
        is_lost = active & (fault.inject is not None and fault.inject[0] == "READ_ANSWER")
        for device, code, lost in zip(chosen.tolist(), codes.tolist(), is_lost.tolist(), strict=True):
            if not lost:
                self.records[device].codes.append(code)
        return codes

    def pulse(self, v_uV: npt.ArrayLike, ticks: npt.ArrayLike, index: npt.ArrayLike | None = None) -> Ints:
        """As `Bench.pulse`, through the fault; `v_uV` is what the driver really gives. Returns the ticks reported."""
        chosen = np.arange(len(self)) if index is None else np.atleast_1d(np.asarray(index, dtype=np.int64))
        asked, driver_uV = (np.atleast_1d(np.asarray(v, dtype=np.int64)) for v in (ticks, v_uV))
        fault, active = self._fault, self._is_active(chosen)
        given, device_uV = asked, driver_uV
        if fault.drive_uV is not None:
            device_uV = np.where(active, fault.drive_uV(driver_uV), driver_uV)
        if fault.length is not None:
            given = np.where(active, fault.length(asked), asked)
        if fault.stuck_nS is not None:
            given = np.where(active, 0, asked)
        resets = active & fault.is_reset & ~self.reset_devices[chosen]
        given = np.where(resets, np.floor(asked * self._cut[chosen]).astype(np.int64), given)
        self.devices.apply_pulse(uV_to_V(device_uV), given * self.params.tick_s, chosen)
        if fault.moment == "pulse":
            self._inject(chosen[active])
        is_silent = active & (fault.inject is not None and fault.inject[0] == "PULSE_ANSWER")
        reported = given if fault.is_counted and fault.stuck_nS is None else asked
        self._record(chosen, driver_uV, asked, np.where(is_silent, -1, reported), device_uV, given)
        self._reset(chosen[resets])
        return reported

    def _is_active(self, chosen: Ints, after: int = 0) -> npt.NDArray[np.bool_]:
        return np.asarray(self._reads_made[chosen] + after > self._onset[chosen])

    def _inject(self, index: Ints) -> None:
        if self._fault.inject is not None and self._lockstep is not None:
            fresh = index[~self._injected[index]]
            self._lockstep.inject(fresh, *self._fault.inject)
            self._injected[fresh] = True
            for device in fresh.tolist():
                self.records[device].is_injected = True

    def _reset(self, index: Ints) -> None:
        if self._lockstep is None or not len(index):
            return
        self._lockstep.reset(index)
        self.reset_devices[index] = True
        self.was_unsafe[index] |= ~self._lockstep.is_safe()[index]
        for device in index.tolist():
            self.records[device].forget()

    def _record(
        self, chosen: Ints, driver_uV: Ints, asked: Ints, reported: Ints, device_uV: Ints, given: Ints
    ) -> None:
        limits, nominal = self._limits, self.params
        for device, *numbers in zip(
            chosen.tolist(), driver_uV.tolist(), asked.tolist(), reported.tolist(), device_uV.tolist(),
            given.tolist(), strict=True,
        ):  # fmt: skip
            v_uV, ticks_asked, ticks_reported, at_device_uV, ticks_given = numbers
            record = self.records[device]
            reported_or_none = None if ticks_reported < 0 else ticks_reported
            record.pulses.append(PulseSeen(len(record.codes), v_uV, ticks_asked, reported_or_none))
            record.pulses_ever += 1
            record.beyond_limits += (
                abs(v_uV) > limits.v_max_uV
                or not nominal.min_ticks <= ticks_asked <= limits.max_pulse_ticks
                or len(record.pulses) > limits.max_iterations
            )
            record.beyond_at_device += (
                abs(at_device_uV) > limits.v_max_uV or ticks_given > limits.max_pulse_ticks
            )
