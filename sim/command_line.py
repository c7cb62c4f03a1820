"""What the three command lines share: error reporting, exit statuses and common options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from sim.errors import UserError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def run(group: click.Group, program: str) -> None:
    """Run a click group as a process: one-line errors, status 2 for bad input, 130 for Ctrl-C.

    Outputs are written through `sim.output_files`, so leaving at any point leaves no partial file behind.
    """
    try:
        group.main(prog_name=program, standalone_mode=False)
        sys.stdout.flush()  # a full disk shows here rather than after everything
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_BAD_INPUT)
    except UserError as error:
        click.echo(f"{program}: error: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"{program}: interrupted; nothing was left half-written", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        _drop_standard_output()
        where = f" ({error.filename})" if error.filename else ""
        click.echo(f"{program}: error: {error.strerror or error}{where}", err=True)
        sys.exit(EXIT_BAD_INPUT)


def _drop_standard_output() -> None:
    """Send what could not be written nowhere, or Python tries again while it exits and complains once more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def jobs_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--jobs N`: worker threads; results do not depend on it."""
    return click.option(
        "--jobs", type=click.IntRange(min=1), default=None, help="Worker threads [default: all cores]."
    )(function)


def progress_bar(total: int, what: str, unit: str) -> Any:
    """A tqdm bar on standard error; in log files a line every ten seconds rather than ten a second."""
    seconds = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(
        total=total, desc=what, unit=unit, mininterval=seconds, maxinterval=seconds, disable=total == 0
    )


def model_option(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--model`: a device model by name, or a Python file that defines one."""
    return click.option(
        "--model", default=default, show_default=True, help="Device model (see 'sim models') or a .py file."
    )


def recordings_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--recordings FILE` and `--window LOW,HIGH`: a lab's own runs of pulses in place of simulated devices."""
    file = click.option(
        "--recordings",
        type=click.Path(path_type=Path),
        help="Runs of pulses (CSV): their held-out runs are the devices, in place of simulated ones.",
    )
    return file(window_option(function))


def window_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--window LOW,HIGH`: two conductances in S, or None."""
    return click.option(
        "--window",
        "window_S",
        callback=_window_S,
        help="Window LOW,HIGH of recordings, S [what most runs pass].",
    )(function)


def _window_S(_: click.Context, __: click.Parameter, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise click.BadParameter("give two conductances in S, such as 1e-4,5e-4") from None
    return low, high
