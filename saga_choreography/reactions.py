"""What saga_choreography does on an event of any saga: it writes it down, and publishes
nothing.

But for two: where a service has given up, the saga is aborted or parked; where one waits for a
decision, it is left alone until then.

A service may leave a saga's message to a person, after all its attempts. Before the pivot the saga
is then aborted, as the orchestrator undoes a step that it gives up; the pivot decides, as for any
abort. A saga that can't be turned back (an undo that keeps failing, a step after the pivot) is
parked, with its step and the service's own reason; if it has passed its pivot although a person
had stopped it, it is returned.
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
from messaging.reactions import Reaction
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
    """Steps of these sagas wait for decisions: in any order, any number of times.

    A saga that is not known here, or that has gone on since, is left as it is.
    """
    told = {event.saga_id: event for event in received}
    with transaction.atomic(using=SERVICE):
        sagas = store.lock_watched(saga_ids=told)
        trails = store.of(saga_ids=[saga.saga_id for saga in sagas])
        waits = {
            saga.saga_id: wait
            for saga in sagas
            if (wait := _wait(saga, told[saga.saga_id], trails[saga.saga_id], now))
        }
        watch_at = {saga_id: overdue_at(wait) for saga_id, wait in waits.items()}
        store.leave_alone(waits=waits, watch_at=watch_at)
        failpoints.reach("leaving_alone.before_commit")
    failpoints.reach("leaving_alone.after_commit")


def _wait(
    saga: WatchedSaga, event: Event, seen: Sequence[TrackedEvent], now: datetime
) -> Wait | None:
    """What the notice says, where the saga still waits for it."""
    try:
        told = msgspec.convert(event.data.result, Noticed)
    except msgspec.ValidationError:
        return None
    known, types = saga.wait, operations.types_of(seen)
    is_same = known is not None and known.step == told.step
    waited = 0.0
    if known:
        before = waited_for(saga, seen).total_seconds()
        waited = known.waited_seconds if is_same else before
    found = Wait(
        step=told.step,
        decided_by=told.decided_by,
        since=known.since if known and is_same else now,
        until=told.until,
        waited_seconds=waited,
    )
    is_open = event.saga == saga.context.saga and tracking.still_waits(
        wait=found, saga=event.saga, phase=saga.phase, event_types=types
    )
    return found if is_open else None


class Noticed(msgspec.Struct, frozen=True, kw_only=True):
    """What a notice tells of a step that waits."""

    step: str
    decided_by: str
    until: datetime


def take_note(*, received: Sequence[Event], now: datetime) -> None:
    """Aborts the sagas, or parks them; in any order, any number of times.

    A saga that is not known here, or that has gone on since, is left as it is. Several reports of
    one saga are taken one after the other, as if they had come so.
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
    """By saga id, at most one report of each saga at a time; what came twice once."""
    known = {(event.saga, event.saga_id, str(event.data.result)): event for event in received}
    left = list(known.values())
    while left:
        turn: dict[str, Event] = {}
        left = [event for event in left if turn.setdefault(event.saga_id, event) is not event]
        yield turn


def _take_note(reports: dict[str, Event], now: datetime) -> list[Event]:
    """One report a saga; returns those of sagas that wait for what was given up."""
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
        and not _is_told(reports[saga_id], trails[saga_id])
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

    It does not once it has ended, or once anything was seen that follows from the message: then
    the service has handled it after all, or the message was a forged or damaged copy.
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
    # A pivot that has happened answers a block with nothing.
    follows |= {row.step.done for row in rows if row.direction is Direction.BLOCK}
    return bool(rows) and cause in seen and not follows & set(seen)


def _is_told(event: Event, entries: Sequence[TrackedEvent]) -> bool:
    """Whether the abort was asked for because of this very report, which has come again."""
    aborts = [entry for entry in entries if entry.event_type == SAGAS[event.saga].abort]
    told = _told(_failure(event))
    return any(event.data.failure and event.data.failure.detail == told for event in aborts)


def _action(saga: WatchedSaga, seen: Collection[str]) -> Action | None:
    """What turns the saga back; None: only a person can help."""
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
        reason=_told(failure),
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
    """Also what was given up before this, if another step was."""
    told = _told(failure)
    if saga.parked_step in ("", failure.step):
        return failure.detail
    return saga.parked_reason if told in saga.parked_reason else f"{saga.parked_reason}; {told}"


def _told(failure: Failure) -> str:
    return f"{failure.step}: {failure.detail}"


def _failure(event: Event) -> Failure:
    return event.data.failure or Failure("unknown step", refusals.GIVEN_UP, "no reason was given")


@dataclass(frozen=True, kw_only=True)
class ProjectionHandler:
    """The reaction to any event; those of all sagas go into one batch. Notices are looked at last:
    a saga may be known only from events that have come with them.
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
