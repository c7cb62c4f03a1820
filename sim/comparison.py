"""`python -m sim compare`: how the device models differ in current, switching time and sensitivity to geometry.

Models are compared at equal N: at equal G they would stand at different points of their own curves.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from scipy.integrate import simpson

from sim.errors import UserError
from sim.models import MODELS, DeviceModel, load_model
from sim.output_files import whole_file, write_json, write_text
from sim.params import V_HIGHEST_V
from sim.units import Floats

BEGIN, END = "<!-- comparison: written by `sim compare` -->", "<!-- end of comparison -->"
GEOMETRY_CHANGE = 0.1
LONGEST_S = 10.0
_POINTS = 2001


@dataclass(frozen=True)
class Pulse:
    """One model at one pulse voltage, between the ends of its operating window and its middle (geometric mean of N).

    `i_A` is the current at the middle. `t_half_s` is the noise-free time from the window's start to the middle,
    `t_full_s` to the other end, None if that takes more than 10 s. The factors are what r or l 10 % above or below
    nominal make of current and time to the middle: (below, above).
    """

    model: str
    v_V: float
    i_A: float
    t_half_s: float | None
    t_full_s: float | None
    i_by_r: tuple[float, float]
    i_by_l: tuple[float, float]
    t_by_r: tuple[float | None, float | None]
    t_by_l: tuple[float | None, float | None]


@dataclass(frozen=True)
class Comparison:
    """All models' pulses, their read-out across the window, and where each holds."""

    n_1e26: list[float]
    g_read_S: dict[str, list[float]]
    validity: dict[str, dict[str, float]]
    pulses: list[Pulse]


def switching_time(
    model: DeviceModel, v_V: float, n_from: float, n_to: float, r_m: float, l_m: float
) -> float | None:
    """Noise-free time [s] from one concentration to another at one voltage: the integral of dN / rate.

    None beyond `LONGEST_S`, or if the voltage never leads there.
    """
    log_n = np.linspace(np.log(n_from), np.log(n_to), _POINTS)
    n = np.exp(log_n)
    _, state = model.rates(np.full_like(n, v_V), np.full_like(n, r_m), np.full_like(n, l_m), n)
    towards = state.dn_dt_1e26_s * np.sign(n_to - n_from)
    if np.any(towards <= 0.0):
        return None
    t_s = abs(float(simpson(n / towards, x=log_n)))
    return t_s if t_s <= LONGEST_S else None


def pulse_of(model: DeviceModel, v_V: float) -> Pulse:
    """The numbers of one model at one voltage."""
    p, w = model.params, model.window
    ends = (w.n_low_1e26, w.n_high_1e26) if v_V < 0.0 else (w.n_high_1e26, w.n_low_1e26)
    middle = float(np.sqrt(ends[0] * ends[1]))
    low, high = 1.0 - GEOMETRY_CHANGE, 1.0 + GEOMETRY_CHANGE

    def current(r: float, l: float) -> float:
        v, radius, length, n = (np.array([x]) for x in (v_V, r * p.r0_m, l * p.l0_m, middle))
        i_A, _ = model.rates(v, radius, length, n)
        return float(i_A[0])

    def time(r: float, l: float, n_to: float = middle) -> float | None:
        return switching_time(model, v_V, ends[0], n_to, r * p.r0_m, l * p.l0_m)

    t_half_s, i_A = time(1.0, 1.0), current(1.0, 1.0)

    def time_factor(r: float, l: float) -> float | None:
        t_s = time(r, l)
        return None if t_s is None or t_half_s is None else t_s / t_half_s

    return Pulse(
        model=model.name,
        v_V=v_V,
        i_A=i_A,
        t_half_s=t_half_s,
        t_full_s=time(1.0, 1.0, ends[1]),
        i_by_r=(current(low, 1.0) / i_A, current(high, 1.0) / i_A),
        i_by_l=(current(1.0, low) / i_A, current(1.0, high) / i_A),
        t_by_r=(time_factor(low, 1.0), time_factor(high, 1.0)),
        t_by_l=(time_factor(1.0, low), time_factor(1.0, high)),
    )


def compare(models: list[DeviceModel], voltages_V: tuple[float, ...]) -> Comparison:
    """Every model at every voltage, and read out over the first one's window."""
    w = models[0].window
    n = np.geomspace(w.n_low_1e26, w.n_high_1e26, 41)
    return Comparison(
        n_1e26=n.tolist(),
        g_read_S={m.name: m.conductances(n).tolist() for m in models},
        validity={
            m.name: {
                "v_highest_V": V_HIGHEST_V,
                "n_lowest_1e26": m.n_lowest_1e26,
                "n_highest_1e26": m.params.n_max_1e26,
            }
            for m in models
        },
        pulses=[pulse_of(m, v_V) for v_V in voltages_V for m in models],
    )


def as_markdown(found: Comparison) -> str:
    """The table of the documentation."""
    lines = [
        "| V | model | I at mid-window | time to mid-window | through the window | I, r -10 / +10 % |"
        " I, l -10 / +10 % | time, r -10 / +10 % | time, l -10 / +10 % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for p in found.pulses:
        factors = [" / ".join(_factor(x) for x in pair) for pair in (p.i_by_r, p.i_by_l, p.t_by_r, p.t_by_l)]
        lines.append(
            f"| {p.v_V:+g} V | `{p.model}` | {p.i_A * 1e6:.1f} uA | {_time(p.t_half_s)} | {_time(p.t_full_s)} | "
            + " | ".join(factors)
            + " |"
        )
    return "\n".join(lines)


def _factor(x: float | None) -> str:
    return "-" if x is None else f"x{x:.3g}"


def _time(t_s: float | None) -> str:
    if t_s is None:
        return f"> {LONGEST_S:g} s"
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")):
        if t_s >= unit:
            return f"{t_s / unit:.3g} {name}"
    return f"{t_s:.3g} s"


def _voltages(context: click.Context, parameter: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter("give voltages, separated by commas") from None
    if not all(0.0 < abs(v) <= V_HIGHEST_V for v in found):
        raise click.BadParameter(f"pulse voltages lie within +-{V_HIGHEST_V:g} V and are not 0: {text}")
    return found


@click.command(name="compare")
@click.option("--model", "names", multiple=True, help="Device model or a .py file; repeatable  [all].")
@click.option(
    "--voltages",
    callback=_voltages,
    default="-0.342,-0.3,0.6,0.7065",
    show_default=True,
    help="Pulse voltages, V.",
)
@click.option("--figure", type=click.Path(path_type=Path), help="Also draw it, as a PNG file.")
@click.option("--page", type=click.Path(path_type=Path), help="Also replace the table in this Markdown page.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="JSON file.")
def compare_verb(
    names: tuple[str, ...], voltages: tuple[float, ...], figure: Path | None, page: Path | None, output: Path
) -> None:
    """Compare the device models: current, switching time, sensitivity to radius and length, at equal N."""
    models = [load_model(name) for name in dict.fromkeys(names)] if names else list(MODELS.values())
    found = compare(models, voltages)
    table = as_markdown(found)
    if page is not None:
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
        if BEGIN not in text or END not in text:
            raise UserError(f"{page} has no place for the table: lines '{BEGIN}' and '{END}'")
        before, rest = text.split(BEGIN)
        write_text(page, f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}")
    if figure is not None:
        _draw(found, models, voltages, figure)
    write_json(output, asdict(found))
    click.echo(table)


def _draw(found: Comparison, models: list[DeviceModel], voltages_V: tuple[float, ...], path: Path) -> None:
    import matplotlib  # slow to import

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    n = np.array(found.n_1e26)
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    styles = {name: ("-", "--", ":", "-.")[k % 4] for k, name in enumerate(found.g_read_S)}
    for name, g_S in found.g_read_S.items():
        panels[0].loglog(n, np.array(g_S) * 1e6, linestyle=styles[name], color="black", label=name)
    panels[0].set(title="read-out", ylabel="G at 0.2 V, uS")
    for k, v_V in enumerate(voltages_V):
        for model in models:
            i_A, rate = _over_window(model, v_V, n)
            line, color = styles[model.name], f"C{k}"
            label = f"{v_V:+g} V" if model is models[0] else None
            panels[1].loglog(n, np.abs(i_A) * 1e6, linestyle=line, color=color)
            panels[2].loglog(n, np.abs(rate), linestyle=line, color=color, label=label)
    panels[1].set(title="current under the pulse", ylabel="|I|, uA")
    panels[2].set(title="speed of the state", ylabel="|dN/dt|, 1e26 m$^{-3}$ s$^{-1}$")
    for axes in panels:
        axes.set_xlabel("N, 1e26 m$^{-3}$")
        axes.grid(alpha=0.25)
    panels[0].legend(fontsize=8)
    panels[2].legend(fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def _over_window(model: DeviceModel, v_V: float, n: Floats) -> tuple[Floats, Floats]:
    p = model.params
    i_A, state = model.rates(np.full_like(n, v_V), np.full_like(n, p.r0_m), np.full_like(n, p.l0_m), n)
    return i_A, np.asarray(state.dn_dt_1e26_s)
