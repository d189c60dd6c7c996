"""The executor: moves the sagas in flight on until they end, wait or are parked.

    bulkhead -> one call for a batch -> their transitions, in one statement -> the next bulkhead

A transition is written before the next call is made, or a little later where that does no harm
(`engine.can_be_written_later`), so the process may die anywhere: the saga is then found at a call
that was due, and that is made again under the same key.

What follows for a saga is the engine's transition, given the time and chance of this moment: the
same here, where calls go over HTTP, and where they go as messages (`messages`).
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec
from django.db import DatabaseError, InterfaceError

from contracts.states import SagaStatus
from coordination import engine
from coordination.engine import CallResult, Fault, Progress, Transition
from coordination.participants import Endpoint, Participants, endpoint_of
from participant import failpoints, metrics, sql
from saga_orchestrator import store
from saga_orchestrator.in_flight import (
    Bulkheads,
    Call,
    ClaimedSaga,
    InFlightSet,
    UnreadableSaga,
    call_of,
    database_clock,
)

log = logging.getLogger(__name__)

Step = tuple[ClaimedSaga, Transition]
"""A saga, and the transition that it makes."""


def turned_back(*, saga: ClaimedSaga, progress: Progress, now: float) -> Transition | None:
    """The transition that turns it back at `progress`, if that was asked for or its time is over.

    `now`: on the clock of the saga's deadline.
    """
    return engine.turned_back(
        progress=progress, is_stopped=saga.stop_requested, is_late=now >= saga.deadline
    )


def after(*, saga: ClaimedSaga, answer: CallResult) -> Transition:
    """The transition that follows from the answer."""
    if isinstance(answer, Fault):
        step, direction = call_of(progress=saga.progress)
        metrics.count(metrics.FAULTS, saga.name, step, direction, saga.context.pattern)
    draw = random.random()  # noqa: S311 -- spreads retries over time, guards nothing
    transition = engine.after(progress=saga.progress, answer=answer, draw=draw)
    return engine.after_a_stop(transition=transition) if saga.stop_requested else transition


def given_up(*, saga: ClaimedSaga, reason: str) -> Transition:
    """The transition that follows where the service itself has tried in vain, as often as is of
    use.
    """
    last = msgspec.structs.replace(saga.progress, faults=engine.TRIES - 1)
    return engine.after(progress=last, answer=Fault(reason), draw=0)


def park(unreadable: UnreadableSaga) -> None:
    """Leaves a saga that nothing can be done with here to a person."""
    log.error("parked: %s", unreadable.reason, extra={"saga_id": unreadable.saga_id})
    failpoints.reach("runner.before_park")
    store.park(unreadable=unreadable)
    failpoints.reach("runner.parked")


class EndCounter:
    """Counts how sagas came to rest; tells of those that wait for a person now."""

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()
        self._lock = threading.Lock()

    def counters(self) -> dict[str, int]:
        return dict(self._counted)

    def count(self, written: Iterable[Step]) -> None:
        """Of transitions that were written: those after which nothing is due for now."""
        for saga, transition in written:
            if transition.is_on_its_way:
                continue
            with self._lock:
                self._counted[f"sagas_{transition.status}"] += 1
            if transition.status is SagaStatus.PARKED:
                log.error(
                    "parked at %s: %s",
                    transition.progress.step.name,
                    transition.reason,
                    extra={"saga_id": saga.saga_id},
                )


end_counter = EndCounter()
"""Of this process."""


REST_SECONDS = 1.0
"""For sagas after a fault of our own."""
MOST_BUGS = 3
"""With one saga alone: a command that can't be made of its context."""


class Executor:
    """`on_release`: called when a call was answered, with the seconds until the first of the sagas
    that it released then is due again (None: none of them is).
    """

    def __init__(
        self, *, participants: Participants, on_release: Callable[[float | None], None]
    ) -> None:
        self._participants = participants
        self._on_release = on_release
        self._bulkheads: Bulkheads[Endpoint, ClaimedSaga] = Bulkheads(
            work=self._work, at_exit=store.close
        )
        self._in_flight = InFlightSet()
        self._batches = 0
        self._bugs: Counter[str] = Counter()

    @property
    def in_flight(self) -> list[str]:
        """The sagas that it is moving on."""
        return self._in_flight.saga_ids

    @property
    def full(self) -> list[Call]:
        """The calls for which it wants no further sagas now."""
        return self._in_flight.full()

    def counters(self) -> dict[str, int]:
        own = {"batches": self._batches, "sagas_in_flight": len(self._in_flight)}
        return {**own, **self._participants.counters()}

    def execute(self, *, sagas: Sequence[ClaimedSaga]) -> None:
        """Moves these on, from the call that is due."""
        self._in_flight.add(sagas=sagas)
        bulkheads: dict[Endpoint, list[ClaimedSaga]] = {}
        for saga in sagas:
            bulkheads.setdefault(endpoint_of(progress=saga.progress), []).append(saga)
        for endpoint, group in bulkheads.items():
            self._bulkheads.put(endpoint, group)

    def rest(self, *, sagas: Sequence[ClaimedSaga]) -> None:
        """Has them claimed again in a moment: it is open what the database knows of them now."""
        self._in_flight.rest(sagas=sagas, seconds=REST_SECONDS)

    def after_bug(self, *, saga: ClaimedSaga, error: Exception) -> None:
        """Has it claimed again in a moment. One whose command can't be made, MOST_BUGS times, waits
        for a person: its page is wrong, and time mends nothing.
        """
        self._bugs[saga.saga_id] += isinstance(error, msgspec.ValidationError)
        if self._bugs[saga.saga_id] < MOST_BUGS:
            self.rest(sagas=[saga])
            return
        del self._bugs[saga.saga_id]
        log.error("its call can't be made: %r", error, extra={"saga_id": saga.saga_id})
        reason = f"its call can't be made here: {sql.category(error)}"
        try:
            park(UnreadableSaga(saga_id=saga.saga_id, version=saga.version, reason=reason))
        except (DatabaseError, InterfaceError):
            store.close()
            self.rest(sagas=[saga])

    def close(self, *, seconds: float) -> None:
        """Makes no further call; waits so long for those that are out."""
        self._bulkheads.close(seconds=seconds)

    def _work(self, endpoint: Endpoint, sagas: list[ClaimedSaga]) -> None:
        try:
            self._move_on(endpoint, sagas)
        except (DatabaseError, InterfaceError) as error:
            log.warning("%d sagas at %s: %s; to be claimed again", len(sagas), endpoint.path, error)
            store.close()
            self.rest(sagas=sagas)
            self._release(sagas)
        except (
            Exception
        ) as error:  # the outermost loop of a bulkhead: no bug may end it for the others
            log.exception("%d sagas at %s", len(sagas), endpoint.path)
            self._after_bug(endpoint, sagas, error)

    def _after_bug(self, endpoint: Endpoint, sagas: list[ClaimedSaga], error: Exception) -> None:
        """Finds whose it is: the others go on. What has moved meanwhile is claimed again."""
        still = [saga for saga in sagas if endpoint_of(progress=saga.progress) == endpoint]
        if len(sagas) > 1 and len(still) == len(sagas):
            for saga in sagas:
                self._work(endpoint, [saga])
            return
        for saga in sagas:
            self.after_bug(saga=saga, error=error)
        self._release(sagas)

    def _move_on(self, endpoint: Endpoint, sagas: list[ClaimedSaga]) -> None:
        now = time.monotonic()
        transitions: list[Step] = []
        due: list[ClaimedSaga] = []
        for saga in sagas:
            turned = turned_back(saga=saga, progress=saga.progress, now=now)
            if turned:
                transitions.append((saga, turned))
            else:
                due.append(saga)
        if due:
            metrics.observe(metrics.BATCH, len(due), "called")
            answers = self._participants.ask(endpoint=endpoint, sagas=due)
            transitions += [
                (saga, after(saga=saga, answer=answer))
                for saga, answer in zip(due, answers, strict=True)
            ]
            _log_faults(endpoint, answers)
        self._make(self._as_far_as_there_is_room(transitions))
        self._batches += 1

    def _as_far_as_there_is_room(self, transitions: Sequence[Step]) -> list[Step]:
        """Where too many wait for the next call, the saga is released: it is claimed again as soon
        as there are fewer.
        """
        going: Counter[Call] = Counter()
        made: list[Step] = []
        for saga, transition in transitions:
            call = call_of(progress=transition.progress)
            if transition.goes_on and call != call_of(progress=saga.progress):
                going[call] += 1
                if going[call] > self._in_flight.room(call=call):
                    transition = msgspec.structs.replace(transition, is_released=True)
            made.append((saga, transition))
        return made

    def _make(self, transitions: Sequence[Step]) -> None:
        """All go on; those that the next call may not be made before are written first."""
        now = database_clock.now()
        onward: list[ClaimedSaga] = []
        to_write: list[Step] = []
        for saga, transition in transitions:
            if engine.can_be_written_later(before=saga.progress, transition=transition):
                saga.go_on(transition, now=now)
                onward.append(saga)
            else:
                to_write.append((saga, transition))
        written, down, waits = self._write(to_write) if to_write else ([], [], [])
        self.execute(sagas=[*onward, *written])
        self._in_flight.remove(sagas=down)
        self._on_release(min(waits, default=None))

    def _write(
        self, transitions: Sequence[Step]
    ) -> tuple[list[ClaimedSaga], list[ClaimedSaga], list[float]]:
        """Those that go on, those that do not, and in how many seconds some of these are due."""
        failpoints.reach("executor.before_record")
        began = time.monotonic()
        written = store.record(transitions=transitions, is_in_flight=True)
        for told in written.values():
            database_clock.observe(began=began, told=told)
        failpoints.reach("executor.recorded")
        onward: list[ClaimedSaga] = []
        down: list[ClaimedSaga] = []
        waits: list[float] = []
        for saga, transition in transitions:
            moved = written.get(saga.saga_id)
            if moved is not None and transition.goes_on:
                saga.go_on_written(transition, moved=moved)
                onward.append(saga)
                continue
            down.append(saga)
            if moved is not None:
                end_counter.count([(saga, transition)])
                if transition.is_on_its_way and not transition.waits:
                    waits.append(transition.seconds)
            else:
                # A stop, say: what is written now is claimed, and found to be turned back.
                waits.append(0.0)
                log.info("moved by another since", extra={"saga_id": saga.saga_id})
        return onward, down, waits

    def _release(self, sagas: Sequence[ClaimedSaga]) -> None:
        self._in_flight.remove(sagas=sagas)
        self._on_release(REST_SECONDS)


def _log_faults(endpoint: Endpoint, answers: Sequence[CallResult]) -> None:
    faults = [answer for answer in answers if isinstance(answer, Fault)]
    if faults:
        log.warning("%d faults at %s, the first: %s", len(faults), endpoint.path, faults[0].reason)
