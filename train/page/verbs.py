"""`python -m train page`: the report of a build as one HTML file that opens offline."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click
from jinja2 import Environment, StrictUndefined

from codegen.boards import board_names
from sim.output_files import write_text
from train.page import contents
from train.page.build_folder import Build, read_build

TEMPLATE = "page.html.j2"


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--board", type=click.Choice(board_names()), default="generic", help="Whose firmware.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="HTML file.")
def page(build: Path, board: str, output: Path) -> None:
    """Write the report of the folder BUILD that `make firmware` made: results, figures, footprint, provenance.

    Images and styles are inside the file; it loads nothing. Equal builds give equal bytes.
    """
    write_text(output, render(read_build(build, board)))
    click.echo(f"{output}: {output.stat().st_size:,} bytes; open it in any browser")


def render(build: Build) -> str:
    """The page as HTML."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((resources.files("train.page") / TEMPLATE).read_text(encoding="utf-8"))
    return template.render(build=build, contents=contents, figures=contents.figures(build)) + "\n"
