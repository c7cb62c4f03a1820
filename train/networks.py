"""From a data set to trained network files: every recipe, in parallel where it can be, finished ones
skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from codegen.metadata import NetworkMetadata
from codegen.onnx_import import load_network
from sim import dataset as sim_dataset
from sim.errors import UserError
from train.expected import ExpectedRpd, fit_expected
from train.export import metadata_of_dataset, weights_of, write_network
from train.features import Scaling
from train.finetune import finetune
from train.fit import fit
from train.loop import Progress, Selected, outputs
from train.model import PulsePredictorMLP
from train.parallel import Task, run_tasks
from train.recipes import ExpectedRecipe, FinetuneRecipe, FitRecipe, Recipe, TableRecipe
from train.responses import Responses, parameters_of
from train.responses import load as load_responses
from train.samples import Samples
from train.sidecar import file_sha256, is_current, made_from, network_path, write_sidecar
from train.table import fit_table, write_table


@dataclass(frozen=True)
class Workplace:
    """Where a run takes its data from and puts its networks.

    `responses` are what networks trained on expected RPD need besides the data set.
    """

    dataset: Path
    dataset_sha256: str
    directory: Path
    seed: int
    responses: Path | None = None
    responses_sha256: str | None = None

    @classmethod
    def at(cls, dataset: Path, directory: Path, seed: int, responses: Path | None = None) -> Workplace:
        """Check and hash the data.

        Raises:
            UserError: a file is not there, truncated, or something else; or both are of different devices.
        """
        parameters = sim_dataset.parameters(dataset)
        if responses is None:
            return cls(dataset, file_sha256(dataset), directory, seed)
        recorded_of = parameters_of(responses)
        for name in ("device_model", "noise", "v_set_V", "v_reset_V", "window"):
            if recorded_of[name] != parameters[name]:
                raise UserError(
                    f"{responses} and {dataset} differ in {name}; make both with the same options"
                )
        return cls(dataset, file_sha256(dataset), directory, seed, responses, file_sha256(responses))

    def network(self, name: str) -> Path:
        return network_path(self.directory, name)


def train_networks(
    place: Workplace, recipes: Sequence[Recipe], *, workers: int, progress: Progress
) -> list[str]:
    """Train what is missing or out of date; return the names of the networks that were made.

    Args:
        recipes: parents before what is fine-tuned from them.
        workers: processes at once; results do not depend on it.
        progress: called once per epoch, `pending_epochs` times in all.
    """
    missing = pending(place, recipes)
    maker = {name: recipe for recipe in missing for name in recipe.produces}
    tasks = []
    for recipe in missing:
        parent = maker.get(recipe.parent) if isinstance(recipe, FinetuneRecipe) else None
        after = frozenset() if parent is None else frozenset({_task_name(parent)})
        tasks.append(Task(_task_name(recipe), after, run_recipe, (place, recipe)))
    run_tasks(tasks, workers, progress)
    return list(maker)


def pending(place: Workplace, recipes: Sequence[Recipe]) -> list[Recipe]:
    """Return the recipes whose networks are missing or made from something else, or whose parent is."""
    missing: list[Recipe] = []
    to_be_made: set[str] = set()
    for recipe in recipes:
        stale = isinstance(recipe, FinetuneRecipe) and recipe.parent in to_be_made
        if stale or not _is_done(place, recipe):
            missing.append(recipe)
            to_be_made.update(recipe.produces)
    return missing


def pending_epochs(place: Workplace, recipes: Sequence[Recipe]) -> int:
    """Return how many epochs `train_networks` would run."""
    return sum(recipe.epochs for recipe in pending(place, recipes))


def run_recipe(place: Workplace, recipe: Recipe, progress: Progress) -> None:
    """Train one recipe and write its networks."""
    if isinstance(recipe, FitRecipe):
        run_fit(place, recipe, progress)
    elif isinstance(recipe, FinetuneRecipe):
        run_finetune(place, recipe, progress)
    elif isinstance(recipe, ExpectedRecipe):
        run_expected(place, recipe, progress)
    else:
        run_table(place, recipe, progress)


def run_fit(place: Workplace, recipe: FitRecipe, progress: Progress) -> None:
    """Train from the ground up and write the selected networks."""
    data = TrainingData.load(place.dataset, recipe.scaling)
    result = fit(
        data.training,
        data.validation,
        seed=place.seed,
        sizes=recipe.sizes,
        schedule=recipe.schedule,
        progress=progress,
    )
    for name, selected in ((recipe.best_t, result.best_t), (recipe.best_g, result.best_g)):
        if name is not None:
            _write(place, recipe, name, selected, data)


def run_finetune(place: Workplace, recipe: FinetuneRecipe, progress: Progress) -> None:
    """Fine-tune the parent network and write the result."""
    parent = load_network(place.network(recipe.parent))
    weights, sizes = weights_of(parent)
    data = TrainingData.load(place.dataset, Scaling.from_metadata(parent.metadata))
    selected = finetune(
        weights,
        data.training,
        data.validation,
        recipe.stages,
        seed=place.seed,
        criterion=recipe.criterion,
        sizes=sizes,
        progress=progress,
    )
    _write(place, recipe, recipe.name, selected, data)


def run_expected(place: Workplace, recipe: ExpectedRecipe, progress: Progress) -> None:
    """Train on expected RPD and write the network.

    Raises:
        UserError: the workplace has no responses.
    """
    responses = _responses(place, recipe)
    data = TrainingData.load(place.dataset, recipe.scaling)
    pairs = ExpectedRpd.of(responses, recipe.targets, recipe.scaling)
    weights = fit_expected(
        pairs, seed=place.seed, schedule=recipe.schedule, sizes=recipe.sizes, progress=progress
    )
    model = PulsePredictorMLP(recipe.sizes)
    model.load_state_dict(weights)
    y = outputs(model, data.validation)
    selected = Selected(weights, data.validation.rpd_t(y), data.validation.rpd_g(y))
    _write(place, recipe, recipe.name, selected, data)


def run_table(place: Workplace, recipe: TableRecipe, progress: Progress) -> None:
    """Fit a look-up table to expected RPD and write its network file.

    Raises:
        UserError: the workplace has no responses.
    """
    responses = _responses(place, recipe)
    data = TrainingData.load(place.dataset, recipe.scaling)
    pairs = ExpectedRpd.of(responses, recipe.targets, recipe.scaling)
    window_S = responses.params.window_S()
    table = fit_table(pairs, window_S, schedule=recipe.schedule, nodes=recipe.nodes, progress=progress)
    y = torch.from_numpy(table.evaluate(data.validation.x.double().numpy())[:, 0]).float()
    path = place.network(recipe.name)
    write_table(path, table, data.metadata)
    scores = {"rpd_t": data.validation.rpd_t(y), "rpd_g": data.validation.rpd_g(y)}
    write_sidecar(path, _made_from(place, recipe), scores)


def _responses(place: Workplace, recipe: ExpectedRecipe | TableRecipe) -> Responses:
    if place.responses is None:
        raise UserError(f"{recipe.name} needs recorded responses; `python -m train floor` records them")
    return load_responses(place.responses)


@dataclass(frozen=True)
class TrainingData:
    """Two splits of a data set, scaled, and what the network file says about where they came from."""

    training: Samples
    validation: Samples
    metadata: NetworkMetadata

    @classmethod
    def load(cls, path: Path, scaling: Scaling) -> TrainingData:
        """Read a data set from its file.

        Raises:
            UserError: it is missing, damaged or cannot be trained on.
        """
        dataset = sim_dataset.load(path)
        return cls(
            Samples.of_split(dataset, sim_dataset.TRAIN, scaling),
            Samples.of_split(dataset, sim_dataset.VALIDATION, scaling),
            metadata_of_dataset(scaling, sim_dataset.parameters(path)),
        )


def _task_name(recipe: Recipe) -> str:
    return "+".join(recipe.produces)


def _made_from(place: Workplace, recipe: Recipe) -> dict[str, object]:
    parent = place.network(recipe.parent) if isinstance(recipe, FinetuneRecipe) else None
    responses = place.responses_sha256 if isinstance(recipe, ExpectedRecipe | TableRecipe) else None
    return made_from(recipe, place.dataset_sha256, responses, place.seed, parent)


def _is_done(place: Workplace, recipe: Recipe) -> bool:
    if isinstance(recipe, FinetuneRecipe) and not place.network(recipe.parent).is_file():
        return False
    wanted = _made_from(place, recipe)
    return all(is_current(place.network(name), wanted) for name in recipe.produces)


def _write(place: Workplace, recipe: Recipe, name: str, selected: Selected, data: TrainingData) -> None:
    """Write network and sidecar, in this order: a network without a sidecar counts as unfinished."""
    path = place.network(name)
    write_network(path, selected.weights, data.metadata)
    scores = {"rpd_t": selected.rpd_t, "rpd_g": selected.rpd_g}
    write_sidecar(path, _made_from(place, recipe), scores)
