"""From rounds to figures: medians, spreads, ratios. Values in, values out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.raw.cases import Target

Round = dict[str, Any]
"""One measurement: case, server, round, and either `failed` or the columns."""
COLUMNS = tuple(
    "cpu_us user_us sys_us rps p50_ms p99_ms busy loader others rss_mib pss_mib".split()
)


@dataclass(frozen=True)
class Spread:
    """Median, least and most."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Verdict:
    """A target and what came out: the ratio, or None when one of the two is not there."""

    target: Target
    ratio: float | None
    met: bool | None


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest rank: the least value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a percentile of nothing")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def imbalance(counts: Sequence[int], workers: int) -> float:
    """The most loaded worker's share over the mean; workers that are not in `counts` had none."""
    return max(counts) * workers / sum(counts)


def good(rounds: Iterable[Round], case: str) -> dict[str, list[Round]]:
    """Per server the rounds of the case that came to a figure."""
    found: dict[str, list[Round]] = {}
    for one in rounds:
        if one["case"] == case and "failed" not in one:
            found.setdefault(one["server"], []).append(one)
    return found


def failures(rounds: Iterable[Round], case: str) -> dict[str, str]:
    """Per server why it has no figure at all."""
    rounds = list(rounds)
    measured = good(rounds, case)
    return {
        one["server"]: one["failed"]
        for one in rounds
        if one["case"] == case and "failed" in one and one["server"] not in measured
    }


def summary(rounds: Sequence[Round]) -> dict[str, Spread]:
    """The columns of one server's rounds."""
    return {name: spread([one[name] for one in rounds]) for name in COLUMNS}


def ratio(ours: Sequence[Round], theirs: Sequence[Round], column: str = "cpu_us") -> float | None:
    """The median of ours over theirs, round by round: neighbours' noise hits both of a pair.

    None when no round has both, or theirs is 0.
    """
    numbered = {one["round"]: one[column] for one in theirs}
    pairs = [one[column] / numbered[one["round"]] for one in ours if numbered.get(one["round"])]
    return statistics.median(pairs) if pairs else None


def verdict(rounds: Iterable[Round], target: Target) -> Verdict:
    """Whether the rounds meet the target."""
    measured = good(rounds, target.case)
    found = ratio(measured.get(target.ours, []), measured.get(target.peer, []), target.measure)
    if found is None:
        return Verdict(target, None, None)
    low = target.least is None or found >= target.least
    return Verdict(target, found, low and (target.most is None or found <= target.most))
