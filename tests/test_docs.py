"""The documents against the program: examples run, commands exist, numbers are those of the committed results."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import codegen.__main__
import sim.verbs
import train.__main__
from sim.noise import load_preset
from train.paper import ranges_table
from train.paper import table as paper_table
from train.paper.claims import load_claims
from train.report import BEGIN, END, markdown

ROOT = Path(__file__).parents[1]
GROUPS: dict[str, click.Group] = {
    "sim": sim.verbs.main,
    "train": train.__main__.main,
    "codegen": codegen.__main__.main,
}


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_network_example_becomes_firmware(tmp_path: Path) -> None:
    (example,) = blocks("own-network.md", "python")
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True, capture_output=True)
    command = ["firmware", tmp_path / "mine.onnx", "--board", "generic", "-o", tmp_path / "firmware"]
    done = subprocess.run(
        [sys.executable, "-m", "codegen", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2-16-1" in done.stdout and (tmp_path / "firmware" / "src" / "ouro_network.c").is_file()
    for drop_in in ("CMakeLists.txt", "zephyr/module.yml", "library.properties", "library.json", "LICENSE"):
        assert (tmp_path / "firmware" / drop_in).is_file()


def test_the_noise_example_is_a_preset(tmp_path: Path) -> None:
    (example,) = blocks("own-network.md", "toml")
    (tmp_path / "mine.toml").write_text(example, encoding="utf-8")
    assert load_preset(str(tmp_path / "mine.toml")).name == "my-chip"


@pytest.mark.parametrize("package", GROUPS)
def test_every_command_is_documented_and_every_documented_command_exists(package: str) -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    documented = set(re.findall(rf"`{package} ([a-z]+)", text))
    assert documented == set(GROUPS[package].commands)


@pytest.mark.parametrize("package", GROUPS)
def test_documented_options_exist(package: str) -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for verb, rest in re.findall(rf"`{package} ([a-z]+) ([^`]*)`", text):
        options = {name for parameter in GROUPS[package].commands[verb].params for name in parameter.opts}
        assert set(re.findall(r"--[a-z-]+|(?<= )-o\b", rest)) <= options, verb


def test_make_targets_are_documented() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*## ", makefile, flags=re.MULTILINE)) - {"help"}
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`make ([a-z]+)`", text)) == targets


def test_links_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_readme_shows_the_committed_results() -> None:
    records = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.split(BEGIN)[1].split(END)[0].strip() == markdown(records).strip()


def test_the_paper_page_shows_the_committed_measurements() -> None:
    result = json.loads((ROOT / "docs" / "paper.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    section = page.split(paper_table.BEGIN)[1].split(paper_table.END)[0]
    assert section.strip() == paper_table.markdown(result).strip()
    fields = ("says", "where", "read_as", "measure")
    shown = [tuple(claim[name] for name in fields) for claim in result["claims"]]
    assert shown == [tuple(getattr(claim, name) for name in fields) for claim in load_claims()]


def test_the_paper_page_shows_the_committed_ranges() -> None:
    content = json.loads((ROOT / "docs" / "ranges.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    section = page.split(ranges_table.BEGIN)[1].split(ranges_table.END)[0]
    assert section.strip() == ranges_table.markdown(content).strip()
