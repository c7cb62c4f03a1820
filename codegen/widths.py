"""The width of each layer's weights, chosen by measuring: as narrow as one-shot accuracy allows.

Every candidate programs the same simulated devices as the float network, with the same noise, so that the difference of
their success rates is known far more exactly than the rates themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from codegen.boards import Board
from codegen.calibration import CalibrationPairs
from codegen.float_predictor import FloatPredictor
from codegen.kernels import kernel_of, table_bytes
from codegen.onnx_import import FloatNetwork
from codegen.profiles import SIZE
from codegen.qmodel import QuantizedModel, WeightBits
from codegen.quantize import quantize
from codegen.reference import ReferencePredictor
from sim.accuracy import PairedDifference, paired_difference, relative_difference
from sim.closed_loop import PulsePredictor, one_shot
from sim.errors import UserError
from sim.noise import NoisePreset, load_preset, preset_names
from sim.replay import TrialDevices, trials_on
from sim.units import Floats

TRIALS = 65_536
SEED = 7  # any but that of an evaluation
MOST_LOST = 0.001  # of all trials
FORM_BYTES = 256  # code for rows of 12 bits, roughly
LIMITS = (0.5, 0.2, 0.1)  # of RPD
_WIDER: dict[WeightBits, tuple[WeightBits, ...]] = {8: (12, 16), 12: (16,), 16: ()}


@dataclass(frozen=True)
class WidthSearch:
    """On what to measure: noise of simulated devices, or recorded ones; how many trials, which seed, how many threads.

    Without `devices` they have the noise preset that the network was trained on.
    """

    devices: TrialDevices | None = None
    trials: int = TRIALS
    seed: int = SEED
    jobs: int | None = None


@dataclass(frozen=True)
class Measured:
    """One-shot accuracy of an integer model and of the float network on the same trials.

    For each of `LIMITS`: the share of trials of the float network within it, and integers minus float.
    """

    noise_preset: str
    cadence_s: float | None
    trials: int
    seed: int
    limits: tuple[float, ...]
    float_shares: tuple[float, ...]
    differences: tuple[PairedDifference, ...]

    @property
    def lost(self) -> float:
        """The largest loss of any share that the 95 % intervals leave open."""
        return -min(difference.ci95[0] for difference in self.differences)


@dataclass(frozen=True)
class WidthChoice:
    """The widths found, what was measured with them, and how many candidates were measured."""

    weight_bits: tuple[WeightBits, ...]
    most_lost: float
    candidates: int
    measured: Measured


class Trial:
    """Measures integer models of one network against it, on the same devices with the same noise."""

    def __init__(self, network: FloatNetwork, board: Board, search: WidthSearch) -> None:
        """Program the devices by the float network.

        Raises:
            UserError: the network was trained for another window than the devices', or on noise that is no preset.
        """
        self._search, self._board = search, board
        self._trials = trials_on(search.devices or _trained_on(network), search.trials, search.seed)
        self._float_rpd = self._missed(FloatPredictor(network, board))

    def _missed(self, predictor: PulsePredictor) -> Floats:
        bench = self._trials.bench(self._board.bench_params(), self._search.jobs)
        return relative_difference(one_shot(bench, predictor, self._trials.g_target_nS))

    def measure(self, model: QuantizedModel) -> Measured:
        """Program them by an integer model."""
        rpd = self._missed(ReferencePredictor(model))
        return Measured(
            noise_preset=self._trials.noise_preset,
            cadence_s=self._trials.cadence_s,
            trials=self._search.trials,
            seed=self._search.seed,
            limits=LIMITS,
            float_shares=tuple(float((self._float_rpd <= limit).mean()) for limit in LIMITS),
            differences=tuple(paired_difference(rpd <= limit, self._float_rpd <= limit) for limit in LIMITS),
        )


def choose_widths(
    network: FloatNetwork,
    board: Board,
    pairs: CalibrationPairs,
    search: WidthSearch,
    progress: Callable[[str], None] = lambda what: None,
) -> tuple[QuantizedModel, WidthChoice]:
    """The narrowest weights, and their model, that lose at most `MOST_LOST` of the trials at every one of `LIMITS`.

    What counts is the lower end of the difference's 95 % interval. All layers start at 8 bits; while too much is lost,
    one more of them gets the next width: of those that suffice the one with the smallest tables, else the one that
    comes closest. The output layer keeps 16 bits: it is one row, and code for another form would take more than it
    saves.

    Args:
        progress: called with each candidate's widths before it is measured.

    Raises:
        UserError: as `quantize` and `Trial`.
    """
    kernel = kernel_of(board.target.cpu, SIZE)
    narrowest: list[WeightBits] = [8] * (len(network.layers) - 1)
    candidates = [quantize(network, board, pairs, [*narrowest, 16])]
    trial = Trial(network, board, search)
    count = 0
    while True:
        found = []
        for model in candidates:
            progress("-".join(map(str, model.weight_bits)))
            found.append((model, trial.measure(model)))
        count += len(found)
        model, measured = min(found, key=lambda each: _order(each[0], each[1], kernel))
        if measured.lost <= MOST_LOST or min(model.weight_bits) == 16:
            return model, WidthChoice(model.weight_bits, MOST_LOST, count, measured)
        candidates = list(_one_wider(network, board, pairs, model.weight_bits))


def _order(model: QuantizedModel, measured: Measured, kernel: str) -> tuple[bool, float]:
    """Those that suffice first, by their tables; then the others, by what they lose."""
    suffices = measured.lost <= MOST_LOST
    return not suffices, table_bytes(model, kernel) if suffices else measured.lost


def _one_wider(
    network: FloatNetwork, board: Board, pairs: CalibrationPairs, weight_bits: Sequence[WeightBits]
) -> Iterator[QuantizedModel]:
    """With one layer of the next width, passing over 12 bits where they save no more than their code takes."""
    kernel = kernel_of(board.target.cpu, SIZE)
    for k, bits in enumerate(weight_bits):
        models = [
            quantize(network, board, pairs, [*weight_bits[:k], wider, *weight_bits[k + 1 :]])
            for wider in _WIDER[bits]
        ]
        if len(models) == 2 and table_bytes(models[0], kernel) + FORM_BYTES >= table_bytes(models[1], kernel):
            del models[0]
        yield from models[:1]


def _trained_on(network: FloatNetwork) -> NoisePreset:
    name = network.metadata.trained_on.noise_preset
    if name not in preset_names():
        raise UserError(
            f"profile 'size' measures on noisy devices, and '{name}', which the network was trained on, is no preset "
            f"here; choose with --noise: {', '.join(preset_names())}"
        )
    return load_preset(name)
