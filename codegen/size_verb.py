"""`python -m codegen size`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from codegen.core_engines import has_engine
from codegen.cores import CORES, load_core
from codegen.cross import COMPILER_NAMES, find_cross_compilers
from codegen.firmware import load_firmware
from codegen.size import Size, measure, require_within
from codegen.state_cost import update_cost
from codegen.target import RECORD, load_built
from codegen.target_verbs import FIRMWARE
from firmware_templates import BUDGETS
from sim.errors import UserError

Input = click.Path(path_type=Path)


@click.command()
@click.argument("what", metavar="DIR|ELF", type=Input)
@click.option("--core", "cores", multiple=True, help="Core to compile for; repeatable  [the board's].")
@click.option("--all-cores", is_flag=True, help="Every core there is.")
@click.option("--compiler", type=click.Choice(COMPILER_NAMES), help="[the first there is]")
@click.option(
    "--firmware", type=Input, help="Firmware folder that an ELF was made from  [build/firmware/BOARD]."
)
@click.option("--budget", type=Input, help="TOML file of limits by core.")
@click.option("--default-budget", is_flag=True, help="Check the limits that come with the package.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def size(
    what: Path,
    cores: tuple[str, ...],
    all_cores: bool,
    compiler: str | None,
    firmware: Path | None,
    budget: Path | None,
    default_budget: bool,
    as_json: bool,
) -> None:
    """Flash, RAM, stack, executed instructions and cycles of the predictor, by running its machine code.

    DIR is a firmware folder, compiled here; ELF is measured as it is, a whole board's among them. Every call's result
    must equal the integer reference. Over budget: status 2.
    """
    elf = what if what.is_file() else None
    folder = what if elf is None else firmware or _firmware_of(elf)
    cpu = load_firmware(folder).board.target.cpu
    names = _compilable(compiler, elf) if all_cores else cores or (cpu,)
    if not all_cores and not cores and cpu not in CORES:
        raise UserError(
            f"the board's core '{cpu}' cannot be emulated; choose with --core: {', '.join(CORES)}"
        )
    found = [measure(folder, load_core(name), compiler, elf) for name in names]
    if as_json:
        rows = [size.as_json() for size in found]
        click.echo(json.dumps(rows if len(rows) > 1 else rows[0], indent=2))
    else:
        click.echo(_table(found))
    if elf is not None and load_firmware(folder).model.knows_device:
        for figures in found:
            cost = update_cost(elf, load_core(figures.core), load_firmware(folder).model)
            text = f"{figures.core}: {cost.instructions} instructions and {cost.stack_bytes} bytes of stack"
            click.echo(f"to learn from a pulse on {text}", err=as_json)
    limits = budget or (BUDGETS if default_budget else None)
    if limits is not None:
        for figures in found:
            require_within(figures, limits)
        click.echo(f"within the budget of {limits.name}", err=True)


def _compilable(compiler: str | None, elf: Path | None) -> list[str]:
    """Names of the cores that can be counted and that there is a compiler for."""
    found = []
    for core in filter(has_engine, CORES.values()):
        names = [each.name for each in find_cross_compilers(core.family)]
        if elf or (compiler in names if compiler else names):
            found.append(core.name)
        else:
            click.echo(f"{core.name} left out: no {compiler or core.family.gcc} for it here", err=True)
    return found


def _firmware_of(elf: Path) -> Path:
    """The firmware folder, at its usual place, that `codegen elf` made an ELF from."""
    try:
        board = str(json.loads((elf.parent / RECORD).read_text(encoding="utf-8"))["board"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{elf}: no {RECORD} beside it tells its firmware; name the folder with --firmware"
        ) from None
    load_built(elf.parent, FIRMWARE / board, board)
    return FIRMWARE / board


def _table(found: list[Size]) -> str:
    titles = ("flash", "network", "tables", "RAM", "stack", "instr", "cycles")
    lines = [f"{'core':15}{'profile':10}{'kernel':10}" + "".join(f"{title:>9}" for title in titles)]
    for s in found:
        figures = (
            s.flash_bytes, s.network_flash_bytes, s.table_bytes, s.ram_bytes, s.stack_bytes, s.instructions, s.cycles,
        )  # fmt: skip
        lines.append(f"{s.core:15}{s.profile:10}{s.kernel:10}" + "".join(f"{figure:9}" for figure in figures))
    first = found[0]
    return "\n".join(
        [
            *lines,
            f"bytes; instructions and cycles of one inference, the most of {first.calls} calls",
            *dict.fromkeys(s.compiler for s in found),
            f"cycles: {first.cycle_assumptions}",
        ]
    )
