"""The ablation: known shifts of the switching time are found, and what one factor repairs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sim.errors import UserError
from sim.noise import load_preset
from train.__main__ import main
from train.ablation import SOURCES, effect, markdown, only
from train.ablation_verbs import BEGIN, END
from train.responses import ResponseParams, Responses, recorded

SHIFT = 29  # of 96 points a decade: a factor of two


@pytest.fixture(scope="module")
def noise_free(tmp_path_factory: pytest.TempPathFactory) -> Responses:
    params = ResponseParams(
        starts=6, devices=2, noise=load_preset("none"), longest_pulse_s=6e-3, points_per_decade=96
    )
    return recorded(tmp_path_factory.mktemp("responses") / "none.h5", params)


def test_without_noise_there_is_no_effect(noise_free: Responses) -> None:
    found = effect(noise_free, "all")
    assert abs(found.median_log10) < 0.01 and found.std_log10 < 0.02
    assert found.rpd < 0.01 and 0.95 < found.factor < 1.05
    assert found.reached > 0.9


def test_devices_twice_as_fast_are_repaired_by_a_factor(noise_free: Responses) -> None:
    g_S = np.concatenate(
        [noise_free.g_S[..., SHIFT:], np.repeat(noise_free.g_S[..., -1:], SHIFT, -1)], axis=-1
    )
    found = effect(replace(noise_free, g_S=g_S), "all")
    assert found.median_log10 == pytest.approx(-np.log10(2), abs=0.02)
    assert found.mean_log10 == pytest.approx(-np.log10(2), abs=0.05)
    assert found.factor == pytest.approx(0.5, abs=0.05)
    assert found.rpd > 0.1 and found.rpd_scaled < 0.03
    assert found.repaired is not None and found.repaired > 0.8


def test_only_one_source_walks() -> None:
    base = load_preset("ouroboros")
    for source, walking in SOURCES.items():
        noise = only(base, source, 1e-6)
        assert noise.cadence_s == 1e-6
        for name in SOURCES["all"]:
            assert getattr(noise, name) == getattr(base, name) or name not in walking
            assert (getattr(noise, name).step > 0) == (name in walking)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.ablation.POINTS_PER_DECADE", 12)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    options = ["--starts", "3", "--devices", "2", "--longest", "1e-3", "--page", str(page)]
    options += ["--model", "jart-fit"]
    done = CliRunner().invoke(main, ["ablation", *options, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    effects = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert [e["source"] for e in effects] == [*SOURCES] * 2
    assert page.read_text() == f"before\n{BEGIN}\n{done.stdout}{END}\nafter\n"
    assert (tmp_path / "out" / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_pulses_too_short_for_any_target_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.ablation.POINTS_PER_DECADE", 12)
    options = ["--starts", "2", "--devices", "2", "--longest", "1e-7", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["ablation", *options])
    assert isinstance(done.exception, UserError) and "longer --longest" in str(done.exception)
    assert not (tmp_path / "out" / "ablation.json").exists()


def test_weak_effects_have_nothing_to_repair(noise_free: Responses) -> None:
    found = replace(effect(noise_free, "length"), repaired=None)
    assert markdown([found]).rstrip().endswith("| - |")
