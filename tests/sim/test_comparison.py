"""`sim compare`: its numbers against other ways to get them, and the page against the committed record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim.comparison import BEGIN, END, Comparison, Pulse, as_markdown, pulse_of, switching_time
from sim.models import JART_FIT, JART_FULL, MODELS
from sim.trajectory import respond
from sim.waveform import Waveform

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "device-model.md"
RECORD = ROOT / "docs" / "model-comparison.json"


def sim(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sim", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize(("v_V", "n_from", "n_to"), [(-0.342, 0.06, 1.0), (0.7065, 1.9, 0.1)])
def test_switching_times_are_those_of_the_integrator(
    name: str, v_V: float, n_from: float, n_to: float
) -> None:
    model = MODELS[name]
    t_s = switching_time(model, v_V, n_from, n_to, 45e-9, 0.4e-9)
    assert t_s is not None
    constant = Waveform(np.array([0.0, 2.0 * t_s]), np.array([v_V, v_V]))
    done = respond(model, constant, n_from, np.array([0.0, t_s]))
    assert done.n_1e26[-1] == pytest.approx(n_to, rel=1e-4)


def test_a_voltage_that_leads_nowhere_has_no_time() -> None:
    assert switching_time(JART_FIT, -0.342, 1.0, 0.5, 45e-9, 0.4e-9) is None
    assert switching_time(JART_FULL, -0.05, 0.06, 1.0, 45e-9, 0.4e-9) is None


def test_the_page_and_the_record_are_what_the_command_finds() -> None:
    stated = json.loads(RECORD.read_text(encoding="utf-8"))
    pulses = [
        Pulse(**{k: tuple(v) if isinstance(v, list) else v for k, v in p.items()}) for p in stated["pulses"]
    ]
    table = as_markdown(Comparison(**{**stated, "pulses": pulses}))
    text = PAGE.read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0].strip() == table
    for known in pulses:
        if known.v_V == -0.342:
            found = pulse_of(MODELS[known.model], known.v_V)
            assert found.t_full_s == pytest.approx(known.t_full_s, rel=1e-9)
            assert found.t_by_r == pytest.approx(known.t_by_r, rel=1e-9)


def test_a_user_s_model_joins(tmp_path: Path) -> None:
    vteam = ROOT / "docs" / "examples" / "vteam.py"
    done = sim(
        "compare", "--model", vteam, "--model", "jart-fit", "--figure", "c.png", "-o", "c.json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "`vteam`" in done.stdout
    assert {p["model"] for p in json.loads((tmp_path / "c.json").read_text())["pulses"]} == {
        "vteam",
        "jart-fit",
    }
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--voltages", "0.5,x"), "separated by commas"),
        (("--voltages", "0"), "are not 0"),
        (("--model", "none"), "unknown device model 'none'"),
        (("--page", "page.md"), "has no place for the table"),
    ],
)
def test_bad_input_writes_nothing(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    done = sim("compare", *arguments, "-o", "c.json", cwd=tmp_path)
    assert done.returncode == 2 and complaint in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
