"""What `make firmware` left in its folder, read and checked: the parts must come from one run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.firmware import MANIFEST, load_firmware, manifest_sha256
from sim import dataset
from sim.errors import UserError
from train.report import Record, collect
from train.sidecar import file_sha256

Json = Mapping[str, Any]
REBUILD = "run `make firmware` again"


@dataclass(frozen=True)
class Build:
    """Everything the page shows. What is optional is None or empty: the page leaves it out or says how to get it.

    Attributes:
        records: as `results.json` holds them.
        deployed: name of the network in the firmware.
        verification: what `codegen verify` wrote, None unless it is about exactly this firmware.
        floor: what `train floor` wrote; size: what `codegen size` wrote.
        commit: of the repository the program runs from.
    """

    folder: Path
    board: str
    records: list[Record]
    manifest: Json
    manifest_sha256: str
    deployed: str
    networks: Mapping[str, Json]
    dataset_sha256: str
    dataset_parameters: Json
    time_scale: float
    convergence: Json
    verification: Json | None
    paper: Json | None
    floor: Json | None
    size: Json | None
    commit: str | None


def read_build(folder: Path, board: str) -> Build:
    """Read the folder of one build.

    Raises:
        UserError: a part is missing or damaged, or comes from another run than the others.
    """
    firmware = folder / "firmware" / board
    load_firmware(firmware)
    manifest = _read(firmware / MANIFEST)
    _require_files(firmware, manifest)
    networks = {path.stem: _read(path) for path in sorted((folder / "networks").glob("*.json"))}
    by_hash = {file_sha256(path): path.stem for path in (folder / "networks").glob("*.onnx")}
    deployed = by_hash.get(manifest["network"]["sha256"])
    if deployed not in networks:
        raise UserError(f"{firmware} carries a network that is not in {folder / 'networks'}; {REBUILD}")
    path = folder / "dataset.h5"
    parameters, dataset_sha256 = dataset.parameters(path), file_sha256(path)
    for name, sidecar in networks.items():
        if made_from(sidecar).get("dataset_sha256", dataset_sha256) != dataset_sha256:
            raise UserError(f"network {name} was not trained on {path}; {REBUILD}")
    records = collect([folder / "results.json"])
    if records[0]["board"] != board:
        raise UserError(
            f"{folder / 'results.json'} is about board '{records[0]['board']}', not '{board}'; {REBUILD}"
        )
    if not any(r["predictor"] == deployed and r["realisation"] == "c" for r in records):
        raise UserError(f"{folder / 'results.json'} has no record of {deployed} as C; {REBUILD}")
    verification = _read_if_there(folder / "verified" / f"{board}.json")
    if verification is not None and verification.get("manifest_sha256") != manifest_sha256(firmware):
        verification = None
    return Build(
        folder=folder,
        board=board,
        records=records,
        manifest=manifest,
        manifest_sha256=manifest_sha256(firmware),
        deployed=deployed,
        networks=networks,
        dataset_sha256=dataset_sha256,
        dataset_parameters=parameters,
        time_scale=float(_read(folder / "baselines.json")["time_scale"]),
        convergence=_read(folder / "demo" / "convergence.json"),
        verification=verification,
        paper=_read_if_there(folder / "paper" / "paper.json"),
        floor=_read_if_there(folder / "floor.json"),
        size=_read_if_there(folder / "size.json"),
        commit=git_commit(),
    )


def made_from(sidecar: Json) -> Json:
    """What a network was made from: under a key of its own (`train.sidecar`), or all that there is (`train.kept`).

    A network of responses alone has no `dataset_sha256`.
    """
    return dict(sidecar.get("made_from", sidecar))


def git_commit() -> str | None:
    """The commit of the working tree this program runs from, marked if files differ from it; None outside one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head, changes = (
            subprocess.run(
                ["git", *command], cwd=root, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + (" with local changes" if changes else "")


def _require_files(firmware: Path, manifest: Json) -> None:
    """The sources must be those the manifest lists."""
    for name, sha256 in manifest["files"].items():
        path = firmware / name
        if not path.is_file() or file_sha256(path) != sha256:
            raise UserError(f"{path} is missing or was changed by hand; {REBUILD}")


def _read(path: Path) -> Json:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {REBUILD}") from None
    except ValueError:
        raise UserError(f"{path} is damaged: not JSON; {REBUILD}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: not a JSON object; {REBUILD}")
    return content


def _read_if_there(path: Path) -> Json | None:
    return _read(path) if path.is_file() else None
