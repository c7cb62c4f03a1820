"""One-shot trials on recorded runs: a lab's own devices in place of simulated ones.

A trial starts where a run starts. The pulse that a predictor chooses moves it along the run by the pulse's width; what
was read there is where the device ends. No model is involved.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sim import counter_rng
from sim.bench import Bench, BenchParams
from sim.closed_loop import TrialSet, draw_trials
from sim.errors import UserError
from sim.models import JART_FIT, DeviceModel
from sim.noise import NoisePreset
from sim.recordings import DEVICE_MODEL, Recordings, read_recordings
from sim.units import Floats, Ints, S_to_nS

_DRAWS = 4  # for each trial, since the target may lie behind the start of the run next to it


class RecordedDevices:
    """Devices that are at the start of a recorded run, one each."""

    def __init__(self, recordings: Recordings, run: Ints) -> None:
        self.recordings = recordings
        self.run = run
        self.t_s = np.zeros(len(run))
        self.numbers = np.arange(len(run), dtype=np.uint32)

    def __len__(self) -> int:
        return len(self.run)

    @property
    def g_S(self) -> Floats:
        """(n,) [S]"""
        return self._g_S(np.arange(len(self)))

    def read(self, index: Ints) -> Floats:
        """What was read there; its noise is the recording's."""
        return self._g_S(index)

    def apply_pulse(
        self, v_V: npt.ArrayLike, width_s: npt.ArrayLike, index: npt.ArrayLike | None = None
    ) -> None:
        """Move along the runs. Against a run's direction nothing was recorded: the device stays where it is."""
        chosen = np.arange(len(self)) if index is None else np.asarray(index)
        along = np.where(np.asarray(v_V) < 0, 1, -1) == self.recordings.direction[self.run[chosen]]
        self.t_s[chosen] += np.where(along, width_s, 0.0)

    def _g_S(self, index: Ints) -> Floats:
        g_S = np.empty(len(index))
        for run in np.unique(self.run[index]):
            there = self.run[index] == run
            g_S[there] = self.recordings.response_S(int(run), self.t_s[index][there])
        return g_S


@dataclass(frozen=True)
class ReplayTrials:
    """Trials on recorded runs, (n,) each; see `sim.closed_loop.TrialSet`."""

    recordings: Recordings
    run: Ints
    g_target_nS: Ints
    seed: int
    device_model: str = DEVICE_MODEL
    cadence_s: None = None

    @property
    def group(self) -> Ints:
        """Their runs."""
        return self.run

    @property
    def g_start_S(self) -> Floats:
        """Where the runs start [S]."""
        return self.recordings.g_start_S[self.run]

    @property
    def noise_preset(self) -> str:
        """Where the noise comes from."""
        return self.recordings.name

    def bench(self, params: BenchParams, jobs: int | None = None) -> Bench:
        """A board in front of these devices, each where its trial starts.

        Raises:
            UserError: its pulses have other voltages than the recorded ones.
        """
        recorded_uV = [round(v * 1e6) for v in (self.recordings.v_set_V, self.recordings.v_reset_V)]
        for name, given, recorded in zip(
            ("SET", "RESET"), (params.v_set_uV, params.v_reset_uV), recorded_uV, strict=True
        ):
            if abs(given - recorded) > params.dac_lsb_uV:
                raise UserError(
                    f"{self.recordings.name}: {name} pulses of {recorded / 1e6:g} V were recorded, the board gives"
                    f" {given / 1e6:g} V; set [pulse] in its board.toml"
                )
        return Bench(RecordedDevices(self.recordings, self.run), params, self.seed)


TrialDevices = NoisePreset | Recordings
"""Fresh simulated devices with this noise, or those that were recorded."""
Simulated = TypeVar("Simulated", NoisePreset, NoisePreset | None)


def recorded_or(
    simulated: Simulated, recordings: Path | None, window_S: tuple[float, float] | None
) -> Recordings | Simulated:
    """What the options `--recordings` and `--window` name, if they are given."""
    return simulated if recordings is None else read_recordings(recordings, window_S)


def trials_on(devices: TrialDevices, n_trials: int, seed: int, model: DeviceModel = JART_FIT) -> TrialSet:
    """Uniform random trials on fresh simulated devices, or on the held-out runs of recordings."""
    if isinstance(devices, NoisePreset):
        return draw_trials(n_trials, devices, seed, model)
    return replay_trials(devices, n_trials, seed)


def replay_trials(recordings: Recordings, n_trials: int, seed: int) -> ReplayTrials:
    """Uniform start and target conductances in the window, each on the held-out run that starts next to it.

    Raises:
        UserError: hardly any held-out run starts in the window.
    """
    low_S, high_S = recordings.window_S
    held_out = recordings.held_out()
    number = np.arange(_DRAWS * n_trials, dtype=np.uint32)
    words = counter_rng.words(seed, counter_rng.Purpose.TRIAL_DRAW, number, 0)
    g_start_S, g_target_S = (low_S + (high_S - low_S) * counter_rng.uniform(word) for word in words[:2])
    lowest, highest = int(np.ceil(low_S * 1e9)), int(np.floor(high_S * 1e9))
    g_target_nS = np.clip(S_to_nS(g_target_S), lowest, highest)
    run = np.zeros(len(number), dtype=np.int64)
    usable = np.zeros(len(number), dtype=bool)
    inside = (held_out.g_start_S >= low_S) & (held_out.g_start_S <= high_S)
    for direction in (1, -1):
        wanted = np.flatnonzero((g_target_S - g_start_S) * direction > 0)
        runs = np.flatnonzero(inside & (held_out.direction == direction))
        if len(runs):
            starts = held_out.g_start_S[runs]
            run[wanted] = runs[np.abs(g_start_S[wanted, None] - starts).argmin(axis=1)]
            usable[wanted] = (g_target_nS[wanted] * 1e-9 - held_out.g_start_S[run[wanted]]) * direction > 0
    kept = np.flatnonzero(usable)[:n_trials]
    if len(kept) < n_trials:
        raise UserError(f"{recordings.name}: hardly any held-out run starts in its window; record more runs")
    return ReplayTrials(held_out, run[kept], g_target_nS[kept], seed)
