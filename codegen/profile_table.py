"""What the profiles of one network cost and reach on each core."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codegen.boards import Board
from codegen.cores import Core
from codegen.firmware import Firmware, load_firmware, make_firmware
from codegen.kernels import kernel_of
from codegen.onnx_import import load_network
from codegen.profiles import PROFILES, Profile
from codegen.size import Size, measure
from codegen.widths import Measured, Trial, WidthSearch


@dataclass(frozen=True)
class ProfileOnCore:
    """A profile's firmware on a core: widths of the layers' weights, accuracy, figures of its machine code."""

    profile: Profile
    weight_bits: tuple[int, ...]
    measured: Measured
    size: Size

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def profile_table(
    network_path: Path,
    board: Board,
    cores: Sequence[Core],
    calibration: Path | None,
    search: WidthSearch,
    compiler: str | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> list[ProfileOnCore]:
    """Make every profile for every core, measure its accuracy and its machine code.

    Args:
        board: whose core is replaced by each of `cores`.
        compiler: as in `codegen.size.measure`.
        progress: called with the name of each profile and core when it is done.

    Raises:
        UserError: bad input, or no cross compiler.
    """
    trial = Trial(load_network(network_path), board, search)
    accuracy: dict[str, Measured] = {}  # by integer model: cores share them

    def measured(made: Firmware) -> Measured:
        key = made.model.to_json()
        if key not in accuracy:
            accuracy[key] = trial.measure(made.model)
        return accuracy[key]

    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for core in cores:
            for profile in PROFILES:
                folder = Path(temporary) / profile / kernel_of(core.name, profile)
                if not folder.exists():
                    target = board.target.model_copy(update={"cpu": core.name})
                    on_core = board.model_copy(update={"target": target})
                    make_firmware(
                        network_path, on_core, folder, calibration, False, profile=profile, search=search
                    )
                made = load_firmware(folder)
                size = measure(folder, core, compiler)
                rows.append(ProfileOnCore(profile, made.model.weight_bits, measured(made), size))
                progress(f"{profile} on {core.name}")
    return rows


def markdown(rows: Sequence[ProfileOnCore]) -> str:
    """The table, and under it what it was measured on."""
    first = rows[0].measured
    lines = [
        "| core | profile | weights, bits | instructions | cycles, estimated | network flash | RAM + stack | "
        + " | ".join(f"within {limit:.0%}" for limit in first.limits)
        + " |",
        "|" + "---|" * (7 + len(first.limits)),
    ]
    for row in rows:
        s = row.size
        changes = [
            f"{100 * each.difference:+.3f} +- {50 * (each.ci95[1] - each.ci95[0]):.3f}"
            for each in row.measured.differences
        ]
        lines.append(
            f"| {s.core} | {row.profile} | {', '.join(map(str, row.weight_bits))} | {s.instructions:,} "
            f"| {s.cycles:,} | {s.network_flash_bytes:,} B | {s.ram_bytes + s.stack_bytes} B | {' | '.join(changes)} |"
        )
    drawn = "" if first.cadence_s is None else f" drawn every {first.cadence_s} s"
    devices = f"{'recorded devices' if first.cadence_s is None else 'noise'} `{first.noise_preset}`{drawn}"
    shares = ", ".join(f"{share:.2%}" for share in first.float_shares)
    lines += [
        "",
        f"Accuracy: one-shot, percentage points against the float network's {shares}, with 95 % intervals of the",
        f"paired difference; {first.trials} trials, {devices}, seed {first.seed}.",
        f"Compiler: {rows[0].size.compiler}.",
    ]
    return "\n".join(lines)
