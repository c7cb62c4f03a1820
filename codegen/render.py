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
from codegen.cross import PREDICTOR_SOURCES
from codegen.kernels import (
    AVR,
    ROWS_AT_ONCE,
    Arrays,
    arrays,
    kernel_of,
    padded,
    padded_columns,
    padded_rows,
    signed_inputs,
    streams,
    table_bytes,
)
from codegen.measured_accuracy import accuracy_rows
from codegen.proof import Interval
from codegen.qmodel import QuantizedLayer, QuantizedModel
from firmware_templates import GENERATED, KERNELS, PROJECT, STATIC
from sim.accuracy import AccuracyRecord

RUNTIME_VERSION = 3  # ouro_fixed.h asserts that it is its own
SOURCE_FOLDER = "src"  # headers too: the Arduino tools look for them nowhere else
LINE_WIDTH = 100


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
    stream_lines: list[list[str]]
    padded_rows: int
    padded_columns: int
    form: str

    @classmethod
    def of(
        cls,
        layer: QuantizedLayer,
        bounds: Interval,
        stream: list[list[int]],
        arrays: Arrays,
        padded_rows: int,
        padded_columns: int,
        signed_inputs: bool,
    ) -> _Table:
        return cls(
            rows=layer.rows,
            columns=layer.columns,
            relu=layer.relu,
            weight_min=min(map(min, layer.weights)),
            weight_max=max(map(max, layer.weights)),
            acc_min=int(bounds.lowest.min()),
            acc_max=int(bounds.highest.max()),
            weight_lines=[_lines(weights) for weights in arrays.weights],
            bias_lines=_lines(arrays.bias),
            shift_lines=_lines(arrays.shift),
            stream_lines=[_words(words) for words in stream],
            padded_rows=padded_rows,
            padded_columns=padded_columns,
            form=f"{'signed' if signed_inputs else 'relu'}_to_{'relu' if layer.relu else 'signed'}",
        )


def render(
    model: QuantizedModel,
    board: Board,
    model_sha256: str,
    report: Mapping[str, Any],
    accuracy: AccuracyRecord | None = None,
) -> dict[str, str]:
    """Every file of the firmware that comes from a template, `{path in the folder: text}`, sorted by path.

    Args:
        report: the quantiser's, as `precision_report` gives it.
        accuracy: what co-simulation measured; None when it has not.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([GENERATED, PROJECT]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    kernel = kernel_of(board.target.cpu)
    outputs = _outputs(kernel)
    context = {
        "model": model,
        "kernel": kernel,
        "flash": "OURO_FLASH " if kernel == AVR else "",
        "table_bytes": table_bytes(model, kernel),
        "buffer_length": padded(model.buffer_length, kernel),
        "input_length": padded_columns(model, kernel)[0],
        "rows_at_once": ROWS_AT_ONCE[kernel],
        "tables": _tables(model, kernel),
        "reference_lines": _lines,
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
            root = PROJECT if path.is_relative_to(PROJECT) else GENERATED
            files[target] = environment.get_template(path.relative_to(root).as_posix()).render(context)
        else:
            files[target] = path.read_text(encoding="utf-8")
    return dict(sorted(files.items()))


def _tables(model: QuantizedModel, kernel: str) -> list[_Table]:
    return [
        _Table.of(layer, bounds, stream, array, padded_rows(layer, kernel), columns, signed)
        for layer, bounds, stream, array, columns, signed in zip(
            model.layers,
            model.accumulators,
            streams(model, kernel),
            arrays(model, kernel),
            padded_columns(model, kernel),
            signed_inputs(model),
            strict=True,
        )
    ]


def templates_sha256() -> str:
    """Hash of all templates and static sources, names included."""
    digest = hashlib.sha256()
    files = [*STATIC.glob("*.[ch]"), *GENERATED.glob("*.j2"), *KERNELS.glob("*/*.[ch]"), *_project()]
    for path in sorted(files, key=lambda path: (path.name, path.parent.name)):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _outputs(kernel: str) -> dict[str, Path]:
    """What each file of the folder is made of; templates named `_*` are parts of others."""
    templates = [path for path in GENERATED.glob("*.j2") if not path.name.startswith("_")]
    sources = [*STATIC.glob("*.[ch]"), *(KERNELS / kernel).glob("*.[ch]"), *templates]
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
    names = sorted([*PREDICTOR_SOURCES, "ouro_device_state.c"])  # the state needs no HAL either
    predictor = [f"{SOURCE_FOLDER}/{name}" for name in names]
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
