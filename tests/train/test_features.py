"""Scaling: round trips, direction rules, and the metadata it travels in."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.dataset import DatasetParams
from train.export import metadata_of_dataset
from train.features import LINEAR_SCALING, LOG_SCALING, Scaling

SCALINGS = pytest.mark.parametrize("scaling", [LINEAR_SCALING, LOG_SCALING], ids=["linear_s", "log10_s"])


@SCALINGS
@given(t=st.floats(1e-8, 1e-2), sign=st.sampled_from([-1.0, 1.0]))
def test_encoding_round_trips(scaling: Scaling, t: float, sign: float) -> None:
    y = scaling.encode(np.array([sign * t]))
    np.testing.assert_allclose(scaling.decode(y, np.array([sign * 1e-6])), [sign * t], rtol=1e-12)


@given(y=st.floats(-3, 3), delta=st.floats(1e-9, 5e-4), sign=st.sampled_from([-1.0, 1.0]))
def test_logarithmic_output_never_errs_in_direction(y: float, delta: float, sign: float) -> None:
    t = LOG_SCALING.decode(np.array([y]), np.array([sign * delta]))
    assert np.sign(t[0]) == sign


def test_a_pulse_of_no_length_is_the_shortest_one_on_the_logarithmic_scale() -> None:
    assert LOG_SCALING.encode(np.array([0.0]))[0] == pytest.approx(-3.0)


def test_inputs_are_near_the_unit_interval_over_the_window() -> None:
    start = np.array([9.4e-5, 5.6e-4])
    x = LINEAR_SCALING.inputs(start, start[::-1] - start)
    assert x.dtype == np.float32
    assert np.abs(x).max() <= 1.0


@SCALINGS
def test_metadata_round_trips(scaling: Scaling) -> None:
    parameters = json.loads(DatasetParams(seed=7).as_json())
    metadata = metadata_of_dataset(scaling, parameters)
    assert metadata.trained_on.seed == 7
    assert metadata.window.g_max_S == pytest.approx(5.593e-4, rel=1e-4)
    assert Scaling.from_metadata(metadata) == scaling
