"""How small may the predictor be: accuracy of the compiled C against flash and executed instructions.

Networks of several sizes and look-up tables, all fitted to the same expected RPD; networks with 8-bit weights, rounded
after the training and in the training. Each is quantised, compiled and run by the C controller on the same fresh noisy
devices; its machine code is run on emulated cores and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from codegen.boards import Board
from codegen.cores import Core
from codegen.cosim import cosimulate
from codegen.firmware import Firmware, make_firmware
from codegen.host import HostLibrary
from codegen.onnx_import import load_network
from codegen.profiles import BALANCED, SIZE
from codegen.qmodel import WeightBits
from codegen.size import measure
from sim.accuracy import PairedDifference, paired_difference, relative_difference
from sim.closed_loop import draw_trials, one_shot
from sim.noise import NoisePreset
from sim.units import Floats
from train.expected import ExpectedRpd, fit_expected
from train.export import metadata_of_dataset, write_network
from train.loop import Progress, Schedule, Weights
from train.model import PAPER_SIZES, PulsePredictorMLP
from train.parallel import Task, run_tasks
from train.recipes import EXPECTED, TABLE
from train.responses import load, parameters_of
from train.rounded import finetune_rounded
from train.table import fit_table, write_table

SIZES = (
    (2, 8, 1),
    (2, 6, 6, 1),
    (2, 8, 8, 1),
    (2, 12, 12, 1),
    (2, 16, 16, 1),
    (2, 24, 24, 1),
    (2, 16, 32, 16, 1),
    PAPER_SIZES,
)
TABLES = (8, 12, 16)
ROUNDED = ((2, 6, 6, 1), (2, 12, 12, 1), PAPER_SIZES)
FINETUNING = Schedule(epochs=40, rate=2e-3, batch=256)
TRAINED_ON, TUNED = "_on", "_tuned"
PAIRED_TRIALS, PAIRED_SEED = 65_536, 7


@dataclass(frozen=True)
class CoreCost:
    """What one `ouro_predict` takes on a core, as `codegen size` counts it."""

    core: str
    network_flash_bytes: int
    flash_bytes: int
    instructions: int


@dataclass(frozen=True)
class Point:
    """One predictor as compiled C: what it takes on each core and what it does."""

    predictor: str
    weight_bits: int
    table_bytes: int
    costs: tuple[CoreCost, ...]
    mean_rpd: float
    mean_rpd_ci95: tuple[float, float]
    within_50: float
    within_50_ci95: tuple[float, float]


@dataclass(frozen=True)
class Rounding:
    """A network with 8-bit weights against its 16-bit C, on the same devices with the same noise."""

    network: str
    weights: str
    mean_rpd: PairedDifference
    within_50: PairedDifference


@dataclass(frozen=True)
class Rival:
    """A network file, and of how many bits its weights are, the output layer's 16 always."""

    network: Path
    weight_bits: int = 16

    @property
    def name(self) -> str:
        stem = self.network.stem
        if self.weight_bits == 16:
            return stem
        return f"{stem.removesuffix(TUNED)}_w{self.weight_bits}{TUNED if stem.endswith(TUNED) else ''}"

    def make(self, board: Board, folder: Path) -> Firmware:
        """The firmware for a board."""
        if self.weight_bits == 16:
            return make_firmware(self.network, board, folder, None, force=True, profile=BALANCED)
        widths = hidden_8(load_network(self.network).layers)
        return make_firmware(self.network, board, folder, None, force=True, profile=SIZE, weight_bits=widths)


def hidden_8(layers: Sequence[object]) -> list[WeightBits]:
    """8 bits in all hidden layers."""
    return [*([8] * (len(layers) - 1)), 16]  # type: ignore[list-item]


@dataclass(frozen=True)
class Sweep:
    """What is trained and how it is measured."""

    sizes: Sequence[tuple[int, ...]] = SIZES
    tables: Sequence[int] = TABLES
    rounded: Sequence[tuple[int, ...]] = ROUNDED
    seeds: int = 3
    divide_epochs: int = 1
    trials: int = 10_000
    paired_trials: int = PAIRED_TRIALS

    @property
    def steps(self) -> int:
        """How many predictors are made and measured."""
        return len(self.sizes) + len(self.tables) + 4 * len(self.rounded)


def pareto(
    responses: Path,
    folder: Path,
    board: Board,
    cores: Sequence[Core],
    sweep: Sweep,
    *,
    training_seed: int,
    seed: int,
    jobs: int,
    progress: Callable[[str], None] = lambda what: None,
) -> tuple[list[Point], list[Rounding]]:
    """Train, generate, co-simulate and count all of `sweep`; networks and firmware stay in `folder`.

    Args:
        cores: on which instructions and flash are counted; there must be a compiler for each.
        training_seed: the first of `sweep.seeds` for every size; what does best on the training pairs is kept.
        seed: of the fresh devices and trials.
        progress: called with a predictor's name when it is measured, `sweep.steps` times in all.

    Raises:
        UserError: the responses are missing or damaged, or do not suit the board.
    """
    noise = load(responses).params.noise
    place = folder / "networks"
    tasks = [
        Task(f"table-{n}", frozenset(), train_table, (responses, place / f"{table_name(n)}.onnx", n, sweep))
        for n in sweep.tables
    ]
    for sizes in sweep.sizes:
        path = place / f"{name_of(sizes)}.onnx"
        tasks.append(Task(path.stem, frozenset(), train_size, (responses, path, sizes, training_seed, sweep)))
        if sizes in sweep.rounded:
            arguments = (responses, path, board, training_seed, sweep)
            tasks.append(Task(f"{path.stem} rounded", frozenset({path.stem}), train_rounded, arguments))
    run_tasks(tasks, jobs, lambda: None)
    networks = [place / f"{name_of(sizes)}.onnx" for sizes in sweep.sizes]
    rounded = [path for path, sizes in zip(networks, sweep.sizes, strict=True) if sizes in sweep.rounded]
    tables = [place / f"{table_name(n)}.onnx" for n in sweep.tables]
    rivals = [Rival(path) for path in (*networks, *tables)]
    rivals += [Rival(each, 8) for path in rounded for each in (path, _beside(path, TUNED))]
    points = []
    for rival in rivals:
        made = rival.make(board, folder / "firmware" / rival.name)
        (found,) = cosimulate([made.folder], board, noise, seed, sweep.trials, jobs=jobs)
        c = found.c
        costs = tuple(_cost(rival, board, core, folder / "firmware") for core in cores)
        points.append(
            Point(
                rival.name, rival.weight_bits, made.table_bytes, costs,
                c.mean_rpd, c.mean_rpd_ci95, c.within_50, c.within_50_ci95,
            )
        )  # fmt: skip
        progress(rival.name)
    roundings = []
    for path in rounded:
        roundings += rounding_costs(path, board, noise, folder / "firmware", sweep.paired_trials, jobs)
        for _ in range(2):
            progress(path.stem)
    return points, roundings


def rounding_costs(
    network: Path, board: Board, noise: NoisePreset, folder: Path, count: int, jobs: int
) -> list[Rounding]:
    """What 8-bit weights do to a network, by the compiled C on the same devices: paired, and so far more exact."""
    trials = draw_trials(count, noise, PAIRED_SEED)

    def missed(rival: Rival) -> Floats:
        made = rival.make(board, folder / rival.name)
        bench = trials.bench(board.bench_params(), jobs)
        return relative_difference(one_shot(bench, HostLibrary(made.folder), trials.g_target_nS))

    before = missed(Rival(network))
    ways = (
        ("rounded after training", network),
        ("trained on, then rounded", _beside(network, TRAINED_ON)),
        ("trained on with rounding", _beside(network, TUNED)),
    )
    found = []
    for how, path in ways:
        rpd = missed(Rival(path, 8))
        of_rpd, of_hits = paired_difference(rpd, before), paired_difference(rpd <= 0.5, before <= 0.5)
        found.append(Rounding(network.stem, how, of_rpd, of_hits))
    return found


def _cost(rival: Rival, board: Board, core: Core, folder: Path) -> CoreCost:
    target = board.target.model_copy(update={"cpu": core.name})
    made = rival.make(board.model_copy(update={"target": target}), folder / core.name / rival.name)
    size = measure(made.folder, core)
    return CoreCost(core.name, size.network_flash_bytes, size.flash_bytes, size.instructions)


def name_of(sizes: Sequence[int]) -> str:
    """Name of a network by its layers, such as mlp_2-16-16-1."""
    return "mlp_" + "-".join(map(str, sizes))


def table_name(nodes: int) -> str:
    """Name of a table, such as table_16x16."""
    return f"table_{nodes}x{nodes}"


def _beside(network: Path, ending: str) -> Path:
    return network.with_name(f"{network.stem}{ending}.onnx")


def train_size(
    responses: Path, path: Path, sizes: tuple[int, ...], seed: int, sweep: Sweep, progress: Progress
) -> None:
    """Train one size as `log_expected` is trained, from several seeds; write what does best on the training pairs."""
    pairs = ExpectedRpd.of(load(responses), EXPECTED.targets, EXPECTED.scaling)
    schedule = _shortened(EXPECTED.schedule, sweep.divide_epochs)
    found = [
        fit_expected(pairs, seed=seed + k, schedule=schedule, sizes=sizes, progress=progress)
        for k in range(sweep.seeds)
    ]
    best = min(found, key=lambda weights: _expected(weights, sizes, pairs))
    write_network(path, best, metadata_of_dataset(EXPECTED.scaling, parameters_of(responses)))


def train_table(responses: Path, path: Path, nodes: int, sweep: Sweep, progress: Progress) -> None:
    """Fit a table and write its network file; a task of its own process."""
    data = load(responses)
    pairs = ExpectedRpd.of(data, TABLE.targets, TABLE.scaling)
    schedule = _shortened(TABLE.schedule, sweep.divide_epochs)
    table = fit_table(pairs, data.params.window_S(), schedule=schedule, nodes=nodes, progress=progress)
    write_table(path, table, metadata_of_dataset(TABLE.scaling, parameters_of(responses)))


def train_rounded(
    responses: Path, path: Path, board: Board, seed: int, sweep: Sweep, progress: Progress
) -> None:
    """Train a network on, with and without rounding to 8 bits; a task of its own process."""
    pairs = ExpectedRpd.of(load(responses), EXPECTED.targets, EXPECTED.scaling)
    network = load_network(path)
    schedule = _shortened(FINETUNING, sweep.divide_epochs)
    for ending, widths in ((TRAINED_ON, None), (TUNED, hidden_8(network.layers))):
        finetune_rounded(
            network, board, pairs, _beside(path, ending),
            weight_bits=widths, schedule=schedule, seed=seed, progress=progress,
        )  # fmt: skip


def _shortened(schedule: Schedule, divisor: int) -> Schedule:
    epochs = max(1, schedule.epochs // divisor)
    return Schedule(epochs, schedule.rate, schedule.final_fraction, schedule.batch)


def _expected(weights: Weights, sizes: tuple[int, ...], pairs: ExpectedRpd) -> float:
    """Mean expected RPD of a network over the pairs."""
    model = PulsePredictorMLP(sizes)
    model.load_state_dict(weights)
    with torch.no_grad():
        return float(pairs.of_outputs(model(pairs.x), torch.arange(len(pairs))).mean())
