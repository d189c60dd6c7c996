"""Messages that could not be handled: tried again with growing delays, then left to a person.

Whoever leaves one to a person says so (`step.parked`), so that it is seen which saga waits there.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from django.db import transaction

from contracts import events, refusals
from contracts.events import Event, Facts
from contracts.outcomes import Failure
from messaging import outbox, parked
from messaging.brokers import Message
from messaging.models import ParkedStatus
from messaging.parked import Aside, Due
from sagas import points

log = logging.getLogger(__name__)

DELAYS = (1, 2, 4, 8)
"""Seconds before the second, third, ... attempt; after the last one the message is parked."""


def set_aside(*, service: str, event: Event, attempts: int, reason: str) -> None:
    """Keeps the message for a later attempt; it may be acked then. A duplicate is not kept twice,
    and a nudge has the one that waits for a person tried again.
    """
    message = Message(event.id, event.type, events.encode(event))
    aside = Aside(message, event.saga_id, attempts, reason, DELAYS[attempts - 1])
    points.reach("parking.before_set_aside")
    is_kept = event.nudge and parked.revive(service=service, aside=aside)
    points.reach("parking.before_add")
    if not is_kept:
        parked.add(service=service, aside=aside)
    points.reach("parking.added")
    log.error("set aside %s: %s", event.type, reason, extra={"saga_id": event.saga_id})


def park_unreadable(*, service: str, message: Message, reason: str) -> None:
    """Keeps a message that no attempt can handle, for a person."""
    points.reach("parking.before_park")
    parked.add(service=service, aside=Aside(message, "", 1, reason, None))
    points.reach("parking.parked")
    log.error("parked unreadable message %s (%s): %s", message.id, message.type, reason)


def retry_due(
    *,
    service: str,
    handle: Callable[[Event], None],
    step_of: Callable[[Event], str],
    limit: int = 20,
) -> int:
    """Tries messages whose time has come; returns how many there were.

    `step_of`: the step that an event sets off, empty where it is none of a saga's.
    """
    points.reach("parking.before_claim")
    due = parked.claim_due(service=service, limit=limit)
    for one in due:
        points.reach("parking.claimed")
        event = None
        try:
            event = events.decode(one.body)
            handle(event)
        except Exception as error:  # noqa: BLE001 -- any fault counts as a failed attempt, kept with its reason
            step = step_of(event) if event else ""
            _failed_again(service, one, repr(error), event if step else None, step)
        else:
            points.reach("parking.before_handled")
            parked.settle(service=service, parked_id=one.id, status=ParkedStatus.HANDLED)
            points.reach("parking.handled")
            close(service=service, handled=[event])
    return len(due)


def being_tried(*, service: str, nudges: Sequence[Event]) -> set[str]:
    """The ids of those that are aside and will be tried again anyway: no use for a copy."""
    if not nudges:
        return set()
    return parked.retrying(service=service, event_ids=[one.id for one in nudges])


def close(*, service: str, handled: Sequence[Event]) -> None:
    """What waited for a person need not any more: the same event was handled."""
    if handled:
        points.reach("parking.before_close")
        parked.close(service=service, event_ids=[one.id for one in handled])
        points.reach("parking.closed")


def retry(*, service: str, parked_id: int) -> None:
    """An operator's: puts a parked message back among those that are tried, from the start."""
    parked.retry(service=service, parked_id=parked_id)


def discard(*, service: str, parked_id: int) -> None:
    """An operator's: the message is not wanted any more; the row stays as a record."""
    parked.settle(service=service, parked_id=parked_id, status=ParkedStatus.DISCARDED)


def _failed_again(service: str, due: Due, reason: str, event: Event | None, step: str) -> None:
    """`event`: None where nobody need be told that it waits for a person."""
    is_last = due.attempts >= len(DELAYS)
    delay = None if is_last else DELAYS[due.attempts]
    with transaction.atomic(using=service):
        counts = parked.failed_again(service=service, due=due, reason=reason, delay=delay)
        if counts and is_last and event:
            outbox.add(service=service, said=[_parked(service, event, step, reason)])
        points.reach("parking.before_failed_again")
    points.reach("parking.failed_again")
    log.error("attempt %d at parked message %d: %s", due.attempts + 1, due.id, reason)


def _parked(service: str, cause: Event, step: str, reason: str) -> Event:
    """Says that this service has set the message aside for a person."""
    name = f"{events.STEP_PARKED} {service} {cause.type}"
    return Event(
        id=events.event_id(saga_id=cause.saga_id, event_type=name),
        type=events.STEP_PARKED,
        saga_id=cause.saga_id,
        saga=cause.saga,
        occurred_at=datetime.now(UTC),
        data=Facts(
            context=cause.data.context,
            result={"service": service, "event": cause.type},
            failure=Failure(step, refusals.GIVEN_UP, reason),
        ),
        cause_id=cause.id,
        traceparent=cause.traceparent,
    )
