"""One seed of the reproduction: its data set, its networks, and its trials as tables.

Everything is kept in a folder per seed with a sidecar that says what it was made from - the simulator's code
included - so an interrupted run resumes and a changed simulator leaves nothing stale behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import sim
from codegen.boards import Board
from codegen.programming_demo import ITERATIONS, TARGETS_nS
from sim import dataset, dataset_generation
from sim.bench import Bench
from sim.closed_loop import PulsePredictor, draw_trials, one_shot, write_and_verify
from sim.device import DeviceArray
from sim.jart_fit import V_RESET_V, V_SET_V
from sim.noise import NoisePreset
from sim.output_files import whole_file
from sim.switching import response
from sim.units import Floats, S_to_nS, nS_to_S
from train.baselines import NoiseFreeInverse, NoiseFreePredictor
from train.evaluate import EVALUATION_SEED, NOISE_FREE, network_predictors
from train.kept import unless_kept
from train.loop import Progress
from train.networks import Workplace, train_networks
from train.paper.quantities import ONE_SHOT, PROGRAMMED, SWITCHING, Array, Table, band_S, window_S
from train.parallel import Task, run_tasks
from train.recipes import PAPER, Recipe, shortened
from train.sidecar import file_sha256

NETWORKS = tuple(name for recipe in PAPER for name in recipe.produces)
PREDICTORS = (NOISE_FREE, *NETWORKS)
TABLES = (ONE_SHOT, PROGRAMMED, SWITCHING)
CONVERGED = (NOISE_FREE, "mlp_rpd_g", "ft_smoothed")  # whose mapping Fig. 7(a) shows
MAPPED_TARGETS = 20
# The paper: 6000 pulses each on 10 devices; their width of 1 us is its source's (Yu et al. 2022).
SWITCHING_DEVICES, SWITCHING_WIDTH_S = 10, 6000 * 1e-6
MEASUREMENT_SHA256 = file_sha256(Path(__file__))


@dataclass(frozen=True)
class Settings:
    """What all seeds share."""

    folder: Path
    noise: NoisePreset
    board: Board
    pairs: int
    trials: int
    starts: int
    divide_epochs: int
    jobs: int

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The paper's recipes, shortened for a quick look."""
        return tuple(shortened(recipe, self.divide_epochs) for recipe in PAPER)


@dataclass(frozen=True)
class SeedRun:
    """Seed k: of the data set, of the initial weights and shuffles, and, shifted, of fresh devices and trials."""

    settings: Settings
    seed: int

    @property
    def folder(self) -> Path:
        return self.settings.folder / f"seed-{self.seed}"

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset.h5"

    @property
    def evaluation_seed(self) -> int:
        """Seed 1 meets the devices and trials that `make firmware` evaluates on."""
        return EVALUATION_SEED + self.seed - 1

    def make_dataset(self) -> None:
        """Generate the data set unless it is there."""
        params = dataset.DatasetParams(self.settings.pairs, self.seed, self.settings.noise)
        made_from = {"parameters_sha256": params.sha256(), "simulator_sha256": simulator_sha256()}
        with unless_kept(self.dataset, made_from) as path:
            if path is not None:
                dataset_generation.generate(path, params, self.settings.jobs)

    def train(self, progress: Progress) -> None:
        """Train the paper's four networks, in this process; finished ones are kept."""
        place = Workplace.at(self.dataset, self.folder / "networks", self.seed)
        train_networks(place, self.settings.recipes, workers=1, progress=progress)

    def make_table(self, name: str) -> None:
        """Measure one table unless it is there."""
        run = self.settings
        networks = [self.folder / "networks" / f"{network}.onnx" for network in NETWORKS]
        made_from = {
            "simulator_sha256": simulator_sha256(),
            "measurement_sha256": MEASUREMENT_SHA256,
            "noise": run.noise.model_dump(mode="json"),
            "board_sha256": run.board.sha256(),
            "seed": self.evaluation_seed,
            "trials": {ONE_SHOT: run.trials, PROGRAMMED: run.starts, SWITCHING: SWITCHING_DEVICES}[name],
            "networks_sha256": [] if name == SWITCHING else [file_sha256(path) for path in networks],
        }
        with unless_kept(self._table_path(name), made_from) as path:
            if path is not None:
                measure = {ONE_SHOT: self._one_shot, PROGRAMMED: self._programmed, SWITCHING: self._switching}
                rows = measure[name]()
                with whole_file(path) as temporary, temporary.open("wb") as file:
                    np.savez_compressed(file, **rows)  # type: ignore[arg-type]

    def table(self, name: str) -> dict[str, Array]:
        """Read a table that was made."""
        with np.load(self._table_path(name)) as arrays:
            return dict(arrays)

    def _table_path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _predictors(self) -> dict[str, PulsePredictor]:
        board = self.settings.board
        inverse = NoiseFreePredictor(NoiseFreeInverse.of_model(), board.bench_params())
        paths = [self.folder / "networks" / f"{name}.onnx" for name in NETWORKS]
        return {NOISE_FREE: inverse, **network_predictors(paths, board, self.evaluation_seed)}

    def _one_shot(self) -> dict[str, Array]:
        """One pulse on every trial with every predictor: `g_start_S`, `g_target_S`, `P.g_end_S`, `P.wrong`."""
        run = self.settings
        drawn = draw_trials(run.trials, run.noise, self.evaluation_seed)
        rows: dict[str, Array] = {"g_start_S": drawn.g_start_S, "g_target_S": nS_to_S(drawn.g_target_nS)}
        wanted = np.sign(rows["g_target_S"] - rows["g_start_S"])
        for name, predictor in self._predictors().items():
            bench = drawn.bench(run.board.bench_params(), run.jobs)
            trace = one_shot(bench, predictor, drawn.g_target_nS)
            rows[f"{name}.g_end_S"] = trace.g_end_S
            rows[f"{name}.wrong"] = (trace.ticks[0] > 0) & (trace.direction[0] != wanted)
        return rows

    def _programmed(self) -> dict[str, Array]:
        """Twenty iterations from starts across the window to each target: as `_one_shot`, and `P.g_read_S` (n, 21)."""
        run = self.settings
        mapped_nS = S_to_nS(np.linspace(*window_S(), MAPPED_TARGETS + 2)[1:-1])
        targets_nS = np.repeat(np.concatenate([TARGETS_nS, mapped_nS]), run.starts)
        one_target_S = np.linspace(*window_S(), run.starts + 2)[1:-1]
        starts_S = np.tile(one_target_S, len(targets_nS) // run.starts)
        rows: dict[str, Array] = {"g_start_S": starts_S, "g_target_S": nS_to_S(targets_nS)}
        for name, predictor in self._predictors().items():
            if name in CONVERGED:
                seed = self.evaluation_seed
                devices = DeviceArray(len(starts_S), run.noise, seed, starts_S, jobs=run.jobs)
                bench = Bench(devices, run.board.bench_params(), seed)
                trace = write_and_verify(bench, predictor, targets_nS, ITERATIONS)
                rows[f"{name}.g_end_S"] = trace.g_end_S
                rows[f"{name}.g_read_S"] = nS_to_S(trace.g_read_nS.T)
        return rows

    def _switching(self) -> dict[str, Array]:
        """SET and RESET curves, a row each: `g_start_S`, `device.t_s`, `device.g_S`, `device.s_shaped`."""
        times, curves, starts = [], [], []
        run, (low_S, high_S) = self.settings, window_S()
        for v_V, g_start_S in ((V_SET_V, 1.06 * low_S), (V_RESET_V, 0.98 * high_S)):
            devices = DeviceArray(
                SWITCHING_DEVICES, run.noise, self.evaluation_seed, g_start_S, jobs=run.jobs
            )
            t_s, g_S = response(devices, v_V, SWITCHING_WIDTH_S)
            times.append(np.broadcast_to(t_s, g_S.shape))
            curves.append(g_S)
            starts.append(np.full(len(g_S), g_start_S))
        t_s, g_S = np.concatenate(times), np.concatenate(curves)
        shaped = np.array([is_s_shaped(t, g) for t, g in zip(t_s, g_S, strict=True)])
        return {
            "g_start_S": np.concatenate(starts),
            "device.t_s": t_s,
            "device.g_S": g_S,
            "device.s_shaped": shaped,
        }


def run_seeds(settings: Settings, seeds: range, progress: Callable[[str], None]) -> list[SeedRun]:
    """Make whatever is missing: data sets one by one, then the networks of several seeds at once, then trials.

    Args:
        progress: called with what comes next, `steps(seeds)` times.
    """
    runs = [SeedRun(settings, seed) for seed in seeds]
    for run in runs:
        progress(f"seed {run.seed}: data set")
        run.make_dataset()
    progress("networks")
    tasks = [Task(f"seed {run.seed}", frozenset(), run.train, ()) for run in runs]
    run_tasks(tasks, settings.jobs, progress=lambda: None)
    for run in runs:
        for name in TABLES:
            progress(f"seed {run.seed}: {name.replace('_', ' ')}")
            run.make_table(name)
    return runs


def steps(seeds: range) -> int:
    """How often `run_seeds` reports progress."""
    return len(seeds) * (1 + len(TABLES)) + 1


def pooled(runs: list[SeedRun], name: str) -> Table:
    """The rows of all seeds, one after the other."""
    tables = [run.table(name) for run in runs]
    return {column: np.concatenate([table[column] for table in tables]) for column in tables[0]}


def is_s_shaped(t_s: Floats, g_S: Floats) -> bool:
    """Whether a curve is slower in both outer tenths of the window than in its middle third.

    Speeds are averages between first passages; in the last tenth up to its middle, since G_max and G_min walk.
    A conductance that is never reached counts as reached when the pulse ends.
    """
    low, high = window_S()
    lowest, highest = band_S("lowest")[1], band_S("highest")[0]
    middle = band_S("middle")
    up = g_S[-1] > g_S[0]
    if up:
        pieces = ((g_S[0], lowest), middle, (highest, 0.5 * (highest + high)))
    else:
        pieces = ((g_S[0], highest), middle[::-1], (lowest, 0.5 * (lowest + low)))
    first, inner, last = (_speed(t_s, g_S, begin, end) for begin, end in pieces)
    return first < inner and last < inner


def _speed(t_s: Floats, g_S: Floats, begin_S: float, end_S: float) -> float:
    """Mean |dG/dt| between the first passages of two conductances [S/s]; 0 if the first is never passed."""
    sign = np.sign(end_S - begin_S)
    passed = [sign * g_S >= sign * level for level in (begin_S, end_S)]
    if not passed[0].any():
        return 0.0
    begin, end = (t_s[int(np.argmax(p))] if p.any() else t_s[-1] for p in passed)
    return float(abs(end_S - begin_S) / max(end - begin, t_s[0]))


@cache
def simulator_sha256() -> str:
    """Hash of the code that data sets and trials depend on, as it was when first asked for."""
    folder = Path(sim.__file__).parent
    sources = sorted([*folder.glob("*.py"), *folder.glob("kernel/*.[ch]")])
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()
