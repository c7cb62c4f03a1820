"""Many compiled C controllers in lockstep on one simulated bench: the firmware's own loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen.device_state import DeviceStates
from codegen.host import load_library
from codegen.predictions import require_wish
from codegen.status import Status
from firmware_templates import HOST
from sim.bench import Bench
from sim.closed_loop import ProgramTrace
from sim.errors import UserError
from sim.units import Ints

Int32s = npt.NDArray[np.int32]

ONE_SHOT = 0
WRITE_VERIFY = 1
CALIBRATE = 2


@dataclass(frozen=True)
class Request:
    """What every controller is asked to do; fields and ranges as in `ouro_request_t`.

    Write-and-verify with both tolerances 0 always gives `max_iterations` iterations; calibration, which needs states
    and ignores targets, as many pulses. No budget: pulses of any length the timer has. `wish_permille`: the error
    to expect of a pulse; 0 is no wish.
    """

    mode: int = WRITE_VERIFY
    tolerance_nS: int = 0
    tolerance_permille: int = 0
    max_iterations: int = 20
    stuck_pulses: int = 0
    stuck_move_nS: int = 1000
    budget_ticks: int | None = None
    wish_permille: int = 0


@dataclass(frozen=True)
class ControllerResults:
    """What the controllers say of themselves, (n,) each."""

    status: Int32s
    iterations: Int32s
    pulses: Int32s
    g_start_nS: Int32s
    g_last_nS: Int32s
    total_ticks: Ints


@dataclass(frozen=True)
class ControllerRun(ControllerResults):
    """The controllers' own results and what the bench saw.

    `trace` has one row per iteration asked for; after a device's last iteration its read is repeated and its
    direction is 0. `unsafe` counts controllers that broke a safety rule or did not end in the safe state.
    """

    trace: ProgramTrace
    unsafe: int


class ControllerBank:
    """The C controllers of one host library (`firmware_templates/host/ouro_lockstep.h`)."""

    def __init__(self, library: Path) -> None:
        """Load a host library.

        Raises:
            UserError: it cannot be loaded.
        """
        self._ffi, self._lib = load_library(library, HOST / "ouro_lockstep.h")

    def one_shot(
        self, bench: Bench, g_target_nS: Ints, budget_ticks: int | None = None, wish_permille: int = 0
    ) -> ControllerRun:
        """One read and one pulse per device, then one read that the controllers do not see.

        Controllers with states read after the pulse themselves: `run` them.
        """
        request = Request(
            mode=ONE_SHOT, max_iterations=1, budget_ticks=budget_ticks, wish_permille=wish_permille
        )
        run = self.run(bench, g_target_nS, request)
        run.trace.g_read_nS[1] = bench.read_nS()
        return run

    def write_and_verify(self, bench: Bench, g_target_nS: Ints, iterations: int) -> ControllerRun:
        """Always `iterations` iterations, as in `sim.closed_loop.write_and_verify`."""
        return self.run(bench, g_target_nS, Request(max_iterations=iterations))

    def run(
        self,
        bench: Bench,
        g_target_nS: npt.ArrayLike,
        request: Request,
        states: DeviceStates | None = None,
    ) -> ControllerRun:
        """Program every device of `bench` towards `g_target_nS` (scalar or (n,)) to the end.

        Args:
            states: what is known of each device; the controllers predict with it, and leave it as they learned.
        """
        targets = np.broadcast_to(np.asarray(g_target_nS, dtype=np.int64), (len(bench),)).copy()
        with self.lockstep(len(bench)) as lockstep:
            if states is not None:
                lockstep.put_states(states)
            lockstep.start(targets, request, bench.params.max_ticks)
            trace = serve(lockstep, bench, targets, request.max_iterations)
            if states is not None:
                lockstep.get_states(states)
            unsafe = int(np.count_nonzero(~lockstep.is_safe()))
            return ControllerRun(**vars(lockstep.results()), trace=trace, unsafe=unsafe)

    @contextmanager
    def lockstep(self, n: int) -> Iterator[Lockstep]:
        """`n` controllers at rest, for those who serve them step by step."""
        lockstep = Lockstep(self._ffi, self._lib, n)
        try:
            yield lockstep
        finally:
            lockstep.close()


def serve(lockstep: Lockstep, bench: Bench, g_target_nS: Ints, iterations: int) -> ProgramTrace:
    """Be the bench of all controllers until none waits any more; returns what happened."""
    n = len(bench)
    reads = np.full((iterations + 1, n), -1, dtype=np.int64)
    directions = np.zeros((iterations, n), dtype=np.int8)
    ticks = np.zeros((iterations, n), dtype=np.int64)
    voltages = np.zeros((iterations, n), dtype=np.int64)
    reads_made = np.zeros(n, dtype=np.int64)
    while lockstep.step_all():
        index, v_uV, width_ticks = lockstep.waiting_pulses()
        if len(index):
            given = bench.pulse(v_uV, width_ticks, index)
            directions[reads_made[index] - 1, index] = np.where(v_uV < 0, 1, -1)
            ticks[reads_made[index] - 1, index] = given
            voltages[reads_made[index] - 1, index] = v_uV
            lockstep.serve_pulses(index, given)
        index = lockstep.waiting_reads()
        if len(index):
            codes = bench.read_codes(index)
            reads[reads_made[index], index] = bench.params.code_to_nS(codes)
            reads_made[index] += 1
            lockstep.serve_reads(index, codes)
    for k in range(1, iterations + 1):
        reads[k] = np.where(k < reads_made, reads[k], reads[k - 1])
    return ProgramTrace(
        g_target_nS=g_target_nS,
        g_read_nS=reads,
        g_end_S=bench.devices.g_S,
        direction=directions,
        ticks=ticks,
        v_uV=voltages,
    )


class Lockstep:
    """Array view of one `ouro_lockstep_t`."""

    def __init__(self, ffi: Any, lib: Any, n: int) -> None:
        self._ffi, self._lib, self._n = ffi, lib, n
        self._self = lib.ouro_lockstep_new(n)
        if self._self == ffi.NULL:
            raise UserError(f"not enough memory for {n} controllers")
        self._columns = [np.empty(n, dtype=np.int64) for _ in range(3)]

    def close(self) -> None:
        self._lib.ouro_lockstep_free(self._self)

    def start(self, g_target_nS: Ints, request: Request, max_ticks: int, index: Ints | None = None) -> None:
        """Start the controllers at `index` [all] with their targets, (n,). A refused request is a result too."""
        r = request
        budget_ticks = max_ticks if r.budget_ticks is None else r.budget_ticks
        if not 1 <= r.max_iterations < 2**16:
            raise UserError(f"max_iterations = {r.max_iterations} is outside 1 .. 65535")
        require_wish(r.wish_permille)
        for i in range(self._n) if index is None else index.tolist():
            self._lib.ouro_lockstep_start(
                self._self,
                i,
                r.mode,
                int(g_target_nS[i]),
                r.tolerance_nS,
                r.tolerance_permille,
                r.max_iterations,
                r.stuck_pulses,
                r.stuck_move_nS,
                budget_ticks,
                r.wish_permille,
            )

    def inject(self, index: Ints, fault: str, value: int) -> None:
        """A fault of `ouro_fault_t`, named without its prefix, in the hardware of the controllers at `index`."""
        for i in index.tolist():
            self._lib.ouro_lockstep_inject(self._self, i, getattr(self._lib, f"OURO_FAULT_{fault}"), value)

    def reset(self, index: Ints) -> None:
        """Reset the processors of the controllers at `index`, whatever they are doing."""
        for i in index.tolist():
            self._lib.ouro_lockstep_reset(self._self, i)

    def put_states(self, states: DeviceStates) -> None:
        self._lib.ouro_lockstep_put_states(self._self, *self._state_pointers(states))

    def get_states(self, states: DeviceStates) -> None:
        """Overwrite `states` with the controllers' own."""
        self._lib.ouro_lockstep_get_states(self._self, *self._state_pointers(states))

    def _state_pointers(self, states: DeviceStates) -> tuple[Any, Any]:
        return self._pointer("int8_t *", states.log2_rate_q4), self._pointer("uint8_t *", states.pulses)

    def step_all(self) -> int:
        return int(self._lib.ouro_lockstep_step_all(self._self))

    def waiting_reads(self) -> Ints:
        """Indices of the controllers that wait for a read."""
        return self._waiting(self._lib.OURO_WAIT_READ)[0]

    def waiting_pulses(self) -> tuple[Ints, Ints, Ints]:
        """Indices, voltages [uV] and widths [ticks] of the pulses asked for."""
        return self._waiting(self._lib.OURO_WAIT_PULSE)

    def _waiting(self, kind: int) -> tuple[Ints, Ints, Ints]:
        pointers = [self._pointer("int64_t *", column) for column in self._columns]
        count = self._lib.ouro_lockstep_waiting(self._self, kind, *pointers)
        index, v_uV, ticks = (column[:count].copy() for column in self._columns)
        return index, v_uV, ticks

    def serve_reads(self, index: Ints, codes: Ints) -> None:
        arrays = (self._pointer("int64_t *", index), self._pointer("int64_t *", codes))
        self._lib.ouro_lockstep_serve_reads(self._self, len(index), *arrays)

    def serve_pulses(self, index: Ints, ticks_given: Ints) -> None:
        arrays = (self._pointer("int64_t *", index), self._pointer("int64_t *", ticks_given))
        self._lib.ouro_lockstep_serve_pulses(self._self, len(index), *arrays)

    def is_safe(self) -> npt.NDArray[np.bool_]:
        """Which controllers ended in the safe state and never broke a safety rule, (n,)."""
        lib = self._lib
        return np.array(
            [
                lib.ouro_lockstep_violations(self._self, i) == 0
                and lib.ouro_lockstep_is_safe(self._self, i) != 0
                for i in range(self._n)
            ]
        )

    def results(self) -> ControllerResults:
        fields = [np.empty(self._n, dtype=np.int32) for _ in range(7)]
        longs = [np.empty(self._n, dtype=np.int64) for _ in range(2)]
        pointers = [self._pointer("int32_t *", a) for a in fields] + [
            self._pointer("int64_t *", a) for a in longs
        ]
        self._lib.ouro_lockstep_results(self._self, *pointers)
        status, _, iterations, pulses, g_start_nS, g_last_nS, _ = fields
        return ControllerResults(status, iterations, pulses, g_start_nS, g_last_nS, longs[1])

    def _pointer(self, kind: str, array: npt.NDArray[Any]) -> Any:
        return self._ffi.cast(kind, self._ffi.from_buffer(array))


def status_counts(run: ControllerRun) -> dict[str, int]:
    """How many controllers ended how, by status name."""
    values, counts = np.unique(run.status, return_counts=True)
    return {Status(int(v)).name: int(c) for v, c in zip(values, counts, strict=True)}
