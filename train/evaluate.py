"""Deployed evaluation: read, predict, pulse a fresh noisy device, compare (paper, section III-A).

Every predictor meets the same trials - the same conductances, devices and noise - through the same loop that
the compiled firmware runs in (`sim.closed_loop`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from codegen.boards import Board
from codegen.float_predictor import FloatPredictor
from codegen.onnx_import import FloatNetwork, load_network
from codegen.predictions import require_known_error
from sim.accuracy import AccuracyRecord, accuracy_record
from sim.closed_loop import PulsePredictor, one_shot
from sim.errors import UserError
from sim.models import JART_FIT, DeviceModel
from sim.output_files import write_json
from sim.replay import TrialDevices, trials_on
from train.baselines import NoiseFreeInverse, NoiseFreePredictor

NOISE_FREE, NOISE_FREE_SCALED = "noise_free_inverse", "noise_free_scaled"
EVALUATION_SEED = 20_240_312  # any but a data set's


@dataclass(frozen=True)
class Baselines:
    """What `train baselines` writes: everything that determines the baselines."""

    v_set_V: float
    v_reset_V: float
    time_scale: float
    dataset_sha256: str
    test_rpd_g: dict[str, float]

    def predictors(self, board: Board) -> dict[str, PulsePredictor]:
        """Return the baselines on a board's timer, by name."""
        inverse = NoiseFreeInverse.of_model(self.v_set_V, self.v_reset_V)
        params = board.bench_params()
        return {
            NOISE_FREE: NoiseFreePredictor(inverse, params),
            NOISE_FREE_SCALED: NoiseFreePredictor(inverse.scaled(self.time_scale), params),
        }

    @classmethod
    def read(cls, path: Path) -> Baselines:
        """Read the file.

        Raises:
            UserError: it is missing or not such a file.
        """
        try:
            read = cls(**json.loads(path.read_text(encoding="utf-8")))
            return TypeAdapter(cls).validate_python(vars(read))
        except OSError as error:
            raise UserError(f"cannot read baselines {path}: {error.strerror}") from None
        except (ValueError, TypeError):
            raise UserError(f"{path} is not a file that `python -m train baselines` wrote") from None


def network_predictors(
    paths: list[Path],
    board: Board,
    evaluation_seed: int,
    longest_s: float | None = None,
    wish_permille: int = 0,
) -> dict[str, PulsePredictor]:
    """Load network files as float predictors, by the file's stem; pulses of `longest_s` at most, if given.

    With a wish, of the shortest pulses whose expected RPD is at most that.

    Raises:
        UserError: two files of one name, a network for other pulse voltages than the board's, one trained
            on the very devices that it would be evaluated on, or a wish to one that does not know its error.
    """
    predictors: dict[str, PulsePredictor] = {}
    for path in paths:
        network = load_network(path)
        if path.stem in predictors:
            raise UserError(f"two networks are called {path.stem}; records could not tell them apart")
        _require_fitting(network, path, board, evaluation_seed)
        require_known_error(wish_permille, network.metadata.outputs, path)
        predictors[path.stem] = FloatPredictor(network, board, board.budget_ticks(longest_s), wish_permille)
    return predictors


def evaluate(
    predictors: Mapping[str, PulsePredictor],
    board: Board,
    devices: TrialDevices,
    *,
    trials: int,
    seed: int,
    model: DeviceModel = JART_FIT,
    longest_s: float | None = None,
    wish_permille: int = 0,
    jobs: int | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> list[AccuracyRecord]:
    """Evaluate float predictors on fresh devices; one record each, in order.

    Args:
        devices: the noise of simulated devices, or recorded ones.
        seed: of the trials and devices; must not be a data set's seed.
        model: of simulated devices.
        longest_s, wish_permille: longest pulse and wish that the predictors were made with, for the records.
        progress: called with a predictor's name before its turn.
    """
    drawn = trials_on(devices, trials, seed, model)
    records = []
    for name, predictor in predictors.items():
        progress(name)
        trace = one_shot(drawn.bench(board.bench_params(), jobs), predictor, drawn.g_target_nS)
        records.append(accuracy_record(name, "float", board.name, drawn, trace, longest_s, wish_permille))
    return records


def write_baselines(path: Path, baselines: Baselines) -> None:
    """Write the file, whole or not at all."""
    write_json(path, asdict(baselines))


def _require_fitting(network: FloatNetwork, path: Path, board: Board, evaluation_seed: int) -> None:
    metadata = network.metadata
    if metadata.trained_on.seed == evaluation_seed:
        raise UserError(
            f"{path}: seed {evaluation_seed} made its training data; choose another evaluation seed"
        )
    if metadata.chooses_voltage:
        return
    wanted_uV = (metadata.pulse.v_set_V * 1e6, metadata.pulse.v_reset_V * 1e6)
    given_uV = (board.pulse.v_set_uV, board.pulse.v_reset_uV)
    if any(abs(w - g) > board.dac.lsb_uV for w, g in zip(wanted_uV, given_uV, strict=True)):
        raise UserError(
            f"{path}: trained for pulses of {metadata.pulse.v_set_V} and {metadata.pulse.v_reset_V} V;"
            f" board {board.name} gives {given_uV[0] / 1e6} and {given_uV[1] / 1e6} V"
        )
