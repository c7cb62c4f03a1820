"""Generates the paper's data set (section II-B) on all cores, resumably.

For each pair of random conductances a fresh noisy device is pulsed in 10 ns steps until the target lies
between two consecutive conductances; the closer one is `g_end_S`, the time to it `t_pulse_s`, signed: + SET,
- RESET. The history G(t) is recorded for twice that time. Chunk k draws its pairs and devices from streams of its own,
so the data set does not depend on workers or interruptions.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim import counter_rng, jart_fit, stepper
from sim.dataset import HISTORY_TOLERANCE_S, DatasetParams, PulseDataset, join, load, save
from sim.device import DeviceArray
from sim.errors import UserError
from sim.jobs import default_jobs
from sim.population import DT_S, Trace
from sim.units import Floats, Ints

_KNOT_TOLERANCE_S = HISTORY_TOLERANCE_S - 1e-10  # leaves room for the rounding to float32 (3e-11 S)
_CANDIDATES_PER_BATCH = 1100
_CHUNK_STREAM = 1 << 16
_SAMPLES_AT_ONCE = 8_000_000


def generate(
    path: Path, params: DatasetParams, jobs: int | None = None, progress: Callable[[int], None] | None = None
) -> PulseDataset:
    """Make the data set at `path`; an interrupted run continues from its finished chunks beside it.

    Args:
        progress: called with the number of pairs just finished.
    """
    parts_folder = path.with_name(f".{path.name}.{params.sha256()[:12]}.parts")
    parts_folder.mkdir(parents=True, exist_ok=True)
    try:
        parts = []
        for chunk, first in enumerate(range(0, params.pairs, params.pairs_per_chunk)):
            n_pairs = min(params.pairs_per_chunk, params.pairs - first)
            part_path = parts_folder / f"{chunk:05d}.h5"
            try:
                part = load(part_path)
            except UserError:  # missing, or cut short by a dead machine: make it again
                part = generate_chunk(chunk, n_pairs, params, jobs)
                save(part_path, part, params)
            parts.append(part)
            if progress:
                progress(n_pairs)
        whole = join(parts)
        save(path, whole, params)
        shutil.rmtree(parts_folder, ignore_errors=True)
        return whole
    finally:
        with suppress(OSError):  # kept if it holds finished chunks
            parts_folder.rmdir()


def generate_chunk(chunk: int, n_pairs: int, params: DatasetParams, jobs: int | None = None) -> PulseDataset:
    """The first `n_pairs` reachable pairs of chunk number `chunk`, in memory."""
    parts: list[PulseDataset] = []
    missing, batch = n_pairs, 0
    while missing > 0:
        first = chunk * _CHUNK_STREAM + batch * _CANDIDATES_PER_BATCH
        count = min(_CANDIDATES_PER_BATCH, missing + missing // 10 + 4)
        parts.append(_Candidates(first, count, params, jobs).first_reachable(missing))
        missing -= len(parts[-1])
        batch += 1
        if batch * _CANDIDATES_PER_BATCH >= _CHUNK_STREAM:
            raise UserError(
                f"noise preset '{params.noise.name}' hides nearly every target: {missing} pairs of chunk"
                f" {chunk} were not reached within {params.longest_pulse_s:g} s"
            )
    return join(parts)


class _Candidates:
    """A numbered run of random pairs and the devices that try to reach them."""

    def __init__(
        self,
        first: int,
        count: int,
        params: DatasetParams,
        jobs: int | None,
    ) -> None:
        window = params.window
        number = np.arange(first, first + count, dtype=np.uint32)
        start, target, _, _ = counter_rng.words(params.seed, counter_rng.Purpose.DATASET_DRAW, number, 0)
        g_low, g_high = jart_fit.read_conductance(np.array([window.n_low_1e26, window.n_high_1e26]))
        self.g_start_S = g_low + (g_high - g_low) * counter_rng.uniform(start)
        self.g_target_S = g_low + (g_high - g_low) * counter_rng.uniform(target)
        self.is_set = self.g_target_S > self.g_start_S
        self.voltages = ((params.v_set_V, self.is_set), (params.v_reset_V, ~self.is_set))
        self.first = first
        self.params = params
        self.jobs = jobs

    def _fresh_devices(self) -> DeviceArray:
        p = self.params
        return DeviceArray(
            len(self.g_start_S),
            p.noise,
            p.seed,
            self.g_start_S,
            window=p.window,
            first_device=self.first,
            jobs=self.jobs,
        )

    def first_reachable(self, wanted: int) -> PulseDataset:
        """Simulate every candidate; keep the first `wanted` whose target is bracketed in time."""
        devices = self._fresh_devices()
        most = round(self.params.longest_pulse_s / DT_S)
        steps = np.zeros(len(devices), dtype=np.int64)
        before = np.empty(len(devices))
        for v_V, at in self.voltages:
            index = np.flatnonzero(at)
            done = devices.advance(v_V, np.full(len(index), most), index, g_stop_S=self.g_target_S[index])
            steps[index], before[index] = done.steps, jart_fit.read_conductance(done.n_before_1e26)
        after = devices.g_S
        bracketed = np.where(self.is_set, after >= self.g_target_S, after <= self.g_target_S)
        reached = np.flatnonzero(bracketed)[:wanted]
        tried = int(reached[-1]) + 1 if len(reached) == wanted else len(devices)
        # The step before is the closer one now and then; a pulse has at least one step.
        closer_before = np.abs(before - self.g_target_S) < np.abs(after - self.g_target_S)
        pulse = np.maximum(steps - closer_before, 1)
        g_end = np.where(closer_before & (steps > 1), before, after)
        return self._with_histories(reached, pulse, g_end, redrawn=tried - len(reached))

    def _with_histories(self, kept: Ints, pulse: Ints, g_end_S: Floats, redrawn: int) -> PulseDataset:
        """Run the kept candidates again, for twice their pulse, and record."""
        histories: dict[int, tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]] = {}
        devices = self._fresh_devices()
        for v_V, at in self.voltages:
            for index in _in_memory_slices(kept[at[kept]], 2 * pulse):
                histories |= self._record(devices, v_V, index, 2 * pulse[index])
        ordered = [histories[i] for i in kept.tolist()]
        offset = np.concatenate([[0], np.cumsum([len(step) for step, _ in ordered])]).astype(np.int64)
        sign = np.where(self.is_set[kept], 1.0, -1.0)
        return PulseDataset(
            g_start_S=self.g_start_S[kept],
            g_target_S=self.g_target_S[kept],
            g_end_S=g_end_S[kept],
            t_pulse_s=np.asarray(sign * pulse[kept] * DT_S),
            split=np.zeros(len(kept), dtype=np.uint8),
            history_offset=offset,
            history_step=np.concatenate([step for step, _ in ordered]) if ordered else np.zeros(0, np.uint32),
            history_g_S=np.concatenate([g for _, g in ordered]) if ordered else np.zeros(0, np.float32),
            redrawn=redrawn,
        )

    def _record(
        self, devices: DeviceArray, v_V: float, index: Ints, n_steps: Ints
    ) -> dict[int, tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]]:
        trace = Trace.for_steps(n_steps)
        devices.advance(v_V, n_steps, index, trace=trace)

        def compress(k: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
            n = trace.n_1e26[trace.offset[k] : trace.offset[k] + n_steps[k]]
            g = np.concatenate([[self.g_start_S[index[k]]], devices.conductances(n)])
            step = stepper.knots(g, _KNOT_TOLERANCE_S)
            return step, g[step].astype(np.float32)

        with ThreadPoolExecutor(self.jobs or default_jobs()) as pool:
            return dict(zip(index.tolist(), pool.map(compress, range(len(index))), strict=True))


def _in_memory_slices(index: Ints, n_steps: Ints) -> Iterator[Ints]:
    """Split `index` so that the traces of one slice fit into memory together."""
    group = np.cumsum(n_steps[index]) // _SAMPLES_AT_ONCE
    for g in np.unique(group):
        yield index[group == g]
