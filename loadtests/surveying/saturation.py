"""Whether a window offered more than a pattern can do, and how much it can do at most.

A hop puts seconds between the first start and the first outcome, which says nothing of how many
can be under way. So what ends a second is counted here without the first and the last ones, unlike
the completed/s of a comparison, in which a distant shop would look like a slow one.
"""

from collections.abc import Sequence

from loadtests.evaluating.rates import OVERLOAD
from loadtests.evaluating.results import Measured
from loadtests.load.windows import Phase
from loadtests.measuring.samples import NotMeasured, Sample

EDGE = 0.05
SATURATED_BELOW = 0.9
"""Of what is offered. In a window of a few seconds, queues that grow to the length that the load
needs look like a twentieth that was not followed: a pattern at 0.95 here did 40 % more when it was
offered that (50 ms a hop)."""


def ended_per_second(*, samples: Sequence[Sample]) -> float:
    """Outcomes a second, from the moment when 5 % had ended until 95 % had; 0 where too few did."""
    ended = sorted(one.ended_at for one in samples if one.ended_at)
    cut = round(len(ended) * EDGE)
    kept = ended[cut : len(ended) - cut]
    if len(kept) < 2 or kept[-1] <= kept[0]:
        return 0.0
    return (len(kept) - 1) / (kept[-1] - kept[0])


def is_saturated(*, measured: Measured) -> bool:
    """Whether the pattern could not follow, so that it ended as many as it can."""
    ended = ended_per_second(samples=measured.samples)
    return is_behind(ended=ended, offered=measured.level.offered)


def is_behind(*, ended: float, offered: float) -> bool:
    """The same of a window that is known by what ended and was offered in it a second."""
    return ended < SATURATED_BELOW * offered


def overload(*, pattern: str, seen: Sequence[Measured]) -> float:
    """A rate above the most that the pattern has followed so far, the warm-up included: where it
    could follow, the next window offers more. Raises NotMeasured where it ended nothing."""
    return float(round(_followed(pattern, seen) * OVERLOAD))


def share_of_slowest(*, share: float, patterns: Sequence[str], seen: Sequence[Measured]) -> float:
    """So much of what the slowest pattern followed at full load, at least 1/s. Raises NotMeasured
    where one of them ended nothing there."""
    full = [one for one in seen if one.window.phase is Phase.FULL]
    return float(max(round(share * min(_followed(one, full) for one in patterns)), 1))


def unsaturated(*, patterns: Sequence[str], seen: Sequence[Measured]) -> list[str]:
    """Those that could follow in each of their windows of full load."""
    found = {
        one.window.pattern
        for one in seen
        if one.window.phase is Phase.FULL and is_saturated(measured=one)
    }
    return [one for one in patterns if one not in found]


def _followed(pattern: str, seen: Sequence[Measured]) -> float:
    """At most what was offered: some outcomes can come in a rush that no load could keep up."""
    most = max(
        (
            min(ended_per_second(samples=one.samples), one.level.offered)
            for one in seen
            if one.window.pattern == pattern
        ),
        default=0.0,
    )
    if most <= 0:
        raise NotMeasured(f"{pattern} ended nothing so far: there is nothing to measure")
    return most
