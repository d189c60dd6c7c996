"""The rate of a window, where it follows from the windows before it."""

from collections.abc import Sequence

from loadtests.evaluating.knee import Level, knee_of, level_of
from loadtests.evaluating.results import Measured, Throughput, until_completed
from loadtests.load.windows import Window, WindowPhase
from loadtests.measuring.samples import NotMeasured, percentile

STEADY_WITHIN = 0.1
OVERLOAD = 1.3
"""Of the highest throughput so far: a rate just above what the pattern can do."""


def rate_for(*, window: Window, seen: Sequence[Measured]) -> float:
    """Checkouts per second. Raises NotMeasured if it does not follow from the windows so far."""
    own = [measured for measured in seen if measured.pattern == window.pattern]
    if window.rate:
        return window.rate
    if window.phase in (WindowPhase.KNEE, WindowPhase.BEYOND):
        return float(round(_capacity(own) * window.share))
    if window.phase is WindowPhase.LEVELS:
        return float(max(round(_lowest_knee(seen) * window.share), 1))
    return next_rate(seen=[measured.level for measured in own])


def next_rate(*, seen: Sequence[Throughput]) -> float:
    """A rate above the highest throughput of the pattern so far, which rises until saturation.

    Raises NotMeasured if nothing was completed so far.
    """
    best = max((level.completed for level in seen), default=0.0)
    if best <= 0:
        raise NotMeasured("nothing was completed so far: there is nothing to measure")
    return float(round(best * OVERLOAD))


def levels_of(*, measured: Sequence[Measured], pattern: str) -> list[Level]:
    """The levels of the search for the pattern's knee, by offered load."""
    found = [
        level_of(samples=window.samples, seconds=window.window.seconds)
        for window in measured
        if window.phase is WindowPhase.KNEE
        and window.pattern == pattern
        and window.level.completed > 0
    ]
    return sorted(found, key=lambda level: level.offered)


def is_steady(*, seen: Sequence[Measured]) -> bool:
    """Whether the last two warm-up windows of each pattern had nearly the same median latency."""
    medians: dict[str, list[float]] = {}
    for window in seen:
        if window.phase is WindowPhase.WARM_UP and window.samples:
            latencies = [until_completed(sample) for sample in window.samples]
            medians.setdefault(window.pattern, []).append(percentile(latencies, 0.5))
    return bool(medians) and all(
        len(found) >= 2 and abs(found[-1] / found[-2] - 1) <= STEADY_WITHIN
        for found in medians.values()
    )


def _capacity(own: Sequence[Measured]) -> float:
    """The most that the pattern completed per second at full load."""
    found = [window.level.completed for window in own if window.phase is WindowPhase.FULL]
    if not found or max(found) <= 0:
        raise NotMeasured("nothing was completed at full load: the capacity is not known")
    return max(found)


def _lowest_knee(seen: Sequence[Measured]) -> float:
    """Of all patterns; a pattern that sustained nothing counts with its lowest level."""
    knees = []
    for pattern in {window.pattern for window in seen}:
        levels = levels_of(measured=seen, pattern=pattern)
        if not levels:
            raise NotMeasured(f"{pattern} completed nothing in the search for its knee")
        knees.append(knee_of(levels=levels) or levels[0].offered)
    return min(knees)
