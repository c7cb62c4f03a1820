"""One-shot accuracy of the integer reference and of the compiled C, on the same devices and noise.

The reference runs in `sim.closed_loop`; the C is the firmware's own controller, in lockstep on the same bench.
Both must do exactly the same: co-simulation is a proof as well as a measurement.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codegen.boards import Board
from codegen.build import host_library
from codegen.controllers import ControllerBank, ControllerRun, status_counts
from codegen.firmware import Firmware, load_firmware, make_firmware, predictor_name
from codegen.predictions import require_known_error
from codegen.profiles import BALANCED, Profile
from codegen.reference import ReferencePredictor
from codegen.widths import WidthSearch
from sim.accuracy import AccuracyRecord, accuracy_record
from sim.closed_loop import ProgramTrace, TrialSet, one_shot
from sim.errors import UserError
from sim.replay import TrialDevices, trials_on

TRACE_FIELDS = ("g_read_nS", "direction", "ticks", "v_uV", "g_end_S")


@dataclass(frozen=True)
class Cosimulation:
    """Both realisations of one predictor, proven equal, and how the C controllers ended."""

    reference: AccuracyRecord
    c: AccuracyRecord
    statuses: dict[str, int]


def cosimulate(
    sources: Sequence[Path],
    board: Board,
    devices: TrialDevices,
    seed: int,
    n_trials: int,
    *,
    calibration: Path | None = None,
    longest_s: float | None = None,
    wish_permille: int = 0,
    jobs: int | None = None,
    progress: Callable[[str], None] = lambda name: None,
    profile: Profile = BALANCED,
) -> list[Cosimulation]:
    """Evaluate every network file or firmware folder of `sources` on the same trials, of `devices`.

    Args:
        board: for network files, and the one that firmware folders must have been made for.
        longest_s: longest pulse that any of them may give; None for the timer's.
        wish_permille: expected RPD of a pulse, which needs networks that know it; 0 for none.
        calibration: data set for quantising network files, as in `make_firmware`.
        profile: for network files, as in `make_firmware`; measured on such devices, in trials of its own.
        progress: called with a source's name when it is done.

    Raises:
        UserError: bad input, two sources of one name, or C that differs from the reference or is unsafe.
    """
    names = [predictor_name(source) for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two sources are named '{name}': their records could not be told apart")
    trials = trials_on(devices, n_trials, seed)
    board.budget_ticks(longest_s)  # refused before anything is made
    with ExitStack() as stack:
        found = []
        for name, source in zip(names, sources, strict=True):
            if source.is_dir():
                firmware = load_firmware(source)
                _require_board(firmware, board, source)
            else:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / name
                search = WidthSearch(devices, jobs=jobs)
                firmware = make_firmware(
                    source, board, folder, calibration, force=False, profile=profile, search=search
                )
            found.append(_cosimulate_one(name, firmware, trials, longest_s, wish_permille, jobs))
            progress(name)
        return found


def as_json(results: Sequence[Cosimulation]) -> dict[str, Any]:
    """`records` in the form of `results.json`, and each predictor's controller outcomes."""
    return {
        "records": [asdict(record) for found in results for record in (found.reference, found.c)],
        "controller_statuses": {found.c.predictor: found.statuses for found in results},
    }


def _cosimulate_one(
    name: str,
    firmware: Firmware,
    trials: TrialSet,
    longest_s: float | None,
    wish_permille: int,
    jobs: int | None,
) -> Cosimulation:
    params, board_name = firmware.board.bench_params(), firmware.board.name
    targets, budget_ticks = trials.g_target_nS, firmware.board.budget_ticks(longest_s)
    require_known_error(wish_permille, firmware.model.outputs, name)
    predictor = ReferencePredictor(firmware.model, budget_ticks, wish_permille)
    reference = one_shot(trials.bench(params, jobs), predictor, targets)
    bank = ControllerBank(host_library(firmware.folder))
    run = bank.one_shot(trials.bench(params, jobs), targets, budget_ticks, wish_permille)
    _require_equal(name, reference, run)
    return Cosimulation(
        accuracy_record(name, "reference", board_name, trials, reference, longest_s, wish_permille),
        accuracy_record(name, "c", board_name, trials, run.trace, longest_s, wish_permille),
        status_counts(run),
    )


def _require_equal(name: str, reference: ProgramTrace, run: ControllerRun) -> None:
    for field in TRACE_FIELDS:
        expected, found = getattr(reference, field), getattr(run.trace, field)
        different = np.flatnonzero((expected != found).reshape(-1, expected.shape[-1]).any(axis=0))
        if len(different):
            raise UserError(
                f"{name}: the C differs from its integer reference in {field} of {len(different)} devices, "
                f"first of device {different[0]}; please report this"
            )
    if run.unsafe:
        raise UserError(f"{name}: {run.unsafe} controllers broke a safety rule; please report this")


def _require_board(firmware: Firmware, board: Board, source: Path) -> None:
    if firmware.board != board:
        raise UserError(f"{source} was made for another board ('{firmware.board.name}') than '{board.name}'")
