"""Tracking: writes down what the services say, and changes nothing of what they do.

A saga is known from the first of its events that comes here. Every event is one appended row; a
saga's own row is written only when its stage changes, which is once for one that completes. Steps
are derived from the trail when somebody asks (`state`).

But for one: a saga that a person has stopped, and that was completed all the same, is returned.
The person was answered that it would be undone, and the abort has come after the pivot.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from django.conf import settings
from django.db import transaction

from contracts import events, refusals
from contracts.catalogue import SAGAS
from contracts.context import Context
from contracts.events import Event, Facts
from contracts.outcomes import Failure
from messaging import outbox
from messaging.reactions import Unfit
from messaging.reactions import context as context_of
from participant import points
from saga_choreography import store
from saga_choreography.models import Action, Intervention
from saga_choreography.state import machine_of, status_after
from saga_choreography.store import SERVICE, Locked, Said, Seen, Settled, Stage, Stop

LINGER_SECONDS = 0.05
"""Nobody waits for tracking, so it lets events gather: a saga costs 9.5 ms of CPU
(Python and PostgreSQL) with each event handled alone, 2.4 ms in batches of 6, 0.3 ms of 100."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asks for an abort or a return. `code`: the failure's, if the saga goes backward."""

    context: Context
    action: Action
    requested_by: str
    reason: str
    code: str = refusals.STOPPED


def track(*, heard: Sequence[Event], now: datetime) -> None:
    """Writes the events to their sagas' trails, and brings the sagas to the stages they tell of.

    In any order, any number of times: what was seen before changes nothing. Raises Unfit.
    """
    contexts = [context_of(event=event) for event in heard]
    reached = _furthest_of_each(heard)
    with transaction.atomic(using=SERVICE):
        _get_to_know(heard, contexts, now)
        locked = store.lock_stages(saga_ids=reached) if reached else {}
        store.add_seen(
            seen=[
                as_seen(event=event, context=context, now=now)
                for event, context in zip(heard, contexts, strict=True)
            ],
            watch_at=next_look(now=now),
        )
        new = [event for event in reached.values() if _is_new(event, locked[event.saga_id])]
        if new:
            store.settle(settled=[settled(event=event, now=now) for event in new])
        _return([event for event in new if _is_late(event, locked[event.saga_id])], now)
        points.reach("tracking.before_commit")
    points.reach("tracking.after_commit")


def next_look(*, now: datetime) -> datetime:
    """When the watchdog looks at a saga that has moved just now."""
    return now + timedelta(seconds=settings.NUDGE_SECONDS)


def as_seen(*, event: Event, context: Context, now: datetime) -> Seen:
    """The event as an entry of its saga's trail. `context`: its own."""
    return Seen(
        saga_id=event.saga_id,
        event_type=event.type,
        event_id=event.id,
        cause_id=event.cause_id,
        requested_at=event.data.requested_at,
        occurred_at=event.occurred_at,
        seen_at=now,
        data=Said(result=event.data.result, failure=event.data.failure, results=context.results),
    )


def settled(*, event: Event, now: datetime) -> Settled:
    """The row of a saga that this event brings to a new stage."""
    stage = _stage_after(event)
    is_over = stage in (Stage.COMPLETED, Stage.ENDED)
    failure = event.data.failure or Failure("", "")
    return Settled(
        saga_id=event.saga_id,
        stage=stage,
        status=status_after(stage=stage, last=event.data),
        failure_step=failure.step,
        failure_code=failure.code,
        failure_detail=failure.detail,
        finished_at=event.occurred_at if is_over else None,
        watch_at=None if is_over else next_look(now=now),
    )


def ask(*, asked: Sequence[Asked], now: datetime) -> None:
    """Says and records it, for locked sagas. A second time says nothing new."""
    said = [_requested(one, now) for one in asked]
    store.add_seen(
        seen=[
            as_seen(event=event, context=one.context, now=now)
            for event, one in zip(said, asked, strict=True)
        ],
        watch_at=next_look(now=now),
    )
    returns = [event for event in said if _stage_after(event) > Stage.RUNNING]
    if returns:
        store.settle(settled=[settled(event=event, now=now) for event in returns])
    outbox.add(service=SERVICE, said=said)
    Intervention.objects.bulk_create([record_of(asked=one, now=now) for one in asked])


def record_of(*, asked: Asked, now: datetime) -> Intervention:
    """Who asked for what, and when."""
    return Intervention(
        saga_id=asked.context.saga_id,
        action=asked.action,
        requested_by=asked.requested_by,
        reason=asked.reason,
        requested_at=now,
    )


def new_event(
    *, context: Context, event_type: str, step: str, direction: str, facts: Facts, now: datetime
) -> Event:
    """What this service says of that step."""
    return Event(
        id=events.event_id(saga_id=context.saga_id, step=step, direction=direction),
        type=event_type,
        saga_id=context.saga_id,
        saga=context.saga,
        occurred_at=now,
        data=facts,
        traceparent=context.traceparent,
    )


def as_raw(*, context: Context) -> msgspec.Raw:
    """The context as events carry it."""
    return msgspec.Raw(msgspec.json.encode(context))


def _requested(asked: Asked, now: datetime) -> Event:
    machine = machine_of(asked.context.saga)
    page, pivot = machine.page, machine.pivot.name
    # The pivot is the step that then does not happen. An abort names no earlier one: what is
    # refused at the first step is told apart by the owner.
    failure = Failure(pivot, asked.code, asked.reason or f"Asked by {asked.requested_by}.")
    return new_event(
        context=asked.context,
        event_type=page.abort if asked.action is Action.ABORT else page.give_back,
        step=pivot,
        direction=asked.action.value,
        facts=Facts(context=as_raw(context=asked.context), failure=failure),
        now=now,
    )


def _get_to_know(heard: Sequence[Event], contexts: Sequence[Context], now: datetime) -> None:
    """Writes the sagas that are not known here. Their time begins now: an event's own is of
    another host's clock. Raises Unfit for an event whose saga id is another saga's.
    """
    ids = {event.saga_id for event in heard}
    names = store.names(saga_ids=ids)
    unknown = {
        context.saga_id: context
        for context in reversed(contexts)  # of two for one id the first counts
        if context.saga_id not in names
    }
    if unknown:
        store.add_sagas(
            contexts=list(unknown.values()), started_at=now, watch_at=next_look(now=now)
        )
        names = store.names(saga_ids=ids)
    for event in heard:
        known = names[event.saga_id]
        if known != event.saga and known in SAGAS:
            raise Unfit(event, f"the saga {event.saga_id} is a {known}")


def _stage_after(event: Event) -> Stage:
    return machine_of(event.saga).stage_after.get(event.type, Stage.RUNNING)


def _is_new(event: Event, locked: Locked) -> bool:
    """A row whose stage can't be read is left to the watchdog, which parks it."""
    return locked.stage is not None and _stage_after(event) > locked.stage


def _is_late(event: Event, locked: Locked) -> bool:
    """Whether it has completed although a person had stopped it."""
    return locked.is_stopped and _stage_after(event) is Stage.COMPLETED


def _return(completed: Sequence[Event], now: datetime) -> None:
    """An abort that a person asked for came too late for these: what was asked for is a return."""
    if completed:
        ask(asked=list(_returns(completed)), now=now)


def _returns(completed: Sequence[Event]) -> Iterator[Asked]:
    stops = store.stops(saga_ids=[event.saga_id for event in completed])
    for event in completed:
        stop = stops.get(event.saga_id, Stop("unknown", ""))
        yield Asked(
            context=context_of(event=event),
            action=Action.RETURN,
            requested_by=stop.requested_by,
            reason=stop.reason,
        )


def _furthest_of_each(heard: Sequence[Event]) -> Mapping[str, Event]:
    """For each saga the event that brings it furthest, of those that change a stage."""
    reached: dict[str, Event] = {}
    for event in heard:
        if _stage_after(event) > Stage.RUNNING:
            known = reached.setdefault(event.saga_id, event)
            if _stage_after(event) > _stage_after(known):
                reached[event.saga_id] = event
    return reached
