"""A model in one file: the documented example, through every command that takes a model, and bad files."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim import models
from sim.device import DeviceArray
from sim.errors import UserError
from sim.models import concentration, load_model
from sim.noise import load_preset

ROOT = Path(__file__).parents[2]
VTEAM = ROOT / "docs" / "examples" / "vteam.py"


@pytest.fixture
def vteam(monkeypatch: pytest.MonkeyPatch) -> models.DeviceModel:
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    return load_model(str(VTEAM))


def test_the_example_is_as_short_as_it_says() -> None:
    lines = len(VTEAM.read_text(encoding="utf-8").splitlines())
    stated = re.search(r"VTEAM in (\d+) lines", (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8"))
    assert stated is not None and lines <= int(stated[1])


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python (-m sim .*)$", page, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        words = command.replace("docs/examples/vteam.py", str(VTEAM)).split()
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    with (tmp_path / "pulse.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["G"]) == pytest.approx(1e-4) and float(rows[-1]["G"]) > 1.5e-4
    with (tmp_path / "campaign" / "conditions.csv").open() as file:
        ends = [float(row["g_end_mean_S"]) for row in csv.DictReader(file)]
    assert len(ends) == 3 and len(set(ends)) == 3


def test_the_page_s_python_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = code.replace("docs/examples/vteam.py", VTEAM.as_posix())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_noisy_step_follows_the_model_s_own_equation(vteam: models.DeviceModel) -> None:
    array = DeviceArray(500, load_preset("none"), 1, np.linspace(6e-5, 4e-4, 500), model=vteam)
    w = array.population.n_1e26.copy()
    expected = w + 1e-8 * 100 * 2e3 * (0.342 / 0.2 - 1.0) ** 3 * (1.0 - w**10)
    array.apply_pulse(-0.342, 1e-6)
    np.testing.assert_allclose(array.population.n_1e26 - w, expected - w, rtol=1e-3)
    resting = array.population.n_1e26.copy()
    array.apply_pulse(-0.15, 1e-3)  # below the threshold
    np.testing.assert_allclose(array.population.n_1e26, resting, rtol=1e-12)
    np.testing.assert_allclose(concentration(vteam, array.g_S, 45e-9, 0.4e-9), resting, rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "device model file not found"),
        ("MODEL = 3", "must define MODEL = DeviceModel"),
        ("import nothing_like_this", "failed to load: ModuleNotFoundError"),
        (
            "from dataclasses import replace\nfrom sim.models import JART_FIT\n"
            "MODEL = replace(JART_FIT, n_lowest_1e26=1.0)",
            "there is a device model 'jart-fit' already",
        ),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        load_model(str(path))
