"""What the network's numbers mean: inputs and output brought to similar ranges (paper, section III-A).

The paper normalises "roughly" to [0, 1]; noise leaves the ranges open, so fixed round scales do. The same
numbers travel in the network file as `codegen.metadata`, from which firmware and evaluation take them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from codegen.metadata import REDUCTION, NetworkMetadata

FloatArray = npt.NDArray[np.float64]

Encoding = Literal["linear_s", "log10_s"]

CONDUCTANCE_SCALE_S = 5.6e-4  # top of the operating window (559.3 uS)
SHORTEST_PULSE_s = 1e-8  # one noise step: what a pulse of zero length counts as on a logarithmic scale


@dataclass(frozen=True)
class Affine:
    """`value = offset + scale * normalised`."""

    offset: float
    scale: float

    def normalise(self, value: FloatArray) -> FloatArray:
        return (value - self.offset) / self.scale


@dataclass(frozen=True)
class Scaling:
    """Scaling of the inputs and of the output (signed seconds, or log10 of seconds).

    `further` are the inputs beyond the two conductances [S], by their name in the metadata, in their SI unit. `error`
    is of a second output, log2 of the RPD to expect of the pulse, where there is one.
    """

    g_start: Affine
    delta_g: Affine
    output: Affine
    encoding: Encoding
    further: tuple[tuple[str, Affine], ...] = ()
    error: Affine | None = None

    def inputs(
        self, g_start_S: FloatArray, delta_g_S: FloatArray, *further: FloatArray
    ) -> npt.NDArray[np.float32]:
        """Return the network's inputs, shape (n, inputs), for values of shape (n,)."""
        columns = [self.g_start.normalise(g_start_S), self.delta_g.normalise(delta_g_S)]
        columns += [scale.normalise(value) for (_, scale), value in zip(self.further, further, strict=True)]
        return np.stack(columns, axis=1).astype(np.float32)

    def encode(self, t_pulse_s: FloatArray) -> FloatArray:
        """Return the output y that stands for signed pulse times (+ is SET), shape (n,)."""
        if self.encoding == "linear_s":
            return self.output.normalise(t_pulse_s)
        return self.output.normalise(np.log10(np.maximum(np.abs(t_pulse_s), SHORTEST_PULSE_s)))

    def decode(self, y: FloatArray, delta_g_S: FloatArray) -> FloatArray:
        """Return the signed pulse times in seconds that outputs y of shape (n,) stand for.

        `linear_s` carries the direction in its sign; `log10_s` takes it from the sign of the change wanted.
        """
        value = self.output.offset + self.output.scale * y
        return value if self.encoding == "linear_s" else np.sign(delta_g_S) * 10.0**value

    def metadata_fields(self) -> dict[str, object]:
        """Return the scaling's part of the network file's metadata."""
        return {
            "inputs": [
                {"name": "g_start_S", "offset": self.g_start.offset, "scale": self.g_start.scale},
                {"name": "delta_g_S", "offset": self.delta_g.offset, "scale": self.delta_g.scale},
                *({"name": n, "offset": scale.offset, "scale": scale.scale} for n, scale in self.further),
            ],
            "output": {
                "encoding": self.encoding,
                "offset": self.output.offset,
                "scale": self.output.scale,
            },
            **({"expected_error": {"encoding": "log2_rpd", **asdict(self.error)}} if self.error else {}),
        }

    @classmethod
    def from_metadata(cls, metadata: NetworkMetadata) -> Scaling:
        start, delta, *further = metadata.inputs
        error = metadata.expected_error
        return cls(
            g_start=Affine(start.offset, start.scale),
            delta_g=Affine(delta.offset, delta.scale),
            output=Affine(metadata.output.offset, metadata.output.scale),
            encoding=metadata.output.encoding,
            further=tuple((each.name, Affine(each.offset, each.scale)) for each in further),
            error=None if error is None else Affine(error.offset, error.scale),
        )


# One millisecond: the longest pulses of the data set last a few.
LINEAR_SCALING = Scaling(
    g_start=Affine(0.0, CONDUCTANCE_SCALE_S),
    delta_g=Affine(0.0, CONDUCTANCE_SCALE_S),
    output=Affine(0.0, 1e-3),
    encoding="linear_s",
)
# Decades around 10 us, so that y stays within about [-2, 2] over 100 ns .. 1 ms.
LOG_SCALING = Scaling(
    g_start=Affine(0.0, CONDUCTANCE_SCALE_S),
    delta_g=Affine(0.0, CONDUCTANCE_SCALE_S),
    output=Affine(-5.0, 1.0),
    encoding="log10_s",
)
# Beside the conductances, by how much the pulse's amplitude is lowered: up to some 0.26 V, for up to 10 ms. All are
# centred: three inputs are learned to a few percent of the time that way. Errors reach from a few thousandths to
# one half.
VOLTAGE_SCALING = Scaling(
    g_start=Affine(3.3e-4, 2.3e-4),
    delta_g=Affine(0.0, 2.3e-4),
    output=Affine(-3.5, 1.0),
    encoding="log10_s",
    further=((REDUCTION, Affine(0.13, 0.13)),),
    error=Affine(-4.0, 2.0),
)
