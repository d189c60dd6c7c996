"""Runs windows of load, one after the other, on a running shop."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from loadtests.drawing import words
from loadtests.evaluating import rates
from loadtests.evaluating.results import Measured, counts
from loadtests.load.generator import Answer, Generator
from loadtests.load.windows import (
    PRESSURES,
    Arrivals,
    Remaining,
    Window,
    WindowPhase,
    as_minutes,
)
from loadtests.load.workload import Workload
from loadtests.measuring import cost, samples
from loadtests.measuring.cost import Cost, Meters
from loadtests.measuring.outcomes import Outcomes, SagaOutcome
from loadtests.measuring.samples import Sample, percentile
from loadtests.measuring.timeline import Timeline

ANSWER_SECONDS = 15.0
DRAIN_SECONDS = 30.0
LEFT_BEHIND_SECONDS = 120.0
"""How long to wait for the sagas that an earlier window has left, which would slow this one."""
AT_REST_SECONDS = 3.0
MOST_OF_A_REASON = 20
Say = Callable[[str], None]
Done = Callable[[Measured], None]
Pause = Callable[[bool], None]


class WindowSender:
    """Writes, sends, collects, in this order; the caller drains before it collects."""

    def __init__(self, *, generator: Generator, workload: Workload, outcomes: Outcomes) -> None:
        """`generator`: must be ready."""
        self.generator = generator
        self.outcomes = outcomes
        self._workload = workload
        self._requests: list[tuple[bytes, str]] = []
        self._answers: list[Answer] = []

    def write(self, *, window: Window) -> None:
        """Supplies the window with carts and products. Raises NotSupplied."""
        starts = self._workload.requests(window=window)
        self._requests = [(start.body, start.token) for start in starts]

    def send(self, *, window: Window) -> dict[str, Any]:
        """The generator's report at the window's end (see arrivals.WindowMaster). Raises
        GeneratorFailed."""
        report = self.generator.send_window(
            window={
                "requests": self._requests,
                "arrivals": window.arrivals.value,
                "rate": window.rate,
                "seconds": window.seconds,
                "seed": window.seed,
                "patience": ANSWER_SECONDS,
            }
        )
        self._answers = report["answers"]
        return report

    def stop(self) -> None:
        """Stops sending, even within a window; requests without an answer are given up."""
        self.generator.close()

    def collect(self, *, window: Window) -> list[Sample]:
        """A sample for each request, with the outcome that the owner's rows have now."""
        ids = [answer.saga_id for answer in self._answers if answer.saga_id]
        known = self.outcomes.of(saga_ids=ids)
        return [_sample(window, answer, known) for answer in self._answers]


def _sample(window: Window, answer: Answer, known: Mapping[str, SagaOutcome]) -> Sample:
    outcome = known.get(answer.saga_id)
    return Sample(
        window=window.number,
        phase=window.phase.value,
        pattern=window.pattern,
        intended_at=answer.intended_at,
        sent_at=answer.sent_at,
        answered_at=answer.answered_at,
        http_status=answer.status,
        saga_id=answer.saga_id,
        outcome=_outcome(answer.status, outcome),
        ended_at=outcome.ended_at if outcome else 0.0,
        error=answer.error,
    )


def _outcome(status: int, found: SagaOutcome | None) -> str:
    if status != samples.ACCEPTED:
        return samples.NOT_ACCEPTED
    return found.status if found and found.ended_at else samples.UNFINISHED


class WindowRunner:
    """Carries out one window at a time: supply, measure, send, drain, rest, measure, collect."""

    def __init__(
        self,
        *,
        sender: WindowSender,
        meters: Meters,
        checkpoint: Callable[[], object],
        pause: Pause,
        timeline: Timeline | None,
        say: Say,
        seconds_after: float = 0.0,
        elsewhere: "Mapping[str, WindowRunner] | None" = None,
    ) -> None:
        """`checkpoint`: makes one of the database if it is due; called between blocks of windows.
        `pause`: freezes (True) or continues (False) a participant. `timeline`: None if the moments
        of steps are not needed. `seconds_after`: needed after the windows, for the time left.
        `elsewhere`: the runners of arms that have a shop of their own.
        """
        self._elsewhere = elsewhere or {}
        self.scheduling = sender.generator.scheduling
        """How the kernel schedules the generator, in words."""
        self._outcomes = sender.outcomes
        self._meters = meters
        self._checkpoint = checkpoint
        self._timeline = timeline
        self._sender = sender
        self._pause = pause
        self._say = say
        self._remaining = Remaining(after=seconds_after)

    def run(
        self, *, planned: Sequence[Window], known: Sequence[Measured], done: Done
    ) -> list[Measured]:
        """Measures the windows that are not `known` yet, passes each to `done`, and returns all.

        Skips warm-up windows once latency is steady. Raises NotSupplied, GeneratorFailed,
        NotMeasured, psycopg.Error.
        """
        numbers = {measured.window.number for measured in known}
        to_do = [window for window in planned if window.number not in numbers]
        seen = list(known)
        self._say(f"{len(to_do)} windows to run, {self._left(to_do, seen)}")
        for place, window in enumerate(to_do):
            if self._is_needless(window, seen):
                continue
            began = time.monotonic()
            if not seen or seen[-1].window.block != window.block:
                for runner in (self, *self._elsewhere.values()):
                    runner._checkpoint()
            measured = self.measure(window=window, seen=seen)
            seen.append(measured)
            done(measured)
            self._remaining.add(window=window, took=time.monotonic() - began)
            left = self._left(to_do[place + 1 :], seen)
            self._say(f"{progress(measured, of=len(planned))}; {left}")
        return seen

    def _left(self, to_come: Sequence[Window], seen: Sequence[Measured]) -> str:
        needed = [window for window in to_come if not self._is_needless(window, seen)]
        return f"{as_minutes(seconds=self._remaining.seconds(to_come=needed))} left"

    def measure(self, *, window: Window, seen: Sequence[Measured]) -> Measured:
        """One window; its rate, if it has none, follows from those `seen`. Raises as `run`."""
        runner = self._elsewhere.get(window.pattern, self)
        return runner._measure(replace(window, rate=rates.rate_for(window=window, seen=seen)))

    def close(self) -> None:
        """Ends an interrupted window, and waits some time for its sagas. It must be the last."""
        for runner in self._elsewhere.values():
            runner.close()
        self._sender.stop()
        self._outcomes.rest()  # requests that had arrived before the stop may be accepted meanwhile
        self._outcomes.drain(within=DRAIN_SECONDS)
        self._outcomes.rest()

    @staticmethod
    def _is_needless(window: Window, seen: Sequence[Measured]) -> bool:
        """A whole block of light warm-up is skipped, not half of one."""
        is_light = window.phase is WindowPhase.WARM_UP and window.arrivals is Arrivals.POISSON
        before = [measured for measured in seen if measured.window.block < window.block]
        return is_light and rates.is_steady(seen=before)

    def measure_rest(self) -> Cost:
        """What the idle shop uses."""
        self._outcomes.rest()
        before = self._meters.read()
        time.sleep(AT_REST_SECONDS)
        return cost.between(before, self._meters.read())

    def _measure(self, window: Window) -> Measured:
        is_clear = self._outcomes.drain(within=0)
        if not is_clear:
            self._say("waiting for the sagas that the last window has left")
            is_clear = self._outcomes.drain(within=LEFT_BEHIND_SECONDS)
        self._sender.write(window=window)
        before = self._meters.read()
        with self._pausing(window):
            report = self._sender.send(window=window)
        self._outcomes.drain(within=DRAIN_SECONDS)
        has_rested = self._outcomes.rest() and is_clear
        after = self._meters.read()
        found = self._sender.collect(window=window)
        is_light = window.phase is WindowPhase.LIGHT
        return Measured(
            window=window,
            samples=found,
            cost=cost.between(before, after),
            clock_step_ms=report["clock_step_ms"],
            has_rested=has_rested,
            moments=tuple(self._timeline.of(samples=found)) if is_light and self._timeline else (),
        )

    @contextmanager
    def _pausing(self, window: Window) -> Iterator[None]:
        """Freezes a participant for the window's `pause_seconds`."""
        if not window.pause_seconds:
            yield
            return
        timers = [
            threading.Timer(window.seconds / 4, self._pause, [True]),
            threading.Timer(window.seconds / 4 + window.pause_seconds, self._pause, [False]),
        ]
        for timer in timers:
            timer.start()
        try:
            yield
        finally:
            for timer in timers:
                timer.cancel()
                timer.join()
            self._pause(False)


def progress(measured: Measured, *, of: int) -> str:
    """A line for a terminal of 79 columns, with room for the time left."""
    window, found = measured.window, counts(measured.samples)
    declined = window.mix.declined if window.phase is WindowPhase.CELL else 0.0
    what = f"{declined:.0%} declined" if declined else window.phase
    line = (
        f"{window.number:2}/{of} {what:8} {words.short_name_of(window.pattern):13}"
        f" {window.rate:4.0f}/s: "
    )
    if window.phase in (WindowPhase.FULL, *PRESSURES, WindowPhase.KNEE):
        line += f"{found.completed} done, {measured.level.completed:.0f}/s"
    else:
        line += f"{found.completed} of {found.offered} done"
        latencies = [s.latency_ms for s in measured.samples if s.outcome == samples.COMPLETED]
        line += f", p50 {words.ms(percentile(latencies, 0.5))}" if latencies else ""
    if found.not_accepted:
        wrong = next(s for s in measured.samples if s.outcome == samples.NOT_ACCEPTED)
        line += f", {found.not_accepted} {wrong.error.partition(':')[0][:MOST_OF_A_REASON]}"
    return line
