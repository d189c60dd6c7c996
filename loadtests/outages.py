"""Stops a participant for a while, under load: what each pattern accepts, how the backlog grows,
and how long it takes to drain. For `manage.py outage`, and for the end of a full run; one fault of
`loadtests.faults`.
"""

import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from loadtests.evaluating.results import Audit
from loadtests.faults.injector import FaultInjector
from loadtests.faults.plan import FaultKind, PlannedFault
from loadtests.load.windows import Arrivals, Window, WindowPhase
from loadtests.measuring.samples import ACCEPTED, Sample
from loadtests.running.bench import load_on, own_stack, run_audit
from loadtests.running.runner import ANSWER_SECONDS, Say, WindowSender
from loadtests.shop import CHECKOUT, shop_of
from stack.console import StackError
from stack.local import LocalStack

LEAD_SECONDS = 3.0
"""Of load before the outage."""
ORCHESTRATOR = "saga_orchestrator"


@dataclass(frozen=True, kw_only=True)
class Down:
    """When the participant was away, in seconds since 1970. `is_back_at`: when its processes are
    started again; their start-up counts as part of the drain, in every pattern.

    `calls`, `probes`: of the orchestrator to it, in that time.
    """

    participant: str
    went_at: float
    is_back_at: float
    calls: int
    probes: int

    @property
    def seconds(self) -> float:
        return self.is_back_at - self.went_at


@dataclass(frozen=True, kw_only=True)
class Second:
    """The totals `at` seconds after the participant was stopped (negative: before)."""

    at: int
    accepted: int
    refused: int
    ended: int

    @property
    def backlog(self) -> int:
        """Accepted and not ended."""
        return self.accepted - self.ended


@dataclass(frozen=True, kw_only=True)
class Outage:
    """An outage in one pattern.

    `offered`, `accepted`, `refused`: checkouts meant to start in the outage; `ended`: those that
    ended in it. `unfinished`: accepted at any time and never ended. `drain_seconds`: from the
    restart until the last checkout accepted before it had ended. `course`: for each second.
    """

    pattern: str
    down: Down
    offered: int
    accepted: int
    refused: int
    ended: int
    completed_in_all: int
    unfinished: int
    most_backlog: int
    drain_seconds: float
    course: Sequence[Second]


def outage_of(*, pattern: str, samples: Sequence[Sample], down: Down) -> Outage:
    """The outage in these samples of one pattern."""
    accepted = [sample for sample in samples if sample.http_status == ACCEPTED]
    refused = [sample for sample in samples if sample.http_status != ACCEPTED]
    waiting = [sample.ended_at for sample in accepted if sample.answered_at < down.is_back_at]
    course = _course(accepted, refused, down)
    return Outage(
        pattern=pattern,
        down=down,
        offered=_within([sample.intended_at for sample in samples], down),
        accepted=_within([sample.intended_at for sample in accepted], down),
        refused=_within([sample.intended_at for sample in refused], down),
        ended=_within([sample.ended_at for sample in accepted], down),
        completed_in_all=sum(sample.outcome == "completed" for sample in samples),
        unfinished=sum(not sample.ended_at for sample in accepted),
        most_backlog=max((second.backlog for second in course), default=0),
        drain_seconds=max(0.0, max(waiting, default=0.0) - down.is_back_at),
        course=course,
    )


def _within(times: Sequence[float], down: Down) -> int:
    return sum(down.went_at <= time_ < down.is_back_at for time_ in times)


def _course(accepted: Sequence[Sample], refused: Sequence[Sample], down: Down) -> list[Second]:
    answered = sorted(sample.answered_at - down.went_at for sample in accepted)
    no = sorted(sample.intended_at - down.went_at for sample in refused)
    ended = sorted(sample.ended_at - down.went_at for sample in accepted if sample.ended_at)
    known = [*answered, *no, *ended]
    if not known:
        return []
    return [
        Second(
            at=at,
            accepted=bisect_right(answered, at),
            refused=bisect_right(no, at),
            ended=bisect_right(ended, at),
        )
        for at in range(int(min(known)), int(max(known)) + 2)
    ]


@dataclass(frozen=True, kw_only=True)
class OutageSettings:
    """`seconds`: how long `participant` is away; `rate`: sagas per second, before, meanwhile, and
    for `seconds` after its restart.
    """

    patterns: Sequence[str]
    participant: str
    seconds: float
    rate: float
    seed: int
    saga: str = CHECKOUT

    @property
    def load_seconds(self) -> float:
        """Of one pattern."""
        return LEAD_SECONDS + 2 * self.seconds


@dataclass(frozen=True, kw_only=True)
class MeasuredOutages:
    """An outage for each pattern, and the audit at the end."""

    settings: OutageSettings
    outages: Sequence[Outage]
    audit: Audit


def run(*, settings: OutageSettings, say: Say) -> MeasuredOutages:
    """On a fresh stack of its own, one pattern after the other.

    Raises StackError, NotSupplied, GeneratorFailed; KeyboardInterrupt on Ctrl-C.
    """
    with own_stack(variables={}, say=say, saga=settings.saga) as stack:
        with tempfile.TemporaryDirectory(prefix="dueto-outage-") as working:
            found = measure(stack=stack, settings=settings, folder=Path(working), say=say)
        say("auditing the services' tables")
        audit = run_audit(environment=stack.audit_environment)
    return MeasuredOutages(settings=settings, outages=found, audit=audit)


def as_figures(*, finished: MeasuredOutages) -> dict[str, Any]:
    """As plain values, for JSON."""
    return {
        "settings": asdict(finished.settings),
        "audit": asdict(finished.audit),
        "outages": [
            {
                **asdict(outage),
                "down": {**asdict(outage.down), "seconds": outage.down.seconds},
                "course": [{**asdict(at), "backlog": at.backlog} for at in outage.course],
            }
            for outage in finished.outages
        ],
    }


def measure(*, stack: LocalStack, settings: OutageSettings, folder: Path, say: Say) -> list[Outage]:
    """An outage for each pattern, on a running stack. `folder`: for files. Raises as `run`.

    On Ctrl-C the participant is restarted first.
    """
    # Not the name of a run on the same stack, which has products of its own.
    name = f"{settings.seed}-outage"
    shop = shop_of(stack=stack, saga=settings.saga)
    with load_on(shop=shop, name=name, folder=folder) as sender:
        experiment = _Experiment(stack=stack, settings=settings, sender=sender, say=say)
        found = []
        for pattern in settings.patterns:
            say(f"{pattern}: stopping {settings.participant} for {settings.seconds:g} s")
            found.append(experiment.run(pattern=pattern))
        return found


@dataclass(frozen=True, kw_only=True)
class _Experiment:
    stack: LocalStack
    settings: OutageSettings
    sender: WindowSender
    say: Say

    def run(self, *, pattern: str) -> Outage:
        """One pattern; waits for the drain, within limits."""
        window = self._window(pattern)
        self.sender.write(window=window)
        with self._telling(pattern), self._taking_away() as away:
            self.sender.send(window=window)
        self.stack.wait_ready()
        self.sender.outcomes.drain(within=2 * self.settings.seconds + ANSWER_SECONDS)
        self.sender.outcomes.rest()
        samples = self.sender.collect(window=window)
        return outage_of(pattern=pattern, samples=samples, down=away[0])

    def _window(self, pattern: str) -> Window:
        return Window(
            number=1,
            block=1,
            phase=WindowPhase.PAUSE,
            pattern=pattern,
            arrivals=Arrivals.CONSTANT,
            rate=self.settings.rate,
            seconds=self.settings.load_seconds,
            seed=self.settings.seed,
        )

    @contextmanager
    def _taking_away(self) -> Iterator[list[Down]]:
        """Makes the fault within the block; afterwards the participant runs again, and the list has
        the time it was away.
        """
        found: list[Down] = []
        counted: list[tuple[float, int, int]] = []
        injector = FaultInjector(
            stack=self.stack, say=self.say, during=lambda fault: self._counting(counted)
        )
        injector.start(faults=[self._fault()])
        try:
            yield found
        finally:
            injector.finish()
        made = injector.made[0]
        if not counted:
            raise StackError(f"{made.fault}: {made.note}")
        (_, *before), (is_back_at, *after) = counted
        calls, probes = (late - early for early, late in zip(before, after, strict=True))
        participant = self.settings.participant
        found.append(
            Down(
                participant=participant,
                went_at=made.began_at,
                is_back_at=is_back_at,
                calls=calls,
                probes=probes,
            )
        )

    def _fault(self) -> PlannedFault:
        participant, seconds = self.settings.participant, self.settings.seconds
        return PlannedFault(
            number=1, at=LEAD_SECONDS, kind=FaultKind.AWAY, target=participant, seconds=seconds
        )

    @contextmanager
    def _counting(self, counted: list[tuple[float, int, int]]) -> Iterator[None]:
        """Counts when it has stopped, and again before its restart."""
        counted.append(self._counted())
        yield
        counted.append(self._counted())

    def _counted(self) -> tuple[float, int, int]:
        """The time, and the orchestrator's calls and probes of the participant (up to 1 s old)."""
        counters = self.sender.outcomes.counters_of(service=ORCHESTRATOR)
        calls, probes = (
            counters.get(f"{what}.{self.settings.participant}", 0) for what in ("calls", "probes")
        )
        return time.time(), calls, probes

    @contextmanager
    def _telling(self, pattern: str) -> Iterator[None]:
        """Prints the sagas' progress once a second, without those of earlier patterns."""
        is_over, known = threading.Event(), self.sender.outcomes.progress()

        def tell() -> None:
            for second in count(1):
                if is_over.wait(1.0):
                    return
                now = self.sender.outcomes.progress()
                accepted, ended = now.accepted - known.accepted, now.ended - known.ended
                self.say(
                    f"{pattern}: {second:3} s; {accepted} accepted, {ended} ended,"
                    f" {accepted - ended} waiting"
                )

        with ThreadPoolExecutor(max_workers=1) as beside:
            told = beside.submit(tell)
            try:
                yield
            finally:
                is_over.set()
            told.result()
