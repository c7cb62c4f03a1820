"""What the predictor of a firmware folder costs on a controller: flash, RAM, stack, instructions, cycles.

The compiled machine code is executed on an emulated core for pairs that cover every way through it; each result must
equal the integer reference exactly, so that the figures are those of code that works.
"""

from __future__ import annotations

import tempfile
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codegen.core_emulator import CoreEmulator, Cost, read_image
from codegen.cores import Core
from codegen.cross import compile_predictor, cross_compiler
from codegen.firmware import load_firmware
from codegen.fixed import INT32_MAX, INT32_MIN, Int64Array
from codegen.qmodel import QuantizedModel
from codegen.reference import ReferencePredictor
from sim.errors import UserError

PAIRS = 60
CYCLE_ASSUMPTIONS = (
    "one cycle an instruction, one more for every word loaded or stored and two for every branch taken; no flash wait"
    " states, no bus contention"
)


@dataclass(frozen=True)
class Size:
    """Figures of one predictor on one core; bytes, and executed instructions of one `ouro_predict` that pulses.

    `flash_bytes` is the whole linked predictor, `network_flash_bytes` without the decoder of logarithmic widths and the
    compiler's own functions, `table_bytes` weights, biases and shifts alone. The stack is the deepest that a call took.
    """

    core: str
    profile: str
    kernel: str
    compiler: str
    flash_bytes: int
    network_flash_bytes: int
    table_bytes: int
    ram_bytes: int
    stack_bytes: int
    instructions: int
    cycles: int
    cycle_assumptions: str
    calls: int

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def measure(folder: Path, core: Core, compiler_name: str | None = None, elf: Path | None = None) -> Size:
    """Compile the predictor of a firmware folder for a core, run it, compare it, and count.

    Args:
        compiler_name: the family's GCC or "zig" [the first there is].
        elf: use this ELF with the folder's predictor in it instead of compiling one.

    Raises:
        UserError: no compiler, a folder or an ELF that is none, or machine code that differs from the reference.
    """
    firmware = load_firmware(folder)
    compiler = None if elf else cross_compiler(compiler_name, core.family)
    with tempfile.TemporaryDirectory() as temporary:
        path = elf or Path(temporary) / "predictor.elf"
        if compiler is not None:
            compile_predictor(folder, core, path, compiler)
        image = read_image(path)
    if "ouro_predict" not in image.symbols:
        raise UserError(f"{elf or folder}: no function ouro_predict in it")
    costs = run(CoreEmulator(image, core), firmware.model)
    worst = max(costs, key=lambda cost: cost.instructions)
    return Size(
        core=core.name,
        profile=firmware.profile,
        kernel=firmware.kernel,
        compiler=compiler.version() if compiler else "as linked",
        flash_bytes=image.flash_bytes,
        network_flash_bytes=image.flash_bytes - image.other_flash_bytes,
        table_bytes=firmware.table_bytes,
        ram_bytes=image.ram_bytes,
        stack_bytes=max(cost.stack_bytes for cost in costs),
        instructions=worst.instructions,
        cycles=max(c.instructions + c.words_moved + 2 * c.branches_taken for c in costs),
        cycle_assumptions=CYCLE_ASSUMPTIONS,
        calls=len(costs),
    )


def run(emulator: CoreEmulator, model: QuantizedModel, count: int = PAIRS, seed: int = 1) -> list[Cost]:
    """Costs of calls on random and extreme pairs.

    Raises:
        UserError: a result that differs from the integer reference; the pair is named.
    """
    start, target = sample(model, count, seed)
    wanted = ReferencePredictor(model).predict_batch(start, target)
    costs = []
    for k in range(len(start)):
        status, direction, ticks, cost = emulator.predict(int(start[k]), int(target[k]))
        expected = (int(wanted.status[k]), int(wanted.direction[k]), int(wanted.ticks[k]))
        if (status, direction, ticks) != expected:
            raise UserError(
                f"machine code gives (status, direction, ticks) = {(status, direction, ticks)} for {start[k]} ->"
                f" {target[k]} nS, the integer reference {expected}"
            )
        costs.append(cost)
    return costs


def sample(model: QuantizedModel, count: int, seed: int) -> tuple[Int64Array, Int64Array]:
    """Pairs in the window, at its corners, just beyond, equal ones and extreme ones."""
    low, high = model.g_min_nS, model.g_max_nS
    rng = np.random.default_rng(seed)
    corners = [
        (low, high), (high, low), (low, low + 1), (high, high - 1), (low, low), (INT32_MIN, high),
        (INT32_MAX, low), (low, low - 1), (low, high + 1), (low, INT32_MAX), (low, INT32_MIN),
    ]  # fmt: skip
    random = rng.integers(low, high + 1, (count, 2))
    pairs = np.concatenate([np.array(corners, dtype=np.int64), random.astype(np.int64)])
    return pairs[:, 0], pairs[:, 1]


def require_within(size: Size, budgets: Path) -> None:
    """Check figures against a budget file: a TOML table per core, with upper limits named as the figures.

    Tables by core may lie in a table of their own for a profile.

    Raises:
        UserError: the file is unusable, has no budget for the core, or a figure is over it.
    """
    try:
        stated = tomllib.loads(budgets.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {budgets}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{budgets}: not a TOML file: {error}") from None
    of_profile = stated.get(size.profile, stated)
    limits = of_profile.get(size.core)
    if not isinstance(limits, dict):
        raise UserError(
            f"{budgets}: no budget for core '{size.core}' and profile '{size.profile}'; "
            f"it has {', '.join(of_profile) or 'none'}"
        )
    figures = size.as_json() | {"ram_and_stack_bytes": size.ram_bytes + size.stack_bytes}
    for name, limit in limits.items():
        if not isinstance(figures.get(name), int) or not isinstance(limit, int):
            raise UserError(f"{budgets}: {size.core}.{name} is no figure with a whole number as its limit")
        if figures[name] > limit:
            raise UserError(
                f"over budget on {size.core}: {name} = {figures[name]}, limit {limit} for profile {size.profile} "
                f"({budgets})"
            )
