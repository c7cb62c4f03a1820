"""Boards: `firmware_templates/boards/NAME/board.toml`, validated, and what it means to the bench."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from codegen.validation import StrictModel, first_problem
from firmware_templates import BOARDS
from sim.errors import UserError

if TYPE_CHECKING:
    from sim.bench import BenchParams

INT32_MAX = 2**31 - 1

Positive = Annotated[int, Field(ge=1, le=INT32_MAX)]
# Names end up in C string literals, folder names and command lines.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Machine = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_,=-]{0,39}$")]
Address = Annotated[int, Field(ge=0, lt=2**32)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\r\n]*$")]


class Timer(StrictModel):
    """Pulse timer: one tick is 1 / frequency_Hz seconds."""

    frequency_Hz: Positive
    min_ticks: Positive
    max_ticks: Positive

    @model_validator(mode="after")
    def _must_be_ordered(self) -> Timer:
        if not self.min_ticks <= self.max_ticks:
            raise ValueError("min_ticks must not exceed max_ticks")
        return self


class Adc(StrictModel):
    """Conductance read-out; noise is the converter's, in LSB (standard deviation)."""

    bits: Annotated[int, Field(ge=6, le=16)]
    full_scale_nS: Positive
    noise_lsb: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
    v_read_uV: Positive

    @model_validator(mode="after")
    def _conversion_must_fit_int32(self) -> Adc:
        # code_to_nS may be computed in 64 bits, its result not.
        if self.full_scale_nS < 2**self.bits:
            raise ValueError("full_scale_nS must be at least 1 nS per code")
        return self

    @property
    def max_code(self) -> int:
        """Largest ADC code."""
        return int(2**self.bits) - 1


class Dac(StrictModel):
    """Voltage output: multiples of lsb_uV, either sign."""

    bits: Annotated[int, Field(ge=6, le=24)]
    lsb_uV: Positive

    @property
    def max_uV(self) -> int:
        """Largest magnitude of a voltage."""
        return int(2**self.bits - 1) * self.lsb_uV


class PulseDefaults(StrictModel):
    """Device voltages of the pulses."""

    v_set_uV: Annotated[int, Field(ge=-INT32_MAX, lt=0)]
    v_reset_uV: Positive


class Limits(StrictModel):
    """What the controller never exceeds."""

    v_max_uV: Positive
    max_pulse_ticks: Positive
    max_iterations: Annotated[int, Field(ge=1, le=10_000)]


class Timing(StrictModel):
    """Waiting times of the controller, in microseconds."""

    settle_us: Annotated[int, Field(ge=0, le=1_000_000)]
    timeout_us: Annotated[int, Field(ge=1, le=INT32_MAX)]


class Array(StrictModel):
    """The cells that the board selects; a device-aware network has a state for each of them in RAM."""

    rows: Annotated[int, Field(ge=1, le=65536)]
    columns: Annotated[int, Field(ge=1, le=65536)]

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.rows * self.columns


class Target(StrictModel):
    """The controller chip: what the generated tables and buffers must fit into, in bytes."""

    cpu: Text
    flash_bytes: Positive
    ram_bytes: Positive
    flash_origin: Address | None = None
    ram_origin: Address | None = None
    startup: Name | None = None
    """Folder of `firmware_templates/targets` with the core family's start-up and linker script."""
    emulator: Machine | None = None
    """QEMU's name of the machine, with its options."""
    serial_lines: Literal[1, 2] = 2
    """1: the bench link shares the host's line (`firmware_templates/targets/ouro_shared_line.h`)."""
    uf2_family: Address | None = None
    """The chip in UF2 files, where its boot ROM takes them."""


class Board(StrictModel):
    """One board manifest."""

    name: Name
    description: Text
    schema_: Literal[1] = Field(alias="schema")
    timer: Timer
    adc: Adc
    dac: Dac
    pulse: PulseDefaults
    limits: Limits
    timing: Timing
    array: Array | None = None
    target: Target

    @model_validator(mode="after")
    def _parts_must_agree(self) -> Board:
        highest_uV = max(-self.pulse.v_set_uV, self.pulse.v_reset_uV)
        if highest_uV > self.limits.v_max_uV:
            raise ValueError("a pulse voltage exceeds limits.v_max_uV")
        if highest_uV > self.dac.max_uV:
            raise ValueError("a pulse voltage exceeds the DAC's range")
        if not self.timer.min_ticks <= self.limits.max_pulse_ticks <= self.timer.max_ticks:
            raise ValueError("limits.max_pulse_ticks must lie within the timer's range")
        return self

    @property
    def tick_s(self) -> float:
        """Length of one timer tick in seconds."""
        return 1.0 / self.timer.frequency_Hz

    def budget_ticks(self, longest_s: float | None) -> int | None:
        """The longest pulse allowed, in whole ticks; None for no other limit than the timer's.

        Raises:
            UserError: the timer has no pulse that short.
        """
        if longest_s is None:
            return None
        ticks = int(min(longest_s * self.timer.frequency_Hz * (1 + 1e-12), self.timer.max_ticks))
        if not ticks >= self.timer.min_ticks:
            shortest_s = self.timer.min_ticks * self.tick_s
            raise UserError(
                f"longest pulse = {longest_s:g} s: board '{self.name}' gives {shortest_s:g} s at least"
            )
        return ticks

    def sha256(self) -> str:
        """Hash of the manifest's content (not of its layout or comments)."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()

    def bench_params(self) -> BenchParams:
        """The board as the simulated bench sees it."""
        from sim.bench import BenchParams

        return BenchParams(
            timer_Hz=self.timer.frequency_Hz,
            min_ticks=self.timer.min_ticks,
            max_ticks=self.timer.max_ticks,
            adc_bits=self.adc.bits,
            adc_full_scale_nS=self.adc.full_scale_nS,
            adc_noise_lsb=self.adc.noise_lsb,
            v_read_uV=self.adc.v_read_uV,
            dac_bits=self.dac.bits,
            dac_lsb_uV=self.dac.lsb_uV,
            v_set_uV=self.pulse.v_set_uV,
            v_reset_uV=self.pulse.v_reset_uV,
        )


def board_names() -> tuple[str, ...]:
    """Names of the boards that come with the package, sorted."""
    return tuple(sorted(path.parent.name for path in BOARDS.glob("*/board.toml")))


def load_board(name: str) -> Board:
    """Load a board that comes with the package.

    Raises:
        UserError: there is no such board; the message lists those there are.
    """
    if name not in board_names():
        raise UserError(f"unknown board '{name}'; known boards: {', '.join(board_names())}")
    board = read_board(BOARDS / name / "board.toml")
    if board.name != name:
        raise UserError(f"{BOARDS / name / 'board.toml'}: name is '{board.name}', folder is '{name}'")
    return board


def read_board(path: Path) -> Board:
    """Read and validate one manifest.

    Raises:
        UserError: the file cannot be read, is no TOML or breaks a rule.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from None
    fields.pop("flash", None)  # how it is flashed is no part of what is compiled: codegen.flash reads that
    return board_from_fields(fields, path)


def board_from_fields(fields: dict[str, object], source: Path | str) -> Board:
    """Validate a board given as plain values.

    Raises:
        UserError: the first rule that is broken.
    """
    try:
        return Board.model_validate(fields)
    except ValidationError as error:
        raise UserError(f"{source}: {first_problem(error)}") from None
