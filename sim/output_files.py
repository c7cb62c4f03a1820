"""Outputs are written whole or not at all: a temporary sibling, then one rename.

A killed process can leave a `.NAME.*.tmp` sibling behind, never a truncated result under the final name.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.errors import UserError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write; it becomes `path` when the block ends without an exception.

    A link is followed. Anything else that is no file, such as /dev/null, is refused: it would be replaced.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"cannot write {path}: it exists and is not a file")
    final = path.resolve()
    with _naming(path):
        directory = _existing_parent(final)
        handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=".tmp", dir=directory)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory to fill; it replaces `path` when the block ends without an exception.

    The caller decides beforehand whether an existing `path` may be replaced.
    """
    with _naming(path):
        directory = _existing_parent(path)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=directory))
        old = temporary.with_suffix(".old")
        try:
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                path.rename(old)
            temporary.rename(path)
        finally:
            if old.exists() and not path.exists():  # stopped between the two renames
                old.rename(path)
            shutil.rmtree(old, ignore_errors=True)
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write stable, readable JSON (insertion order, two spaces, NaN refused)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let a failed write name the output that was asked for; a full disk's own error names no file at all."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _existing_parent(path: Path) -> Path:
    """Create and return the folder of `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"cannot create {path}: {path.parent} is not a folder") from None
    return path.parent
