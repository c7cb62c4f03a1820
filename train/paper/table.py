"""The tables of `docs/paper.md`, written from `docs/paper.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BEGIN, END = "<!-- results: written by `make paper` -->", "<!-- end of results -->"
ACCURACY = {  # statistic: heading, unit
    "mean_rpd": ("mean RPD", "1"),
    "median_rpd": ("median", "1"),
    "within_50": ("within 50 %", "%"),
    "within_20": ("within 20 %", "%"),
    "within_10": ("within 10 %", "%"),
    "wrong_direction": ("wrong way", "%"),
}
Json = Mapping[str, Any]


def markdown(result: Json) -> str:
    """Everything between the markers."""
    s = result["settings"]
    seeds = s["seeds"]
    repeated = f"{seeds} seed{'s' if seeds > 1 else ''}"
    lines = [
        f"{repeated}: each with its own data set of {s['pairs']:,} pairs, initial weights, devices, {s['trials']:,}"
        f" one-shot trials, and write-and-verify from {s['starts']} starts to each of 23 targets; board '{s['board']}',"
        f" noise preset '{s['noise_preset']}' drawn every {s['cadence_s'] * 1e9:g} ns. Brackets: 95 % interval of the"
        " mean over seeds (Student's t). The table of statements also shows what the trials alone leave open"
        " (bootstrap over the trials of all seeds).",
        "",
        "| predictor | " + " | ".join(heading for heading, _ in ACCURACY.values()) + " |",
        "|---" * (1 + len(ACCURACY)) + "|",
    ]
    for name, statistics in result["accuracy"].items():
        cells = [
            f"{number(m['mean'], unit)}{_bracket(m['seeds_ci95'], unit)}"
            for (_, unit), m in zip(ACCURACY.values(), (statistics[key] for key in ACCURACY), strict=True)
        ]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    verdicts = [claim["verdict"] for claim in result["claims"]]
    lines += [
        "",
        f"Of {len(verdicts)} statements {verdicts.count('agrees')} agree, {verdicts.count('differs')} differ,"
        f" {verdicts.count('undecided')} stay undecided: the interval over seeds lies inside the range in which the"
        " statement holds, outside, or across its end.",
        "",
        "| paper says | where | we take it as | we measure | over seeds | over trials | |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [claim_row(claim) for claim in result["claims"]]
    return "\n".join(lines) + "\n"


def claim_row(claim: Json) -> str:
    """One statement as a row."""
    unit = claim["unit"]
    cells = (
        claim["says"],
        claim["where"],
        claim["read_as"],
        number(claim["mean"], unit),
        interval(claim["seeds_ci95"], unit) or "-",
        interval(claim["trials_ci95"], unit),
        f"**{claim['verdict']}**",
    )
    return "| " + " | ".join(cells) + " |"


def text_table(claims: Sequence[Json]) -> str:
    """The statements for a terminal, one a line."""
    lines = []
    for claim in claims:
        value = number(claim["mean"], claim["unit"])
        over = interval(claim["seeds_ci95"] or claim["trials_ci95"], claim["unit"])
        lines.append(f"{claim['verdict']:10} {value:>8} ({over:>16})  {claim['read_as']}")
    return "\n".join(lines)


def number(value: float, unit: str) -> str:
    """A fraction in per cent, or a relative difference with three digits."""
    return f"{_rounded(value * 100, 1)} %" if unit == "%" else _rounded(value, 3)


def interval(ends: Sequence[float] | None, unit: str) -> str:
    """Both ends without unit; empty for none."""
    if ends is None:
        return ""
    factor, digits = (100, 1) if unit == "%" else (1, 3)
    return " .. ".join(_rounded(end * factor, digits) for end in ends)


def _rounded(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before a zero


def _bracket(ends: Sequence[float] | None, unit: str) -> str:
    return f" ({interval(ends, unit)})" if ends else ""
