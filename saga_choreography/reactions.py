"""The reactions of saga_choreography: it tracks every event of every saga.

Two notices are handled, not tracked. When a step waits for a decision, its saga is left alone until
then. When a service has given up, its saga is aborted or parked.

A service gives up a saga's message after all its attempts. Before the pivot the saga is then
aborted, as the orchestrator undoes a step that it gives up; the pivot decides, as for any abort. A
saga that can't be turned back (an undo that keeps failing, a step after the pivot) is parked, with
its step and the service's reason. A saga that has passed its pivot although a person had stopped it
is returned.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.db import transaction

from contracts import projection, refusals
from contracts.events import Event
from contracts.outcomes import Failure
from contracts.saga import SAGAS, Direction
from messaging.handlers import Reaction
from participant import failpoints
from saga_choreography import operations, store, tracking
from saga_choreography.models import Action
from saga_choreography.store import (
    SERVICE,
    SagaPhase,
    TrackedEvent,
    Wait,
    WatchdogUpdate,
    WatchedSaga,
)
from saga_choreography.tracking import Asked, track
from saga_choreography.watchdog import overdue_at, waited_for

log = logging.getLogger(__name__)


def leave_alone(*, received: Sequence[Event], now: datetime) -> None:
    """Takes notices of waiting steps: in any order, any number of times.

    A saga that is not known here, or that has gone on since, stays as it is.
    """
    notices = {event.saga_id: event for event in received}
    with transaction.atomic(using=SERVICE):
        sagas = store.lock_watched(saga_ids=notices)
        trails = store.of(saga_ids=[saga.saga_id for saga in sagas])
        waits = {
            saga.saga_id: wait
            for saga in sagas
            if (wait := _wait(saga, notices[saga.saga_id], trails[saga.saga_id], now))
        }
        watch_at = {saga_id: overdue_at(wait) for saga_id, wait in waits.items()}
        store.leave_alone(waits=waits, watch_at=watch_at)
        failpoints.reach("leaving_alone.before_commit")
    failpoints.reach("leaving_alone.after_commit")


def _wait(
    saga: WatchedSaga, event: Event, seen: Sequence[TrackedEvent], now: datetime
) -> Wait | None:
    """The wait that the notice reports; None if it is unreadable, or over."""
    try:
        noticed = msgspec.convert(event.data.result, Noticed)
    except msgspec.ValidationError:
        return None
    known, types = saga.wait, operations.types_of(seen)
    is_same = known is not None and known.step == noticed.step
    waited = 0.0
    if known:
        before = waited_for(saga, seen).total_seconds()
        waited = known.waited_seconds if is_same else before
    found = Wait(
        step=noticed.step,
        decided_by=noticed.decided_by,
        since=known.since if known and is_same else now,
        until=noticed.until,
        waited_seconds=waited,
    )
    is_open = event.saga == saga.context.saga and tracking.still_waits(
        wait=found, saga=event.saga, phase=saga.phase, event_types=types
    )
    return found if is_open else None


class Noticed(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a notice that a step waits."""

    step: str
    decided_by: str
    until: datetime


def take_note(*, received: Sequence[Event], now: datetime) -> None:
    """Takes notices that services have given up: aborts, returns or parks the sagas; in any order,
    any number of times.

    A saga that is not known here, or that has gone on since, stays as it is. Several notices of one
    saga are handled one after the other.
    """
    with transaction.atomic(using=SERVICE):
        noted = [event for reports in _in_turn(received) for event in _take_note(reports, now)]
        failpoints.reach("giving_up.before_commit")
    failpoints.reach("giving_up.after_commit")
    for event in noted:
        failure = _failure(event)
        log.error(
            "given up at %s: %s", failure.step, failure.detail, extra={"saga_id": event.saga_id}
        )


def _in_turn(received: Sequence[Event]) -> Iterator[dict[str, Event]]:
    """Turns of notices by saga id, at most one a saga in each; duplicates are dropped."""
    known = {(event.saga, event.saga_id, str(event.data.result)): event for event in received}
    left = list(known.values())
    while left:
        turn: dict[str, Event] = {}
        left = [event for event in left if turn.setdefault(event.saga_id, event) is not event]
        yield turn


def _take_note(reports: dict[str, Event], now: datetime) -> list[Event]:
    """Handles one notice a saga; returns those whose sagas wait for what was given up."""
    sagas = {
        saga.saga_id: saga
        for saga in store.lock_watched(saga_ids=reports)
        if saga.context.saga == reports[saga.saga_id].saga
    }
    trails = store.of(saga_ids=sagas)
    seen = {saga_id: {entry.event_type for entry in entries} for saga_id, entries in trails.items()}
    waiting = [
        (saga, reports[saga_id])
        for saga_id, saga in sagas.items()
        if waits(event=reports[saga_id], phase=saga.phase, seen=seen[saga_id])
        and not _is_repeated(reports[saga_id], trails[saga_id])
    ]
    asked, parked = [], []
    for saga, event in waiting:
        action = _action(saga, seen[saga.saga_id])
        if action:
            asked.append(_asked(saga, event, action))
        else:
            parked.append(_given_up(saga, event, now))
    if asked:
        tracking.ask(asked=asked, now=now)
    if parked:
        store.record(updates=parked)
    return [event for _, event in waiting]


def waits(*, event: Event, phase: SagaPhase, seen: Collection[str]) -> bool:
    """Whether the saga still waits for what the service has given up.

    Not once it has ended, or once an event was seen that follows from the message: the service has
    handled it after all, or the message was a forged or damaged copy.
    """
    if phase in (SagaPhase.COMPLETED, SagaPhase.ENDED):
        return False
    service, cause = event.data.result.get("service"), event.data.result.get("event")
    rows = [
        reaction
        for reaction in projection.reactions(event.saga)
        if (reaction.service, reaction.event) == (service, cause)
    ]
    follows = {event for row in rows for event in (row.emits, row.emits_on_refusal)}
    # A pivot that has happened emits nothing on a block.
    follows |= {row.step.done for row in rows if row.direction is Direction.BLOCK}
    return bool(rows) and cause in seen and not follows & set(seen)


def _is_repeated(event: Event, entries: Sequence[TrackedEvent]) -> bool:
    """Whether the abort was requested because of this very notice, which has come again."""
    aborts = [entry for entry in entries if entry.event_type == SAGAS[event.saga].abort]
    why = _why(_failure(event))
    return any(abort.data.failure and abort.data.failure.detail == why for abort in aborts)


def _action(saga: WatchedSaga, seen: Collection[str]) -> Action | None:
    """The action that turns the saga back; None: the saga is parked."""
    decided = operations.decide_compensate(
        saga=saga.context.saga, phase=saga.phase, event_types=seen
    )
    if decided is Action.ABORT:
        return decided
    return operations.decide_late_return(saga=saga, event_types=seen)


def _asked(saga: WatchedSaga, event: Event, action: Action) -> Asked:
    failure = _failure(event)
    is_abort = action is Action.ABORT
    return Asked(
        context=saga.context,
        action=action,
        requested_by=str(event.data.result["service"]),
        reason=_why(failure),
        code=refusals.GIVEN_UP if is_abort else refusals.STOPPED,
    )


def _given_up(saga: WatchedSaga, event: Event, now: datetime) -> WatchdogUpdate:
    failure = _failure(event)
    return WatchdogUpdate(
        saga_id=saga.saga_id,
        redrives=saga.redrives,
        redriven_at=saga.redriven_at,
        parked_at=now,
        parked_step=saga.parked_step or failure.step,
        parked_reason=_reason(saga, failure),
    )


def _reason(saga: WatchedSaga, failure: Failure) -> str:
    """With the reason of another step that was given up before."""
    why = _why(failure)
    if saga.parked_step in ("", failure.step):
        return failure.detail
    return saga.parked_reason if why in saga.parked_reason else f"{saga.parked_reason}; {why}"


def _why(failure: Failure) -> str:
    return f"{failure.step}: {failure.detail}"


def _failure(event: Event) -> Failure:
    return event.data.failure or Failure("unknown step", refusals.GIVEN_UP, "no reason was given")


@dataclass(frozen=True, kw_only=True)
class ProjectionHandler:
    """The reaction to any event; the events of all sagas go into one batch. Notices are handled
    last: their saga may be known only from events of the same batch.
    """

    saga: str
    on: str
    group: str = "watching"
    step: str = ""

    def handle(self, received: Sequence[Event]) -> None:
        now = store.now()
        waiting = [event for event in received if event.type == projection.STEP_WAITING]
        given_up = [event for event in received if event.type == projection.STEP_PARKED]
        others = [event for event in received if event.type not in projection.NOTICES]
        if others:
            track(received=others, now=now)
        if waiting:
            leave_alone(received=waiting, now=now)
        if given_up:
            take_note(received=given_up, now=now)


REACTIONS: list[Reaction] = [
    ProjectionHandler(saga=saga, on=event)
    for saga in SAGAS
    for event in (*projection.events(saga), *projection.NOTICES)
]
