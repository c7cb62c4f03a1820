"""The scaling metadata inside a network file: one `metadata_props` entry `ouroboros` holding JSON.

It says what the numbers that go into and come out of the network mean (docs/architecture.md).
Everything is validated on the way in and on the way out, so that the rest of codegen may trust it.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import onnx
from pydantic import Field, StringConstraints, ValidationError, model_validator

from codegen.device_state import CELLS
from codegen.validation import StrictModel, first_problem
from sim.errors import UserError

METADATA_KEY = "ouroboros"
INPUT_NAMES = ("g_start_S", "delta_g_S")
"""What every network sees, in this order."""
REDUCTION = "v_reduction_V"
"""By how much the pulse's amplitude is lowered: |v_set_V| - |v| or v_reset_V - v, as the pulse's direction is."""
STATE_NAMES = ("log2_rate", "known_pulses")
"""What the controller knows of the device: its log rate in octaves, and how many pulses revealed it, 0 .. 4."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Affine(StrictModel):
    """`value = offset + scale * normalised`."""

    offset: Finite
    scale: Finite

    @model_validator(mode="after")
    def _scale_must_be_usable(self) -> _Affine:
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        return self


class InputScaling(_Affine):
    """One network input: `x = (value - offset) / scale`, value in SI units or octaves; delta_g_S = target - start."""

    name: Literal["g_start_S", "delta_g_S", "v_reduction_V", "log2_rate", "known_pulses"]


class OutputScaling(_Affine):
    """What the output y means: `linear_s` is signed seconds (+ is SET), `log10_s` is log10(|t| / 1 s)."""

    encoding: Literal["linear_s", "log10_s"]


class ErrorScaling(_Affine):
    """What a second output says of the pulse: `log2_rpd` is log2 of its RPD's mean over devices."""

    encoding: Literal["log2_rpd"]


class Window(StrictModel):
    """Conductances the network was trained on, in siemens; targets outside it are refused."""

    g_min_S: Annotated[Finite, Field(gt=0)]
    g_max_S: Annotated[Finite, Field(gt=0)]

    @model_validator(mode="after")
    def _must_be_ordered(self) -> Window:
        if not self.g_min_S < self.g_max_S:
            raise ValueError("g_min_S must be below g_max_S")
        return self


class PulseVoltages(StrictModel):
    """Device voltages of the pulses the network was trained for, in volts: SET negative, RESET positive.

    A network that sees `v_reduction_V` was trained for every amplitude down to the full one less the greatest
    reduction, which then has to be given.
    """

    v_set_V: Annotated[Finite, Field(lt=0)]
    v_reset_V: Annotated[Finite, Field(gt=0)]
    set_reduction_V: Annotated[Finite, Field(gt=0)] | None = None
    reset_reduction_V: Annotated[Finite, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _must_keep_their_sign(self) -> PulseVoltages:
        set_V, reset_V = self.set_reduction_V or 0.0, self.reset_reduction_V or 0.0
        if set_V >= -self.v_set_V or reset_V >= self.v_reset_V:
            raise ValueError("the greatest reduction must leave a voltage")
        return self


class DeviceReference(StrictModel):
    """What log rates are measured against: a nominal device's times at even conductances over the window, in seconds.

    `set_s` rises from 0 at the window's lower end, `reset_s` falls to 0 at its upper end.
    """

    set_s: Annotated[tuple[Finite, ...], Field(min_length=CELLS + 1, max_length=CELLS + 1)]
    reset_s: Annotated[tuple[Finite, ...], Field(min_length=CELLS + 1, max_length=CELLS + 1)]

    @model_validator(mode="after")
    def _must_be_times(self) -> DeviceReference:
        for times in (self.set_s, self.reset_s[::-1]):
            if times[0] != 0.0 or any(b < a for a, b in pairwise(times)):
                raise ValueError("reference times must rise from 0 along the pulse")
        return self


class TrainedOn(StrictModel):
    """Where the training data came from; recorded in the firmware's manifest, not interpreted."""

    device_model: Name
    noise_preset: Name
    cadence_s: Annotated[Finite, Field(gt=0)] | None = None
    seed: int


class NetworkMetadata(StrictModel):
    """The whole entry."""

    schema_: Literal[1] = Field(alias="schema")
    inputs: Annotated[tuple[InputScaling, ...], Field(min_length=2, max_length=4)]
    output: OutputScaling
    window: Window
    pulse: PulseVoltages
    trained_on: TrainedOn
    device_reference: DeviceReference | None = None
    expected_error: ErrorScaling | None = None

    @model_validator(mode="after")
    def _inputs_must_be_in_order(self) -> NetworkMetadata:
        names = tuple(scaling.name for scaling in self.inputs)
        if names[2:] not in ((), (REDUCTION,), STATE_NAMES) or names[:2] != INPUT_NAMES:
            raise ValueError(
                f"inputs must be {', '.join(INPUT_NAMES)} in this order, with or without {REDUCTION} or "
                f"{' and '.join(STATE_NAMES)} after them, not {', '.join(names)}"
            )
        given = [value is not None for value in (self.pulse.set_reduction_V, self.pulse.reset_reduction_V)]
        if given != [self.chooses_voltage] * 2:
            raise ValueError(
                f"pulse.set_reduction_V and pulse.reset_reduction_V belong to a network with the input {REDUCTION}"
            )
        if (self.device_reference is not None) != self.knows_device:
            raise ValueError(
                f"device_reference belongs to a network with the inputs {' and '.join(STATE_NAMES)}"
            )
        if len(self.inputs) > 2 and self.output.encoding != "log10_s":
            raise ValueError(f"a network with the input {names[2]} must have a log10_s output")
        return self

    @property
    def chooses_voltage(self) -> bool:
        """Whether the network knows pulses of reduced amplitude."""
        return any(scaling.name == REDUCTION for scaling in self.inputs)

    @property
    def knows_device(self) -> bool:
        """Whether the network sees what the controller knows of the device."""
        return any(scaling.name in STATE_NAMES for scaling in self.inputs)

    @property
    def outputs(self) -> int:
        """The pulse's time, and the error to expect of it where the network knows that."""
        return 1 if self.expected_error is None else 2

    def to_json(self) -> str:
        """Compact JSON, stable key order."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


def parse_metadata(text: str, source: Path | str = "network") -> NetworkMetadata:
    """Validate the JSON of one entry.

    Raises:
        UserError: the first thing that is wrong, and where.
    """
    try:
        return NetworkMetadata.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{source}: metadata '{METADATA_KEY}': {first_problem(error)}") from None


def attach_metadata(model: onnx.ModelProto, metadata: NetworkMetadata) -> None:
    """Store `metadata` in `model`, replacing an entry that is there."""
    kept = [(entry.key, entry.value) for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    for key, value in [*kept, (METADATA_KEY, metadata.to_json())]:
        model.metadata_props.add(key=key, value=value)


def read_metadata(model: onnx.ModelProto, source: Path | str = "network") -> NetworkMetadata:
    """Return the metadata of `model`; `source` is its name in error messages.

    Raises:
        UserError: the entry is missing, repeated or invalid.
    """
    entries = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    if not entries:
        raise UserError(
            f"{source}: no metadata entry '{METADATA_KEY}' with the scaling of inputs and output; "
            "docs/architecture.md shows what to add"
        )
    if len(entries) > 1:
        raise UserError(f"{source}: {len(entries)} metadata entries '{METADATA_KEY}'; there must be one")
    return parse_metadata(entries[0], source)


def metadata_from_dict(fields: dict[str, object]) -> NetworkMetadata:
    """Build metadata from plain Python values laid out as in the JSON.

    Raises:
        UserError: as `parse_metadata`.
    """
    return parse_metadata(json.dumps(fields))
