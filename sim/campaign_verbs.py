"""`python -m sim campaign`: sweeps over millions of devices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from sim import jart_fit
from sim.campaign import Campaign, combinations, run
from sim.campaign_engines import in_processes, on_dask
from sim.command_line import progress_bar
from sim.jobs import default_jobs
from sim.noise import load_preset

Value = TypeVar("Value", int, float)


def _values(
    kind: Callable[[str], Value],
) -> Callable[[click.Context, click.Parameter, str], tuple[Value, ...]]:
    """A click callback for comma-separated numbers."""

    def parse(context: click.Context, parameter: click.Parameter, text: str) -> tuple[Value, ...]:
        try:
            return tuple(kind(part) for part in text.split(","))
        except ValueError:
            raise click.BadParameter("give numbers, separated by commas") from None

    return parse


def _parameters(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, tuple[float, ...]]:
    """A click callback for NAME=VALUE,VALUE options."""
    found = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals:
            raise click.BadParameter(f"'{text}' is not NAME=VALUE,VALUE")
        found[name] = _values(float)(context, parameter, values)
    return found


@click.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    default=(jart_fit.NAME,),
    show_default=True,
    help="Device model or a .py file; repeatable.",
)
@click.option(
    "--voltages",
    callback=_values(float),
    default=f"{jart_fit.V_SET_V}",
    show_default=True,
    help="Pulse voltages, V.",
)
@click.option("--widths", callback=_values(float), default="1e-4", show_default=True, help="Pulse widths, s.")
@click.option("--g-starts", callback=_values(float), default="2e-4", show_default=True, help="Start G, S.")
@click.option(
    "--noise",
    "noises",
    multiple=True,
    default=("ouroboros",),
    show_default=True,
    help="Preset or .toml; repeatable.",
)
@click.option("--seeds", callback=_values(int), default="1", show_default=True)
@click.option(
    "--vary",
    callback=_parameters,
    multiple=True,
    metavar="NAME=VALUE,VALUE",
    help="Model parameter; repeatable.",
)
@click.option("--devices", type=click.IntRange(1), default=10_000, show_default=True, help="Per combination.")
@click.option("--chunk", type=click.IntRange(1), default=10_000, show_default=True, help="Devices a task.")
@click.option("--workers", type=click.IntRange(1), help="Local processes  [all cores].")
@click.option(
    "--dask", "address", help="Address of a running Dask scheduler to use instead, as tcp://host:8786."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder.")
def campaign(
    models: tuple[str, ...],
    voltages: tuple[float, ...],
    widths: tuple[float, ...],
    g_starts: tuple[float, ...],
    noises: tuple[str, ...],
    seeds: tuple[int, ...],
    vary: dict[str, tuple[float, ...]],
    devices: int,
    chunk: int,
    workers: int | None,
    address: str | None,
    output: Path,
) -> None:
    """One pulse on many fresh devices under every combination of the values given.

    Writes conditions.csv (statistics of G after the pulse), g_end_S.npy (conditions, devices) and campaign.json. An
    interrupted campaign continues where it stopped.
    """
    if output.exists():
        raise click.UsageError(f"{output} is there already; choose another name or remove it")
    presets = tuple(load_preset(name) for name in noises)
    wanted = Campaign(combinations(models, voltages, widths, g_starts, presets, seeds, vary), devices, chunk)
    engine = on_dask(address) if address else in_processes(workers or default_jobs())
    total = len(wanted.conditions) * devices
    with progress_bar(total, "campaign", "device") as bar:
        run(wanted, output, engine, bar.update)
    click.echo(f"{output}: {len(wanted.conditions)} conditions, {total} devices")
