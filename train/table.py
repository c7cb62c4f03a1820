"""The network's honest rival: for two inputs, a small look-up table of log times does nearly as well.

16 x 16 times per direction, over the start conductance and the size of the change, evenly and by equal factors, and
bilinear between: 1 KiB of 16-bit numbers. It is fitted to the same expected RPD as the best network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from codegen.metadata import NetworkMetadata, attach_metadata
from codegen.table import FloatTable, build_table
from sim.output_files import whole_file
from train.expected import ExpectedRpd
from train.loop import Progress, Schedule, reproducible

NODES = 16
SMALLEST_CHANGE_S = 1e-6  # smaller changes count as this one


def fit_table(
    pairs: ExpectedRpd,
    window_S: tuple[float, float],
    *,
    schedule: Schedule,
    nodes: int = NODES,
    progress: Progress = lambda: None,
) -> FloatTable:
    """The table with the smallest mean expected RPD over `pairs`: Adam on all of them at once, from even times.

    Args:
        window_S: lowest and highest conductance, which the axes span.
        schedule: its batch does not count.
    """
    g_low_S, g_high_S = window_S
    start_S = np.linspace(g_low_S, g_high_S, nodes)
    change_S = np.geomspace(SMALLEST_CHANGE_S, g_high_S - g_low_S, nodes)
    scaling = pairs.scaling
    start, change = (
        _as_stored(nodes_S / axis.scale)
        for nodes_S, axis in ((start_S, scaling.g_start), (change_S, scaling.delta_g))
    )
    even = FloatTable(start, change, np.zeros((2, nodes, nodes)))
    node, weight = (torch.from_numpy(a) for a in even.corners(pairs.x.double().numpy()))
    everything = torch.arange(len(pairs))
    with reproducible():
        values = torch.zeros(even.values.size, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.Adam([values], lr=schedule.rate)
        for epoch in range(schedule.epochs):
            optimiser.param_groups[0]["lr"] = schedule.rate_at(epoch)
            optimiser.zero_grad()
            y = (values[node] * weight).sum(dim=1)
            pairs.of_outputs(y.float(), everything).mean().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            progress()
    return FloatTable(start, change, _as_stored(values.detach().numpy().reshape(even.values.shape)))


def write_table(path: Path, table: FloatTable, metadata: NetworkMetadata) -> None:
    """Write the network file of a table, whole or not at all; equal tables and metadata give equal bytes."""
    model = build_table(table)
    attach_metadata(model, metadata)
    data = model.SerializeToString(deterministic=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def _as_stored(values: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.float64]:
    """To the precision of the file."""
    return values.astype(np.float32).astype(np.float64)
