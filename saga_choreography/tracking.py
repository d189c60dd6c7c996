"""Tracking: writes down what the services say, and changes nothing of what they do.

Every event is one appended row; a saga's own row is written only when its stage changes, which is
once for a checkout that completes. Steps are derived from the trail when somebody asks (`state`).

But for one: a saga that a person has stopped, and that was completed all the same, is returned.
The person was answered that it would be undone, and the abort has come after the pivot.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.db import transaction

from contracts import events, refusals, sagas
from contracts.commands import Checkout
from contracts.events import Event
from contracts.outcomes import Failure
from messaging import outbox
from saga_choreography import facts, trail
from saga_choreography.checkout import SERVICE, next_look
from saga_choreography.entries import Locked, Settled, Stage, Stop
from saga_choreography.models import Action, Intervention
from saga_choreography.state import STAGE_AFTER, status_after
from sagas import points

LINGER_SECONDS = 0.05
"""Nobody waits for tracking, so it lets events gather: a saga costs 4.5 ms of CPU
(Python and PostgreSQL) with each event handled alone, 1.1 ms in batches of 6, 0.2 ms of 100."""

ASKS = {
    Action.ABORT: events.CHECKOUT_ABORT_REQUESTED,
    Action.RETURN: events.CHECKOUT_RETURN_REQUESTED,
}


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """The reaction to any event: it is tracked. All types of event go into one batch."""

    hears: str
    group: str = "tracking"
    step: str = ""

    def handle(self, heard: Sequence[Event]) -> None:
        track(heard=heard, now=trail.now())


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asks for an abort or a return. `code`: the failure's, if the saga goes backward."""

    saga_id: str
    context: msgspec.Raw
    action: Action
    requested_by: str
    reason: str
    code: str = refusals.STOPPED


def track(*, heard: Sequence[Event], now: datetime) -> None:
    """Writes the events to their sagas' trails, and brings the sagas to the stages they tell of.

    In any order, any number of times: what was seen before changes nothing.
    """
    reached = _furthest_of_each(heard)
    with transaction.atomic(using=SERVICE):
        locked = _lock_stages(reached, now) if reached else {}
        trail.add_seen(
            seen=[facts.as_seen(event=event, now=now) for event in heard],
            watch_at=next_look(now=now),
        )
        new = [event for event in reached.values() if _is_new(event, locked[event.saga_id])]
        if new:
            trail.settle(settled=[settled(event=event, now=now) for event in new])
        _return(
            [one for one in new if _is_sold_after_all(one, locked[one.saga_id])],
            now,
        )
        points.reach("tracking.before_commit")
    points.reach("tracking.after_commit")


def settled(*, event: Event, now: datetime) -> Settled:
    """The row of a saga that this event brings to a new stage."""
    stage = STAGE_AFTER[event.type]
    is_over = stage in (Stage.COMPLETED, Stage.ENDED)
    failure = event.data.failure or Failure("", "")
    return Settled(
        saga_id=event.saga_id,
        stage=stage,
        status=status_after(stage=stage, last=facts.as_seen(event=event, now=now)),
        failure_step=failure.step,
        failure_code=failure.code,
        failure_detail=failure.detail,
        finished_at=event.occurred_at if is_over else None,
        watch_at=None if is_over else next_look(now=now),
    )


def ask(*, asked: Sequence[Asked], now: datetime) -> None:
    """Says and records it, for locked sagas. A second time says nothing new."""
    said = [
        facts.requested(
            event_type=ASKS[one.action],
            saga_id=one.saga_id,
            context=one.context,
            # The pivot is the step that then does not happen. An abort names no earlier one:
            # what is refused at the first step is told apart by carrito.
            failure=Failure(sagas.COMMIT, one.code, one.reason or f"Asked by {one.requested_by}."),
            now=now,
        )
        for one in asked
    ]
    trail.add_seen(
        seen=[facts.as_seen(event=event, now=now) for event in said], watch_at=next_look(now=now)
    )
    returns = [event for event in said if event.type in STAGE_AFTER]
    if returns:
        trail.settle(settled=[settled(event=event, now=now) for event in returns])
    outbox.add(service=SERVICE, said=said)
    Intervention.objects.bulk_create([record_of(asked=one, now=now) for one in asked])


def record_of(*, asked: Asked, now: datetime) -> Intervention:
    """Who asked for what, and when."""
    return Intervention(
        saga_id=asked.saga_id,
        action=asked.action,
        requested_by=asked.requested_by,
        reason=asked.reason,
        requested_at=now,
    )


def _is_new(event: Event, locked: Locked) -> bool:
    """A row whose stage can't be read is left to the watchdog, which parks it."""
    return locked.stage is not None and STAGE_AFTER[event.type] > locked.stage


def _is_sold_after_all(event: Event, locked: Locked) -> bool:
    return locked.is_stopped and event.type == events.CHECKOUT_COMPLETED


def _return(completed: Sequence[Event], now: datetime) -> None:
    """An abort that a person asked for came too late for these: what was asked for is a return."""
    if completed:
        ask(asked=list(_returns(completed)), now=now)


def _returns(completed: Sequence[Event]) -> Iterator[Asked]:
    stops = trail.stops(saga_ids=[one.saga_id for one in completed])
    for one in completed:
        stop = stops.get(one.saga_id, Stop("unknown", ""))
        yield Asked(
            saga_id=one.saga_id,
            context=one.data.context,
            action=Action.RETURN,
            requested_by=stop.requested_by,
            reason=stop.reason,
        )


def _furthest_of_each(heard: Sequence[Event]) -> dict[str, Event]:
    """For each saga the event that brings it furthest, of those that change a stage."""
    reached: dict[str, Event] = {}
    for event in heard:
        if event.type in STAGE_AFTER:
            known = reached.setdefault(event.saga_id, event)
            if STAGE_AFTER[event.type] > STAGE_AFTER[known.type]:
                reached[event.saga_id] = event
    return reached


def _lock_stages(reached: Mapping[str, Event], now: datetime) -> dict[str, Locked]:
    stages = trail.lock_stages(saga_ids=reached)
    unknown = [event for saga_id, event in reached.items() if saga_id not in stages]
    if unknown:
        trail.add_sagas(
            started=[_from_its_event(one, now) for one in unknown], watch_at=next_look(now=now)
        )
        stages = trail.lock_stages(saga_ids=reached)
    return stages


def _from_its_event(event: Event, now: datetime) -> trail.Started:
    """A saga whose row is not here (a backup was put back, say): every event carries the whole.

    Its time begins now: the event's own is of another host's clock.
    """
    checkout = msgspec.json.decode(event.data.context, type=Checkout)
    return trail.Started(checkout=checkout, initiated=facts.initiated(checkout=checkout, now=now))
