"""The sweep over network sizes: trained, compiled and run; the table beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from codegen.firmware import load_firmware
from codegen.kernels import PORTABLE, table_bytes
from sim.errors import UserError
from train.__main__ import main
from train.pareto_verbs import BEGIN, END


def test_the_command(tiny_responses: Path, tmp_path: Path) -> None:
    page, out = tmp_path / "page.md", tmp_path / "out"
    page.write_text(f"{BEGIN}\n{END}\n")
    options = ["--sizes", "2-4-3-1", "--trials", "60", "--divide-epochs", "60", "--page", str(page)]
    done = CliRunner().invoke(main, ["pareto", str(tiny_responses), *options, "-o", str(out)])
    assert done.exit_code == 0, done.output
    network, table = json.loads((out / "pareto.json").read_text())["points"]
    assert (network["predictor"], network["realisation"], network["macs"]) == ("mlp_2-4-3-1", "c", 23)
    model = load_firmware(out / "firmware" / "mlp_2-4-3-1").model
    assert network["table_bytes"] == table_bytes(model, PORTABLE) and model.topology == "2-4-3-1"
    assert (table["predictor"], table["table_bytes"], table["macs"]) == ("table_16x16", 1024, 4)
    assert done.stdout.strip() in page.read_text()
    assert (out / "pareto.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("sizes", ["2-x-1", "3-8-1", "2-8-2", "2-0-1", "2"])
def test_sizes_that_are_no_network_are_refused(tiny_responses: Path, tmp_path: Path, sizes: str) -> None:
    done = CliRunner().invoke(
        main, ["pareto", str(tiny_responses), "--sizes", sizes, "-o", str(tmp_path / "o")]
    )
    assert isinstance(done.exception, UserError) and f"--sizes {sizes}" in str(done.exception)
