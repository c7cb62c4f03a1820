"""From a data set to network files: reproducible to the byte, finished ones kept, only what is stale made again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from codegen.metadata import read_metadata
from codegen.onnx_import import load_network
from sim import dataset as sim_dataset
from sim import jart_fit
from sim.dataset import DatasetParams
from sim.errors import UserError
from sim.noise import load_preset
from train.finetune import finetune
from train.fit import fit
from train.loop import Selected
from train.model import PulsePredictorMLP
from train.networks import TrainingData, Workplace, pending_epochs, train_networks
from train.recipes import FinetuneRecipe, FitRecipe, Recipe

TABLE = "table_16x16"  # fitted without a random start
NAMES = (
    "mlp_rpd_t",
    "mlp_rpd_g",
    "log_mlp",
    "ft_smoothed",
    "log_smoothed",
    "log_expected",
    "ft_unsmoothed",
    TABLE,
)
Recipes = tuple[Recipe, ...]


def make(place: Workplace, recipes: Recipes, workers: int = 1) -> list[str]:
    """Train; every announced epoch must be reported."""
    announced, epochs = pending_epochs(place, recipes), []
    made = train_networks(place, recipes, workers=workers, progress=lambda: epochs.append(1))
    assert len(epochs) == announced
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.fixture
def place(trained: Workplace, tmp_path: Path) -> Workplace:
    """A copy of data set and finished networks, free to be spoilt."""
    dataset = Path(shutil.copy2(trained.dataset, tmp_path / "dataset.h5"))
    shutil.copytree(trained.directory, tmp_path / "networks")
    return replace(trained, dataset=dataset, directory=tmp_path / "networks")


# --- reproducible -----------------------------------------------------------------------------------------


def test_every_network_has_its_file_and_sidecar_and_nothing_else_is_left(trained: Workplace) -> None:
    assert set(contents(trained.directory)) == {f"{n}.{end}" for n in NAMES for end in ("onnx", "json")}


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(
    trained: Workplace, quick_recipes: Recipes, tmp_path: Path
) -> None:
    again = replace(trained, directory=tmp_path / "again")
    assert sorted(make(again, quick_recipes)) == sorted(NAMES)
    first = contents(trained.directory)
    assert contents(again.directory) == first
    other = replace(trained, directory=tmp_path / "other", seed=2)
    make(other, quick_recipes)
    different = contents(other.directory)
    assert different.keys() == first.keys()
    assert [name for name in first if different[name] == first[name]] == [f"{TABLE}.onnx"]


def test_the_seed_shuffles_fine_tuning_too(
    trained: Workplace, quick_recipes: Recipes, tmp_path: Path
) -> None:
    place = replace(trained, directory=tmp_path, seed=2)
    shutil.copy(trained.network("mlp_rpd_g"), tmp_path)  # the same parent as seed 1 has
    make(place, tuple(r for r in quick_recipes if r.produces == ("ft_smoothed",)))
    tuned = place.network("ft_smoothed").read_bytes()
    assert tuned not in (trained.network(name).read_bytes() for name in ("ft_smoothed", "mlp_rpd_g"))


def test_processes_do_not_change_the_bytes(
    trained: Workplace, quick_recipes: Recipes, tmp_path: Path
) -> None:
    # One network from the ground up, one that waits for it, one that does not.
    left_out = {"log_smoothed", "log_expected", "ft_unsmoothed", TABLE}
    some = tuple(r for r in quick_recipes if not left_out & set(r.produces))
    place = replace(trained, directory=tmp_path / "parallel")
    assert sorted(make(place, some, workers=2)) == ["ft_smoothed", "log_mlp", "mlp_rpd_g", "mlp_rpd_t"]
    first, found = contents(trained.directory), contents(place.directory)
    assert len(found) == 8
    assert found == {name: first[name] for name in found}


# --- kept or made again -----------------------------------------------------------------------------------


def test_finished_networks_are_kept(place: Workplace, quick_recipes: Recipes) -> None:
    before = times(place.directory)
    assert make(place, quick_recipes) == []
    assert pending_epochs(place, quick_recipes) == 0
    assert times(place.directory) == before


def test_a_data_set_that_was_only_touched_is_the_same_one(place: Workplace, quick_recipes: Recipes) -> None:
    os.utime(place.dataset)
    assert (
        make(Workplace.at(place.dataset, place.directory, place.seed, place.responses), quick_recipes) == []
    )


def test_a_changed_data_set_makes_everything_again(place: Workplace, quick_recipes: Recipes) -> None:
    before = contents(place.directory)
    data, parameters = (
        sim_dataset.load(place.dataset),
        DatasetParams(pairs=300, seed=4, noise=load_preset("prototype")),
    )
    sim_dataset.save(place.dataset, replace(data, t_pulse_s=1.5 * data.t_pulse_s), parameters)
    changed = Workplace.at(place.dataset, place.directory, place.seed, place.responses)
    assert sorted(make(changed, quick_recipes)) == sorted(NAMES)
    after = contents(place.directory)
    assert [name for name in before if after[name] == before[name]] == []


def test_another_seed_makes_everything_again(place: Workplace, quick_recipes: Recipes) -> None:
    assert sorted(make(replace(place, seed=2), quick_recipes)) == sorted(NAMES)


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "suffix"),
    [
        (delete, ".onnx"),
        (cut, ".onnx"),
        (empty, ".onnx"),
        (flip_one_bit, ".onnx"),
        (delete, ".json"),
        (empty, ".json"),
        (flip_one_bit, ".json"),
    ],
)
def test_a_spoilt_file_is_made_again_and_its_children_only(
    place: Workplace, quick_recipes: Recipes, spoil: Callable[[Path], None], suffix: str
) -> None:
    before, written = contents(place.directory), times(place.directory)
    spoil(place.network("log_mlp").with_suffix(suffix))
    assert make(place, quick_recipes) == ["log_mlp", "log_smoothed"]
    assert contents(place.directory) == before
    kept = [name for name in written if not name.startswith("log_")]
    assert [name for name in kept if times(place.directory)[name] != written[name]] == []


@pytest.mark.parametrize(
    ("name", "made"),
    [
        # One run yields both selections.
        ("mlp_rpd_t", {"mlp_rpd_t", "mlp_rpd_g", "ft_smoothed", "ft_unsmoothed"}),
        ("mlp_rpd_g", {"mlp_rpd_t", "mlp_rpd_g", "ft_smoothed", "ft_unsmoothed"}),
        ("ft_smoothed", {"ft_smoothed"}),
        ("log_smoothed", {"log_smoothed"}),
    ],
)
def test_what_is_made_again_follows_the_family_tree(
    place: Workplace, quick_recipes: Recipes, name: str, made: set[str]
) -> None:
    before = contents(place.directory)
    delete(place.network(name))
    assert set(make(place, quick_recipes)) == made
    assert contents(place.directory) == before


def test_another_networks_file_under_the_name_is_noticed(place: Workplace, quick_recipes: Recipes) -> None:
    before = contents(place.directory)
    shutil.copy(place.network("ft_smoothed"), place.network("ft_unsmoothed"))
    assert make(place, quick_recipes) == ["ft_unsmoothed"]
    assert contents(place.directory) == before


def test_a_parent_trained_otherwise_gives_another_child(place: Workplace, quick_recipes: Recipes) -> None:
    before = contents(place.directory)
    longer = tuple(
        replace(r, schedule=replace(r.schedule, epochs=3)) if "log_mlp" in r.produces else r
        for r in quick_recipes
    )
    assert make(place, longer) == ["log_mlp", "log_smoothed"]
    after = contents(place.directory)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {f"{n}.{end}" for n in ("log_mlp", "log_smoothed") for end in ("onnx", "json")}


def test_a_child_of_a_parent_that_was_exchanged_is_stale(place: Workplace, quick_recipes: Recipes) -> None:
    """Only the child is asked for: what it says about its parent has to do."""
    (child,) = (r for r in quick_recipes if r.produces == ("log_smoothed",))
    assert make(place, (child,)) == []
    before = contents(place.directory)
    other = replace(place, seed=2)
    make(other, tuple(r for r in quick_recipes if r.produces == ("log_mlp",)))
    assert make(place, (child,)) == ["log_smoothed"]
    assert contents(place.directory)["log_smoothed.onnx"] != before["log_smoothed.onnx"]


# --- what is in the file ----------------------------------------------------------------------------------


def retrained(place: Workplace, recipe: Recipe) -> tuple[TrainingData, dict[str, Selected]]:
    """A recipe's data and networks, straight from the training functions, by name."""
    assert isinstance(recipe, FitRecipe)
    data = TrainingData.load(place.dataset, recipe.scaling)
    result = fit(
        data.training, data.validation, seed=place.seed, sizes=recipe.sizes, schedule=recipe.schedule
    )
    return data, {
        n: s for n, s in ((recipe.best_t, result.best_t), (recipe.best_g, result.best_g)) if n is not None
    }


@pytest.mark.parametrize("name", ["mlp_rpd_t", "mlp_rpd_g", "log_mlp"])
def test_the_file_computes_what_the_trained_model_does(
    trained: Workplace, quick_recipes: Recipes, name: str
) -> None:
    recipe = next(r for r in quick_recipes if name in r.produces)
    data, selected = retrained(trained, recipe)
    model = PulsePredictorMLP()
    model.load_state_dict(selected[name].weights)
    with torch.no_grad():
        y = model(data.validation.x).numpy()
    assert np.ptp(y) > 0.01, "a constant would pass too"

    network = load_network(trained.network(name))
    for i, layer in enumerate(network.layers):
        np.testing.assert_array_equal(layer.weights, selected[name].weights[f"layers.{i}.weight"].numpy())
        np.testing.assert_array_equal(layer.bias, selected[name].weights[f"layers.{i}.bias"].numpy())
    # float64 from siemens to seconds or decades, against float32: sums of 64 terms.
    start_S, target_S = data.validation.g_start_S.numpy(), data.validation.g_target_S.numpy()
    scaling = data.validation.scaling.output
    imported = (network.output(start_S, target_S) - scaling.offset) / scaling.scale
    np.testing.assert_allclose(imported, y, rtol=0, atol=2e-6)
    # And by a runtime that knows nothing of this project.
    (by_onnx,) = ReferenceEvaluator(onnx.load(trained.network(name))).run(
        None, {"x": data.validation.x.numpy()}
    )
    np.testing.assert_allclose(by_onnx[:, 0], y, rtol=0, atol=2e-6)


def test_fine_tuning_starts_from_exactly_the_parents_weights(trained: Workplace, tmp_path: Path) -> None:
    place = replace(trained, directory=tmp_path)
    shutil.copy(trained.network("mlp_rpd_g"), tmp_path)
    assert make(place, (FinetuneRecipe("untouched", "mlp_rpd_g", stages=()),)) == ["untouched"]
    assert place.network("untouched").read_bytes() == trained.network("mlp_rpd_g").read_bytes()


def test_the_fine_tuned_file_is_what_fine_tuning_selects(trained: Workplace, quick_recipes: Recipes) -> None:
    fitted = next(r for r in quick_recipes if "log_mlp" in r.produces)
    recipe = next(r for r in quick_recipes if r.produces == ("log_smoothed",))
    assert isinstance(recipe, FinetuneRecipe)
    data, selected = retrained(trained, fitted)
    tuned = finetune(
        selected["log_mlp"].weights,
        data.training,
        data.validation,
        recipe.stages,
        seed=trained.seed,
        criterion=recipe.criterion,
    )
    network = load_network(trained.network("log_smoothed"))
    for i, layer in enumerate(network.layers):
        np.testing.assert_array_equal(layer.weights, tuned.weights[f"layers.{i}.weight"].numpy())


@pytest.mark.parametrize("name", NAMES)
def test_the_file_says_what_it_was_trained_on(
    trained: Workplace, tiny_params: DatasetParams, name: str
) -> None:
    model = onnx.load(trained.network(name))
    onnx.checker.check_model(model, full_check=True)
    metadata = read_metadata(model)
    assert (metadata.pulse.v_set_V, metadata.pulse.v_reset_V) == (tiny_params.v_set_V, tiny_params.v_reset_V)
    window = tiny_params.window
    g_S = jart_fit.read_conductance(np.array([window.n_low_1e26, window.n_high_1e26]))
    assert [metadata.window.g_min_S, metadata.window.g_max_S] == g_S.tolist()
    origin = metadata.trained_on
    assert (origin.device_model, origin.noise_preset) == (jart_fit.NAME, tiny_params.noise.name)
    assert (origin.cadence_s, origin.seed) == (tiny_params.noise.cadence_s, tiny_params.seed)
    assert metadata.output.encoding == ("log10_s" if name.startswith(("log_", "table")) else "linear_s")


# --- refused ----------------------------------------------------------------------------------------------


def test_a_missing_data_set_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="python -m sim dataset"):
        Workplace.at(tmp_path / "none.h5", tmp_path, 1)


def test_a_damaged_data_set_is_refused_and_nothing_is_written(
    place: Workplace, quick_recipes: Recipes, tmp_path: Path
) -> None:
    with h5py.File(place.dataset, "r+") as file:
        file["g_end_S"][3] *= 1.01
    damaged = Workplace.at(place.dataset, tmp_path / "none", 1, place.responses)
    with pytest.raises(UserError, match="contents do not match its hash"):
        train_networks(damaged, quick_recipes, workers=1, progress=lambda: None)
    assert not damaged.directory.exists()
