"""The executor: moves the sagas in flight on until they end, wait or are parked.

    bulkhead -> one call for a batch -> their transitions, in one statement -> the next bulkhead

A transition is written before the next call is made, or a little later where that does no harm
(`engine.can_be_written_later`). So the process may die anywhere: another runner finds the saga at a
call that was due, and makes it again under the same key.

The engine decides each transition. This module adds the current time and randomness, here for calls
over HTTP, and in `messages` for calls by message.
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
    ClaimedUnreadable,
    InFlightSet,
    call_of,
    database_clock,
)

log = logging.getLogger(__name__)

Step = tuple[ClaimedSaga, Transition]
"""A saga, and the transition that it makes."""


def turned_back(*, saga: ClaimedSaga, progress: Progress, now: float) -> Transition | None:
    """The transition that turns the saga back at `progress`; None unless a stop was requested or
    its deadline has passed. `now`: monotonic seconds, as `saga.deadline`.
    """
    return engine.turned_back(
        progress=progress, is_stopped=saga.stop_requested, is_late=now >= saga.deadline
    )


def after(*, saga: ClaimedSaga, answer: CallResult) -> Transition:
    """The transition after the call's result, and after a requested stop."""
    if isinstance(answer, Fault):
        step, direction = call_of(progress=saga.progress)
        metrics.count(metrics.FAULTS, saga.name, step, direction, saga.context.pattern)
    draw = random.random()  # noqa: S311 -- spreads retries over time, guards nothing
    transition = engine.after(progress=saga.progress, answer=answer, draw=draw)
    return engine.after_a_stop(transition=transition) if saga.stop_requested else transition


def given_up(*, saga: ClaimedSaga, reason: str) -> Transition:
    """The transition after the service itself has used up its retries: no call is repeated."""
    last = msgspec.structs.replace(saga.progress, faults=engine.TRIES - 1)
    return engine.after(progress=last, answer=Fault(reason), draw=0)


def park(unreadable: ClaimedUnreadable) -> None:
    """Parks a saga that this process can't run, for an operator."""
    log.error("parked: %s", unreadable.reason, extra={"saga_id": unreadable.saga_id})
    failpoints.reach("runner.before_park")
    store.park(unreadable=unreadable)
    failpoints.reach("runner.parked")


class EndCounter:
    """Counts the states in which sagas come to rest, and logs those that are parked."""

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()
        self._lock = threading.Lock()

    def counters(self) -> dict[str, int]:
        return dict(self._counted)

    def count(self, written: Iterable[Step]) -> None:
        """Counts the written transitions after which no call is due."""
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
"""How long a saga rests after a fault of this process."""
MOST_BUGS = 3
"""After so many failures to build a saga's command from its context, the saga is parked."""


class Executor:
    """Makes the calls that are due. `on_release`: called after each batch, with the seconds until
    the first saga that the batch released is due again (None: no saga is).
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
        """The ids of the sagas that this executor has in flight or at rest."""
        return self._in_flight.saga_ids

    @property
    def full(self) -> list[Call]:
        """The calls for which no further sagas should be claimed now."""
        return self._in_flight.full()

    def counters(self) -> dict[str, int]:
        own = {"batches": self._batches, "sagas_in_flight": len(self._in_flight)}
        return {**own, **self._participants.counters()}

    def execute(self, *, sagas: Sequence[ClaimedSaga]) -> None:
        """Makes the call that is due of each saga."""
        self._in_flight.add(sagas=sagas)
        bulkheads: dict[Endpoint, list[ClaimedSaga]] = {}
        for saga in sagas:
            bulkheads.setdefault(endpoint_of(progress=saga.progress), []).append(saga)
        for endpoint, group in bulkheads.items():
            self._bulkheads.put(endpoint, group)

    def rest(self, *, sagas: Sequence[ClaimedSaga]) -> None:
        """Lets the sagas be claimed again after REST_SECONDS: their rows may have changed."""
        self._in_flight.rest(sagas=sagas, seconds=REST_SECONDS)

    def after_bug(self, *, saga: ClaimedSaga, error: Exception) -> None:
        """Lets the saga be claimed again after REST_SECONDS. When its command could not be built
        MOST_BUGS times, the saga is parked: its definition is wrong, and time mends nothing.
        """
        self._bugs[saga.saga_id] += isinstance(error, msgspec.ValidationError)
        if self._bugs[saga.saga_id] < MOST_BUGS:
            self.rest(sagas=[saga])
            return
        del self._bugs[saga.saga_id]
        log.error("its call can't be made: %r", error, extra={"saga_id": saga.saga_id})
        reason = f"its call can't be made here: {sql.category(error)}"
        try:
            park(ClaimedUnreadable(saga_id=saga.saga_id, version=saga.version, reason=reason))
        except (DatabaseError, InterfaceError):
            store.close()
            self.rest(sagas=[saga])

    def close(self, *, seconds: float) -> None:
        """Makes no further call; waits at most `seconds` for each call that is out."""
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
        """Finds the saga with the bug by working on each alone, unless some have moved already."""
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
        """Releases the sagas whose next call has too many waiting; they are claimed again once
        fewer wait.
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
        """Makes the transitions; writes first those that must be stored before the next call."""
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
        """The sagas that go on, those that do not, and the seconds until some of these are due."""
        failpoints.reach("executor.before_record")
        began = time.monotonic()
        written = store.record(transitions=transitions, is_in_flight=True)
        for moved_at in written.values():
            database_clock.observe(began=began, returned=moved_at)
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
                # By a stop, for example: the next claim finds the saga with its stop requested.
                waits.append(0.0)
                log.info("moved by another process", extra={"saga_id": saga.saga_id})
        return onward, down, waits

    def _release(self, sagas: Sequence[ClaimedSaga]) -> None:
        self._in_flight.remove(sagas=sagas)
        self._on_release(REST_SECONDS)


def _log_faults(endpoint: Endpoint, answers: Sequence[CallResult]) -> None:
    faults = [answer for answer in answers if isinstance(answer, Fault)]
    if faults:
        log.warning("%d faults at %s, the first: %s", len(faults), endpoint.path, faults[0].reason)
