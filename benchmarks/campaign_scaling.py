"""How a campaign scales: device-steps per second by number of local processes, on the same work.

Start-up of the processes is part of the figure, as it is of every campaign.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from sim.campaign import Campaign, combinations, run
from sim.campaign_engines import in_processes
from sim.jobs import default_jobs
from sim.noise import load_preset
from sim.population import DT_S

DEVICES = 1_000_000
WIDTHS_s = (1e-5, 2e-5)


def main() -> None:
    """Print the table."""
    conditions = combinations(
        ("jart-fit",), (-0.342,), WIDTHS_s, (2e-4,), (load_preset("ouroboros"),), (1,), {}
    )
    campaign = Campaign(conditions, DEVICES)
    steps = DEVICES * round(sum(WIDTHS_s) / DT_S)
    print(f"campaign of {steps:.3g} device-steps, {len(conditions)} conditions; {default_jobs()} cores here")
    print(f"{'processes':>10}{'seconds':>10}{'device-steps/s':>16}{'speed-up':>10}")
    first = 0.0
    for workers in sorted({1, 2, default_jobs()}):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            run(campaign, Path(folder) / "out", in_processes(workers))
            seconds = time.perf_counter() - begin
        first = first or seconds
        print(f"{workers:>10}{seconds:>10.1f}{steps / seconds:>16.3g}{first / seconds:>10.2f}")


if __name__ == "__main__":
    main()
