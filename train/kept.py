"""Finished files are kept: a sidecar beside each says what it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sim.output_files import write_json


@contextmanager
def unless_kept(path: Path, made_from: Mapping[str, object]) -> Iterator[Path | None]:
    """Yield None if `path` is there and was made from exactly this, else `path`, to be made.

    The sidecar, `path` with the suffix .json, is written last: a file without one counts as unfinished.
    """
    sidecar = path.with_suffix(".json")
    wanted = json.loads(json.dumps(made_from))
    try:
        found = json.loads(sidecar.read_text(encoding="utf-8"))
        kept = path.is_file() and bool(found == wanted)
    except (OSError, ValueError):
        kept = False
    if kept:
        yield None
        return
    sidecar.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    write_json(sidecar, wanted)
