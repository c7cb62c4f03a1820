"""Programs on simulated devices whose hardware breaks: how each fault ends, over seeded trials."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from codegen.controllers import ONE_SHOT, ControllerBank, Lockstep, Request
from codegen.faults import Fault
from codegen.faults_bench import FaultyBench
from codegen.faults_truth import Judge, Result
from codegen.firmware import Firmware
from codegen.status import Status
from sim.bench import Bench
from sim.closed_loop import Trials
from sim.units import nS_to_S

REQUESTS = {
    "write-and-verify": Request(tolerance_permille=50, max_iterations=20, stuck_pulses=5, stuck_move_nS=1000),
    "one-shot": Request(mode=ONE_SHOT, max_iterations=1),
}
LATEST_ONSET = {"write-and-verify": 2, "one-shot": 0}  # reads before the fault, at most
MOST_ROUNDS = 1000  # of serving the controllers: a sound one ends long before


@dataclass(frozen=True)
class FaultOutcome:
    """How the trials of one fault ended.

    `statuses` counts status names, `safe` trials that ended in the safe state without having broken a rule of the HAL,
    `beyond_limits` pulses that the firmware asked for beyond a limit of the board, `beyond_at_device` those that
    exceeded one at the device, `untrue` results that do not say what happened. RPD is |G_end - G_target| / G_target on
    true conductances: median, and 90th percentile.
    """

    fault: str
    text: str
    mode: str
    trials: int
    statuses: dict[str, int]
    safe: int
    pulses: int
    beyond_limits: int
    beyond_at_device: int
    untrue: int
    median_rpd: float
    p90_rpd: float

    @property
    def is_good(self) -> bool:
        """Every trial safe, every status true, no pulse asked for beyond the limits: what a firmware can see to."""
        return self.safe == self.trials and self.untrue == 0 and self.beyond_limits == 0

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def try_fault(
    bank: ControllerBank, firmware: Firmware, fault: Fault, mode: str, trials: Trials, jobs: int | None = None
) -> FaultOutcome:
    """Program every device of `trials` in one of the modes of `REQUESTS`, each with `fault` in its hardware.

    `bank` is that of `firmware`, compiled. After a reset the program is started again, as a host would.
    """
    request, targets_nS, n = REQUESTS[mode], trials.g_target_nS, len(trials.g_target_nS)
    with bank.lockstep(n) as lockstep:
        bench = FaultyBench(trials, firmware.board, fault, lockstep, LATEST_ONSET[mode], jobs)
        lockstep.start(targets_nS, request, bench.params.max_ticks)
        _serve(lockstep, bench)
        found = _results(lockstep)
        idle = np.flatnonzero([result.status == Status.IDLE for result in found])
        untrue = len(set(idle.tolist()) ^ set(np.flatnonzero(bench.reset_devices).tolist()))
        if len(idle):
            lockstep.start(targets_nS, request, bench.params.max_ticks, idle)
            _serve(lockstep, bench)
            found = _results(lockstep)
        is_safe = lockstep.is_safe() & ~bench.was_unsafe
    judge = Judge(firmware.board, firmware.model.voltages, request, fault)
    judged = zip(found, bench.records, targets_nS.tolist(), strict=True)
    untrue += sum(not judge.is_true(result, record, target_nS) for result, record, target_nS in judged)
    rpd = np.abs(bench.g_S - nS_to_S(targets_nS)) / nS_to_S(targets_nS)
    names = [result.status.name for result in found]
    return FaultOutcome(
        fault=fault.name,
        text=fault.text,
        mode=mode,
        trials=n,
        statuses={name: names.count(name) for name in sorted(set(names), key=lambda k: (-names.count(k), k))},
        safe=int(np.count_nonzero(is_safe)),
        pulses=sum(record.pulses_ever for record in bench.records),
        beyond_limits=sum(record.beyond_limits for record in bench.records),
        beyond_at_device=sum(record.beyond_at_device for record in bench.records),
        untrue=untrue,
        median_rpd=float(np.median(rpd)),
        p90_rpd=float(np.quantile(rpd, 0.9)),
    )


def _serve(lockstep: Lockstep, bench: Bench) -> None:
    """Be the bench until no controller waits any more; a broken one may wait for ever."""
    for _ in range(MOST_ROUNDS):
        if not lockstep.step_all():
            break
        index, v_uV, ticks = lockstep.waiting_pulses()
        if len(index):
            lockstep.serve_pulses(index, bench.pulse(v_uV, ticks, index))
        index = lockstep.waiting_reads()
        if len(index):
            lockstep.serve_reads(index, bench.read_codes(index))


def _results(lockstep: Lockstep) -> list[Result]:
    columns = vars(lockstep.results()).values()
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [Result(Status(status), *numbers) for status, *numbers in rows]
