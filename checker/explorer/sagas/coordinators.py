"""The coordinator of each pattern, moved by hand.

Choreographed sagas have the watchdog. Orchestrated sagas have runners that claim and run them; when
a runner dies, is suspended, or is taken for dead, another may take its sagas over. A runner that
was taken for dead continues with the sagas it has in flight.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, NamedTuple

from catalogue import services
from checker.explorer.injection import Crashed
from checker.explorer.sagas.backend import Backend, deadline_seconds
from checker.explorer.sagas.calls import WAYS, Calls, ManualBulkheads
from checker.explorer.sagas.deciding import CRASHES_OF_DECISION, SLOW_DECISIONS
from checker.explorer.sagas.messages import AFTER_COMMIT, BEFORE_COMMIT, MessageScheduler
from checker.explorer.sagas.scenarios import SLACK_SECONDS
from checker.explorer.scheduling import PROGRESS, Option
from contracts import projection
from contracts.outcomes import Refused
from contracts.saga import Context
from coordination import engine
from coordination.participants import Endpoint, Participants
from saga_choreography import operations as choreography
from saga_choreography import watchdog
from saga_choreography.store import SERVICE
from saga_orchestrator import operations as orchestration
from saga_orchestrator.store import ALIAS
from saga_orchestrator.worker import RunnerComponent

REDRIVE_SECONDS = 11.0
PATIENCE_SECONDS = 31.0
"""A bit more than the settings: a redrive may be due, and must be due."""
CRASHES = ("client.before_call", "client.answered", "executor.before_record", "executor.recorded")
PAUSES = CRASHES[:3]
CLAIMED = "runner.claimed"
CRASHES_OF_SERVICE = (BEFORE_COMMIT, AFTER_COMMIT)


class CoordinatorRun(ABC):
    """A pattern's coordinator."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._injection = backend.injection
        self._limits = backend.limits

    @abstractmethod
    def clear(self) -> None:
        """Forgets its state, if it has any."""

    @abstractmethod
    def start(self, contexts: Sequence[Context]) -> None:
        """Takes the hand-over of accepted sagas."""

    def progress(self) -> Iterator[Option]:
        return iter(())

    def faults(self) -> Iterator[Option]:
        if self._limits.left["deadline"]:
            yield Option("deadline", "the deadline of all sagas passes", self._pass_deadline)

    def ask(self, saga_id: str) -> None:
        """A user requests that the saga be undone."""
        if not isinstance(self._asked(saga_id), Refused):
            self._limits.promise(saga_id)

    @abstractmethod
    def wait(self, *, waits: int) -> list[str]:
        """Nothing moves, and not all sagas have ended: time passes. Returns breaches."""

    @abstractmethod
    def _asked(self, saga_id: str) -> object:
        """The answer to a user's request that the saga be undone."""

    def _look_after(self, seconds: float) -> None:
        """Time passes; the watchdog looks, if there is one."""
        self._backend.passes(seconds)

    def _pass_deadline(self, _: object) -> None:
        self._limits.spend("deadline")
        self._limits.is_interfered = True
        self._look_after(deadline_seconds(self._backend.scenario.saga))


class Choreographed(CoordinatorRun):
    def __init__(self, *, backend: Backend, scheduler: MessageScheduler) -> None:
        super().__init__(backend)
        self._scheduler = scheduler

    def clear(self) -> None:
        """It has no state."""

    def start(self, contexts: Sequence[Context]) -> None:
        """For sagas whose first event was lost."""
        choreography.get_to_know(contexts=contexts)

    def faults(self) -> Iterator[Option]:
        if self._limits.left["early redrive"]:
            yield Option("early redrive", "the watchdog looks early", self._look_early)
        yield from super().faults()

    def ask(self, saga_id: str) -> None:
        super().ask(saga_id)
        self._scheduler.publish(SERVICE)

    def wait(self, *, waits: int) -> list[str]:
        """Each lost message needs one look of the watchdog, and nothing else may need one."""
        until_looked_at = self._backend.seconds_until_looked_at() + SLACK_SECONDS
        self._look_after(max(PATIENCE_SECONDS, until_looked_at))
        lost = self._limits.spent("lose")
        if waits <= lost:
            return []
        return [f"nothing moves, after {lost} lost messages and {waits - 1} redrives"]

    def _asked(self, saga_id: str) -> object:
        with self._backend.atomic(SERVICE):
            return choreography.compensate(
                saga_id=saga_id, requested_by="eva", reason="", now=self._backend.now()
            )

    def _look_early(self, _: object) -> None:
        self._limits.spend("early redrive")
        self._look_after(REDRIVE_SECONDS)

    def _look_after(self, seconds: float) -> None:
        super()._look_after(seconds)
        watchdog.look(now=self._backend.now())
        self._scheduler.publish(SERVICE)


class Bulkhead(NamedTuple):
    """A possible call of a runner, for the first `batch` sagas of those that wait for it."""

    runner: "Running"
    endpoint: Endpoint
    batch: int

    def __str__(self) -> str:
        sagas = self.runner.bulkheads.waiting[self.endpoint][: self.batch]
        names = ", ".join(saga.saga_id for saga in sagas)
        return f"runner {self.runner.number} calls {self.endpoint.path} for {names}"


class Running:
    """A runner, moved by hand."""

    def __init__(self, number: int) -> None:
        self.number = number
        participants = Participants(urls=dict.fromkeys(services.PARTICIPANTS, "http://here"))
        self.runner = RunnerComponent(participants=participants)
        self.runner._lease = SimpleNamespace(runner_id=number)  # type: ignore[assignment]
        self.bulkheads: ManualBulkheads = self.runner._executor._bulkheads  # type: ignore[assignment]

    def claim(self) -> None:
        self.runner._claim()

    @property
    def in_flight_set(self) -> dict[str, Sequence[Any]]:
        """The sagas it has in flight, and the calls that it claims no more sagas for."""
        executor = self.runner._executor
        return {"in_flight": executor.in_flight, "but": executor.full}


class Orchestrated(CoordinatorRun):
    """Over messages, if there is a message scheduler."""

    def __init__(
        self, *, backend: Backend, calls: Calls, scheduler: MessageScheduler | None
    ) -> None:
        super().__init__(backend)
        self._calls = calls
        self._scheduler = scheduler
        self._services = projection.services_of(backend.scenario.saga)

    def clear(self) -> None:
        self._calls.clear()
        self._runners: list[Running] = []
        self._paused: set[int] = set()
        self._made = 0

    def start(self, contexts: Sequence[Context]) -> None:
        orchestration.start(contexts=contexts)

    def progress(self) -> Iterator[Option]:
        if self._is_claimable():
            yield Option(PROGRESS, "a runner claims what is due", self._claim)
        bulkheads = self._bulkheads()
        if bulkheads:
            yield Option(PROGRESS, "{0}", self._work, bulkheads)
        if late := self._calls.arriving():
            yield Option(PROGRESS, "late, it comes to {0}", self._calls.arrive, late)

    def faults(self) -> Iterator[Option]:
        if bulkheads := self._bulkheads():
            yield from self._faults_of_calls(bulkheads)
            yield from self._faults_of_runners(bulkheads)
        left = self._limits.left
        if left["crash"] and self._is_claimable():
            yield Option("crash " + CLAIMED, "a runner claims, and dies", self._claim_and_die)
        if left["stale"] and self._injection.depth < 2 and self._is_claimable():
            text = "a runner claims, slowly"
            yield Option("pause " + CLAIMED, text, self._claim_slowly)
        if left["outage"] and not self._scheduler:
            text = "{0} does not answer for a while"
            yield Option("outage", text, self._lose_replies, self._services)
        yield from super().faults()

    def _faults_of_calls(self, bulkheads: Sequence[Bulkhead]) -> Iterator[Option]:
        left = self._limits.left
        if alone := [bulkhead._replace(batch=1) for bulkhead in bulkheads if bulkhead.batch > 1]:
            yield Option("alone", "{0}, alone", self._work, alone)
        if left["call"]:
            for way in WAYS:
                yield Option(way, "{0}; " + way, partial(self._call_fails, way), bulkheads)
        # Calls to services whose steps may be decided within the call.
        deciding = [
            bulkhead
            for bulkhead in bulkheads
            if bulkhead.endpoint.service in self._backend.deciding
        ]
        for places, some in ((CRASHES_OF_SERVICE, bulkheads), (CRASHES_OF_DECISION, deciding)):
            yield from self._backend.crashes("{0}, which crashes at ", places, self._work, some)
        text, named = "{0}, which is slow ", attrgetter("endpoint.service")
        yield from self._backend.overlaps(
            text, SLOW_DECISIONS, self._work_slowly, deciding, name=named
        )

    def _faults_of_runners(self, bulkheads: Sequence[Bulkhead]) -> Iterator[Option]:
        left = self._limits.left
        text = "{0}, and the runner dies at "
        yield from self._backend.crashes(text, CRASHES, self._work_and_die, bulkheads)
        if left["stale"] and self._injection.depth < 2:
            for at in PAUSES:
                pause = partial(self._pause, at)
                yield Option("pause " + at, "{0}, and is suspended at " + at, pause, bulkheads)
        if left["stale"]:
            alive = [
                runner.number for runner in self._runners if self._backend.is_alive(runner.number)
            ]
            yield Option("stale", "runner {0} is taken for dead", self._take_for_dead, alive)

    def wait(self, *, waits: int) -> list[str]:
        """Until the next saga is due; an operator retries parked sagas."""
        for saga_id, snapshot in self._backend.snapshots().items():
            if snapshot.run == "parked":
                orchestration.retry(saga_id=saga_id, requested_by="eva")
        self._backend.passes(self._backend.seconds_until_due())
        if self._limits.spent("lose", "call", "outage", "crash", "stale", "overlap"):
            return []
        return ["nothing moves, and there was no fault"]

    # The actions

    def _asked(self, saga_id: str) -> object:
        return orchestration.compensate(saga_id=saga_id, requested_by="eva", reason="")

    def _bulkheads(self) -> list[Bulkhead]:
        """The possible calls of each runner; runners that are taken for dead come last."""
        runners = sorted(
            self._runners, key=lambda runner: not self._backend.is_alive(runner.number)
        )
        return [
            Bulkhead(runner, endpoint, len(sagas))
            for runner in runners
            if runner.number not in self._paused
            for endpoint, sagas in runner.bulkheads.waiting.items()
        ]

    def _claim(self, _: object) -> None:
        self._alive().claim()
        if self._scheduler:
            self._scheduler.publish(ALIAS)

    def _is_claimable(self) -> bool:
        """By a working runner; if there is none, by a new one with nothing in flight."""
        if next(self._at_work(), None):
            return self._claimant() is not None
        return self._backend.is_claimable(runner=self._made + 1, in_flight=(), but=())

    def _claimant(self) -> Running | None:
        """The first working runner that would find a saga to claim."""
        for runner in self._at_work():
            if self._backend.is_claimable(runner=runner.number, **runner.in_flight_set):
                return runner
        return None

    def _at_work(self) -> Iterator[Running]:
        for runner in self._runners:
            if self._backend.is_alive(runner.number) and runner.number not in self._paused:
                yield runner

    def _alive(self) -> Running:
        found = self._claimant()
        if found:
            return found
        self._made += 1
        self._runners.append(Running(self._made))
        self._backend.speak(self._made)
        return self._runners[-1]

    def _work(self, bulkhead: Bulkhead) -> None:
        bulkhead.runner.bulkheads.work(bulkhead.endpoint, bulkhead.batch)

    def _call_fails(self, way: str, bulkhead: Bulkhead) -> None:
        self._limits.spend("call")
        self._calls.fails = way
        self._work(bulkhead)
        self._calls.fails = ""

    def _work_and_die(self, bulkhead: Bulkhead) -> None:
        self._dying(bulkhead.runner, partial(self._work, bulkhead))

    def _claim_and_die(self, _: object) -> None:
        runner = self._alive()
        self._backend.crash(CLAIMED, partial(self._dying, runner), runner.claim)

    def _dying(self, runner: Running, work: Callable[[], None]) -> None:
        try:
            work()
        except Crashed:
            self._backend.fall_silent(runner.number)
            self._runners.remove(runner)

    def _claim_slowly(self, _: object) -> None:
        """One of its threads is slow, and its lease is renewed meanwhile."""
        runner = self._alive()
        self._suspended(runner, CLAIMED, runner.claim)
        if self._scheduler:
            self._scheduler.publish(ALIAS)

    def _pause(self, at: str, bulkhead: Bulkhead) -> None:
        """Its lease is not renewed while it is suspended."""
        number = bulkhead.runner.number
        self._backend.fall_silent(number)
        self._suspended(bulkhead.runner, at, partial(self._work, bulkhead))
        self._backend.speak(number)

    def _suspended(self, runner: Running, at: str, work: Callable[[], None]) -> None:
        self._limits.spend("stale")
        self._paused.add(runner.number)
        with self._injection.pausing(at=at, who=f"runner {runner.number}"):
            work()
        self._paused.discard(runner.number)

    def _work_slowly(self, bulkhead: Bulkhead) -> None:
        """The runner waits for the service, and its lease is renewed."""
        self._paused.add(bulkhead.runner.number)
        self._work(bulkhead)
        self._paused.discard(bulkhead.runner.number)

    def _take_for_dead(self, number: int) -> None:
        self._limits.spend("stale")
        self._backend.fall_silent(number)

    def _lose_replies(self, service: str) -> None:
        self._limits.spend("outage")
        self._limits.is_interfered = True
        self._calls.loses_replies(service=service, calls=engine.TRIES)
