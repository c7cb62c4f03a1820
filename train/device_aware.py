"""A predictor that knows what each device's pulses have revealed: training, one-shot accuracy.

The network's further inputs are the controller's two bytes of state (`codegen.device_state`). It learns from calibrated
devices (`train.calibrated`), so that what is best given an uncertain state is learned with the state's real errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from codegen.device_state import RATE_BITS, SURE_PULSES, DeviceStates
from codegen.folding import UNITS
from codegen.metadata import STATE_NAMES
from codegen.onnx_import import FloatNetwork, load_network
from sim.accuracy import AccuracyRecord, accuracy_record
from sim.bench import BenchParams
from sim.closed_loop import ProgramTrace, Pulses, Trials
from sim.device import DeviceArray
from sim.models import JART_FIT, DeviceModel
from sim.noise import NoisePreset
from sim.population import DT_S
from sim.units import Floats, Ints, S_to_nS, uV_to_V
from train.calibrated import (
    CALIBRATION_PULSES,
    CalibratedResponses,
    Calibration,
    Cells,
    Draw,
    uniform_S,
)
from train.export import metadata_of_dataset, write_network
from train.features import LOG_SCALING, Affine
from train.kept import unless_kept
from train.loop import Progress, Schedule, Weights, reproducible, run_epochs
from train.model import PulsePredictorMLP
from train.responses import ResponseParams

HIDDEN = (32, 64, 32)
SCHEDULE = Schedule(epochs=40, rate=1e-2, batch=1024)
STATE_SCALING = replace(
    LOG_SCALING,
    further=((STATE_NAMES[0], Affine(0.0, 4.0)), (STATE_NAMES[1], Affine(0.0, float(SURE_PULSES)))),
)
TARGETS, NEAR_TARGETS = 6, 2
NEAR_S = (1e-6, 5e-5)
"""Changes of the near targets."""
NEAR_WEIGHT = 0.1
BEYOND = 0.1
"""Loss per decade outside the recorded times, so that a prediction finds back."""
POINTS_PER_DECADE = 14


def training_params(
    noise: NoisePreset, board: BenchParams, seed: int, model: DeviceModel = JART_FIT
) -> ResponseParams:
    """Responses at a board's voltages to pulses of up to its longest."""
    return ResponseParams(
        seed=seed,
        noise=noise,
        v_set_V=float(uV_to_V(board.v_set_uV)),
        v_reset_V=float(uV_to_V(board.v_reset_uV)),
        window=model.window,
        longest_pulse_s=board.max_ticks * board.tick_s,
        points_per_decade=POINTS_PER_DECADE,
        device_model=model.name,
    )


class DeviceRpd:
    """Pairs of calibrated devices and targets, with the error of each device after every pulse time.

    Most targets are uniform over the window, and their loss is the RPD. Some are near the start, as in closed loops;
    their loss is that of the change, lightly weighted: their RPD is small whatever the network says.

    Attributes:
        x: (n, 4) float32 network inputs; (n, 2) without the state.
    """

    def __init__(self, data: CalibratedResponses, *, with_state: bool = True) -> None:
        """`with_state` False leaves out what is known of the device."""
        n, p = len(data.g_start_S), data.params
        low, high = p.window_S()
        room = np.where(data.direction > 0, high - data.g_start_S, data.g_start_S - low)
        generator = np.random.Generator(np.random.Philox(p.seed))
        share = (np.arange(TARGETS) + generator.random((n, 1))) / TARGETS
        near = np.exp(generator.uniform(np.log(NEAR_S[0]), np.log(NEAR_S[1]), (n, NEAR_TARGETS)))
        change = np.concatenate([room[:, None] * share, np.minimum(near, room[:, None])], axis=1)
        is_near = np.arange(TARGETS + NEAR_TARGETS) >= TARGETS
        target = data.g_start_S[:, None] + data.direction[:, None] * change
        device = np.repeat(np.arange(n), TARGETS + NEAR_TARGETS)
        told = [
            np.asarray(UNITS[name] * value[device], dtype=np.float64)
            for name, value in zip(STATE_NAMES, data.states.inputs(), strict=True)
        ]
        scaling, told = (STATE_SCALING, told) if with_state else (LOG_SCALING, [])
        start_S, change_S = data.g_start_S[device], data.direction[device] * change.ravel()
        self.x = torch.from_numpy(scaling.inputs(start_S, change_S, *told))
        self._device = torch.from_numpy(device)
        self._target = torch.from_numpy(target.ravel().astype(np.float32))
        self._change = torch.from_numpy(change.ravel().astype(np.float32))
        self._near = torch.from_numpy(np.tile(is_near, n))
        self._log_time = torch.from_numpy(np.log10(p.steps() * DT_S).astype(np.float32))
        self._g_S = torch.from_numpy(data.g_S)

    def __len__(self) -> int:
        return len(self.x)

    def loss(self, y: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Mean loss of outputs (m,) on the given pairs; differentiable."""
        output = LOG_SCALING.output
        log_time = output.offset + output.scale * y
        times = self._log_time
        inside = log_time.clamp(times[0], times[-1])
        right = torch.searchsorted(times, inside.detach()).clamp(1, len(times) - 1)
        share = (inside - times[right - 1]) / (times[right] - times[right - 1])
        device = self._device[chosen]
        g_S = torch.lerp(self._g_S[device, right - 1], self._g_S[device, right], share)
        error = (g_S - self._target[chosen]).abs()
        far = error / self._target[chosen]
        near = NEAR_WEIGHT * torch.log1p(error / self._change[chosen])
        return (torch.where(self._near[chosen], near, far) + BEYOND * (log_time - inside).abs()).mean()


def fit(
    data: CalibratedResponses,
    *,
    seed: int,
    schedule: Schedule,
    with_state: bool = True,
    progress: Progress = lambda: None,
) -> Weights:
    """Train a network; the weights at the end of the schedule. Reproducible from `seed`."""
    pairs = DeviceRpd(data, with_state=with_state)
    with reproducible():
        model = PulsePredictorMLP((pairs.x.shape[1], *HIDDEN, 1), seed)
        run_epochs(model, pairs, pairs.loss, schedule, torch.Generator().manual_seed(seed), progress)
        return model.state_dict()


class StatePredictor(Protocol):
    """Predicts from start, target and what is known of the device."""

    def predict(self, g_start_nS: Ints, g_target_nS: Ints, states: DeviceStates) -> Pulses:
        """One pulse per device, (n,)."""
        ...


@dataclass(frozen=True)
class OneShot:
    """One-shot accuracy after some calibration pulses, and what they cost and found out.

    Attributes:
        calibration_s: mean time under calibration pulses, per device.
        log2_rate_std: of the devices' true log rates, in octaves.
        log2_rate_error_std: of the states' estimates of them.
    """

    pulses: int
    accuracy: AccuracyRecord
    calibration_s: float
    log2_rate_std: float
    log2_rate_error_std: float
    correlation: float


def one_shots(
    networks: Mapping[tuple[str, str], tuple[StatePredictor, bool]],
    params: ResponseParams,
    calibration: Calibration,
    board_name: str,
    *,
    trials: int,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda n: None,
) -> list[OneShot]:
    """One-shot accuracy of networks on the same unknown devices, pairs and noise.

    Devices have lived. After their calibration they are put at a uniform start, as the floor's are, so that where a
    calibration ends plays no part.

    Args:
        networks: by name and realisation, each with whether it sees the states: after 0 .. 3 pulses; others after 0.
        params: `seed` is that of the trials; not the training's.
        progress: called with 1 after each accuracy.
    """
    number = np.arange(trials, dtype=np.uint32)
    start_S = uniform_S(params, number, Draw.START)
    target_nS = S_to_nS(uniform_S(params, number, Draw.TARGET))
    trial = Trials(start_S, target_nS, params.noise, params.seed, params.model)
    cells = Cells.unknown(params, calibration, 0, trials, jobs)
    everyone, given_s, found = np.arange(trials), np.zeros(trials), []
    for k in range(CALIBRATION_PULSES + 1):
        for (name, realisation), (network, knows) in networks.items():
            if not knows and k > 0:
                continue
            trying = deepcopy(cells)
            trying.put(start_S)
            before = trying.g_nS.copy()
            direction, ticks, v_uV = network.predict(before, target_nS, trying.states)
            given = trying.pulse(ticks, target_nS, everyone)
            trace = ProgramTrace(
                g_target_nS=target_nS,
                g_read_nS=np.stack([before, trying.g_nS]),
                g_end_S=trying.bench.devices.g_S,
                direction=direction[None],
                ticks=given[None],
                v_uV=v_uV[None],
            )
            label = f"{name}_{k}" if knows else name
            accuracy = accuracy_record(label, realisation, board_name, trial, trace)
            found.append(OneShot(k, accuracy, float(given_s.mean()), *_knowledge(cells)))
            progress(1)
        if k < CALIBRATION_PULSES:
            given_s += cells.calibrate(everyone) * calibration.board.tick_s
    return found


def _knowledge(cells: Cells) -> tuple[float, float, float]:
    """Spread of the true log rates, of the states' error [octaves], and the correlation of both."""
    rate = true_log2_rate(cells.bench.devices)
    estimate = cells.states.log2_rate_q4 / 2.0**RATE_BITS
    known = float(np.corrcoef(estimate, rate)[0, 1]) if estimate.std() > 0.0 else 0.0
    return float(rate.std()), float((estimate - rate).std()), known


def true_log2_rate(devices: DeviceArray) -> Floats:
    """log2 of the SET rate of the devices' own radius and length over the nominal one, mid-window, (n,)."""
    p, population, model = devices.model.params, devices.population, devices.model
    middle = np.full(len(devices), np.sqrt(devices.window.n_low_1e26 * devices.window.n_high_1e26))
    v_V = np.full(len(devices), model.v_set_V)
    rates = [
        np.abs(model.rates(v_V, r, l, middle)[1].dn_dt_1e26_s)
        for r, l in (
            (population.r_dev_m, population.l_dev_m),
            (np.full(len(devices), p.r0_m), np.full(len(devices), p.l0_m)),
        )
    ]
    return np.asarray(np.log2(rates[0] / rates[1]))


def kept_network(
    path: Path,
    made_from: Mapping[str, object],
    train: Callable[[], Weights],
    calibration: Calibration,
    params: ResponseParams,
    *,
    with_state: bool,
) -> FloatNetwork:
    """The network file at `path`, trained first if it is missing or of something else."""
    with unless_kept(path, made_from) as missing:
        if missing is not None:
            scaling = STATE_SCALING if with_state else LOG_SCALING
            reference = calibration.as_metadata() if with_state else None
            parameters = json.loads(params.as_json())
            metadata = metadata_of_dataset(scaling, parameters, device_reference=reference)
            write_network(path, train(), metadata)
    return load_network(path)
