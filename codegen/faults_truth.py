"""Does a controller's result say what happened? Judged from the bench's own record, by rules of its own."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.boards import Board
from codegen.controllers import ONE_SHOT, Request
from codegen.faults import PENDING, Fault
from codegen.faults_bench import DeviceRecord, PulseSeen
from codegen.qmodel import Voltages
from codegen.status import Status


@dataclass(frozen=True)
class Result:
    """What a controller says of one program."""

    status: Status
    iterations: int
    pulses: int
    g_start_nS: int
    g_last_nS: int
    total_ticks: int


@dataclass(frozen=True)
class Judge:
    """Compares results with records, for one firmware, request and fault."""

    board: Board
    voltages: Voltages
    request: Request
    fault: Fault

    def is_true(self, result: Result, record: DeviceRecord, g_target_nS: int) -> bool:
        """Whether the counts, readings and status of `result` are those of `record`."""
        readings_nS = [self._nS(code) for code in record.codes]
        first, last = (readings_nS[0], readings_nS[-1]) if readings_nS else (-1, -1)
        return (
            result.pulses == len(record.pulses)
            and result.total_ticks == sum(pulse.reported or 0 for pulse in record.pulses)
            and (result.g_start_nS, result.g_last_nS) == (first, last)
            and len(readings_nS) - 1 <= result.iterations <= len(readings_nS)
            and all(self._is_voltage_right(pulse) for pulse in record.pulses)
            and result.status in self._true_statuses(result, record, readings_nS, g_target_nS)
        )

    def _true_statuses(
        self, result: Result, record: DeviceRecord, readings_nS: list[int], g_target_nS: int
    ) -> set[Status]:
        """Every status that may be said. What the hardware reported comes before what the device did."""
        if record.pulses and not self._is_length_right(record.pulses[-1]):
            return {Status.ERR_PULSE_LENGTH}
        kind, value = self.fault.inject if self.fault.inject and record.is_injected else ("", 0)
        if kind == "SELECT":
            return {Status.ERR_SELECT}
        answer = Status.ERR_TIMEOUT if value == PENDING else Status.ERR_HAL
        if kind in ("READ_ANSWER", "PULSE_ANSWER"):
            return {answer}
        ends = self._ends(result, record, readings_nS, g_target_nS)
        if kind:  # the driver: shows when a voltage is asked for, which a last reading does not
            return ends - {Status.OK} or {answer if kind == "SETTLE_ANSWER" else Status.ERR_VOLTAGE}
        return ends

    def _ends(
        self, result: Result, record: DeviceRecord, readings_nS: list[int], g_target_nS: int
    ) -> set[Status]:
        """What the last reading, or a one-shot's pulse, ends the program with."""
        request = self.request
        is_answered = any(pulse.reading == len(readings_nS) for pulse in record.pulses)  # by a pulse
        if is_answered:
            return {Status.OK} if request.mode == ONE_SHOT else set()
        if record.codes and record.codes[-1] in (0, self.board.adc.max_code):
            return {Status.ERR_READ_SATURATED}
        if request.mode == ONE_SHOT:
            return {Status.NO_PULSE_NEEDED} if result.g_last_nS == g_target_nS else set()
        off_nS = abs(result.g_last_nS - g_target_nS)
        if off_nS <= max(request.tolerance_nS, request.tolerance_permille * g_target_nS / 1000):
            return {Status.CONVERGED}
        is_stuck = self._is_stuck(record, readings_nS, g_target_nS)
        is_used_up = result.iterations == request.max_iterations
        ends = ((Status.ERR_STUCK, is_stuck), (Status.ERR_NOT_CONVERGED, is_used_up))
        return {status for status, holds in ends if holds}

    def _is_voltage_right(self, pulse: PulseSeen) -> bool:
        """Within one DAC step of a voltage that the network knows: with any other no pulse may be given."""
        v, tolerance_uV = self.voltages, self.board.dac.lsb_uV
        lowered_uV = pulse.v_uV - v.v_set_uV if pulse.v_uV < 0 else v.v_reset_uV - pulse.v_uV
        most_uV = v.set_steps * v.set_step_uV if pulse.v_uV < 0 else v.reset_steps * v.reset_step_uV
        return -tolerance_uV <= lowered_uV <= most_uV + tolerance_uV

    def _is_length_right(self, pulse: PulseSeen) -> bool:
        """Within 1/64 (docs/controller.md); a pulse without a report has no length to judge."""
        return pulse.reported is None or abs(pulse.reported - pulse.asked) <= pulse.asked // 64

    def _is_stuck(self, record: DeviceRecord, readings_nS: list[int], g_target_nS: int) -> bool:
        """Did the last `stuck_pulses` pulses that were meant to move the reading fail to?"""
        request, failures = self.request, 0
        for pulse in record.pulses:
            before, after = readings_nS[pulse.reading - 1 : pulse.reading + 1]
            direction = 1 if pulse.v_uV < 0 else -1
            if (g_target_nS - before) * direction >= 2 * request.stuck_move_nS:
                failures = failures + 1 if (after - before) * direction < request.stuck_move_nS else 0
        return 0 < request.stuck_pulses <= failures

    def _nS(self, code: int) -> int:
        adc = self.board.adc
        return (code * adc.full_scale_nS + (1 << (adc.bits - 1))) >> adc.bits
