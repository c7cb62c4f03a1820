"""The JSON beside every network: what it was made from, so that finished networks are not made twice.

A network counts as finished when its file has the hash its sidecar states and the sidecar's `made_from`
equals what a new run would be made from: data set, recipe, seed, parent network, library versions and the
training code itself.
"""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from sim.output_files import write_json
from train.recipes import Recipe, TableRecipe, describe

LIBRARIES = ("torch", "numpy", "onnx")
# What the weights depend on; a change elsewhere must not retrain everything.
CODE = ("features", "model", "history", "samples", "loop", "fit", "finetune", "export")
CODE_FOR_RESPONSES = ("responses", "floor", "expected")  # besides, for networks trained on responses


def network_path(directory: Path, name: str) -> Path:
    """Return the network file of predictor `name`."""
    return directory / f"{name}.onnx"


def sidecar_path(network: Path) -> Path:
    """Return the sidecar of a network file."""
    return network.with_suffix(".json")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def code_sha256(*, with_responses: bool = False, also: tuple[str, ...] = ()) -> str:
    """Return the SHA-256 of the training code, that for recorded responses and further modules included or not."""
    code = hashlib.sha256()
    for name in (*CODE, *(CODE_FOR_RESPONSES if with_responses else ()), *also):
        code.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return code.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the libraries that weights depend on."""
    return {library: metadata.version(library) for library in LIBRARIES}


def made_from(
    recipe: Recipe, dataset_sha256: str, responses_sha256: str | None, seed: int, parent: Path | None
) -> dict[str, Any]:
    """Return everything a network's weights are a function of, as JSON would give it back."""
    fields = {
        "dataset_sha256": dataset_sha256,
        "responses_sha256": responses_sha256,
        "recipe": describe(recipe),
        "seed": seed,
        "parent_sha256": file_sha256(parent) if parent is not None else None,
        "versions": versions(),
        "code_sha256": code_sha256(
            with_responses=responses_sha256 is not None,
            also=("table",) if isinstance(recipe, TableRecipe) else (),
        ),
    }
    as_json: dict[str, Any] = json.loads(json.dumps(fields))
    return as_json


def is_current(network: Path, wanted: dict[str, Any]) -> bool:
    """Whether a finished network made from exactly `wanted` is there."""
    try:
        found = json.loads(sidecar_path(network).read_text(encoding="utf-8"))
        return bool(found["made_from"] == wanted and found["network_sha256"] == file_sha256(network))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_sidecar(network: Path, wanted: dict[str, Any], scores: dict[str, float]) -> None:
    """Write the sidecar of a network file just written; without it the network does not count as finished."""
    write_json(
        sidecar_path(network),
        {
            "network": network.stem,
            "network_sha256": file_sha256(network),
            "validation": scores,
            "made_from": wanted,
        },
    )
