"""`python -m sim`: the scripted commands, and one clear line with nothing written on bad input."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sim import speed

GOLDEN = Path(__file__).parents[1] / "golden"


def sim(*arguments: str | Path, cwd: Path, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sim", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **options)


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_rates_reproduces_the_golden_file_from_its_own_columns(tmp_path: Path) -> None:
    done = sim(
        "rates", GOLDEN / "yu_simplified_rates.csv", "--model", "jart-fit", "-o", "o.csv", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    ours = read(tmp_path / "o.csv")
    lines = (GOLDEN / "yu_simplified_rates.csv").read_text().splitlines()[1:]
    theirs = list(csv.DictReader(lines))
    assert list(ours[0]) == ["V", "r_nm", "l_nm", "N", "I", "T", "dNdt", "G_read"]
    for name in ours[0]:
        np.testing.assert_allclose(
            [float(r[name]) for r in ours], [float(r[name]) for r in theirs], rtol=1e-7, err_msg=name
        )


def test_pulse_is_reproducible_and_noise_follows_the_seed(tmp_path: Path) -> None:
    common = (
        "--voltage",
        "0.7065",
        "--width",
        "2e-5",
        "--g-start",
        "3e-4",
        "--noise",
        "prototype",
        "--devices",
        "3",
    )
    for name, seed in (("a", "4"), ("b", "4"), ("c", "5")):
        assert sim("pulse", *common, "--seed", seed, "-o", f"{name}.csv", cwd=tmp_path).returncode == 0
    a, b, c = ((tmp_path / f"{name}.csv").read_text() for name in "abc")
    assert a == b != c
    rows = read(tmp_path / "a.csv")
    assert list(rows[0]) == ["device", "t", "N", "G"]
    assert len({r["device"] for r in rows}) == 3
    assert float(rows[0]["G"]) == pytest.approx(3e-4)
    assert float(rows[-1]["t"]) == pytest.approx(2e-5)
    assert float(rows[-1]["G"]) < 3e-4


def test_models_and_presets_are_listed(tmp_path: Path) -> None:
    assert "jart-fit" in sim("models", cwd=tmp_path).stdout
    presets = sim("presets", cwd=tmp_path).stdout
    assert "ouroboros" in presets
    assert "none" in presets


PULSE = ("pulse", "--voltage", "-0.342", "--width", "1e-6", "--g-start", "2e-4", "-o", "o.csv")


def with_option(name: str, value: str) -> tuple[str, ...]:
    arguments = list(PULSE)
    if name in arguments:
        arguments[arguments.index(name) + 1] = value
        return tuple(arguments)
    return (*PULSE, name, value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rates", "missing.csv", "-o", "o.csv"), "file not found"),
        (("rates", "low.csv", "-o", "o.csv"), "N = 0.004 1e26 m^-3 in row 2 is outside 0.0047 .. 20"),
        (("rates", "nan.csv", "-o", "o.csv"), "line 3: N = 'nan' is not a finite number"),
        (("rates", "columns.csv", "-o", "o.csv"), "no column N"),
        (("rates", "empty.csv", "-o", "o.csv"), "empty"),
        (with_option("--voltage", "3"), "|pulse voltage| = 3 V is outside 0 .. 2"),
        (with_option("--voltage", "nan"), "voltage"),
        (with_option("--width", "-1e-6"), "pulse width = -1e-06 s is outside"),
        (with_option("--width", "inf"), "pulse width = inf s is outside"),
        (with_option("--g-start", "2e-9"), "start conductance is outside"),
        (with_option("--g-start", "5"), "conductance = 5e+06 uS must lie between"),
        (with_option("--noise", "nope"), "unknown noise preset 'nope'; known: jart-var, none"),
        (with_option("--noise", "bad.toml"), "radius.step = 7"),
        (with_option("--model", "hp-ideal"), "hp-ideal"),
        (("dataset", "--pairs", "3", "-o", "o.csv"), "3"),
    ],
)
def test_bad_input_is_one_clear_line_and_writes_nothing(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "low.csv").write_text("V,r_nm,l_nm,N\n0.2,45,0.4,0.06\n-0.3,45,0.4,0.004\n")
    (tmp_path / "nan.csv").write_text("V,r_nm,l_nm,N\n0.2,45,0.4,0.06\n-0.3,45,0.4,nan\n")
    (tmp_path / "columns.csv").write_text("V,r_nm,l_nm\n0.2,45,0.4\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bad.toml").write_text('name = "x"\nsource = "x"\nradius = { step = 7.0, bound = 0.1 }\n')
    before = sorted(tmp_path.iterdir())
    done = sim(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_existing_data_set_with_other_parameters_is_not_clobbered(tmp_path: Path) -> None:
    make = ("dataset", "--noise", "prototype", "--pairs", "10", "-o", "d.h5")
    assert sim(*make, cwd=tmp_path).returncode == 0
    first = (tmp_path / "d.h5").read_bytes()
    again = sim(*make, cwd=tmp_path)
    assert again.returncode == 0
    assert "already there" in again.stdout
    other = sim(*make, "--seed", "9", cwd=tmp_path)
    assert other.returncode == 2
    assert "--force" in other.stderr
    assert (tmp_path / "d.h5").read_bytes() == first
    assert sim(*make, "--seed", "9", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "d.h5").read_bytes() != first


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = sim("rates", GOLDEN / "yu_simplified_rates.csv", "-o", "o.csv", cwd=tmp_path, preexec_fn=limit)
    assert done.returncode == 2
    assert "error: File too large" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_leaves_no_partial_data_set_and_the_next_run_finishes(tmp_path: Path) -> None:
    make = ("dataset", "--noise", "prototype", "--pairs", "1500", "-o")
    command = [sys.executable, "-m", "sim", *make, "d.h5"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(tmp_path.glob(".d.h5.*.parts/00000.h5")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "d.h5").exists()
    assert len(list(tmp_path.glob(".d.h5.*.parts/*.h5"))) == 1
    assert not list(tmp_path.rglob("*.tmp"))
    for name in ("d.h5", "never_interrupted.h5"):
        assert sim(*make, name, cwd=tmp_path).returncode == 0
    assert (tmp_path / "d.h5").read_bytes() == (tmp_path / "never_interrupted.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.h5", "never_interrupted.h5"]


def test_rates_of_the_full_model_match_the_reference_vectors(tmp_path: Path) -> None:
    golden = GOLDEN / "jart_full_iv.csv"
    done = sim("rates", golden, "--model", "jart-v1b", "-o", "out.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with golden.open(encoding="utf-8") as file:
        wanted = list(csv.DictReader(line for line in file if not line.startswith("#")))
    found = read(tmp_path / "out.csv")
    assert len(found) == len(wanted) > 1000
    for name in ("I", "T", "dNdt"):
        np.testing.assert_allclose(
            [float(row[name]) for row in found], [float(row[name]) for row in wanted], rtol=1e-7, err_msg=name
        )


def test_sweep_draws_and_writes_the_loop(tmp_path: Path) -> None:
    done = sim("sweep", "--points", "51", "--figure", "iv.png", "-o", "iv.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = read(tmp_path / "iv.csv")
    assert list(rows[0]) == ["t", "V", "N", "I", "T", "G_read"]
    assert {float(row["V"]) for row in rows} >= {-1.5, 0.0, 2.0}
    assert (tmp_path / "iv.png").read_bytes().startswith(b"\x89PNG")
    assert sim("sweep", "--peaks", "1,x", "-o", "none.csv", cwd=tmp_path).returncode == 2


def test_pulse_of_the_full_model(tmp_path: Path) -> None:
    pulse = ["pulse", "--model", "jart-v1b", "--voltage", "-0.342", "--width", "1e-4", "--g-start", "2e-4"]
    done = sim(*pulse, "--points", "10", "--devices", "2", "-o", "out.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = read(tmp_path / "out.csv")
    assert len(rows) == 22
    assert float(rows[0]["G"]) == pytest.approx(2e-4, rel=1e-9) and float(rows[10]["G"]) > 2e-4
    noisy = [*pulse, "--noise", "prototype", "--points", "7"]
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert sim(*noisy, "--seed", seed, "-o", f"{name}.csv", cwd=tmp_path).returncode == 0
    first, again, other = ((tmp_path / f"{name}.csv").read_text() for name in "abc")
    assert first == again != other


def test_switching_curves_are_drawn_and_follow_the_seed(tmp_path: Path) -> None:
    common = ["switching", "--noise", "ouroboros-devices", "--set-width", "1e-4", "--reset-width", "1e-4"]
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        done = sim(*common, "--seed", seed, "-o", f"{name}.png", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    first, again, other = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert first == again != other
    done = sim(*common, "--set-width", "0", "-o", "none.png", cwd=tmp_path)
    assert done.returncode == 2 and "change the width" in done.stderr
    assert not (tmp_path / "none.png").exists()


def test_bench_covers_models_noise_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured, not how fast: on a tenth of the work."""
    for name, value in (("DEVICES", 100), ("STEPS", 10), ("POINTS", 100), ("NUMPY_POINTS", 10)):
        monkeypatch.setattr(speed, name, value)
    found = [*speed.step_speeds([1, 2]), *speed.solve_speeds([1, 2])]
    assert {(s.model, s.noise) for s in found} == {
        ("jart-fit", "none"),
        ("jart-fit", "ouroboros"),
        ("jart-v1b", "none"),
        ("jart-v1b", "ouroboros"),
        ("jart-v1b", None),
    }
    assert {s.threads for s in found} == {1, 2} and len(found) == 20
    assert all(s.ns > 0 and s.numpy_ns > 0 for s in found)
    done = CliRunner().invoke(speed.bench, ["--json"])
    assert done.exit_code == 0
    assert set(json.loads(done.output)[0]) == {"model", "work", "noise", "threads", "ns", "numpy_ns"}
