"""Devices as a controller knows them: calibrated over a board's converters, with a state of two bytes each.

The state and its update are those of the firmware (`codegen.device_state`). From such devices the device-aware network
learns: each is calibrated by 0 to 10 pulses, put at a start and pulsed for long, so that its state is paired with its
answer to every pulse time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from codegen.device_state import (
    CELLS,
    RATE_BITS,
    SMALLEST_MOVE_CODES,
    TIME_BITS,
    DeviceStates,
    ReferenceTimes,
    calibration_target_nS,
    reference_ticks,
    updated,
)
from codegen.metadata import DeviceReference
from sim import counter_rng
from sim.bench import BenchParams, SimulatedBench
from sim.closed_loop import Directions
from sim.counter_rng import Words
from sim.device import DeviceArray
from sim.errors import UserError
from sim.output_files import whole_file
from sim.placing import place
from sim.units import Floats, Ints, S_to_nS, nS_to_S
from train.baselines import NoiseFreeInverse
from train.kept import unless_kept
from train.lived import LIVED_S, record
from train.responses import DIRECTIONS, Conductances, ResponseParams
from train.sidecar import code_sha256

CALIBRATION_PULSES = 3
PULSES = (0, 1, 2, 3, 6, 10)
"""Pulses before a sample; those beyond `CALIBRATION_PULSES` aim in turn anywhere and near, as in use."""
NEAR_nS = 20_000
_FIRST_DEVICE = 1 << 29  # random streams of these devices


@dataclass(frozen=True)
class Calibration:
    """The reference that a preset's devices are measured against, on one board.

    Attributes:
        time_scale: factor on the noise-free model's times with which the devices' mean log rate is 0.
    """

    reference: ReferenceTimes
    board: BenchParams
    time_scale: float

    @classmethod
    def scaled(cls, params: ResponseParams, board: BenchParams, time_scale: float) -> Calibration:
        """The noise-free nominal device's times at the voltages of `params`, times `time_scale`."""
        inverse = NoiseFreeInverse.of_model(params.v_set_V, params.v_reset_V, params.model)
        low, high = params.window_S()
        g_min_nS, g_max_nS = round(low * 1e9), round(high * 1e9)
        g_S = nS_to_S(np.linspace(g_min_nS, g_max_nS, CELLS + 1))
        per_s = time_scale * board.timer_Hz * (1 << TIME_BITS)
        curves = (np.interp(g_S, inverse.g_S, t) for t in (inverse.t_set_s, inverse.t_reset_s))
        tables = (t - t.min() for t in curves)
        set_q4, reset_q4 = (tuple(np.rint(t * per_s).astype(np.int64).tolist()) for t in tables)
        smallest_nS = int(board.code_to_nS(SMALLEST_MOVE_CODES))
        return cls(ReferenceTimes(g_min_nS, g_max_nS, smallest_nS, set_q4, reset_q4), board, time_scale)

    def as_metadata(self) -> DeviceReference:
        """The reference in seconds, for the network file."""
        per_s = self.board.timer_Hz * (1 << TIME_BITS)
        tables = (self.reference.set_q4, self.reference.reset_q4)
        set_s, reset_s = (tuple(t / per_s for t in times) for times in tables)
        return DeviceReference(set_s=set_s, reset_s=reset_s)

    @classmethod
    def fitted(
        cls, params: ResponseParams, board: BenchParams, jobs: int | None = None, devices: int = 1024
    ) -> Calibration:
        """The scale at which two calibration pulses find a mean log rate of 0, in two steps."""
        scale = 1.0
        for _ in range(2):
            cells = Cells.unknown(
                params, cls.scaled(params, board, scale), _FIRST_DEVICE - devices, devices, jobs
            )
            for _ in range(2):
                cells.calibrate(np.arange(devices))
            scale *= 2.0 ** -float((cells.states.log2_rate_q4 / 2.0**RATE_BITS).mean())
        return cls.scaled(params, board, scale)


class Draw(IntEnum):
    """What a conductance is drawn for; steps of the trials' random stream."""

    FIRST = 11
    START = 12
    TARGET = 13
    ANYWHERE = 20


def uniform_S(params: ResponseParams, device: Words, draw: int) -> Floats:
    """A conductance for each device, uniform over the window [S]."""
    low, high = params.window_S()
    word = counter_rng.words(params.seed, counter_rng.Purpose.TRIAL_DRAW, device, draw)[0]
    return np.asarray(low + (high - low) * counter_rng.uniform(word))


def lived_devices(
    params: ResponseParams, g_start_S: Floats, first_device: int, jobs: int | None
) -> DeviceArray:
    """Devices of the preset with all their differences, that have lived and are at `g_start_S`, (n,)."""
    devices = DeviceArray(
        len(g_start_S),
        params.noise,
        params.seed,
        g_start_S,
        model=params.model,
        window=params.window,
        first_device=first_device,
        jobs=jobs,
    )
    devices.apply_pulse(params.v_reset_V, LIVED_S)
    place(devices, g_start_S)
    return devices


@dataclass
class Cells:
    """Devices on a bench, and what the controller knows of them: its states, and the last readings [nS], (n,)."""

    bench: SimulatedBench
    reference: ReferenceTimes
    states: DeviceStates
    g_nS: Ints

    @classmethod
    def unknown(
        cls, params: ResponseParams, calibration: Calibration, first: int, count: int, jobs: int | None
    ) -> Cells:
        """Devices number `first` and on, at random conductances, of which nothing is known but a first reading."""
        number = np.arange(first, first + count, dtype=np.uint32)
        devices = lived_devices(params, uniform_S(params, number, Draw.FIRST), first, jobs)
        bench = SimulatedBench(devices, calibration.board, params.seed)
        return cls(bench, calibration.reference, DeviceStates.fresh(count), bench.read_nS())

    def pulse(self, ticks: Ints, g_target_nS: Ints, index: Ints) -> Ints:
        """Pulse devices at `index` towards targets, read them and learn; returns the ticks really given."""
        before, board = self.g_nS[index], self.bench.params
        direction = np.sign(g_target_nS - before).astype(np.int8)
        v_uV = np.where(direction > 0, board.v_set_uV, board.v_reset_uV)
        given = self.bench.pulse(v_uV, np.where(direction == 0, 0, ticks), index)
        self.g_nS[index] = after = self.bench.read_nS(index)
        known = self.states.take(index)
        self.states.put(index, updated(known, self.reference, before, after, direction, given))
        return given

    def calibrate(self, index: Ints, g_target_nS: Ints | None = None) -> Ints:
        """One calibration pulse for devices at `index`, towards `g_target_nS` or else where it reveals most."""
        here = self.g_nS[index]
        target = calibration_target_nS(self.reference, here) if g_target_nS is None else g_target_nS
        wanted = reference_ticks(self.reference, self.states.take(index), here, target)
        limits = self.bench.params
        return self.pulse(np.clip(wanted, limits.min_ticks, limits.max_ticks), target, index)

    def put(self, g_S: Floats) -> None:
        """Put every device at a conductance, with nothing learned from how it came there, and read it."""
        place(self.bench.devices, g_S)
        self.g_nS = self.bench.read_nS()


@dataclass(frozen=True)
class CalibratedResponses:
    """Devices as a controller knows them, and their answers to every pulse time; arrays (n,).

    Attributes:
        direction: +1 SET, -1 RESET. Starts and directions are those of uniform random pairs.
        g_S: (n, k) conductance after each of the steps `params.steps()` [S].
    """

    params: ResponseParams
    g_start_S: Floats
    direction: Directions
    states: DeviceStates
    g_S: Conductances


def calibrated_responses(
    params: ResponseParams, calibration: Calibration, count: int, jobs: int | None = None
) -> CalibratedResponses:
    """Calibrate `count` devices by as many pulses as `PULSES` has in turn, and record their answers."""
    cells = Cells.unknown(params, calibration, _FIRST_DEVICE, count, jobs)
    number = np.arange(_FIRST_DEVICE, _FIRST_DEVICE + count, dtype=np.uint32)
    pulses = np.array(PULSES)[np.arange(count) % len(PULSES)]
    for k in range(max(PULSES)):
        index = np.flatnonzero(pulses > k)
        cells.calibrate(
            index, _in_use_nS(params, cells, number, index, k) if k >= CALIBRATION_PULSES else None
        )
    g_start_S = uniform_S(params, number, Draw.START)
    direction = np.where(uniform_S(params, number, Draw.TARGET) > g_start_S, 1, -1).astype(np.int8)
    devices = cells.bench.devices
    place(devices, g_start_S)
    g_S = np.empty((count, len(params.steps())), dtype=np.float32)
    for way in DIRECTIONS:
        index = np.flatnonzero(direction == way)
        g_S[index] = record(devices, params, way, index)
    return CalibratedResponses(params, g_start_S, direction, cells.states, g_S)


def _in_use_nS(params: ResponseParams, cells: Cells, number: Words, index: Ints, k: int) -> Ints:
    """Targets anywhere in the window before even pulses, near where a device is before odd ones."""
    anywhere = S_to_nS(uniform_S(params, number[index], Draw.ANYWHERE + k))
    if k % 2 == 0:
        return anywhere
    g_min, g_max = cells.reference.g_min_nS, cells.reference.g_max_nS
    shift = (anywhere - (g_min + g_max) // 2) * 2 * NEAR_nS // (g_max - g_min)
    return np.asarray(np.clip(cells.g_nS[index] + shift, g_min, g_max))


def kept_responses(
    path: Path, params: ResponseParams, board: BenchParams, count: int, jobs: int | None = None
) -> tuple[Calibration, CalibratedResponses]:
    """The calibration and the responses at `path` (.npz); made first if they are missing or of something else."""
    made_from = {
        "params": json.loads(params.as_json()),
        "board": asdict(board),
        "devices": count,
        "pulses": PULSES,
        "code_sha256": code_sha256(with_responses=True, also=("lived", "calibrated")),
    }
    with unless_kept(path, made_from) as missing:
        if missing is not None:
            calibration = Calibration.fitted(params, board, jobs)
            data = calibrated_responses(params, calibration, count, jobs)
            with whole_file(path) as temporary, temporary.open("wb") as stream:
                np.savez(
                    stream,
                    time_scale=calibration.time_scale,
                    g_start_S=data.g_start_S,
                    direction=data.direction,
                    log2_rate_q4=data.states.log2_rate_q4,
                    pulses=data.states.pulses,
                    g_S=data.g_S,
                )
    try:
        with np.load(path) as found:
            states = DeviceStates(found["log2_rate_q4"], found["pulses"])
            data = CalibratedResponses(params, found["g_start_S"], found["direction"], states, found["g_S"])
            return Calibration.scaled(params, board, float(found["time_scale"])), data
    except (OSError, KeyError, ValueError):
        raise UserError(f"{path} is a damaged file of calibrated responses; delete it") from None
