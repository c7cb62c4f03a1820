"""The paper's statements against our measurements: means over seeds, two kinds of interval, a verdict."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Literal

import numpy as np
from scipy import stats

from sim.accuracy import CONFIDENCE
from sim.errors import UserError
from train.paper.quantities import Quantity, Table

RESAMPLES = 400
Verdict = Literal["agrees", "differs", "undecided"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Claim:
    """One statement of `claims.toml`, which explains the fields."""

    id: str
    says: str
    where: str
    read_as: str
    measure: str
    unit: Literal["%", "1"]
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def quantity(self) -> Quantity:
        return Quantity.parse(self.measure)

    def verdict(self, interval: Interval) -> Verdict:
        """Whether an interval lies inside the range in which the statement holds, outside it, or across its end."""
        low, high = interval
        if self.at_least <= low and high <= self.at_most:
            return "agrees"
        return "differs" if high < self.at_least or low > self.at_most else "undecided"


@dataclass(frozen=True)
class Measured:
    """A number over seeds. `seeds_ci95`: Student's t over seeds, None with one seed; `trials_ci95`: bootstrap."""

    per_seed: tuple[float, ...]
    mean: float
    seeds_ci95: Interval | None
    trials_ci95: Interval


@dataclass(frozen=True)
class Row:
    """A statement and what we measure."""

    claim: Claim
    measured: Measured
    verdict: Verdict

    def as_json(self) -> dict[str, object]:
        """Everything the table shows, for a file; an open end of the range is null."""
        claim = {
            name: None if value in (-math.inf, math.inf) else value
            for name, value in asdict(self.claim).items()
        }
        return {**claim, **asdict(self.measured), "verdict": self.verdict}


def load_claims() -> tuple[Claim, ...]:
    """The statements that come with the project."""
    text = (resources.files("train.paper") / "claims.toml").read_text(encoding="utf-8")
    return tuple(Claim(**fields) for fields in tomllib.loads(text)["claim"])


def measured(quantity: Quantity, tables: Sequence[Table], pool: Table) -> Measured:
    """Measure a quantity on each seed's table; `pool` holds the rows of all seeds.

    The trial-level interval is a percentile bootstrap over the pooled rows (seeded, 400 resamples): what the number
    of trials leaves open. The interval over seeds adds what data set, initial weights and devices do.

    Raises:
        UserError: a seed has no trial that the quantity is about.
    """
    per_seed = tuple(quantity.value(table) for table in tables)
    if not np.isfinite(per_seed).all():
        raise UserError(f"too few trials to measure '{quantity.text}'; give more --trials or --starts")
    trials = bootstrap_interval(quantity.value, quantity.columns(pool))
    return Measured(per_seed, float(np.mean(per_seed)), seeds_interval(per_seed), trials)


def seeds_interval(values: Sequence[float]) -> Interval | None:
    """Student's t interval of the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    half = float(
        stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    )
    mean = float(np.mean(values))
    return mean - half, mean + half


def bootstrap_interval(of: Callable[[Table], float], rows: Table) -> Interval:
    """Percentile bootstrap interval of a number computed from rows; resamples without a value do not count."""
    generator = np.random.Generator(np.random.Philox(0))
    count = len(next(iter(rows.values())))
    found = []
    for _ in range(RESAMPLES):
        chosen = generator.integers(0, count, size=count)
        found.append(of({name: column[chosen] for name, column in rows.items()}))
    low, high = np.nanpercentile(found, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return float(low), float(high)


def judge(claim: Claim, tables: Mapping[str, Sequence[Table]], pools: Mapping[str, Table]) -> Row:
    """Measure what a claim is about. Its verdict rests on the interval over seeds, or over trials for one seed."""
    quantity = claim.quantity
    found = measured(quantity, tables[quantity.table], pools[quantity.table])
    return Row(claim, found, claim.verdict(found.seeds_ci95 or found.trials_ci95))
