"""Why the noise-free model does poorly: each source of noise alone and all together, at two cadences.

The noise-free model says how long a pulse must be. Noisy devices get there sooner or later; how much sooner, how
much of the loss one common factor on all times repairs, and what is left at the floor, tells bias from spread.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from scipy.optimize import minimize_scalar

from sim.errors import UserError
from sim.models import load_model
from sim.noise import NoisePreset, Walk
from sim.output_files import whole_file
from sim.population import DT_S
from sim.units import Floats
from train.baselines import NoiseFreeInverse
from train.floor import floor_of, targets_of
from train.responses import DIRECTIONS, ResponseParams, Responses, recorded

SOURCES = {
    "radius": ("radius",),
    "length": ("length",),
    "window bounds": ("window_low", "window_high"),
    "all": ("radius", "length", "window_low", "window_high"),
}
CADENCES_S = (1e-8, 1e-6)
DECADES = range(-7, -2)  # of the noise-free time, log10 of seconds
POINTS_PER_DECADE = 96  # weak noise is no excuse for a coarse time
FACTORS = np.geomspace(0.05, 5.0, 93)  # on all noise-free times: where the best one is looked for


@dataclass(frozen=True)
class Effect:
    """What one source does in one model at one cadence.

    Attributes:
        median_log10, mean_log10, std_log10: of log10(time until a noisy device first passes its target / noise-free
            time), over all pairs and devices that pass it.
        median_by_decade: median factor on the noise-free time, over the pairs whose noise-free time lies in each decade
            from 100 ns to 10 ms; none where there are no such pairs.
        reached: share of devices that do, within the longest pulse.
        rpd: mean RPD with the noise-free times; `rpd_scaled` with all of them times `factor`, the best one.
        floor: mean RPD of the best fixed time of each pair, or `rpd_scaled` where the grid of times is too coarse for
            the little noise there is.
        repaired: share of the distance to the floor that the factor makes up; none where there is hardly any.
    """

    model: str
    source: str
    cadence_s: float
    median_log10: float
    mean_log10: float
    std_log10: float
    median_by_decade: tuple[float | None, ...]
    reached: float
    rpd: float
    factor: float
    rpd_scaled: float
    floor: float
    repaired: float | None


def only(base: NoisePreset, source: str, cadence_s: float) -> NoisePreset:
    """The base preset with all walks but those of `source` stopped, drawn every `cadence_s`."""
    stopped = {name: Walk(step=0.0, bound=0.0) for name in SOURCES["all"] if name not in SOURCES[source]}
    name = f"{base.name}, {source} every {cadence_s:g} s"
    return base.model_copy(update={"name": name, "cadence_s": cadence_s, **stopped})


def ablation(
    base: NoisePreset,
    models: Sequence[str],
    folder: Path,
    *,
    starts: int,
    devices: int,
    longest_pulse_s: float,
    seed: int,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda n_steps: None,
) -> list[Effect]:
    """The effect of every source in every model at every cadence; recorded responses are kept in `folder`.

    Raises:
        UserError: no device passes any target within the longest pulse.
    """
    effects = []
    for name, cadence_s, source in itertools.product(models, CADENCES_S, SOURCES):
        model = load_model(name)
        params = ResponseParams(
            starts=starts,
            devices=devices,
            seed=seed,
            noise=only(base, source, cadence_s),
            v_set_V=model.v_set_V,
            v_reset_V=model.v_reset_V,
            window=model.window,
            longest_pulse_s=longest_pulse_s,
            points_per_decade=POINTS_PER_DECADE,
            device_model=name,
        )
        responses = recorded(folder / f"{params.sha256()[:16]}.h5", params, jobs, progress)
        effects.append(effect(responses, source))
    return effects


def effect(responses: Responses, source: str) -> Effect:
    """What `source`, the only one in the responses, does.

    Raises:
        UserError: as `ablation`.
    """
    p = responses.params
    pairs = list(_pairs(responses, NoiseFreeInverse.of_model(p.v_set_V, p.v_reset_V, p.model)))
    ratios = np.concatenate([(pair.passage_log10 - pair.wanted_log10).ravel() for pair in pairs])
    passed = np.isfinite(ratios)
    if not passed.any():
        raise UserError(
            f"no device passes a target within {p.longest_pulse_s:g} s of pulse; give a longer --longest"
        )

    wanted = np.concatenate([pair.wanted_log10[:, 0] for pair in pairs]) + np.log10(DT_S)
    by_pair = np.concatenate([np.median(pair.passage_log10 - pair.wanted_log10, axis=1) for pair in pairs])

    def rpd(log_factor: float) -> float:
        return float(np.mean(np.concatenate([pair.rpd(log_factor) for pair in pairs])))

    grid = np.log10(FACTORS)
    lowest = int(np.argmin([rpd(x) for x in grid]))
    bounds = (grid[max(lowest - 1, 0)], grid[min(lowest + 1, len(grid) - 1)])
    best = minimize_scalar(rpd, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    noise_free = rpd(0.0)
    scaled = min(float(best.fun), noise_free)
    floor = min(float(floor_of(responses, p.starts).rpd.mean(dtype=np.float64)), scaled)
    return Effect(
        model=p.device_model,
        source=source,
        cadence_s=p.noise.cadence_s,
        median_log10=float(np.median(ratios)),
        mean_log10=float(ratios[passed].mean()),
        std_log10=float(ratios[passed].std()),
        median_by_decade=tuple(_median_factor(by_pair[np.floor(wanted) == decade]) for decade in DECADES),
        reached=float(passed.mean()),
        rpd=noise_free,
        factor=float(10.0**best.x),
        rpd_scaled=scaled,
        floor=floor,
        repaired=(noise_free - scaled) / (noise_free - floor) if noise_free > 1.1 * floor else None,
    )


def _median_factor(log10_ratios: Floats) -> float | None:
    """Median as a factor; none of nothing, or where half of the devices do not arrive."""
    median = np.median(log10_ratios) if log10_ratios.size else np.inf
    return float(10.0**median) if np.isfinite(median) else None


@dataclass(frozen=True)
class _Pairs:
    """One start and direction with its t targets; times as log10 of steps.

    `passage_log10` is (t, devices): when each device first passes each target, infinite if it never does.
    """

    g_S: Floats  # (devices, k)
    log10_step: Floats  # (k,)
    g_target_S: Floats  # (t,)
    wanted_log10: Floats  # (t, 1), the noise-free time
    passage_log10: Floats

    def rpd(self, log_factor: float) -> Floats:
        """Mean RPD over the devices of each target, with the noise-free times scaled, (t,)."""
        at = np.clip(self.wanted_log10[:, 0] + log_factor, self.log10_step[0], self.log10_step[-1])
        right = np.clip(np.searchsorted(self.log10_step, at), 1, len(self.log10_step) - 1)
        left = right - 1
        share = (at - self.log10_step[left]) / (self.log10_step[right] - self.log10_step[left])
        reached_S = self.g_S[:, left] * (1.0 - share) + self.g_S[:, right] * share
        return np.asarray((np.abs(reached_S - self.g_target_S) / self.g_target_S).mean(axis=0))


def _pairs(responses: Responses, inverse: NoiseFreeInverse) -> list[_Pairs]:
    found = []
    log10_step = np.log10(responses.step.astype(np.float64))
    for number, g_start_S in enumerate(responses.g_start_S):
        targets = targets_of(responses.params, number, responses.params.starts)
        for row, direction in enumerate(DIRECTIONS):
            g_target_S = targets[(targets - g_start_S) * direction > 0]
            width_s = np.abs(inverse.pulse_s(np.full_like(g_target_S, g_start_S), g_target_S))
            long_enough = width_s >= DT_S  # a shorter pulse cannot be given
            g_target_S, width_s = g_target_S[long_enough], width_s[long_enough]
            if g_target_S.size:
                g_S = responses.g_S[row, number].astype(np.float64)
                found.append(
                    _Pairs(
                        g_S=g_S,
                        log10_step=log10_step,
                        g_target_S=g_target_S,
                        wanted_log10=np.log10(width_s / DT_S)[:, None],
                        passage_log10=_passage(direction * g_S, log10_step, direction * g_target_S),
                    )
                )
    return found


def _passage(level: Floats, log10_step: Floats, goal: Floats) -> Floats:
    """log10 of the step at which each row of `level` (devices, k) first reaches each goal, (t, devices)."""
    highest = np.maximum.accumulate(level, axis=1)
    found = np.full((len(goal), len(level)), np.inf)
    for device, heights in enumerate(highest):
        right = np.searchsorted(heights, goal)  # first recorded step at or beyond the goal
        inside = (right > 0) & (right < len(heights))
        r = right[inside]
        share = (goal[inside] - heights[r - 1]) / (heights[r] - heights[r - 1])
        found[inside, device] = log10_step[r - 1] + share * (log10_step[r] - log10_step[r - 1])
        found[right == 0, device] = log10_step[0]
    return found


def as_json(effects: Sequence[Effect]) -> list[dict[str, object]]:
    """The effects as JSON values."""
    return [asdict(e) for e in effects]


HEADER = (
    "model", "noise", "drawn every", "median time", "by decade", "mean log time", "spread", "noise-free times",
    "best factor", "with it", "floor", "repaired",
)  # fmt: skip


def markdown(effects: Sequence[Effect]) -> str:
    """The table: times as factors on the noise-free time, errors as mean RPD."""
    lines = ["| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
    for e in effects:
        cells = (
            e.model,
            e.source,
            f"{e.cadence_s * 1e9:g} ns",
            f"x {10**e.median_log10:.2f}",
            " ".join("-" if factor is None else f"{factor:.2f}" for factor in e.median_by_decade),
            f"x {10**e.mean_log10:.2f}",
            f"x/: {10**e.std_log10:.2f}",
            f"{e.rpd:.3f}",
            f"x {e.factor:.2f}",
            f"{e.rpd_scaled:.3f}",
            f"{e.floor:.3f}",
            "-" if e.repaired is None else f"{e.repaired:.0%}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(effects: Sequence[Effect], path: Path) -> None:
    """Write a PNG: shift and spread of the switching time, and what they cost."""
    labels = [f"{e.model}: {e.source}, {e.cadence_s * 1e9:g} ns" for e in effects]
    y = np.arange(len(effects))[::-1]
    figure, (times, errors) = plt.subplots(
        1, 2, figsize=(9.5, 0.8 + 0.3 * len(effects)), layout="constrained", sharey=True
    )
    times.axvline(0.0, color="0.6", lw=1)
    times.errorbar(
        [e.mean_log10 for e in effects],
        y,
        xerr=[e.std_log10 for e in effects],
        fmt="none",
        ecolor="#9ecae1",
        elinewidth=6,
        label="mean of the logarithm, one standard deviation",
    )
    times.plot([e.median_log10 for e in effects], y, "o", color="#08519c", label="median")
    times.set_xlabel("log10 (noisy / noise-free time to the target)")
    times.set_yticks(y, labels, fontsize=8)
    for k, (label, colour, values) in enumerate(
        (
            ("noise-free times", "#cb181d", [e.rpd for e in effects]),
            ("with the best factor", "#fb6a4a", [e.rpd_scaled for e in effects]),
            ("floor", "#08519c", [e.floor for e in effects]),
        )
    ):
        errors.barh(y + 0.26 * (1 - k), values, 0.25, color=colour, label=label)
    errors.set_xlabel("mean RPD")
    for axes in (times, errors):
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, fontsize=7, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
