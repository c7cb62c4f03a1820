"""Generated sections of documents, between two markers."""

from __future__ import annotations

from pathlib import Path

from sim.errors import UserError
from sim.output_files import write_text


def replace_section(document: Path, begin: str, end: str, text: str) -> None:
    """Replace what lies between the markers `begin` and `end` in a document.

    Raises:
        UserError: the document or its markers are missing.
    """
    before, after = _around(document, begin, end)
    write_text(document, f"{before}{begin}\n{text}{end}{after}")


def require_section(document: Path, begin: str, end: str) -> None:
    """Check that `replace_section` will find its markers.

    Raises:
        UserError: the document or its markers are missing.
    """
    _around(document, begin, end)


def _around(document: Path, begin: str, end: str) -> tuple[str, str]:
    """What stands before the first marker and after the second."""
    try:
        before, found, rest = document.read_text(encoding="utf-8").partition(begin)
    except OSError as error:
        raise UserError(f"cannot read {document}: {error.strerror}") from None
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise UserError(f"{document} has no results section between '{begin}' and '{end}'")
    return before, after
