"""What the banks of networks give, as JSON and as the table in `docs/paper.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sim.accuracy import AccuracyRecord
from train.paper.claims import seeds_interval
from train.paper.experiment import Settings
from train.paper.ranges import BANKS, Bank
from train.paper.table import interval, number

BEGIN, END = "<!-- ranges: written by `make ranges` -->", "<!-- end of ranges -->"
STATISTICS = {
    "mean_rpd": ("mean RPD", "1"),
    "within_50": ("within 50 %", "%"),
    "within_10": ("within 10 %", "%"),
}


def rival_of(bank: Bank) -> Bank | None:
    """The smallest single network with at least the flash of a bank; None for a single network."""
    single = [b for b in BANKS if b.networks == 1 and b.parameters >= bank.parameters]
    return None if bank.networks == 1 else min(single, key=lambda b: b.parameters)


def result(settings: Settings, seeds: Sequence[Mapping[str, AccuracyRecord]]) -> dict[str, Any]:
    """Means over seeds, and differences to the rival paired by seed, each with its interval."""
    banks = []
    for bank in BANKS:
        rival = rival_of(bank)
        values = {key: [getattr(found[bank.name], key) for found in seeds] for key in STATISTICS}
        row: dict[str, Any] = {
            "bank": bank.name,
            "parameters": bank.parameters,
            "multiplications": bank.multiplications,
            **{key: _summary(each) for key, each in values.items()},
            "rival": rival.name if rival else None,
        }
        if rival:
            pairs = [(found[bank.name].mean_rpd, found[rival.name].mean_rpd) for found in seeds]
            row["mean_rpd_minus_rival"] = _summary([mine - other for mine, other in pairs])
        banks.append(row)
    return {
        "settings": {
            "seeds": len(seeds),
            "pairs": settings.pairs,
            "trials": settings.trials,
            "board": settings.board.name,
            "noise_preset": settings.noise.name,
            "cadence_s": settings.noise.cadence_s,
            "divide_epochs": settings.divide_epochs,
        },
        "banks": banks,
    }


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {"per_seed": list(values), "mean": float(np.mean(values)), "seeds_ci95": seeds_interval(values)}


def markdown(content: Mapping[str, Any]) -> str:
    """Everything between the markers."""
    s = content["settings"]
    heads = [heading for heading, _ in STATISTICS.values()]
    lines = [
        f"{s['seeds']} seed{'s' if s['seeds'] > 1 else ''}, {s['trials']:,} one-shot trials each, board '{s['board']}',"
        f" noise preset '{s['noise_preset']}'; brackets: 95 % interval over seeds, differences paired by seed.",
        "",
        "| networks | parameters | multiplications a pulse | "
        + " | ".join(heads)
        + " | mean RPD minus that of |",
        "|---" * 7 + "|",
    ]
    for bank in content["banks"]:
        cells = [bank["bank"], f"{bank['parameters']:,}", f"{bank['multiplications']:,}"]
        cells += [_cell(bank[key], unit) for key, (_, unit) in STATISTICS.items()]
        rival = bank["rival"]
        cells.append(f"{rival}: {_cell(bank['mean_rpd_minus_rival'], '1')}" if rival else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(summary: Mapping[str, Any], unit: str) -> str:
    ends = interval(summary["seeds_ci95"], unit)
    return number(summary["mean"], unit) + (f" ({ends})" if ends else "")
