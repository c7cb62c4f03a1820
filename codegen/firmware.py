"""One firmware folder: made from a network file in one go, recognised and read again later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codegen import VERSION
from codegen.boards import Board, board_from_fields
from codegen.calibration import dataset_pairs, grid_pairs
from codegen.device_state import BYTES_PER_DEVICE
from codegen.folding import fold, voltages_of, window_nS
from codegen.kernels import has_narrow_forms, kernel_for, kernel_of, padded, table_bytes
from codegen.measured_accuracy import measured_accuracy
from codegen.onnx_import import FloatNetwork, load_network
from codegen.precision import precision_report
from codegen.profiles import BALANCED, PROFILES, SIZE, Profile
from codegen.qmodel import QuantizedModel, WeightBits
from codegen.quantize import quantize
from codegen.quantize_table import quantize_table, table_report
from codegen.render import RUNTIME_VERSION, render, templates_sha256
from codegen.widths import WidthChoice, WidthSearch, choose_widths
from sim.errors import UserError
from sim.output_files import whole_directory

MANIFEST = "manifest.json"
INTEGER_MODEL = "quantized_model.json"
RAM_FOR_THE_REST_BYTES = 1024
"""Of a board beside activations and states: controller, protocol, serial lines, stack."""


@dataclass(frozen=True)
class Firmware:
    """A firmware folder: its integer model, the board it was made for, the quantiser's report."""

    folder: Path
    model: QuantizedModel
    board: Board
    report: dict[str, Any]
    profile: Profile

    @property
    def kernel(self) -> str:
        """Name of the layer kernel, which the board's core and the profile decide; a table has its own."""
        return kernel_for(self.model, self.board.target.cpu, self.profile)

    @property
    def table_bytes(self) -> int:
        """Flash taken by weights, biases and shifts."""
        return table_bytes(self.model, self.kernel)


def make_firmware(
    network_path: Path,
    board: Board,
    folder: Path,
    calibration: Path | None,
    force: bool,
    results: Path | None = None,
    profile: Profile = BALANCED,
    search: WidthSearch | None = None,
    progress: Callable[[str], None] = lambda what: None,
    weight_bits: Sequence[WeightBits] | None = None,
) -> Firmware:
    """Import, quantise and render `network_path` into `folder`, whole or not at all.

    Args:
        calibration: data set whose pairs the quantiser uses; None for a grid over the trained window.
        force: replace `folder` whatever it holds.
        results: records of `codegen cosim`; the README states the one named like the network file.
        profile: what it is to be good at.
        search: on what profile `size` measures the widths of weights [as `WidthSearch` says].
        progress: called with the widths that are measured next.
        weight_bits: for profile `size`, the width of every layer's weights instead of a search.

    Raises:
        UserError: bad input, or `folder` holds something that is not ours to replace.
    """
    folder = folder.resolve()
    if not force:
        _require_replaceable(folder)
    network = load_network(network_path)
    _require_same_voltages(network, board)
    g_min_nS, g_max_nS = window_nS(network)
    if g_max_nS >= board.adc.full_scale_nS:
        raise UserError(
            f"board '{board.name}' reads up to {board.adc.full_scale_nS} nS, the network's window ends at {g_max_nS} nS"
        )
    pairs = dataset_pairs(calibration, g_min_nS, g_max_nS) if calibration else grid_pairs(g_min_nS, g_max_nS)
    knows = network.metadata.knows_device
    pairs = pairs.with_states() if knows else pairs.with_reductions(voltages_of(network, board))
    choice = None
    if network.table is not None:
        model = quantize_table(network, network.table, board)
    elif profile == SIZE and weight_bits is None and has_narrow_forms(kernel_of(board.target.cpu, profile)):
        model, choice = choose_widths(network, board, pairs, search or WidthSearch(), progress)
    else:
        model = quantize(network, board, pairs, weight_bits)
    _require_room(model, board, kernel_for(model, board.target.cpu, profile))
    if network.table is not None:
        report = table_report(network, board, model, pairs)
    else:
        report = precision_report(fold(network, board), model, pairs)
    accuracy = measured_accuracy(results, predictor_name(network_path), board.name) if results else None
    files = render(model, board, network.sha256, report, accuracy, profile, choice)
    files[INTEGER_MODEL] = model.to_json()
    made = Firmware(folder, model, board, report, profile)
    files[MANIFEST] = _manifest(network, made, choice, files)
    with whole_directory(folder) as temporary:
        for name, text in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    return made


def load_firmware(folder: Path) -> Firmware:
    """Read a firmware folder's integer model and board.

    Raises:
        UserError: it is no firmware folder, or damaged.
    """
    manifest = _read_manifest(folder)
    if manifest is None:
        raise UserError(
            f"{folder} is not a firmware folder: no usable {MANIFEST}; make one with 'codegen firmware'"
        )
    try:
        text = (folder / INTEGER_MODEL).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{folder}: {INTEGER_MODEL} is missing or unreadable") from None
    model = QuantizedModel.from_json(text, folder / INTEGER_MODEL)
    board = board_from_fields(manifest["board"], folder / MANIFEST)
    profile = manifest.get("profile")
    if profile not in PROFILES:
        raise UserError(f"{folder / MANIFEST}: unknown profile '{profile}'; make the folder again")
    return Firmware(folder, model, board, manifest["quantisation"], profile)


def predictor_name(source: Path) -> str:
    """The name of a network file or firmware folder in records: its file name without `.onnx`."""
    return source.resolve().name.removesuffix(".onnx")


def manifest_sha256(folder: Path) -> str:
    """Hash of a firmware folder's manifest, which holds the hashes of all its files."""
    return _sha256(folder / MANIFEST)


def network_sha256(folder: Path) -> str:
    """Hash of the network file that a firmware folder was made from.

    Raises:
        UserError: it is no firmware folder.
    """
    load_firmware(folder)
    return str(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["network"]["sha256"])


def _manifest(
    network: FloatNetwork, made: Firmware, choice: WidthChoice | None, files: dict[str, str]
) -> str:
    content = {
        "generator": VERSION,
        "runtime_version": RUNTIME_VERSION,
        "templates_sha256": templates_sha256(),
        "network": {
            "sha256": network.sha256,
            "topology": made.model.topology,
            "metadata": json.loads(network.metadata.to_json()),
        },
        "board_sha256": made.board.sha256(),
        "board": json.loads(made.board.model_dump_json(by_alias=True)),
        "profile": made.profile,
        "kernel": made.kernel,
        "weight_bits": made.model.weight_bits,
        "width_choice": asdict(choice) if choice else None,
        "table_bytes": made.table_bytes,
        "stack_bytes": 4 * padded(made.model.buffer_length, made.kernel),
        "quantisation": made.report,
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()},
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


_SECTIONS = ("files", "board", "quantisation")


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of `folder`; None when there is none that is one."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_ours = isinstance(content, dict) and all(isinstance(content.get(k), dict) for k in _SECTIONS)
    return content if is_ours else None


def _require_replaceable(folder: Path) -> None:
    """An existing folder may be replaced when it is empty or exactly what an earlier run wrote."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} exists and is not a folder")
    found = {str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if not path.is_dir()}
    manifest = _read_manifest(folder)
    if not found:
        return
    if manifest is None:
        raise UserError(f"{folder} exists and is not a firmware folder; choose another or add --force")
    hashes = manifest["files"]
    changed = sorted(found.symmetric_difference({*hashes, MANIFEST}))
    changed += [n for n in sorted(found & set(hashes)) if _sha256(folder / n) != hashes[n]]
    if changed:
        raise UserError(f"{folder} was changed by hand ({changed[0]}); choose another or add --force")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _require_same_voltages(network: FloatNetwork, board: Board) -> None:
    """Pulse widths mean nothing at other voltages than those of the training; half a DAC step is allowed.

    A network that chooses its voltages brings them along; they have to suit the board.
    """
    trained = network.metadata.pulse
    if network.metadata.chooses_voltage:
        highest_uV = max(-trained.v_set_V, trained.v_reset_V) * 1e6
        if highest_uV > min(board.limits.v_max_uV, board.dac.max_uV):
            raise UserError(
                f"the network uses up to {highest_uV / 1e6:g} V; board '{board.name}' gives at most "
                f"{min(board.limits.v_max_uV, board.dac.max_uV) / 1e6:g} V"
            )
        return
    for name, wanted_V, given_uV in (
        ("SET", trained.v_set_V, board.pulse.v_set_uV),
        ("RESET", trained.v_reset_V, board.pulse.v_reset_uV),
    ):
        if abs(wanted_V * 1e6 - given_uV) > board.dac.lsb_uV / 2:
            raise UserError(
                f"inconsistent scaling metadata: trained for {name} at {wanted_V} V, "
                f"board '{board.name}' pulses at {given_uV / 1e6} V"
            )


def _require_room(model: QuantizedModel, board: Board, kernel: str) -> None:
    """The tables must fit the flash, the activations the RAM."""
    if model.knows_device:
        _require_room_for_states(model, board, kernel)
    needs = (
        ("tables", table_bytes(model, kernel), "flash", board.target.flash_bytes),
        ("activations", 4 * padded(model.buffer_length, kernel), "RAM", board.target.ram_bytes),
    )
    for what, bytes_needed, where, bytes_there in needs:
        if bytes_needed > bytes_there:
            problem = (
                f"network {model.topology} is too large for board '{board.name}': its {what} take {bytes_needed} "
                f"bytes of {bytes_there} bytes of {where}"
            )
            if not model.layers:
                raise UserError(problem)
            widest = max(model.layers, key=lambda layer: layer.rows * layer.columns)
            raise UserError(f"{problem}; the largest layer is {widest.columns} -> {widest.rows}")


def _require_room_for_states(model: QuantizedModel, board: Board, kernel: str) -> None:
    """A state for each cell of the array must fit the RAM beside activations, controller, protocol and stack."""
    if board.array is None:
        raise UserError(
            f"the network knows its devices, and board '{board.name}' does not say how many it has: "
            "add rows and columns to its board.toml as [array]"
        )
    bytes_needed = BYTES_PER_DEVICE * board.array.cells
    bytes_there = board.target.ram_bytes - 4 * padded(model.buffer_length, kernel) - RAM_FOR_THE_REST_BYTES
    if bytes_needed > bytes_there:
        raise UserError(
            f"the states of {board.array.rows} x {board.array.columns} devices take {bytes_needed} bytes of RAM; "
            f"board '{board.name}' has {max(bytes_there, 0)} of {board.target.ram_bytes} bytes for them: fewer rows or "
            "columns in its board.toml under [array], another board, or a network without states"
        )
