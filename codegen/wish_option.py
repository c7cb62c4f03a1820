"""The option `--wish`: the expected error that pulses are to keep to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from codegen.voltage_choice import MOST_MODEST
from sim.errors import UserError


def permille_of(wish: float, name: str = "--wish") -> int:
    """A wished RPD as the firmware takes it.

    Raises:
        UserError: it is no whole number of thousandths, 1 .. 1000.
    """
    permille = round(MOST_MODEST * wish) if 0.0 < wish <= 1.0 else 0
    if permille == 0 or abs(MOST_MODEST * wish - permille) > 1e-6:
        raise UserError(f"{name} {wish:g}: give an RPD of 0.001 .. 1 in steps of 0.001, such as 0.05")
    return permille


def wish_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--wish RPD`, handed over as `wish_permille`; 0 without it."""
    return click.option(
        "--wish",
        "wish_permille",
        type=float,
        callback=lambda _, __, value: 0 if value is None else permille_of(value),
        help="Give the shortest pulses whose expected RPD is at most this; the longest pulse comes first.",
    )(function)
