"""The sweep over sizes, tables and narrow weights: trained, compiled, run on devices and counted on cores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from codegen import cross
from codegen.cores import load_core
from codegen.cross import find_cross_compilers
from codegen.firmware import load_firmware
from codegen.size import measure
from sim.errors import UserError
from train import pareto_verbs
from train.__main__ import main
from train.pareto_verbs import BEGIN, END, ROUNDING_BEGIN

QUICK = ["--seeds", "1", "--trials", "60", "--paired-trials", "100", "--divide-epochs", "60"]


@pytest.mark.skipif(not find_cross_compilers(), reason="no cross compiler")
def test_the_command(tiny_responses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pareto_verbs, "TABLES", (5,))
    page, out = tmp_path / "page.md", tmp_path / "out"
    page.write_text(f"{BEGIN}\n{END}\n{ROUNDING_BEGIN}\n{END}\n")
    options = ["--sizes", "2-6-6-1", *QUICK, "--core", "cortex-m4", "--page", str(page)]
    done = CliRunner().invoke(main, ["pareto", str(tiny_responses), *options, "-o", str(out)])
    assert done.exit_code == 0, done.output
    found = json.loads((out / "pareto.json").read_text())
    points = {point["predictor"]: point for point in found["points"]}
    assert list(points) == ["mlp_2-6-6-1", "table_5x5", "mlp_2-6-6-1_w8", "mlp_2-6-6-1_w8_tuned"]
    for name, point in points.items():
        firmware = load_firmware(out / "firmware" / name)
        assert point["table_bytes"] == firmware.table_bytes
        assert (
            firmware.model.weight_bits
            == {8: (8, 8, 16), 16: () if "table" in name else (16,) * 3}[point["weight_bits"]]
        )
        (cost,) = point["costs"]
        size = measure(out / "firmware" / "cortex-m4" / name, load_core("cortex-m4"))
        assert cost["core"] == size.core and cost["network_flash_bytes"] == size.network_flash_bytes
        assert cost["instructions"] == size.instructions
    assert [r["network"] for r in found["rounding"]] == ["mlp_2-6-6-1"] * 3
    for part in done.stdout.strip().split("\n\n"):
        assert part in page.read_text()
    assert (out / "pareto.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_compiler_the_way_to_one_is_said(
    tiny_responses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross, "find_cross_compilers", lambda family: [])
    monkeypatch.setattr(pareto_verbs, "TABLES", ())
    options = ["--sizes", "2-3-1", *QUICK, "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["pareto", str(tiny_responses), *options])
    assert done.exit_code == 0, done.output
    for core in ("cortex-m4", "cortex-m0plus"):
        assert f"no flash and instructions of {core}: no cross compiler found: pip install" in done.stderr
    points = json.loads((tmp_path / "out" / "pareto.json").read_text())["points"]
    assert [point["costs"] for point in points] == [[]]
    assert (tmp_path / "out" / "pareto.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_without_the_markers_is_refused_before_the_work(tiny_responses: Path, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(f"{BEGIN}\n{END}\n")
    options = ["--page", str(tmp_path / "page.md"), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["pareto", str(tiny_responses), *options])
    assert isinstance(done.exception, UserError) and "has no results section" in str(done.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sizes", ["2-x-1", "3-8-1", "2-8-2", "2-0-1", "2"])
def test_sizes_that_are_no_network_are_refused(tiny_responses: Path, tmp_path: Path, sizes: str) -> None:
    done = CliRunner().invoke(
        main, ["pareto", str(tiny_responses), "--sizes", sizes, "-o", str(tmp_path / "o")]
    )
    assert isinstance(done.exception, UserError) and f"--sizes {sizes}" in str(done.exception)
