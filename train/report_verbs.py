"""`python -m train report`: everything a run found, in one place."""

from __future__ import annotations

from pathlib import Path

import click

from sim.errors import UserError
from sim.output_files import write_json
from train.report import (
    agreement_lines,
    agreements,
    collect,
    conditions,
    read_floor,
    text_table,
    update_readme,
)
from train.report_figure import draw_accuracy

Input = click.Path(path_type=Path)


@click.command()
@click.argument("record_files", metavar="RECORDS...", type=Input, nargs=-1, required=True)
@click.option(
    "-o", "--output", type=Input, required=True, help="JSON file: one record per predictor and realisation."
)
@click.option("--floor", type=Input, help="The floor (JSON of `train floor -o`), to show the distance to it.")
@click.option("--figure", type=Input, help="Also draw the accuracy as a PNG file.")
@click.option("--readme", type=Input, help="Also replace the results section of this README.")
def report(
    record_files: tuple[Path, ...], output: Path, floor: Path | None, figure: Path | None, readme: Path | None
) -> None:
    """Collect the RECORDS of `train evaluate` and `codegen cosim`; print the table.

    Fails when the C is further from its float network than 0.3 percentage points within 50 % and 10 %, or 2 % of
    the mean RPD.
    """
    records = collect(record_files)
    found = agreements(records)
    about_floor = ""
    if floor:
        found_floor, about_floor = read_floor(floor, records[0])
        records += found_floor
    if readme:
        update_readme(readme, records)  # before anything is written: it may be refused
    write_json(output, records)
    if figure:
        draw_accuracy(records, figure)
    click.echo(
        f"{conditions(records)}\n\n{text_table(records)}\n\n{agreement_lines(found)}\n{about_floor}".rstrip()
    )
    if beyond := [a.predictor for a in found if not a.holds]:
        raise UserError(
            f"the C is too far from its float network for {', '.join(beyond)}; see the lines above"
        )
