"""The page: self-contained, accessible, escaped; and refused when its parts come from different runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from codegen.boards import load_board
from codegen.firmware import make_firmware, manifest_sha256
from sim.accuracy import AccuracyRecord
from sim.errors import UserError
from train.networks import Workplace
from train.page.build_folder import read_build
from train.page.verbs import render

RECORD = AccuracyRecord(
    predictor="log_smoothed",
    realisation="c",
    noise_preset="prototype",
    cadence_s=1e-8,
    seed=7,
    trials=1000,
    board="generic",
    mean_rpd=0.1234,
    mean_rpd_ci95=(0.12, 0.13),
    median_rpd=0.1,
    median_rpd_ci95=(0.09, 0.11),
    within_50=0.9432,
    within_50_ci95=(0.93, 0.96),
    within_20=0.7,
    within_20_ci95=(0.67, 0.73),
    within_10=0.5,
    within_10_ci95=(0.47, 0.53),
    wrong_direction=0.0,
    wrong_direction_ci95=(0.0, 0.004),
)
RIVAL = replace(RECORD, predictor="ft_smoothed", within_50=0.96, mean_rpd=0.15)
HOSTILE = replace(RECORD, predictor="<script>alert(1)</script>", realisation="float")
TARGET = {
    "target_uS": 100.0,
    "devices": 50,
    "iterations": 20,
    "reached_5": 0.0,
    "median_iterations_to_5": None,
    "reached_10": 0.9,
    "median_iterations_to_10": 3.0,
    "final_mean_uS": 101.0,
    "final_std_uS": 2.0,
    "final_within_5": 0.8,
    "final_within_10": 0.9,
}

FLOOR = {  # as `train floor` writes it
    "noise_preset": "prototype",
    "cadence_s": 1e-8,
    "v_set_V": -0.342,
    "v_reset_V": 0.7065,
    "longest_pulse_s": 1e-3,
    "devices": 256,
    "records": [asdict(replace(RECORD, predictor="floor", trials=256 * 64, mean_rpd=0.0786, within_50=0.96))],
}


@pytest.fixture(scope="module")
def build(trained: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `make firmware` leaves it, from the tiny data set."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copy(trained.dataset, folder / "dataset.h5")
    shutil.copytree(trained.directory, folder / "networks")
    network = folder / "networks" / "log_smoothed.onnx"
    make_firmware(network, load_board("generic"), folder / "firmware" / "generic", None, force=False)
    both = [replace(r, realisation=kind) for r in (RECORD, RIVAL) for kind in ("reference", "c")]
    write(folder / "results.json", [asdict(r) for r in (*both, HOSTILE)])
    write(folder / "baselines.json", {"time_scale": 0.3})
    write(folder / "demo" / "convergence.json", {"noise_preset": "prototype", "seed": 7, "targets": [TARGET]})
    (folder / "accuracy.png").write_bytes(b"\x89PNG")
    (folder / "demo" / "write_and_verify.svg").write_text("<svg/>")
    return folder


def write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def copied(build: Path, tmp_path: Path) -> Path:
    shutil.copytree(build, tmp_path / "build")
    return tmp_path / "build"


class Page(HTMLParser):
    """What of a page the tests look at; complains about tags that do not nest."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data.replace("\u00a0", " "))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_loads_nothing(build: Path) -> None:
    text = render(read_build(build, "generic"))
    page = Page(text)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            value = attributes.get(name) or "#"
            assert value.startswith(("data:", "#")), value
    assert not page.all("script") and not page.all("link")
    assert "@import" not in text and "url(" not in text


def test_the_page_is_accessible(build: Path) -> None:
    page = Page(render(read_build(build, "generic")))
    assert page.all("html") == [{"lang": "en"}]
    assert all(image["alt"] for image in page.all("img")) and len(page.all("img")) == 2
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert all(head.get("scope") in ("row", "col") for head in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(set(ids)) == len(ids)
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in ids}


def test_the_page_shows_the_build(build: Path) -> None:
    text = " ".join(Page(render(read_build(build, "generic"))).text)
    for shown in (
        "94.3 %",
        "0.123",
        "log_smoothed",
        "ft_smoothed, 96.0 %",
        "2 of 2",
        "never",
        "run `make verify`",
    ):
        assert shown in text, shown
    assert "<script>alert(1)</script>" in text  # as text: `Page` saw no such tag
    assert render(read_build(build, "generic")) == render(read_build(build, "generic"))


def test_optional_results_appear_when_they_are_there(copied: Path) -> None:
    write(copied / "floor.json", FLOOR)
    firmware = copied / "firmware" / "generic"
    checked = {"manifest_sha256": manifest_sha256(firmware), "compared": 16_777_216, "what": "pairs of codes"}
    write(copied / "verified" / "generic.json", checked)
    text = " ".join(Page(render(read_build(copied, "generic"))).text)
    assert "over 64 pairs with 256 devices each" in text
    assert "+57%" in text and "-1.7 points" in text  # 0.1234 above 0.0786, 94.32 % below 96 %
    assert "16,777,216 pairs of codes" in text and "make verify" not in text
    write(copied / "verified" / "generic.json", {**checked, "manifest_sha256": "of another firmware"})
    assert "16,777,216" not in render(read_build(copied, "generic"))


def edit(path: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        write(folder / path, change(json.loads((folder / path).read_text(encoding="utf-8"))))

    return spoil


def test_a_network_of_responses_alone_has_its_page(copied: Path) -> None:
    """As `train voltage` leaves it: the sidecar is what it was made from, and names no data set."""

    def without_dataset(sidecar: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in sidecar["made_from"].items() if name != "dataset_sha256"}

    edit("networks/log_smoothed.json", without_dataset)(copied)
    text = " ".join(Page(render(read_build(copied, "generic"))).text)
    assert "log_smoothed, training seed " in text


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "results.json").unlink(), "results.json"),
        (lambda f: (f / "demo" / "convergence.json").write_text("{"), "convergence.json is damaged"),
        (lambda f: (f / "accuracy.png").unlink(), "accuracy.png"),
        (lambda f: (f / "firmware" / "generic" / "src" / "ouro_network.c").write_text(""), "changed by hand"),
        (lambda f: (f / "networks" / "log_smoothed.json").unlink(), "carries a network that is not in"),
        (
            edit("networks/log_mlp.json", lambda s: {**s, "made_from": {"dataset_sha256": "0" * 64}}),
            "log_mlp was not trained on",
        ),
        (
            lambda f: write(f / "floor.json", {**FLOOR, "noise_preset": "none"}),
            "floor.json is for noise_preset none",
        ),
        (edit("results.json", lambda rs: [{**r, "board": "openmena"} for r in rs]), "about board 'openmena'"),
        (
            edit("results.json", lambda rs: [r for r in rs if r["predictor"] != "log_smoothed"]),
            "no record of",
        ),
        (edit("results.json", lambda rs: [{**rs[0], "within_10": 0.4}, *rs[1:]]), "have different records"),
    ],
)
def test_parts_of_different_runs_are_refused(
    copied: Path, spoil: Callable[[Path], object], complaint: str
) -> None:
    spoil(copied)
    with pytest.raises(UserError, match=complaint) as error:
        render(read_build(copied, "generic"))
    assert "\n" not in str(error.value)
