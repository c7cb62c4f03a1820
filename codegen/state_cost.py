"""What learning from a pulse costs on a controller: the update of a device's state, run in an ELF as it is flashed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codegen.core_emulator import CoreEmulator, Cost, read_image
from codegen.cores import Core
from codegen.device_state import DeviceStates, updated
from codegen.qmodel import QuantizedModel
from sim.errors import UserError

UPDATE = "ouro_device_state_update"
UPDATES = 200


def update_cost(elf: Path, core: Core, model: QuantizedModel, seed: int = 1) -> Cost:
    """The dearest of `UPDATES` updates after random pulses, whose results are compared with the reference.

    Raises:
        UserError: an ELF without states, or a state that differs from the reference.
    """
    image = read_image(elf)
    reference = model.reference_times()
    if reference is None or UPDATE not in image.symbols:
        raise UserError(f"{elf}: its network does not know its devices, there is no {UPDATE} in it")
    emulator, draw = CoreEmulator(image, core), np.random.default_rng(seed)
    before, after = draw.integers(model.g_min_nS, model.g_max_nS, (2, UPDATES), endpoint=True)
    direction = np.where(draw.random(UPDATES) < 0.9, np.sign(after - before), 1).astype(np.int8)
    ticks = np.exp2(draw.uniform(0, np.log2(model.max_ticks), UPDATES)).astype(np.int64)
    states = DeviceStates(
        draw.integers(-128, 127, UPDATES, endpoint=True).astype(np.int8),
        draw.integers(0, 255, UPDATES, endpoint=True).astype(np.uint8),
    )
    wanted = updated(states, reference, before, after, direction, ticks)
    columns = (states.log2_rate_q4, states.pulses, before, after, direction, ticks)
    costs = []
    for k, arguments in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        rate, pulses, cost = emulator.update_state(*arguments)
        expected = (int(wanted.log2_rate_q4[k]), int(wanted.pulses[k]))
        if (rate, pulses) != expected:
            raise UserError(
                f"machine code makes {(rate, pulses)} of state, readings, direction and ticks {arguments}, "
                f"the integer reference {expected}"
            )
        costs.append(cost)
    return max(costs, key=lambda cost: cost.instructions)
