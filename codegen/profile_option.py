"""The option `--profile`, and what is said while it measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from codegen.profiles import BALANCED, PROFILES


def profile_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--profile NAME`."""
    return click.option(
        "--profile",
        type=click.Choice(PROFILES),
        default=BALANCED,
        show_default=True,
        help="What the firmware is to be good at; 'size' measures how narrow weights may be.",
    )(function)


def report_measuring(weight_bits: str) -> None:
    """Say on standard error which widths are measured."""
    click.echo(f"measuring one-shot accuracy with weights of {weight_bits} bits", err=True)
