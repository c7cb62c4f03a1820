"""Run-time errors in predictor and controller, for all inputs: Frama-C's plug-in Eva, by abstract interpretation.

What is analysed is the C as generated, weights included; assembly kernels in their plain C, which computes the same.
The programs and contracts lie in `firmware_templates/eva`.
"""

from __future__ import annotations

import csv
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from codegen.boards import load_board
from codegen.firmware import make_firmware
from codegen.kernels import kernel_of
from codegen.misra import all_boards
from firmware_templates import EVA
from sim.errors import UserError

# 32-bit integers and pointers, little end first, as on a Cortex-M. Eva knows no _Alignas; no value depends on it.
MACHINE = ("-machdep", "x86_32", "-c11")
PREPROCESSOR = "'-D_Alignas(type)='"
PROVEN = (
    "Valid",
    "Considered valid",
)  # the latter: contracts of what has no code here, that is, of Eva's own functions


@dataclass(frozen=True)
class Analysis:
    """A program of `firmware_templates/eva`, the sources analysed with it, Eva's options."""

    name: str
    sources: tuple[str, ...]
    options: tuple[str, ...]


# What a controller learns of a device, and what that takes.
DEVICE_STATE = ("ouro_device_state.c", "ouro_exp2.c", "ouro_network.c", "ouro_dense.c")

ANALYSES = (
    # Every iteration on its own: intervals of sums are then those that the generator has proven.
    Analysis(
        "predictor",
        ("ouro_predictor.c", "ouro_dense.c", "ouro_exp2.c", "ouro_network.c"),
        ("-eva-slevel", "0", "-eva-min-loop-unroll", "128"),
    ),
    # Outcomes of a function apart, and what they say of its arguments: a limit checked is a limit kept.
    Analysis(
        "controller",
        ("ouro_controller.c", "ouro_pulse_gate.c", "ouro_request.c", *DEVICE_STATE),
        (
            *("-eva-slevel", "2000", "-eva-split-return", "full"),
            *("-eva-domains", "cvalue,equality,symbolic-locations", "-eva-equality-through-calls", "formals"),
        ),
    ),
)

# For a network that knows its devices.
STATES = Analysis("states", DEVICE_STATE, ("-eva-slevel", "200"))


@dataclass(frozen=True)
class Alarm:
    """What could not be proven: `kind` as Frama-C calls it, `text` in ACSL."""

    file: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.text}"


@dataclass(frozen=True)
class Analysed:
    """Alarms, and the number of assertions and contracts that hold for all inputs."""

    alarms: list[Alarm]
    proven: int


def analyse(folder: Path, analysis: Analysis) -> Analysed:
    """Analyse the firmware in `folder` for all inputs.

    Raises:
        UserError: Frama-C is missing or cannot read the sources.
    """
    if shutil.which("frama-c") is None:
        raise UserError("no frama-c: apt install frama-c-base, or opam install frama-c")
    include = " ".join(f"-I{shlex.quote(str(path.resolve()))}" for path in (folder / "src", EVA))
    sources = [EVA / f"{analysis.name}.c", *(folder / "src" / name for name in analysis.sources)]
    with tempfile.TemporaryDirectory() as temporary:
        table = Path(temporary) / "properties.csv"
        command = [
            *("frama-c", *MACHINE, f"-cpp-extra-args={include} {PREPROCESSOR}"),
            *("-eva", *analysis.options, "-eva-msg-key=-initial-state,-final-states"),
            *(str(path.resolve()) for path in sources),
            *("-then", "-report-csv", str(table)),
        ]
        done = subprocess.run(command, cwd=temporary, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not table.exists():
            errors = [line for line in done.stdout.splitlines() if "rror" in line or "Failure" in line]
            raise UserError(
                f"{folder}: frama-c failed: {errors[0].strip() if errors else done.stderr.strip()}"
            )
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    alarms = [
        Alarm(row["file"], int(row["line"]), row["property kind"], row["property"])
        for row in rows
        if row["status"] not in PROVEN
    ]
    return Analysed(alarms, sum(row["status"] == "Valid" for row in rows))


@click.command()
@click.argument("network", type=click.Path(path_type=Path))
@click.option("--board", "names", multiple=True, help="Board; repeatable  [one for each layer kernel].")
def eva(network: Path, names: tuple[str, ...]) -> None:
    """Prove the absence of run-time errors in the predictor of NETWORK (ONNX) and the controller. Alarms: status 2.

    For any conductances, any sequence of calls, any requests, and hardware that answers anything.
    """
    boards = [load_board(name) for name in names]
    for board in boards or {kernel_of(board.target.cpu): board for board in all_boards()}.values():
        with tempfile.TemporaryDirectory() as temporary:
            firmware = make_firmware(network, board, Path(temporary) / "firmware", None, force=False)
            for analysis in (*ANALYSES, STATES) if firmware.model.knows_device else ANALYSES:
                found = analyse(firmware.folder, analysis)
                for alarm in found.alarms:
                    click.echo(alarm)
                what = f"{analysis.name} of {board.name}, kernel {kernel_of(board.target.cpu)}"
                if found.alarms:
                    raise UserError(f"{what}: {len(found.alarms)} alarms")
                click.echo(f"{what}: no alarm, {found.proven} assertions and contracts proven")
