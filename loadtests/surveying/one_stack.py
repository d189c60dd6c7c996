"""The cells of one stack: its windows, one after the other, and what is left to do after them."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from loadtests.evaluating import doubts
from loadtests.evaluating.results import Measured, figures
from loadtests.load.windows import Phase, Window
from loadtests.running.remaining import AUDIT_SECONDS, START_SECONDS, Remaining, as_minutes
from loadtests.running.runner import Done, Runner, Say, progress
from loadtests.surveying import grid, saturation
from loadtests.surveying.cells import Rest, cell_of, rest_of
from loadtests.surveying.grid import Settings, Spot


@dataclass
class Ahead:
    """What a survey has yet to measure, and how long that will take."""

    settings: Settings
    spots: list[Spot]
    remaining: Remaining = field(default_factory=Remaining)

    def left(self, *, windows: Sequence[Window]) -> str:
        """With these windows of the present stack, and all of the others', to come."""
        to_come = [
            *windows,
            *[
                one
                for spot in self.spots
                for one in grid.windows(settings=self.settings, spot=spot)
            ],
        ]
        around = AUDIT_SECONDS + len(self.spots) * (START_SECONDS + AUDIT_SECONDS)
        seconds = self.remaining.seconds(to_come=to_come) + around
        return f"{as_minutes(seconds=seconds)} left"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What came of a stack: what it uses at rest, and whether it was stopped before its end."""

    rest: Rest
    was_stopped: bool


def measure(*, runner: Runner, spot: Spot, ahead: Ahead, done: Done, say: Say) -> Taken:
    """All windows of this spot on a stack that was started for it; `done` is given each at its end.

    On Ctrl-C it drains and returns; KeyboardInterrupt where there was no cell yet. Raises
    NotSupplied, GeneratorFailed, NotMeasured.
    """
    rest = rest_of(cost=runner.measure_rest())
    seen: list[Measured] = []
    try:
        _windows(runner, spot, ahead, seen, done, say)
    except KeyboardInterrupt:
        if not any(cell_of(measured=one) for one in seen):
            raise
        say("stopped: what has been measured so far is drained, audited and kept")
        runner.close()
        return Taken(rest=rest, was_stopped=True)
    return Taken(rest=rest, was_stopped=False)


def _windows(
    runner: Runner, spot: Spot, ahead: Ahead, seen: list[Measured], done: Done, say: Say
) -> None:
    planned = grid.windows(settings=ahead.settings, spot=spot)
    for window in _in_order(planned, ahead.settings.patterns, seen):
        began = time.monotonic()
        one = runner.measure(window=_with_rate(window, ahead.settings.patterns, seen), seen=seen)
        done(one)
        seen.append(one)
        ahead.remaining.add(window=window, took=time.monotonic() - began)
        left = ahead.left(windows=_without(planned, seen))
        of = max(len(planned), window.number)
        say(f"{progress(one, of=of)}{_refusals(window)}; {left}")


def _in_order(
    planned: Sequence[Window], patterns: Sequence[str], seen: Sequence[Measured]
) -> Iterator[Window]:
    """Those that are planned, and before the first cell (some are a share of what the patterns can
    do) more of full load for whoever has followed so far. `seen` grows meanwhile."""
    yield from [one for one in planned if one.phase is not Phase.CELL]
    every = list(planned)
    for _ in range(grid.FURTHER):
        for pattern in saturation.unsaturated(patterns=patterns, seen=seen):
            every.append(grid.further(after=every, pattern=pattern))
            yield every[-1]
    yield from [one for one in planned if one.phase is Phase.CELL]


def _with_rate(window: Window, patterns: Sequence[str], seen: Sequence[Measured]) -> Window:
    """The rate that follows from the windows before it, where it has none of its own."""
    if window.rate:
        return window
    if window.phase is Phase.FULL:
        return replace(window, rate=saturation.overload(pattern=window.pattern, seen=seen))
    rate = saturation.share_of_slowest(share=window.share, patterns=patterns, seen=seen)
    return replace(window, rate=rate)


def _without(planned: Sequence[Window], seen: Sequence[Measured]) -> list[Window]:
    numbers = {one.window.number for one in seen}
    return [one for one in planned if one.number not in numbers]


def _refusals(window: Window) -> str:
    return f", {window.mix.declined:.0%} declined" if window.mix.declined else ""


def doubts_of(*, measured: Sequence[Measured]) -> list[str]:
    """What makes a stack's cells doubtful, as of a comparison."""
    cores = os.cpu_count() or 1
    kept = [one for one in measured if one.window.phase is not Phase.WARM_UP]
    there = sorted({(one.window.phase, one.window.pattern) for one in kept})
    found = [
        figures(measured=kept, phase=phase, pattern=pattern, cores=cores)
        for phase, pattern in there
    ]
    return [
        *doubts.doubts(measured=kept, figures=found, cores=cores),
        *_of_capacity(kept),
    ]


def _of_capacity(kept: Sequence[Measured]) -> list[str]:
    """What a comparison says of windows without a hop (doubts.py), said of any."""
    there = sorted({one.window.pattern for one in kept if one.window.phase is Phase.FULL})
    found = saturation.unsaturated(patterns=there, seen=kept)
    return [f"never saturated, so it can do more: full {', '.join(found)}."] if found else []
