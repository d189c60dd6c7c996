"""How much load a pattern can take for good: its knee, and the law that its throughput follows.

A level is sustained if what is offered comes out again: at least 99 % completed within half a
second of the last start, and a backlog that did not grow. The knee is the last load that at least
half of all windows sustain, by a fit to all of them; where no window is an exception, the last
level that was sustained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from loadtests.evaluating import isotonic
from loadtests.evaluating.isotonic import Bounds
from loadtests.measuring.samples import COMPLETED, Sample, completed_per_second, percentile

LEAST_COMPLETED = 0.99
GRACE_SECONDS = 0.5
MOST_GROWTH = 1.25
"""Of the mean backlog from the second third of a window to the last, beside NOISE_SECONDS."""
NOISE_SECONDS = 0.02
"""A backlog of what arrives in so many seconds is none."""
LOOKS = 20


@dataclass(frozen=True, kw_only=True)
class Level:
    """A window of the search as a point: what was offered, what came out, how long it took.

    `offered`, `completed`: a second. `in_flight`: checkouts on their way at a time, on average
    (Little's law: arrivals a second times mean latency). `is_sustained`: it could go on for good.
    `lag_p99_ms`: how late the generator itself was.
    """

    offered: float
    completed: float
    in_flight: float
    p50_ms: float
    p99_ms: float
    is_sustained: bool
    lag_p99_ms: float


def level_of(*, samples: Sequence[Sample], seconds: float) -> Level:
    """The level that these samples of one window of so many seconds make. Raises ValueError
    where none completed."""
    done = [one.latency_ms for one in samples if one.outcome == COMPLETED]
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
        lag_p99_ms=percentile([one.lag_ms for one in samples], 0.99),
    )


def knee_of(*, levels: Sequence[Level]) -> float | None:
    """The highest rate (a second) that at least half of all windows sustain; None if not even the
    lowest is one."""
    return isotonic.threshold(answers=_answers(levels))


def bounds_of(*, levels: Sequence[Level]) -> Bounds | None:
    """The interval of the knee, with 95 % confidence; None without levels."""
    return isotonic.bounds(answers=_answers(levels)) if levels else None


def _answers(levels: Sequence[Level]) -> list[isotonic.Answer]:
    """Windows at one rate differ by a start or two."""
    return [(float(round(one.offered)), one.is_sustained) for one in levels]


def _all_in_time(samples: Sequence[Sample]) -> bool:
    closing = max(one.intended_at for one in samples) + GRACE_SECONDS
    in_time = sum(one.outcome == COMPLETED and one.ended_at <= closing for one in samples)
    return in_time >= LEAST_COMPLETED * len(samples)


def _grows(samples: Sequence[Sample], seconds: float, offered: float) -> bool:
    start = min(one.intended_at for one in samples)
    middle = _mean_backlog(samples, start + seconds / 3, start + seconds * 2 / 3)
    last = _mean_backlog(samples, start + seconds * 2 / 3, start + seconds)
    return last > middle * MOST_GROWTH + offered * NOISE_SECONDS


def _mean_backlog(samples: Sequence[Sample], since: float, until: float) -> float:
    step = (until - since) / LOOKS
    return mean(_backlog(samples, since + step * look) for look in range(1, LOOKS + 1))


def _backlog(samples: Sequence[Sample], at: float) -> int:
    started = sum(one.intended_at <= at for one in samples)
    return started - sum(0 < one.ended_at <= at for one in samples)
