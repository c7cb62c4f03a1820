"""Write-and-verify compared: pulses, time, energy and error of each method until 5 % and until 1 %.

Cells of a preset whose devices differ, at uniform random conductances, are to be programmed to uniform random targets.
Every method meets the same cells with the same noise in the same loop: read, stop when the reading is within 1 % of the
target, else one pulse, at most `MOST_PULSES`. The first reading within 5 % is noted on the way. Energy is the integral
of I V over the pulses with the device model's current; reads are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from scipy import stats

from sim.accuracy import CONFIDENCE
from sim.bench import SimulatedBench
from sim.closed_loop import Pulses
from sim.device import whole_steps
from sim.output_files import whole_file
from sim.units import Floats, Ints, nS_to_S, uV_to_V
from train.programming_methods import Candidate, Method

MOST_PULSES = 100
TOLERANCES = {"5": 0.05, "1": 0.01}
ENERGY_PARTS = 4
"""Pieces of a pulse between whose ends its power is taken to be straight."""


@dataclass(frozen=True)
class Run:
    """What programming of n cells took until each tolerance; arrays (2, n), 5 % first. NaN where it was not reached.

    Attributes:
        pulses: given until the first reading within the tolerance.
        time_s: of these pulses and of the settling before each pulse and each read.
        energy_J: of these pulses.
        rpd: true relative distance to the target then.
    """

    pulses: Floats
    time_s: Floats
    energy_J: Floats
    rpd: Floats


def program(
    bench: SimulatedBench, g_target_nS: Ints, method: Method, settle_s: float, most_pulses: int = MOST_PULSES
) -> Run:
    """Program every cell of a bench to its target, (n,)."""
    n = len(bench)
    found = {name: np.full((len(TOLERANCES), n), np.nan) for name in ("pulses", "time_s", "energy_J", "rpd")}
    time_s, energy_J = np.full(n, settle_s), np.zeros(n)
    g_nS = bench.read_nS()
    limits = np.array([*TOLERANCES.values()])[:, None]
    for count in range(most_pulses + 1):
        within = np.abs(g_nS - g_target_nS) <= limits * g_target_nS
        first = within & np.isnan(found["pulses"])
        rpd = np.abs(bench.devices.g_S / nS_to_S(g_target_nS) - 1.0)
        now = {"pulses": np.full(n, float(count)), "time_s": time_s, "energy_J": energy_J, "rpd": rpd}
        for name, values in now.items():
            found[name] = np.where(first, values, found[name])
        index = np.flatnonzero(np.isnan(found["pulses"][-1]))
        if not index.size or count == most_pulses:
            break
        before, target = g_nS[index], g_target_nS[index]
        asked = method.pulses(index, before, target)
        ticks, joules = metered_pulse(bench, asked, index)
        energy_J[index] += joules
        time_s[index] += ticks * bench.params.tick_s + 2.0 * settle_s
        g_nS[index] = bench.read_nS(index)
        method.observe(index, before, g_nS[index], asked._replace(ticks=ticks))
    return Run(**found)


def metered_pulse(bench: SimulatedBench, asked: Pulses, index: Ints) -> tuple[Ints, Floats]:
    """Pulse the cells at `index` as `Bench.pulse` does; ticks really given, and the pulses' energy [J]."""
    p, devices = bench.params, bench.devices
    ticks = np.minimum(asked.ticks, p.max_ticks)
    ticks = np.where(ticks < p.min_ticks, 0, ticks)
    v_V = uV_to_V(p.dac_uV(asked.v_uV))
    steps = whole_steps(ticks * p.tick_s)
    stops = np.rint(np.linspace(0.0, 1.0, ENERGY_PARTS + 1)[:, None] * steps).astype(np.int64)
    energy_J = np.zeros(len(index))
    for voltage in np.unique(v_V):
        at = np.flatnonzero(v_V == voltage)
        power_W = _power(bench, float(voltage), index[at])
        for part in range(ENERGY_PARTS):
            more = stops[part + 1, at] - stops[part, at]
            devices.advance(float(voltage), more, index[at], continues=part > 0)
            after_W = _power(bench, float(voltage), index[at])
            energy_J[at] += 0.5 * (power_W + after_W) * more * p.tick_s
            power_W = after_W
    return ticks, energy_J


def _power(bench: SimulatedBench, v_V: float, index: Ints) -> Floats:
    cells = bench.devices.population.take(index)
    current_A, _ = bench.devices.model.rates(np.full(len(index), v_V), *cells.geometry, cells.n_1e26)
    return np.asarray(current_A * v_V)


@dataclass(frozen=True)
class Summary:
    """One method until one tolerance. Means and medians are over the cells that reached it; intervals are of 95 %."""

    method: str
    settings: str
    tolerance: float
    cells: int
    converged: float
    converged_ci95: tuple[float, float]
    mean_pulses: float
    mean_pulses_ci95: tuple[float, float]
    median_pulses: float
    mean_time_s: float
    median_time_s: float
    mean_energy_J: float
    mean_rpd: float


def summaries(method: str, settings: str, run: Run) -> list[Summary]:
    """The run until each tolerance."""
    return [_summary(method, settings, run, row, limit) for row, limit in enumerate(TOLERANCES.values())]


def _summary(method: str, settings: str, run: Run, row: int, limit: float) -> Summary:
    reached = ~np.isnan(run.pulses[row])
    k, n = int(reached.sum()), len(reached)
    share = stats.binomtest(k, n).proportion_ci(CONFIDENCE, method="wilson")
    pulses, time_s, energy_J, rpd = (
        getattr(run, name)[row, reached] for name in ("pulses", "time_s", "energy_J", "rpd")
    )
    margin = float(stats.norm.ppf(0.5 + CONFIDENCE / 2) * pulses.std(ddof=1) / k**0.5) if k > 1 else np.inf
    mean = float(pulses.mean()) if k else np.nan
    return Summary(
        method=method,
        settings=settings,
        tolerance=limit,
        cells=n,
        converged=k / n,
        converged_ci95=(float(share.low), float(share.high)),
        mean_pulses=mean,
        mean_pulses_ci95=(mean - margin, mean + margin),
        median_pulses=float(np.median(pulses)) if k else np.nan,
        mean_time_s=float(time_s.mean()) if k else np.nan,
        median_time_s=float(np.median(time_s)) if k else np.nan,
        mean_energy_J=float(energy_J.mean()) if k else np.nan,
        mean_rpd=float(rpd.mean()) if k else np.nan,
    )


def cost(run: Run) -> float:
    """What settings are chosen by: mean pulses until 1 %, where giving up costs twice the pulses allowed."""
    return float(np.where(np.isnan(run.pulses[-1]), 2.0 * MOST_PULSES, run.pulses[-1]).mean())


def chosen_settings(candidates: Sequence[Candidate], trial: Callable[[Candidate], Run]) -> list[Candidate]:
    """The cheapest settings of each method on the trial cells, in the order of the methods."""
    best: dict[str, tuple[float, Candidate]] = {}
    for candidate in candidates:
        found = cost(trial(candidate))
        if candidate.method not in best or found < best[candidate.method][0]:
            best[candidate.method] = (found, candidate)
    return [candidate for _, candidate in best.values()]


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Summaries as a Markdown table."""
    lines = [
        "| method | settings | until | converged | mean pulses | median | mean time | mean energy | mean RPD |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        low, high = r["converged_ci95"]
        few, many = r["mean_pulses_ci95"]
        lines.append(
            f"| {r['method']} | {r['settings']} | {r['tolerance']:.0%} | {r['converged']:.1%} ({low:.1%} - {high:.1%})"
            f" | {r['mean_pulses']:.1f} ({few:.1f} - {many:.1f}) | {r['median_pulses']:g}"
            f" | {r['mean_time_s'] * 1e3:.2f} ms | {r['mean_energy_J'] * 1e9:.1f} nJ | {r['mean_rpd']:.4f} |"
        )
    return "\n".join(lines) + "\n"


def draw(runs: dict[str, Run], conditions: str, path: Path) -> None:
    """Share of cells within 5 % and 1 % against pulses, and against time."""
    figure, panels = plt.subplots(2, 2, figsize=(9.5, 6.4), layout="constrained", sharey=True)
    colours = plt.get_cmap("tab10")
    for row, name in enumerate(TOLERANCES):
        for column, (quantity, label, scale) in enumerate(
            (("pulses", "pulses", 1.0), ("time_s", "time [ms]", 1e3))
        ):
            axes = panels[row, column]
            for number, (method, run) in enumerate(runs.items()):
                values = np.sort(getattr(run, quantity)[row] * scale)  # NaN last
                share = np.arange(1, len(values) + 1) / len(values)
                axes.step(values, share, where="post", label=method, lw=1.4, color=colours(number))
            axes.set_xscale("symlog" if column == 0 else "log", **({"linthresh": 1} if column == 0 else {}))
            axes.set_xlabel(f"{label} until a reading within {name} %")
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        panels[row, 0].set_ylabel("share of cells")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.suptitle(conditions, fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
