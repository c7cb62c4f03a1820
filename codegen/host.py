"""The compiled firmware as a Python object: the same C, called on the host."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import numpy.typing as npt

from codegen.build import host_library, sanitized_program
from codegen.device_state import DeviceStates
from codegen.firmware import load_firmware
from codegen.fixed import Int64Array
from codegen.predictions import (
    Int8Array,
    Predictions,
    as_int32_pairs,
    require_budget,
    require_targets_in_window,
    require_wish,
)
from firmware_templates import HOST
from sim.closed_loop import Pulses
from sim.errors import UserError


def load_library(path: Path, *headers: Path) -> tuple[Any, Any]:
    """Load a host library: (ffi, lib) with the declarations of `headers`, which hold plain types only.

    Calls release the interpreter's lock.

    Raises:
        UserError: it cannot be loaded.
    """
    ffi = cffi.FFI()
    for header in headers:
        lines = header.read_text(encoding="utf-8").splitlines()
        ffi.cdef("\n".join(line for line in lines if not line.startswith("#")))
    try:
        return ffi, ffi.dlopen(str(path.resolve()))
    except OSError as error:
        raise UserError(f"cannot load the host library {path}: {error}") from None


class HostLibrary:
    """A firmware folder compiled for the host; a `PulsePredictor` that is the C itself.

    Pulses last at most `budget_ticks`, if given; with a wish they are as short as keeps their expected RPD within it.
    """

    def __init__(
        self,
        folder: Path,
        extra_sources: Sequence[Path] = (),
        budget_ticks: int | None = None,
        wish_permille: int = 0,
    ) -> None:
        """Compile (or find in the cache) and load.

        Raises:
            UserError: no firmware folder, no compiler, sources that do not compile, a budget shorter than the
                timer's shortest pulse, or a wish outside 0 .. 1000.
        """
        firmware = load_firmware(folder)
        require_budget(budget_ticks, firmware.model.min_ticks)
        require_wish(wish_permille)
        self.wish_permille = wish_permille
        self.budget_ticks = firmware.model.max_ticks if budget_ticks is None else budget_ticks
        self.folder = folder
        self.model = firmware.model
        self.board = firmware.board
        self.path = host_library(folder, extra_sources=extra_sources)
        self._ffi, self._lib = load_library(self.path, HOST / "ouro_predict_batch.h")

    def predict(
        self, g_start_nS: npt.ArrayLike, g_target_nS: npt.ArrayLike, states: DeviceStates | None = None
    ) -> Pulses:
        """The pulse of each pair; `states` is what is known of each device, for a network that sees it.

        Raises:
            UserError: a target outside the trained window.
        """
        start, target = as_int32_pairs(g_start_nS, g_target_nS)
        require_targets_in_window(target, self.model.g_min_nS, self.model.g_max_nS)
        return self.predict_batch(start, target, states).pulses()

    def predict_batch(
        self, g_start_nS: npt.ArrayLike, g_target_nS: npt.ArrayLike, states: DeviceStates | None = None
    ) -> Predictions:
        """`ouro_predict_precise` of each pair; any int32 values.

        Safe from several threads.
        """
        start, target = (np.ascontiguousarray(v, np.int32) for v in as_int32_pairs(g_start_nS, g_target_nS))
        direction = np.empty(start.shape, dtype=np.int8)
        ticks = np.empty(start.shape, dtype=np.uint32)
        v_uV = np.empty(start.shape, dtype=np.int32)
        status = np.empty(start.shape, dtype=np.int32)
        asked = (
            len(start),
            self._pointer("const int32_t *", start),
            self._pointer("const int32_t *", target),
            self.budget_ticks,
            self.wish_permille,
        )
        found = (
            self._pointer("int8_t *", direction),
            self._pointer("uint32_t *", ticks),
            self._pointer("int32_t *", v_uV),
            self._pointer("int32_t *", status),
        )
        if states is None:
            self._lib.ouro_predict_batch(*asked, *found)
        else:
            self._lib.ouro_predict_known_batch(*asked, *self._state_pointers(states), *found)
        return Predictions(direction, ticks.astype(np.int64), v_uV.astype(np.int64), status)

    def update_states(
        self,
        states: DeviceStates,
        g_before_nS: npt.ArrayLike,
        g_after_nS: npt.ArrayLike,
        direction: Int8Array,
        ticks: Int64Array,
    ) -> DeviceStates:
        """`ouro_device_state_update` of each state.

        Raises:
            UserError: the network does not know its device.
        """
        found = DeviceStates(states.log2_rate_q4.copy(), states.pulses.copy())
        before, after = (np.ascontiguousarray(v, np.int32) for v in as_int32_pairs(g_before_nS, g_after_nS))
        way, width = np.ascontiguousarray(direction, np.int8), np.ascontiguousarray(ticks, np.uint32)
        done = self._lib.ouro_device_state_update_batch(
            len(found),
            *self._state_pointers(found),
            self._pointer("const int32_t *", before),
            self._pointer("const int32_t *", after),
            self._pointer("const int8_t *", way),
            self._pointer("const uint32_t *", width),
        )
        self._require_known(done)
        return found

    def calibration_pulses(self, states: DeviceStates, g_nS: Int64Array) -> tuple[Int8Array, Int64Array]:
        """Direction and ticks of `ouro_calibration_pulse` for each state and reading.

        Raises:
            UserError: the network does not know its device.
        """
        here = np.ascontiguousarray(g_nS, np.int32)
        direction, ticks = np.empty(here.shape, dtype=np.int8), np.empty(here.shape, dtype=np.uint32)
        done = self._lib.ouro_calibration_pulse_batch(
            len(here),
            *self._state_pointers(states),
            self._pointer("const int32_t *", here),
            self._pointer("int8_t *", direction),
            self._pointer("uint32_t *", ticks),
        )
        self._require_known(done)
        return direction, ticks.astype(np.int64)

    def _require_known(self, done: int) -> None:
        if not done:
            raise UserError(f"{self.folder}: the network does not know its device; there are no states")

    def _state_pointers(self, states: DeviceStates) -> tuple[Any, Any]:
        return self._pointer("int8_t *", states.log2_rate_q4), self._pointer("uint8_t *", states.pulses)

    def _pointer(self, kind: str, array: npt.NDArray[Any]) -> Any:
        return self._ffi.cast(kind, self._ffi.from_buffer(array))


def predict_sanitized(folder: Path, g_start_nS: npt.ArrayLike, g_target_nS: npt.ArrayLike) -> Predictions:
    """As `HostLibrary.predict_batch`, by a program under address and undefined-behaviour sanitizers.

    A process of its own: the sanitizers then watch from the first instruction, and Python need not be one of
    their builds.

    Raises:
        UserError: a sanitizer stopped the program; the message holds its first line.
    """
    start, target = as_int32_pairs(g_start_nS, g_target_nS)
    pairs = np.stack([start, target], axis=1).astype(np.int32)
    done = subprocess.run(
        [sanitized_program(folder, "predict_stream")], input=pairs.tobytes(), capture_output=True, check=False
    )
    if done.returncode != 0:
        lines = [
            line for line in done.stderr.decode(errors="replace").splitlines() if "error" in line.lower()
        ]
        reason = lines[0].strip() if lines else f"exit status {done.returncode}"
        raise UserError(f"{folder}: the firmware failed under the sanitizers: {reason}")
    found = np.frombuffer(done.stdout, dtype=np.int32).reshape(-1, 4)
    return Predictions(
        direction=found[:, 1].astype(np.int8),
        ticks=found[:, 2].astype(np.int64),
        v_uV=found[:, 3].astype(np.int64),
        status=found[:, 0].copy(),
    )
