"""The knee: the highest load that a pattern can sustain, and its interval.

A window sustains its load if at least 99 % complete within half a second of the last start, and the
backlog does not grow. The knee is the highest load that at least half of all windows sustain.

A load sustained in one window may not be sustained in the next, so no load is decided by its own
windows alone. The share of windows that sustain a load is fitted to all windows at once, as shares
that never rise with the load (isotonic regression by pooling adjacent violators: Ayer et al., Ann.
Math. Stat. 26, 1955; Barlow et al., Statistical Inference under Order Restrictions, 1972). The
threshold is the highest load with a fitted share of one half or more.

Its interval consists of the loads at which the likelihood ratio does not reject a share of one half
(Banerjee and Wellner, Ann. Statist. 29, 2001, and Scand. J. Statist. 32, 2005). A bootstrap is not
used: resampling such a fit gives invalid intervals (Sen, Banerjee and Woodroofe, Ann. Statist. 38,
2010), and a load with a single window has nothing to resample. In 100 simulated runs of 24 loads
with one window each, this interval missed the true threshold in 6 to 7, one from draws of the fit
in 24.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf, log
from statistics import mean

from scipy.optimize import isotonic_regression

from loadtests.measuring.samples import COMPLETED, Sample, completed_per_second, percentile

LEAST_COMPLETED = 0.99
GRACE_SECONDS = 0.5
MOST_GROWTH = 1.25
"""Of the mean backlog from the second third of a window to the last, besides NOISE_SECONDS."""
NOISE_SECONDS = 0.02
"""A backlog of no more than what arrives in this time is ignored."""
LOOKS = 20
Answer = tuple[float, bool]
"""A window: its load, and whether it was sustained."""
HALF, DIGITS = 0.5, 12
MOST_RATIO = 2.27
"""The 95 % quantile of twice the log likelihood ratio when a monotone share is tested at a point
(Banerjee and Wellner 2001); its distribution is not chi-squared."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A window of the search for the knee.

    `offered`, `completed`: per second. `in_flight`: checkouts, on average (Little's law: completed
    per second times mean latency). `lag_p99_ms`: how late the generator itself was.
    """

    offered: float
    completed: float
    in_flight: float
    p50_ms: float
    p99_ms: float
    is_sustained: bool
    lag_p99_ms: float


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Two of the loads tried, between which the threshold lies with 95 % confidence.

    `low`: 0 if perhaps not even the lowest was sustained. `high`: None if perhaps all were.
    """

    low: float
    high: float | None

    def is_apart(self, other: "Bounds") -> bool:
        """No load is within both."""
        ends = [inf if bounds.high is None else bounds.high for bounds in (self, other)]
        return ends[0] <= other.low or ends[1] <= self.low


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """How many of the windows at this load sustained it."""

    load: float
    taken: int
    windows: int


def level_of(*, samples: Sequence[Sample], seconds: float) -> Level:
    """The level of a window with these samples. Raises ValueError if none completed."""
    done = [sample.latency_ms for sample in samples if sample.outcome == COMPLETED]
    if not done:
        raise ValueError("nothing completed at this level")
    offered = len(samples) / seconds
    return Level(
        offered=offered,
        completed=completed_per_second(samples),
        in_flight=completed_per_second(samples) * mean(done) / 1000,
        p50_ms=percentile(done, 0.5),
        p99_ms=percentile(done, 0.99),
        is_sustained=_all_in_time(samples) and not _grows(samples, seconds, offered),
        lag_p99_ms=percentile([sample.lag_ms for sample in samples], 0.99),
    )


def knee_of(*, levels: Sequence[Level]) -> float | None:
    """The highest rate (per second) that at least half of all windows sustain, if any."""
    return threshold(answers=_answers(levels))


def bounds_of(*, levels: Sequence[Level]) -> Bounds | None:
    """The interval of the knee, with 95 % confidence; None without levels."""
    return bounds(answers=_answers(levels)) if levels else None


def _answers(levels: Sequence[Level]) -> list[Answer]:
    """Rounded, as windows at one rate differ by a start or two."""
    return [(float(round(level.offered)), level.is_sustained) for level in levels]


def _all_in_time(samples: Sequence[Sample]) -> bool:
    closing = max(sample.intended_at for sample in samples) + GRACE_SECONDS
    in_time = sum(sample.outcome == COMPLETED and sample.ended_at <= closing for sample in samples)
    return in_time >= LEAST_COMPLETED * len(samples)


def _grows(samples: Sequence[Sample], seconds: float, offered: float) -> bool:
    start = min(sample.intended_at for sample in samples)
    middle = _mean_backlog(samples, start + seconds / 3, start + seconds * 2 / 3)
    last = _mean_backlog(samples, start + seconds * 2 / 3, start + seconds)
    return last > middle * MOST_GROWTH + offered * NOISE_SECONDS


def _mean_backlog(samples: Sequence[Sample], since: float, until: float) -> float:
    step = (until - since) / LOOKS
    return mean(_backlog(samples, since + step * look) for look in range(1, LOOKS + 1))


def _backlog(samples: Sequence[Sample], at: float) -> int:
    started = sum(sample.intended_at <= at for sample in samples)
    return started - sum(0 < sample.ended_at <= at for sample in samples)


def threshold(*, answers: Sequence[Answer]) -> float | None:
    """The highest load that at least half of all windows sustain; None if not even the lowest.

    If the fitted share is exactly one half over several loads, their middle, as for a median.
    """
    tried = _by_load(answers)
    shares = _fitted(tried)
    reached = [level.load for level, share in zip(tried, shares, strict=True) if share >= HALF]
    surpassed = [level.load for level, share in zip(tried, shares, strict=True) if share > HALF]
    if not reached:
        return None
    return (max(surpassed, default=reached[0]) + reached[-1]) / 2


def bounds(*, answers: Sequence[Answer]) -> Bounds:
    """The interval of the threshold. Raises ValueError without answers."""
    if not answers:
        raise ValueError("without windows there is no threshold")
    tried = _by_load(answers)
    best = _likelihood(tried, _fitted(tried))
    places = [
        place
        for place in range(len(tried) + 1)
        if 2 * (best - _likelihood(tried, _turning(tried, place))) <= MOST_RATIO
    ]
    low, high = places[0], places[-1]
    return Bounds(
        low=tried[low - 1].load if low else 0.0,
        high=tried[high].load if high < len(tried) else None,
    )


def _by_load(answers: Sequence[Answer]) -> list[_Tried]:
    """Ascending."""
    found = []
    for load, same in groupby(sorted(answers), key=lambda answer: answer[0]):
        taken = [is_taken for _, is_taken in same]
        found.append(_Tried(load=load, taken=sum(taken), windows=len(taken)))
    return found


def _fitted(tried: Sequence[_Tried]) -> list[float]:
    """A share for each load, never rising, as close as possible to the measured ones."""
    if not tried:
        return []
    shares, windows = zip(
        *((level.taken / level.windows, level.windows) for level in tried), strict=True
    )
    found = isotonic_regression(shares, weights=windows, increasing=False)
    return [float(share) for share in found.x.round(DIGITS)]


def _turning(tried: Sequence[_Tried], place: int) -> list[float]:
    """The best fit with the threshold at `place`: at least one half before it, at most after it."""
    before, after = _fitted(tried[:place]), _fitted(tried[place:])
    return [*(max(share, HALF) for share in before), *(min(share, HALF) for share in after)]


def _likelihood(tried: Sequence[_Tried], shares: Sequence[float]) -> float:
    """Its logarithm. An outcome that never occurred adds nothing, whatever its share."""
    return sum(
        (level.taken * log(share) if level.taken else 0.0)
        + ((level.windows - level.taken) * log(1 - share) if level.windows > level.taken else 0.0)
        for level, share in zip(tried, shares, strict=True)
    )
