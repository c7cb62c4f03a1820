"""Calibrates the noise preset `ouroboros`: the paper's full recipe must give the paper's accuracy.

The paper draws its walks every 10 ns but publishes no amplitude. Two candidates can be varied from a base preset:
`step`, the relative size of one draw, common to all four walks; and `window-bound`, how far both bounds of the
operating window may walk. Every candidate gets its own data set, networks from several seeds and deployed trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from codegen.boards import Board
from sim import dataset, dataset_generation
from sim.accuracy import AccuracyRecord
from sim.errors import UserError
from sim.noise import NoisePreset, Walk
from sim.output_files import write_json
from train.evaluate import evaluate, network_predictors
from train.loop import Progress
from train.networks import Workplace, train_networks
from train.parallel import Task, run_tasks
from train.recipes import ALL_RECIPES, Recipe

PAPER_WITHIN_50 = 0.95
PAPER_MARGIN = 0.01
DEPLOYED = "ft_smoothed"
Vary = Literal["step", "window-bound"]
DEFAULT_VALUES: dict[Vary, tuple[float, ...]] = {
    "step": (0.003, 0.004, 0.005, 0.007, 0.01),
    "window-bound": (0.1, 0.3, 0.6, 0.9),
}


@dataclass(frozen=True)
class Candidate:
    """What one amplitude gave: a record per training seed."""

    value: float
    noise: NoisePreset
    records: tuple[AccuracyRecord, ...]

    @property
    def within_50(self) -> float:
        """Mean over training seeds."""
        return float(np.mean([r.within_50 for r in self.records]))

    @property
    def fits(self) -> bool:
        """True when every training seed lands at the paper's 95 +- 1 % within 50 %."""
        return all(abs(r.within_50 - PAPER_WITHIN_50) <= PAPER_MARGIN for r in self.records)

    def as_json(self) -> dict[str, object]:
        """Everything, for a file."""
        return {
            "value": self.value,
            "noise": self.noise.model_dump(),
            "within_50": self.within_50,
            "fits": self.fits,
            "records": [asdict(r) for r in self.records],
        }


@dataclass(frozen=True)
class Calibration:
    """Settings that all candidates share. Everything is kept in `folder`, so an interrupted run resumes."""

    folder: Path
    base: NoisePreset
    vary: Vary
    board: Board
    training_seeds: tuple[int, ...]
    pairs: int
    trials: int
    evaluation_seed: int
    recipes: tuple[Recipe, ...]
    jobs: int

    def candidate(self, value: float, progress: Callable[[str], None]) -> Candidate:
        """Generate, train and evaluate one amplitude; finished parts are kept."""
        noise = varied(self.base, self.vary, value)
        folder = self.folder / f"{self.vary}_{value:g}"
        params = dataset.DatasetParams(pairs=self.pairs, noise=noise)
        path = folder / "dataset.h5"
        if not (path.is_file() and dataset.parameters_sha256(path) == params.sha256()):
            progress(f"{self.vary} {value:g}: data set")
            dataset_generation.generate(path, params, self.jobs)
        places = [Workplace.at(path, folder / f"seed_{seed}", seed) for seed in self.training_seeds]
        progress(f"{self.vary} {value:g}: training")
        tasks = [Task(f"seed {p.seed}", frozenset(), _train, (p, self.recipes)) for p in places]
        run_tasks(tasks, self.jobs, progress=lambda: None)
        records = []
        for place in places:
            progress(f"{self.vary} {value:g}: deployed, training seed {place.seed}")
            predictors = network_predictors([place.network(DEPLOYED)], self.board, self.evaluation_seed)
            records += evaluate(
                predictors, self.board, noise, trials=self.trials, seed=self.evaluation_seed, jobs=self.jobs
            )
        found = Candidate(value, noise, tuple(records))
        write_json(folder / "candidate.json", found.as_json())
        return found


def _train(place: Workplace, recipes: tuple[Recipe, ...], progress: Progress) -> None:
    """One training seed, as a task of its own process."""
    train_networks(place, recipes, workers=1, progress=progress)


def paper_recipes() -> tuple[Recipe, ...]:
    """The recipes that lead to the paper's best network."""
    last = next(r for r in ALL_RECIPES if DEPLOYED in r.produces)
    parent = getattr(last, "parent", None)
    return (*(r for r in ALL_RECIPES if parent in r.produces), last)


def varied(base: NoisePreset, vary: Vary, value: float) -> NoisePreset:
    """The base preset with one amplitude replaced; the name says which.

    Raises:
        UserError: a value that the preset's ranges exclude.
    """
    walks = {name: getattr(base, name) for name in ("radius", "length", "window_low", "window_high")}
    try:
        if vary == "step":
            changed = {name: Walk(step=value, bound=walk.bound) for name, walk in walks.items()}
        else:
            changed = {
                name: Walk(step=walks[name].step, bound=value) for name in ("window_low", "window_high")
            }
    except ValueError:
        raise UserError(f"{vary} = {value:g} is outside 0 .. 0.9") from None
    name = f"{base.name} with {vary} {value:g}"
    return base.model_copy(update={"name": name, "source": "calibration candidate", **changed})


def interpolated(candidates: Sequence[Candidate]) -> float:
    """The amplitude at which the mean accuracy crosses the paper's, to two digits.

    Linear in the logarithm of the amplitude, between the neighbours on both sides of the crossing.

    Raises:
        UserError: all candidates lie on one side.
    """
    ordered = sorted(candidates, key=lambda c: c.value)
    for low, high in pairwise(ordered):
        a, b = low.within_50 - PAPER_WITHIN_50, high.within_50 - PAPER_WITHIN_50
        if a * b <= 0.0 and a != b:
            x = np.log(low.value) + (np.log(high.value) - np.log(low.value)) * a / (a - b)
            return float(f"{np.exp(x):.2g}")
    reached = ", ".join(f"{c.value:g}: {c.within_50:.1%}" for c in ordered)
    raise UserError(
        f"no amplitude crosses {PAPER_WITHIN_50:.0%} within 50 % ({reached}); give other --values"
    )


def preset_toml(found: Candidate, base: NoisePreset, vary: Vary, pairs: int) -> str:
    """The calibrated preset as the text of `sim/presets/ouroboros.toml`."""
    per_seed = ", ".join(f"{r.within_50:.1%}" for r in found.records)
    noise = found.noise
    source = (
        f"calibrated: '{base.name}' with {vary} {found.value:g}, at which the paper's full recipe ({pairs} pairs) puts"
        f" {per_seed} of {found.records[0].trials} trials within 50 % (training seeds 1 .. {len(found.records)}; the"
        f" paper: 95 %)"
    )
    lines = ['name = "ouroboros"', f'source = "{source}"', f"cadence_s = {noise.cadence_s:g}"]
    for name in ("radius", "length", "window_low", "window_high"):
        walk = getattr(noise, name)
        lines.append(f"{name} = {{ step = {walk.step:g}, bound = {walk.bound:g} }}")
    if noise.read_sigma_rel:
        lines.append(f"read_sigma_rel = {noise.read_sigma_rel:g}")
    return "\n".join(lines) + "\n"


def table(candidates: Sequence[Candidate], vary: Vary) -> str:
    """Candidates as text, one line each."""
    lines = [f"{vary:>12}  within 50 %  per training seed (95 % interval)"]
    for c in sorted(candidates, key=lambda c: c.value):
        seeds = ", ".join(
            f"{r.within_50:.1%} ({r.within_50_ci95[0]:.1%} - {r.within_50_ci95[1]:.1%})" for r in c.records
        )
        lines.append(f"{c.value:12g}  {c.within_50:11.2%}  {seeds}{'   <- fits' if c.fits else ''}")
    return "\n".join(lines)
