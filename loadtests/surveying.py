"""The cells of one stack: its windows, one after the other, and what is left to do after them."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from loadtests import doubts, grid
from loadtests.cells import Rest, cell_of, rest_of
from loadtests.grid import Settings, Spot
from loadtests.plan import Phase, Window
from loadtests.remaining import AUDIT_SECONDS, START_SECONDS, Remaining, as_minutes
from loadtests.results import Measured, figures
from loadtests.runner import Runner, progress

Say = Callable[[str], None]
Done = Callable[[Measured], None]


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
        runner.drain()
        return Taken(rest=rest, was_stopped=True)
    return Taken(rest=rest, was_stopped=False)


def _windows(
    runner: Runner, spot: Spot, ahead: Ahead, seen: list[Measured], done: Done, say: Say
) -> None:
    planned = grid.windows(settings=ahead.settings, spot=spot)
    for place, window in enumerate(planned, start=1):
        began = time.monotonic()
        one = runner.measure(window=window, seen=seen)
        done(one)
        seen.append(one)
        ahead.remaining.add(window=window, took=time.monotonic() - began)
        left = ahead.left(windows=planned[place:])
        say(f"{progress(one, of=len(planned))}{_refusals(window)}; {left}")


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
    return doubts.doubts(measured=kept, figures=found, cores=cores)
