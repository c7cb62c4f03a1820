"""The only unit conversions: SI floats inside Python, scaled integers at the firmware's border."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NM = 1e-9
"""One nanometre in metres."""


def S_to_nS(g_S: npt.ArrayLike) -> Ints:
    """Conductance in S to whole nS, rounded half up."""
    return np.floor(np.asarray(g_S, dtype=np.float64) * 1e9 + 0.5).astype(np.int64)


def nS_to_S(g_nS: npt.ArrayLike) -> Floats:
    """Conductance in whole nS to S."""
    return np.asarray(g_nS, dtype=np.float64) * 1e-9


def V_to_uV(v_V: float) -> int:
    """Voltage in V to whole uV, rounded half up."""
    return int(np.floor(v_V * 1e6 + 0.5))


def uV_to_V(v_uV: npt.ArrayLike) -> Floats:
    """Voltage in whole uV to V."""
    return np.asarray(v_uV, dtype=np.float64) * 1e-6
