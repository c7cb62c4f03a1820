"""Several networks in parallel, each for a range of the start conductance (paper, section VI).

One of them runs per pulse, so k networks take the flash of k and the time of one. They are compared with single
networks of equal flash, and of equal time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from codegen.boards import Board
from sim import dataset
from sim.accuracy import AccuracyRecord
from sim.closed_loop import PulsePredictor, Pulses
from sim.units import Ints, S_to_nS
from train.evaluate import evaluate, network_predictors
from train.export import metadata_of_dataset, write_network
from train.features import LOG_SCALING
from train.finetune import SMOOTHED, Stage, finetune
from train.fit import fit
from train.kept import unless_kept
from train.loop import Progress, Schedule
from train.paper.experiment import SeedRun
from train.paper.quantities import window_S
from train.parallel import Task, run_tasks
from train.samples import Samples
from train.sidecar import code_sha256, file_sha256

RANGE_CODE_SHA256 = file_sha256(Path(__file__))
OUTSIDE = 255  # a split of its own: samples that a network does not see
OVERLAP = 0.1  # of a range's width, that its network also learns on both sides
FIT = Schedule(epochs=100, rate=3e-3, batch=256)


@dataclass(frozen=True)
class Bank:
    """`networks` networks 2-h-2h-h-1 over equal ranges of the start conductance."""

    networks: int
    hidden: int

    @property
    def name(self) -> str:
        return f"{self.networks}x{'-'.join(map(str, self.sizes))}"

    @property
    def sizes(self) -> tuple[int, ...]:
        return (2, self.hidden, 2 * self.hidden, self.hidden, 1)

    @property
    def parameters(self) -> int:
        """Weights and biases of all networks: what takes the flash."""
        return self.networks * sum((rows + 1) * columns for rows, columns in pairwise(self.sizes))

    @property
    def multiplications(self) -> int:
        """Per pulse: what takes the time."""
        return sum(rows * columns for rows, columns in pairwise(self.sizes))

    @property
    def edges_S(self) -> list[float]:
        """Ends of the ranges, ascending, (networks + 1,)."""
        return [float(edge) for edge in np.linspace(*window_S(), self.networks + 1)]


# Hidden sizes such that a bank takes at most the flash of the single network before it; the first is the paper's.
BANKS = (Bank(1, 32), Bank(2, 22), Bank(4, 15), Bank(1, 64), Bank(4, 31))


@dataclass(frozen=True)
class RangePredictor:
    """A bank as a `PulsePredictor`: the read conductance chooses the network."""

    inner_edges_nS: Ints
    networks: Sequence[PulsePredictor]

    def predict(self, g_start_nS: Ints, g_target_nS: Ints) -> Pulses:
        """The pulse of the network whose range holds the start, (n,) each."""
        chosen = np.searchsorted(self.inner_edges_nS, g_start_nS, side="right")
        n = len(chosen)
        pulses = Pulses(np.zeros(n, np.int8), np.zeros(n, np.int64), np.zeros(n, np.int64))
        for number, network in enumerate(self.networks):
            at = np.flatnonzero(chosen == number)
            if at.size:
                found = network.predict(g_start_nS[at], g_target_nS[at])
                pulses.direction[at], pulses.ticks[at], pulses.v_uV[at] = found
        return pulses


def train_banks(runs: Sequence[SeedRun], jobs: int, progress: Progress) -> None:
    """Train every network of every bank on the data set of every run; finished ones are kept.

    Args:
        progress: called once per epoch, `epochs(runs)` times at most.
    """
    tasks = [
        Task(f"{run.seed} {bank.name}", frozenset(), train_bank, (run, bank))
        for run in runs
        for bank in BANKS
    ]
    run_tasks(tasks, jobs, progress)


def epochs(runs: Sequence[SeedRun]) -> int:
    """How many epochs `train_banks` runs when nothing is there yet."""
    each = sum(
        bank.networks
        * sum(s.epochs for s in (_schedule(run, 1, FIT), *(x.schedule for x in _stages(run, 1))))
        for run in runs[:1]
        for bank in BANKS
    )
    return len(runs) * each


def train_bank(run: SeedRun, bank: Bank, progress: Progress) -> None:
    """Train every network of a bank, in this process."""
    for number in range(bank.networks):
        train_one(run, bank, number, progress)


def train_one(run: SeedRun, bank: Bank, number: int, progress: Progress) -> None:
    """Train network `number` of a bank on the samples that start in its range: log time, fine-tuned on RPD of G.

    Batches shrink with the range, so that every network of every bank makes the same number of steps.
    """
    schedule, stages = _schedule(run, bank.networks, FIT), _stages(run, bank.networks)
    made_from = {
        "dataset_sha256": file_sha256(run.dataset),
        "code_sha256": code_sha256(),
        "range_code_sha256": RANGE_CODE_SHA256,
        "seed": run.seed,
        "divide_epochs": run.settings.divide_epochs,
    }
    with unless_kept(network_path(run, bank, number), made_from) as path:
        if path is None:
            return
        data = within(dataset.load(run.dataset), *bank.edges_S[number : number + 2])
        training, validation = (
            Samples.of_split(data, split, LOG_SCALING) for split in (dataset.TRAIN, dataset.VALIDATION)
        )
        first = fit(
            training, validation, seed=run.seed, sizes=bank.sizes, schedule=schedule, progress=progress
        ).best_g
        best = finetune(
            first.weights,
            training,
            validation,
            stages,
            seed=run.seed,
            criterion="rpd",
            sizes=bank.sizes,
            progress=progress,
        )
        write_network(path, best.weights, metadata_of_dataset(LOG_SCALING, dataset.parameters(run.dataset)))


def network_path(run: SeedRun, bank: Bank, number: int) -> Path:
    """Where a network of a bank is kept."""
    return run.folder / "ranges" / bank.name / f"range_{number}.onnx"


def within(data: dataset.PulseDataset, low_S: float, high_S: float) -> dataset.PulseDataset:
    """The data set with every sample in no split that starts outside a range and its overlap."""
    margin = OVERLAP * (high_S - low_S)
    inside = (data.g_start_S >= low_S - margin) & (data.g_start_S <= high_S + margin)
    return replace(data, split=np.where(inside, data.split, OUTSIDE).astype(np.uint8))


def deployed(run: SeedRun) -> dict[str, AccuracyRecord]:
    """Evaluate every trained bank on the run's fresh devices, all on the same trials."""
    s = run.settings
    predictors = {bank.name: bank_predictor(run, bank, s.board) for bank in BANKS}
    records = evaluate(predictors, s.board, s.noise, trials=s.trials, seed=run.evaluation_seed, jobs=s.jobs)
    return {record.predictor: record for record in records}


def bank_predictor(run: SeedRun, bank: Bank, board: Board) -> RangePredictor:
    """Load a trained bank."""
    paths = [network_path(run, bank, number) for number in range(bank.networks)]
    loaded = network_predictors(paths, board, run.evaluation_seed)
    return RangePredictor(S_to_nS(bank.edges_S[1:-1]), list(loaded.values()))


def _schedule(run: SeedRun, networks: int, schedule: Schedule) -> Schedule:
    epochs = max(1, schedule.epochs // run.settings.divide_epochs)
    return replace(schedule, epochs=epochs, batch=max(1, schedule.batch // networks))


def _stages(run: SeedRun, networks: int) -> tuple[Stage, ...]:
    return tuple(replace(stage, schedule=_schedule(run, networks, stage.schedule)) for stage in SMOOTHED)
