"""Range checks of the quantities every device model takes; the first offending value is named."""

from __future__ import annotations

import numpy as np

from sim.errors import UserError
from sim.params import N_HIGHEST_1E26, V_HIGHEST_V
from sim.units import NM, Floats


def require_physical(model: str, v: Floats, r: Floats, l: Floats, n: Floats, n_lowest_1e26: float) -> None:
    """Refuse points where a model means nothing; names the first offending value and its row.

    Raises:
        UserError: a value is not finite or out of range.
    """
    checks = (
        ("V", v, -V_HIGHEST_V, V_HIGHEST_V, 1.0, "V"),
        ("r_nm", r, 1.0 * NM, 1000.0 * NM, NM, "nm"),
        ("l_nm", l, 0.01 * NM, 3.0 * NM, NM, "nm"),
        ("N", n, n_lowest_1e26, N_HIGHEST_1E26, 1.0, "1e26 m^-3"),
    )
    for name, values, low, high, unit, unit_name in checks:
        bad = ~((values >= low) & (values <= high))
        if np.any(bad):
            index = int(np.flatnonzero(bad.ravel())[0])
            value = values.ravel()[index] / unit
            raise UserError(
                f"{name} = {value:g} {unit_name} in row {index + 1} is outside"
                f" {low / unit:g} .. {high / unit:g} {unit_name} of model {model}"
            )
