"""From the integer model to the text of a firmware folder: data through Jinja, arithmetic copied as it is.

A pure function of its arguments and the templates: no date, path or user gets into the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from codegen import VERSION
from codegen.boards import Board
from codegen.cross import is_predictor_source
from codegen.kernels import AVR, LayerTable, kernel_files, kernel_for, layer_tables, padded, table_bytes
from codegen.measured_accuracy import accuracy_rows
from codegen.profiles import BALANCED, Profile
from codegen.proof import Interval
from codegen.qmodel import QuantizedLayer, QuantizedModel
from codegen.qtable import slopes
from codegen.widths import WidthChoice
from firmware_templates import GENERATED, KERNELS, PROJECT, STATIC
from sim.accuracy import AccuracyRecord

RUNTIME_VERSION = 3  # ouro_fixed.h asserts that it is its own
SOURCE_FOLDER = "src"  # headers too: the Arduino tools look for them nowhere else
LINE_WIDTH = 100
TABLE_STAGES = 2  # of a look-up table: the place, the value


@dataclass(frozen=True)
class _Table:
    """What the template of the weights shows of one layer."""

    rows: int
    columns: int
    relu: bool
    weight_min: int
    weight_max: int
    acc_min: int
    acc_max: int
    weight_lines: list[list[str]]
    bias_lines: list[str]
    shift_lines: list[str]
    weight_bits: int
    stream_lines: list[list[str]]
    form: str | None
    padded_rows: int
    padded_columns: int
    rows_at_once: int

    @classmethod
    def of(cls, layer: QuantizedLayer, bounds: Interval, table: LayerTable) -> _Table:
        return cls(
            rows=layer.rows,
            columns=layer.columns,
            relu=layer.relu,
            weight_min=min(map(min, layer.weights)),
            weight_max=max(map(max, layer.weights)),
            acc_min=int(bounds.lowest.min()),
            acc_max=int(bounds.highest.max()),
            weight_lines=[_lines(weights) for weights in table.weights],
            bias_lines=_lines(table.bias),
            shift_lines=_lines(table.shift),
            weight_bits=layer.weight_bits,
            stream_lines=[_words(words) for words in table.stream],
            form=table.form,
            padded_rows=table.rows,
            padded_columns=table.columns,
            rows_at_once=table.rows_at_once,
        )


def render(
    model: QuantizedModel,
    board: Board,
    model_sha256: str,
    report: Mapping[str, Any],
    accuracy: AccuracyRecord | None = None,
    profile: Profile = BALANCED,
    choice: WidthChoice | None = None,
) -> dict[str, str]:
    """Every file of the firmware that comes from a template, `{path in the folder: text}`, sorted by path.

    Args:
        report: the quantiser's, as `precision_report` gives it.
        accuracy: what co-simulation measured; None when it has not.
        profile: decides the kernel, with the board's core.
        choice: how the widths of the weights were chosen; None where they were not.
    """
    roots = (GENERATED, PROJECT, KERNELS)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(roots),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    kernel = kernel_for(model, board.target.cpu, profile)
    outputs = _outputs(model, kernel)
    tables = layer_tables(model, kernel)
    context = {
        "model": model,
        "kernel": kernel,
        "flash": "OURO_FLASH " if kernel == AVR else "",
        "profile": profile,
        "choice": choice,
        "choice_rows": _choice_rows(choice),
        "table_bytes": table_bytes(model, kernel),
        "buffer_length": padded(model.buffer_length, kernel),
        "layers": len(model.layers) or TABLE_STAGES,
        "input_length": tables[0].columns if tables else len(model.inputs),
        "tables": [
            _Table.of(*each)
            for each in zip(model.kernel_layers, model.kernel_accumulators, tables, strict=True)
        ],
        "reference_lines": _lines,
        "words": _words,
        "slopes": slopes,
        "board": board,
        "report": report,
        "accuracy": accuracy,
        "accuracy_rows": accuracy_rows(accuracy),
        "sources": _sources(outputs),
        "runtime_version": RUNTIME_VERSION,
        "versions": {"generator": VERSION},
        "hashes": {"model": model_sha256, "board": board.sha256(), "templates": templates_sha256()},
    }
    files = {}
    for target, path in outputs.items():
        if path.suffix == ".j2":
            root = next(r for r in roots if path.is_relative_to(r))
            files[target] = environment.get_template(path.relative_to(root).as_posix()).render(context)
        else:
            files[target] = path.read_text(encoding="utf-8")
    return dict(sorted(files.items()))


def _choice_rows(choice: WidthChoice | None) -> list[tuple[str, str, list[str]]]:
    """Limit of RPD, the float network's share, difference and ends of its interval in percentage points, as text."""
    if choice is None:
        return []
    found = choice.measured
    return [
        (f"{limit:.0%}", f"{share:.2%}", [f"{100 * value:+.3f}" for value in (each.difference, *each.ci95)])
        for limit, share, each in zip(found.limits, found.float_shares, found.differences, strict=True)
    ]


def templates_sha256() -> str:
    """Hash of all templates and static sources, names included."""
    digest = hashlib.sha256()
    kernels = (path for pattern in ("*/*.[ch]", "*/*.j2") for path in KERNELS.glob(pattern))
    files = [*STATIC.glob("*.[ch]"), *GENERATED.glob("*.j2"), *kernels, *_project()]
    for path in sorted(files, key=lambda path: (path.name, path.parent.name)):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _outputs(model: QuantizedModel, kernel: str) -> dict[str, Path]:
    """What each file of the folder is made of; templates named `_*` are parts of others."""
    templates = [path for path in GENERATED.glob("*.j2") if not path.name.startswith("_")]
    of_kernel = [*kernel_files(model, kernel), *(KERNELS / kernel).glob("*.j2")]  # these take another's place
    sources = [*STATIC.glob("*.[ch]"), *templates, *of_kernel]
    return {
        **{f"{SOURCE_FOLDER}/{path.name.removesuffix('.j2')}": path for path in sources},
        **{path.relative_to(PROJECT).as_posix().removesuffix(".j2"): path for path in _project()},
    }


def _project() -> list[Path]:
    """What makes the sources a library of several build systems, with README, licence and examples."""
    return [path for path in PROJECT.rglob("*") if path.is_file()]


def _sources(targets: Iterable[str]) -> dict[str, list[str]]:
    """The C files, sorted: those of the predictor, and those that need the HAL of a board."""
    paths = sorted(path for path in targets if path.startswith(f"{SOURCE_FOLDER}/") and path.endswith(".c"))
    without_hal = [path for path in paths if is_predictor_source(path.rpartition("/")[2])]
    predictor = sorted([*without_hal, f"{SOURCE_FOLDER}/ouro_device_state.c"])  # the state needs none either
    return {"predictor": predictor, "controller": [path for path in paths if path not in predictor]}


def _words(words: Iterable[int]) -> list[str]:
    """Words as hexadecimal C initialisers, eight a line."""
    items = [f"0x{word:08X}U," for word in words]
    return [" ".join(items[k : k + 8]) for k in range(0, len(items), 8)]


def _lines(values: Iterable[int]) -> list[str]:
    """Numbers as C initialisers, wrapped."""
    lines, line = [], ""
    for value in values:
        item = f"{value},"
        if line and len(line) + 1 + len(item) > LINE_WIDTH:
            lines.append(line)
            line = ""
        line = f"{line} {item}" if line else item
    return [*lines, line] if line else lines
