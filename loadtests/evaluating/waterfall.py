"""Where a saga's time goes, from intended start to outcome, divided the same way in each pattern.

A step is *asked* for when its request leaves for the service (its call is stored as due, or its
message is given to the broker), *picked up* when the service begins its transaction, and *decided*
when that stores the outcome. Between these moments lie four kinds of time, which add up to the
latency of each saga:

    queue wait    from asked to picked up (acceptance: from the intended start)
    service       from picked up to decided (last step: until the outcome)
    coordination  from decided until the next step is asked for: commit, answer, choice of the next
                  step, hand-over
    idle          instead of queue wait, if the step had to be asked for again after a fault

The time between the acceptance and the first step is a step of its own, the hand-over: all of it
is coordination.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, pairwise
from statistics import fmean

from loadtests.measuring.samples import Moments


class TimeKind(StrEnum):
    WAIT = "queue wait"
    SERVICE = "service"
    COORDINATION = "coordination"
    IDLE = "idle"


HAND_OVER = "hand_over"
IN_ORDER = (TimeKind.IDLE, TimeKind.WAIT, TimeKind.SERVICE, TimeKind.COORDINATION)
"""As they follow each other within a step."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Mean milliseconds of one kind of time at one step; `start`: its mean begin."""

    step: str
    kind: TimeKind
    start: float
    ms: float


@dataclass(frozen=True, kw_only=True)
class Waterfall:
    """The mean of `sagas` sagas of a pattern. The parts, in order, add up to `mean_ms`."""

    pattern: str
    sagas: int
    mean_ms: float
    parts: Sequence[Span]


def waterfalls(*, moments: Iterable[Moments]) -> list[Waterfall]:
    """One for each pattern that has moments, in their order."""
    by_pattern: dict[str, list[list[Moments]]] = {}
    for _, steps in groupby(moments, key=lambda timed: timed.saga_id):
        saga = list(steps)
        by_pattern.setdefault(saga[0].pattern, []).append(saga)
    return [_mean(pattern, sagas) for pattern, sagas in by_pattern.items()]


def parts_of(*, saga: Sequence[Moments]) -> list[tuple[str, TimeKind, float]]:
    """A saga's steps, in order, as (step, kind, seconds); they add up to its latency."""
    parts: list[tuple[str, TimeKind, float]] = []
    for timed, following in pairwise([*saga, None]):
        assert timed is not None  # noqa: S101 -- only the last may be None
        wait = TimeKind.IDLE if timed.attempts > 1 else TimeKind.WAIT
        parts.append((timed.step, wait, timed.picked_up_at - timed.asked_at))
        parts.append((timed.step, TimeKind.SERVICE, timed.decided_at - timed.picked_up_at))
        if following:
            after = HAND_OVER if timed is saga[0] else timed.step
            parts.append((after, TimeKind.COORDINATION, following.asked_at - timed.decided_at))
    return parts


def _mean(pattern: str, every: Sequence[Sequence[Moments]]) -> Waterfall:
    """Over all sagas; a saga without some part counts as 0 there."""
    names = [timed.step for timed in every[0]]
    names.insert(1, HAND_OVER)
    seconds = {(name, kind): 0.0 for name in names for kind in IN_ORDER}
    for saga in every:
        for step, kind, spent in parts_of(saga=saga):
            seconds[step, kind] += spent
    parts, reached = [], 0.0
    for (step, kind), spent in seconds.items():
        ms = spent * 1000 / len(every)
        if ms:
            parts.append(Span(step=step, kind=kind, start=reached, ms=ms))
            reached += ms
    latencies = [(saga[-1].decided_at - saga[0].asked_at) * 1000 for saga in every]
    return Waterfall(pattern=pattern, sagas=len(every), mean_ms=fmean(latencies), parts=parts)
