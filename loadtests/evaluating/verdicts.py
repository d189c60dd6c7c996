"""What a run decides between two patterns.

Windows come in pairs: a block has one window of each pattern, with the same arrival times, one
right after the other. The difference within each block counts, so slow changes during a run cancel
out. Over the blocks, difference and ratio of a figure get a bootstrap interval each. The smallest
difference of interest was fixed beforehand: 5 %.

A difference is found if the ratio's interval excludes 1, unless the whole interval is below the
difference of interest. The ratio decides, not the difference in ms: a slow minute makes the
latencies of both patterns longer by a factor. (In 100 blocks whose windows had medians of 20 to
90 ms, injected 2 ms were 5 standard errors from none as a ratio, and 4 as a difference.)

All intervals of a run hold together with 95 % confidence (Bonferroni's correction: each of n is
made at 1 - 0.05 / n), so a run that compares a pattern with itself finds a difference, in any of
its figures, in at most 1 of 20 runs.

An interval is that of a mean over few blocks, by the studentised bootstrap ("bootstrap-t"): blocks
are drawn with replacement, and the mean of each draw is measured in its own standard errors (Efron
and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5). With few blocks the plain
percentile bootstrap is too narrow: at 99 % it missed the true mean in 5 % of simulated runs of 8
blocks, this one in 1 to 2 %.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from math import exp, isfinite, log, sqrt
from statistics import mean, stdev

from loadtests.evaluating.results import known

SMALLEST_OF_INTEREST = 0.05
FAMILY_ERROR = 0.05
LEAST_BLOCKS = 8
RESAMPLES = 2000
SEED = 1993
"""Fixed, so that the same samples give the same interval."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate and the bounds that hold the true value with the confidence asked for."""

    estimate: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def inverse(self) -> "Interval":
        """Of the inverse ratio."""
        return Interval(estimate=1 / self.estimate, low=1 / self.high, high=1 / self.low)

    def is_within(self, *, low: float, high: float) -> bool:
        return low <= self.low and self.high <= high


class Conclusion(StrEnum):
    """DIFFERS: one is lower, by an amount in the interval. SAME: any difference is at most 5 %.
    UNDECIDED: not enough data."""

    DIFFERS = "differs"
    SAME = "same"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of two or more patterns. `blocks`: by pattern, a value for each block."""

    name: str
    unit: str
    lower_is_better: bool
    blocks: Mapping[str, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class FigureVerdict:
    """The decision on one figure between two patterns.

    `better`: a pattern, or empty unless they differ. `values`: by pattern, the mean over the
    blocks. `difference`: second minus first, in `unit`; `ratio`: second over first. Both are None
    if there is no interval, and `why` says why.
    """

    figure: str
    unit: str = ""
    first: str
    second: str
    decision: Conclusion = Conclusion.UNDECIDED
    better: str = ""
    lower_is_better: bool = True
    values: Mapping[str, float | None] = field(default_factory=dict)
    difference: Interval | None = None
    ratio: Interval | None = None
    confidence: float = 0.0
    blocks: int = 0
    why: str = ""

    @property
    def worse(self) -> str:
        """The other pattern, if one is better."""
        return self.first if self.better == self.second else self.second

    @property
    def lead(self) -> Interval | None:
        """How much less (more, if more is better) the better pattern's figure is, as a share of the
        other's; if undecided, that of the second pattern against the first."""
        if self.ratio is None:
            return None
        seen = self.ratio.inverse() if self.better == self.first else self.ratio
        ends = sorted((seen.low - 1, seen.high - 1))
        if self.lower_is_better:
            ends = [-ends[1], -ends[0]]
        sign = -1 if self.lower_is_better else 1
        return Interval(estimate=sign * (seen.estimate - 1), low=ends[0], high=ends[1])


def verdicts(*, figures: Sequence[Figure]) -> list[FigureVerdict]:
    """Each figure for each pair of patterns, in order."""
    pairs = [
        (figure, first, second)
        for figure in figures
        for first, second in combinations(figure.blocks, 2)
    ]
    confidence = 1 - FAMILY_ERROR / max(len(pairs), 1)
    return [verdict_of(figure, first, second, confidence) for figure, first, second in pairs]


def verdict_of(figure: Figure, first: str, second: str, confidence: float) -> FigureVerdict:
    """The decision between these two, at this confidence."""
    ones, others = figure.blocks[first], figure.blocks[second]
    why = _why_not(ones, others)
    ratio = None if why else _ratio(ones, others, confidence)
    difference = None if why else _difference(ones, others, confidence)
    decision = _decision(ratio, difference)
    return FigureVerdict(
        figure=figure.name,
        unit=figure.unit,
        first=first,
        second=second,
        decision=decision,
        better=_better(figure, first, second, ratio) if decision is Conclusion.DIFFERS else "",
        lower_is_better=figure.lower_is_better,
        values={name: known(mean(figure.blocks[name] or [0.0])) for name in (first, second)},
        difference=difference,
        ratio=ratio,
        confidence=confidence,
        blocks=min(len(ones), len(others)),
        why=why or _why(decision),
    )


def _why_not(ones: Sequence[float], others: Sequence[float]) -> str:
    """Why no interval can be made, or empty."""
    if len(ones) != len(others):
        raise ValueError(f"blocks are pairs, not {len(ones)} and {len(others)}")
    if len(ones) < LEAST_BLOCKS:
        pairs = "1 pair" if len(ones) == 1 else f"{len(ones)} pairs"
        return f"only {pairs} of windows, {LEAST_BLOCKS} are needed"
    if not all(isfinite(value) and value > 0 for value in [*ones, *others]):
        return "in some windows not every checkout finished"
    return ""


def _ratio(ones: Sequence[float], others: Sequence[float], confidence: float) -> Interval:
    """Of the geometric means, as ratios are symmetric in their logarithms."""
    logs = [log(other / first) for first, other in zip(ones, others, strict=True)]
    found = interval_of_mean(values=logs, confidence=confidence)
    return Interval(estimate=exp(found.estimate), low=exp(found.low), high=exp(found.high))


def _difference(ones: Sequence[float], others: Sequence[float], confidence: float) -> Interval:
    gaps = [other - first for first, other in zip(ones, others, strict=True)]
    return interval_of_mean(values=gaps, confidence=confidence)


def _decision(ratio: Interval | None, difference: Interval | None) -> Conclusion:
    least, most = 1 - SMALLEST_OF_INTEREST, 1 + SMALLEST_OF_INTEREST
    if ratio is None or difference is None:
        return Conclusion.UNDECIDED
    if ratio.is_within(low=least, high=most):
        return Conclusion.SAME
    if ratio.holds(1) or (ratio.estimate - 1) * difference.estimate <= 0:
        return Conclusion.UNDECIDED
    return Conclusion.DIFFERS


def _better(figure: Figure, first: str, second: str, ratio: Interval | None) -> str:
    is_second_lower = ratio is not None and ratio.high < 1
    return second if is_second_lower == figure.lower_is_better else first


def _why(decision: Conclusion) -> str:
    if decision is Conclusion.UNDECIDED:
        return "not enough data, run longer"
    if decision is Conclusion.SAME:
        return f"no difference larger than {SMALLEST_OF_INTEREST:.0%}"
    return ""


def interval_of_mean(*, values: Sequence[float], confidence: float) -> Interval:
    """The interval of the mean of the distribution that these values are drawn from.

    `confidence`: 0 to 1. Raises ValueError for fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} values have no interval")
    centre = mean(values)
    error = stdev(values) / sqrt(len(values))
    if error == 0:
        return Interval(estimate=centre, low=centre, high=centre)
    deviations = _deviations(values, centre)
    tail = (1 - confidence) / 2
    return Interval(
        estimate=centre,
        low=centre - _at(deviations, 1 - tail) * error,
        high=centre - _at(deviations, tail) * error,
    )


def _deviations(values: Sequence[float], centre: float) -> list[float]:
    """Of each draw's mean from the centre, in the draw's own standard errors; ascending.

    A draw with one value only has no standard error, and is left out.
    """
    chance = random.Random(SEED)  # noqa: S311 -- a simulation to repeat, no secret
    count = len(values)
    found = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(values, k=count)
        own = sum(drawn) / count
        squares = sum((capacity - own) ** 2 for capacity in drawn)
        if squares > 0:
            found.append((own - centre) / sqrt(squares / (count - 1) / count))
    return sorted(found)


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
