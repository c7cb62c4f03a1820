"""Recorded G-t histories as one differentiable piecewise-linear map (paper, section III-B and Fig. 5).

Every sample of the data set has its own history: knots at irregular multiples of the noise step dt (10 ns),
from the pulse's start to twice its length. All of them lie flattened in a few tensors; one `searchsorted`
over a global key (sample, step) finds the segments of a whole minibatch.

Smoothing is a moving average over w = kernel * dt, with the end values continued beyond both ends. It is
never tabulated: with I(t) the integral of the history, the average is (I(t + w/2) - I(t - w/2)) / w and its
slope is (G(t + w/2) - G(t - w/2)) / w, both exact for a piecewise-linear history. A kernel of 1 is the
history itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sim.errors import UserError


@dataclass(frozen=True)
class HistoryMap:
    """The histories of n samples, K knots in all; times are unsigned, along the pulse, in units of dt.

    Attributes:
        key: (K,) int64, `sample * stride + step`, ascending.
        step, g_S, integral: (K,) float64: knot time, conductance, and integral of G from the history's start.
        first, last: (n,) int64, index of each sample's first and last knot.
        end_step: (n,) float64, time of the last knot.
    """

    key: torch.Tensor
    step: torch.Tensor
    g_S: torch.Tensor
    integral: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    end_step: torch.Tensor
    stride: int

    @classmethod
    def from_arrays(
        cls,
        offset: npt.NDArray[np.int64],
        step: npt.NDArray[np.uint32],
        g_S: npt.NDArray[np.float32],
        samples: npt.NDArray[np.int64],
    ) -> HistoryMap:
        """Flatten the histories of `samples` (indices into a data set laid out as docs/architecture.md says).

        Raises:
            UserError: a history is empty, out of order or not finite.
        """
        lengths = offset[samples + 1] - offset[samples]
        if lengths.size == 0 or lengths.min() < 1:
            raise UserError("data set: a sample has no recorded history; build the data set again")
        last = np.cumsum(lengths) - 1
        first = last - lengths + 1
        sample_of_knot = np.repeat(np.arange(len(samples)), lengths)
        knot = np.arange(lengths.sum()) - first[sample_of_knot] + offset[samples][sample_of_knot]
        steps = step[knot].astype(np.int64)
        g = g_S[knot].astype(np.float64)
        stride = int(steps.max()) + 2
        key = sample_of_knot * stride + steps
        if np.any(np.diff(key) <= 0) or np.any(steps[first] != 0):
            raise UserError("data set: a recorded history is out of order; build the data set again")
        if not np.isfinite(g).all():
            raise UserError("data set: a recorded history holds values that are not finite")
        area = np.zeros(len(g))
        area[1:] = 0.5 * (g[1:] + g[:-1]) * np.diff(steps)
        area[first] = 0.0
        cumulative = np.cumsum(area)
        integral = cumulative - cumulative[first][sample_of_knot]
        return cls(
            key=torch.from_numpy(key),
            step=torch.from_numpy(steps.astype(np.float64)),
            g_S=torch.from_numpy(g),
            integral=torch.from_numpy(integral),
            first=torch.from_numpy(first),
            last=torch.from_numpy(last),
            end_step=torch.from_numpy(steps[last].astype(np.float64)),
            stride=stride,
        )

    @property
    def n_samples(self) -> int:
        return len(self.first)

    def _segment(self, sample: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the knots (left, right) around times `t` within [0, end]; equal for a history of one
        knot.
        """
        position = torch.searchsorted(self.key, sample * self.stride + t.long(), right=True)
        right = torch.minimum(position, self.last[sample])
        left = torch.maximum(right - 1, self.first[sample])
        return left, right

    def value(self, sample: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Return G in siemens at times `t` (in dt, float64); the first or last recorded G outside the
        history.
        """
        return self._value_and_slope(sample, t)[0]

    def _value_and_slope(self, sample: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inside = torch.minimum(t.clamp(min=0.0), self.end_step[sample])
        left, right = self._segment(sample, inside)
        start = self.step[left]
        rise = self.g_S[right] - self.g_S[left]
        slope = rise / (self.step[right] - start).clamp(min=1.0)
        return self.g_S[left] + slope * (inside - start), slope

    def _value_and_integral(self, sample: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return G and the integral of G from 0 to `t`, G continued by its end values."""
        inside = torch.minimum(t.clamp(min=0.0), self.end_step[sample])
        left, right = self._segment(sample, inside)
        along = inside - self.step[left]
        slope = (self.g_S[right] - self.g_S[left]) / (self.step[right] - self.step[left]).clamp(min=1.0)
        value = self.g_S[left] + slope * along
        integral = self.integral[left] + 0.5 * (self.g_S[left] + value) * along + value * (t - inside)
        return value, integral

    def smoothed(
        self, sample: torch.Tensor, t: torch.Tensor, kernel: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return value (S) and slope (S per dt) of the history smoothed over `kernel` steps of dt.

        Args:
            sample: (m,) int64; t: (m,) float64, taken at the nearest recorded time when outside the history.
            kernel: width of the moving average in dt; 1 is no smoothing.
        """
        t = torch.minimum(t.clamp(min=0.0), self.end_step[sample])
        if kernel == 1:
            return self._value_and_slope(sample, t)
        half = 0.5 * kernel
        both = torch.cat([t + half, t - half])
        value, integral = self._value_and_integral(torch.cat([sample, sample]), both)
        m = len(t)
        return (integral[:m] - integral[m:]) / kernel, (value[:m] - value[m:]) / kernel


class _RecordedResponse(torch.autograd.Function):
    """G_out of a prediction through the sample's own history, with the paper's backward.

    Inside the record the gradient is the slope of the (smoothed) history. Where that says nothing - before
    the record (a pulse in the wrong direction), beyond it, or at points without a usable slope - its
    magnitude is 1, in units of normalised G per normalised output y: toward the record outside it, and inside
    it the way the device answers.
    """

    @staticmethod
    def forward(
        ctx: Any,
        y: torch.Tensor,
        t: torch.Tensor,
        dt_dy: torch.Tensor,
        sample: torch.Tensor,
        direction: torch.Tensor,
        histories: HistoryMap,
        kernel: int,
        g_scale_S: float,
    ) -> torch.Tensor:
        value, slope = histories.smoothed(sample, t, kernel)
        gradient = slope * dt_dy / g_scale_S
        # Time along the pulse moves G in the pulse's direction.
        expected = torch.sign(dt_dy) * direction
        usable = torch.isfinite(gradient) & (gradient != 0)
        ctx.save_for_backward(
            torch.where(usable, gradient, expected), torch.sign(dt_dy), t < 0, t > histories.end_step[sample]
        )
        return value / g_scale_S

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad_output,) = grad_outputs
        gradient, time_sign, before, beyond = ctx.saved_tensors
        # Descent goes against the gradient: beyond the record it must shorten the pulse, before it lengthen
        # it.
        toward_record = grad_output.abs() * time_sign
        grad = grad_output * gradient
        grad = torch.where(beyond, toward_record, grad)
        grad = torch.where(before, -toward_record, grad)
        return (grad, *[None] * 7)


def recorded_response(
    histories: HistoryMap,
    sample: torch.Tensor,
    y: torch.Tensor,
    t: torch.Tensor,
    dt_dy: torch.Tensor,
    direction: torch.Tensor,
    kernel: int,
    g_scale_S: float,
) -> torch.Tensor:
    """Return normalised G_out (m,), differentiable in the network's output y with the paper's backward.

    Args:
        y: (m,) network output, carries the gradient.
        t, dt_dy: (m,) float64, the time along the recorded pulse that y stands for, in dt, and its
        derivative. direction: (m,) +1 SET, -1 RESET, of the recorded pulse.
        kernel: smoothing in dt, 1 for none.
    """
    result: torch.Tensor = _RecordedResponse.apply(  # type: ignore[no-untyped-call]
        y, t, dt_dy, sample, direction, histories, kernel, g_scale_S
    )
    return result
