"""The differentiable history map against NumPy, against finite differences, and outside the record."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import UserError
from train.history import HistoryMap, recorded_response

G_SCALE_S = 5.6e-4


def one_history(step: list[int], g_uS: list[float]) -> HistoryMap:
    return ragged([(step, g_uS)])


def ragged(histories: list[tuple[list[int], list[float]]]) -> HistoryMap:
    offset = np.cumsum([0, *(len(step) for step, _ in histories)])
    step = np.concatenate([s for s, _ in histories]).astype(np.uint32)
    g = np.concatenate([np.array(g) * 1e-6 for _, g in histories]).astype(np.float32)
    return HistoryMap.from_arrays(offset, step, g, np.arange(len(histories)))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[list[int], list[float]]]:
    """Up to five ragged histories of 1 to 12 knots."""
    result = []
    for _ in range(draw(st.integers(1, 5))):
        gaps = draw(st.lists(st.integers(1, 400), min_size=0, max_size=11))
        step = np.concatenate([[0], np.cumsum(gaps)]).astype(int).tolist()
        g = draw(st.lists(st.floats(50, 600), min_size=len(step), max_size=len(step)))
        result.append((step, g))
    return result


@settings(max_examples=60)
@given(data=st.data(), records=histories())
def test_value_is_numpy_interpolation(
    data: st.DataObject, records: list[tuple[list[int], list[float]]]
) -> None:
    history = ragged(records)
    query = st.lists(
        st.tuples(st.integers(0, len(records) - 1), st.floats(-100, 5000)), min_size=1, max_size=20
    )
    pairs = data.draw(query)
    sample = torch.tensor([s for s, _ in pairs])
    t = torch.tensor([t for _, t in pairs], dtype=torch.float64)
    expected = [np.interp(t, records[s][0], np.float32(np.array(records[s][1]) * 1e-6)) for s, t in pairs]
    np.testing.assert_allclose(history.value(sample, t), expected, rtol=1e-12)


@settings(max_examples=40)
@given(records=histories(), kernel=st.sampled_from([11, 101, 1001]), fraction=st.floats(0, 1))
def test_smoothing_is_the_moving_average_of_the_padded_history(
    records: list[tuple[list[int], list[float]]], kernel: int, fraction: float
) -> None:
    history = ragged(records)
    for i, (step, g_uS) in enumerate(records):
        t = fraction * step[-1]
        fine = np.linspace(t - kernel / 2, t + kernel / 2, 200_001)
        padded = np.interp(fine, step, np.float32(np.array(g_uS) * 1e-6))
        expected = np.trapezoid(padded, fine) / kernel
        value, _ = history.smoothed(torch.tensor([i]), torch.tensor([t], dtype=torch.float64), kernel)
        np.testing.assert_allclose(value[0], expected, rtol=1e-6)


def test_smoothing_equals_the_convolution_of_the_samples() -> None:
    """The paper convolves samples 10 ns apart; the exact average differs from that by a part of one sample
    only.
    """
    rng = np.random.default_rng(3)
    g_uS = 200 + np.cumsum(rng.normal(0.05, 0.3, 2001))
    history = one_history(list(range(2001)), g_uS.tolist())
    for kernel in (11, 101, 1001):
        padded = np.pad(g_uS, kernel // 2, mode="edge")
        expected = np.convolve(padded, np.ones(kernel) / kernel, mode="valid") * 1e-6
        t = torch.arange(2001, dtype=torch.float64)
        value, slope = history.smoothed(torch.zeros(2001, dtype=torch.int64), t, kernel)
        np.testing.assert_allclose(value, expected, atol=0.3e-6 / kernel * 2)
        np.testing.assert_allclose(slope[500:1500].mean(), (expected[1500] - expected[500]) / 1000, rtol=0.02)


@pytest.mark.parametrize("kernel", [1, 11, 101, 1001])
@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_gradient_inside_the_record_is_the_slope_of_the_smoothed_history(
    kernel: int, direction: float
) -> None:
    rng = np.random.default_rng(kernel)
    step = np.unique(rng.integers(1, 3000, 80)).tolist()
    g = 300 + direction * np.cumsum(rng.uniform(0.5, 3.0, len(step) + 1))
    history = one_history([0, *step], g.tolist())
    # Away from knots, where the unsmoothed map has no derivative.
    t = torch.tensor(step[:-1], dtype=torch.float64) + 0.3
    sample = torch.zeros(len(t), dtype=torch.int64)
    y = (t / 1000 * direction).requires_grad_()
    out = _respond(history, sample, y, direction, kernel)
    out.sum().backward()
    h = 1e-4
    up, _ = history.smoothed(sample, t + h, kernel)
    down, _ = history.smoothed(sample, t - h, kernel)
    finite = (up - down) / (2 * h) * 1000 * direction / G_SCALE_S
    assert y.grad is not None
    np.testing.assert_allclose(y.grad, finite, rtol=1e-5)
    assert (y.grad > 0).all(), "a longer positive (SET) time raises G"


@pytest.mark.parametrize("direction", [1.0, -1.0])
@pytest.mark.parametrize("kernel", [1, 101])
def test_outside_the_record_gradient_is_one_and_points_back(direction: float, kernel: int) -> None:
    g_uS = [200.0, 200.0 + direction * 50]
    history = one_history([0, 500], g_uS)
    along = torch.tensor([-300.0, -1.0, 501.0, 4000.0], dtype=torch.float64)
    for grad_sign in (1.0, -1.0):
        y = (along / 1000 * direction).requires_grad_()
        out = _respond(history, torch.zeros(4, dtype=torch.int64), y, direction, kernel)
        (grad_sign * out).sum().backward()
        assert y.grad is not None
        descent = -y.grad * direction  # change of the time along the pulse
        np.testing.assert_allclose(descent, [1, 1, -1, -1])
    edge, _ = history.smoothed(torch.tensor([0, 0]), torch.tensor([0.0, 500.0], dtype=torch.float64), kernel)
    np.testing.assert_allclose(out.detach() * G_SCALE_S, edge[[0, 0, 1, 1]])
    if kernel == 1:
        np.testing.assert_allclose(edge, np.float32(np.array(g_uS) * 1e-6), rtol=1e-7)


def test_flat_points_and_single_knots_get_the_unit_gradient_in_the_expected_sense() -> None:
    history = ragged([([0, 100, 200], [300.0, 300.0, 310.0]), ([0], [300.0])])
    y = torch.tensor([0.05, 0.0], dtype=torch.float64, requires_grad=True)
    out = _respond(history, torch.tensor([0, 1]), y, 1.0, 1)
    out.sum().backward()
    assert y.grad is not None
    np.testing.assert_allclose(y.grad, [1.0, 1.0])


@pytest.mark.parametrize(
    ("step", "g_uS", "message"),
    [
        ([[0, 5, 5]], [[1, 2, 3]], "out of order"),
        ([[1, 5, 9]], [[1, 2, 3]], "out of order"),
        ([[0, 5, 9]], [[1, float("nan"), 3]], "not finite"),
        ([[0, 5], []], [[1, 2], []], "no recorded history"),
    ],
)
def test_unusable_histories_are_refused(step: list[list[int]], g_uS: list[list[float]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ragged(list(zip(step, g_uS, strict=True)))


def _respond(
    history: HistoryMap, sample: torch.Tensor, y: torch.Tensor, direction: float, kernel: int
) -> torch.Tensor:
    """The map for y = signed time in thousands of steps."""
    t = direction * y.detach() * 1000
    dt_dy = torch.full_like(t, direction * 1000)
    return recorded_response(history, sample, y, t, dt_dy, torch.full_like(t, direction), kernel, G_SCALE_S)
