"""Messages that could not be handled: tried again with growing delays, then left to a person.

Whoever leaves one to a person says so (`step.parked`), so that it is seen which saga waits there.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from django.db import transaction

from contracts import events, projection, refusals
from contracts.events import Event, Facts
from contracts.outcomes import Failure
from messaging import outbox, parked
from messaging.brokers import Message
from messaging.models import ParkedStatus, storable
from messaging.parked import Aside, Due
from participant import failpoints, sql

log = logging.getLogger(__name__)

DELAYS = (1, 2, 4, 8)
"""Seconds before the second, third, ... attempt; after the last one the message is parked."""
ROUND_SECONDS = 0.5
"""How long one round of retries may keep new messages waiting."""
AT_ONCE = 20


def set_aside(*, service: str, event: Event, attempts: int, reason: str) -> None:
    """Keeps the message for a later attempt; it may be acked then. A duplicate is not kept twice,
    and a redrive has the one that waits for a person tried again.

    `attempts`: so far; none where it only met a locked row.
    """
    message = Message(event.id, event.route, events.encode(event))
    delay = DELAYS[max(attempts, 1) - 1]
    aside = Aside(message, event.saga_id, attempts, reason, delay)
    failpoints.reach("parking.before_set_aside")
    is_kept = event.redrive and parked.revive(service=service, aside=aside)
    failpoints.reach("parking.before_add")
    if not is_kept:
        parked.add(service=service, aside=aside)
    failpoints.reach("parking.added")
    log.error("set aside %s: %.500s", event.route, reason, extra={"saga_id": event.saga_id})


def park_unreadable(*, service: str, message: Message, reason: str, is_again: bool = True) -> None:
    """Keeps a message that no attempt can handle, for a person.

    `is_again`: whether it may be kept already, which costs a search.
    """
    failpoints.reach("parking.before_park")
    parked.add(service=service, aside=Aside(message, "", 1, reason, None), is_again=is_again)
    failpoints.reach("parking.parked")
    log.error("parked unreadable message %.64r (%.64r): %.500s", message.id, message.type, reason)


def retry_due(
    *,
    service: str,
    handle: Callable[[Event], None],
    step_of: Callable[[Event], str],
    limit: int = AT_ONCE,
) -> int:
    """Tries messages whose time has come, for a while; returns how many there were.

    `step_of`: the step that an event sets off, empty where it is none of a saga's. They are tried
    one by one, so none waits long for a locked row. Raises what is an outage of the database, and
    then no attempt is counted.
    """
    count, until = 0, time.monotonic() + ROUND_SECONDS
    while True:
        failpoints.reach("parking.before_claim")
        due = parked.claim_due(service=service, limit=limit)
        if due:
            with sql.impatient(service=service):
                for one in due:
                    failpoints.reach("parking.claimed")
                    _retry(service, one, handle, step_of)
        count += len(due)
        if len(due) < limit or time.monotonic() >= until:
            return count


def _retry(
    service: str, due: Due, handle: Callable[[Event], None], step_of: Callable[[Event], str]
) -> None:
    event = None
    try:
        event = events.decode(due.body)
        handle(event)
    except Exception as error:  # any fault counts as a failed attempt, kept with its reason
        if sql.is_outage(error):
            raise
        _failed_again(service, due, error, event, step_of(event) if event else "")
        return
    failpoints.reach("parking.before_handled")
    parked.settle(service=service, parked_id=due.id, status=ParkedStatus.HANDLED)
    failpoints.reach("parking.handled")
    close(service=service, handled=[event])


def being_tried(*, service: str, redrives: Sequence[Event]) -> set[str]:
    """The ids of those that are aside and will be tried again anyway: no use for a copy."""
    if not redrives:
        return set()
    return parked.retrying(service=service, event_ids=[one.id for one in redrives])


def close(*, service: str, handled: Sequence[Event]) -> None:
    """What waited for a person need not any more: the same event was handled."""
    if handled:
        failpoints.reach("parking.before_close")
        parked.close(service=service, event_ids=[one.id for one in handled])
        failpoints.reach("parking.closed")


def retry(*, service: str, ids: Sequence[int]) -> list[int]:
    """An operator's: puts those of these that are aside among those that are tried, from the
    start; returns which.
    """
    return parked.retry(service=service, ids=ids)


def discard(*, service: str, ids: Sequence[int]) -> list[int]:
    """An operator's: those of these that are aside are not wanted any more; returns which. The
    rows stay as a record.
    """
    return parked.discard(service=service, ids=ids)


def _failed_again(service: str, due: Due, error: Exception, event: Event | None, step: str) -> None:
    """`event`: None where none can be read; `step`: empty where nobody need be told that it waits
    for a person. A row that somebody has locked is no fault of the message: no attempt counts.
    """
    reason = repr(error)
    is_last = event is None or due.attempts >= len(DELAYS)
    delay = None if is_last else DELAYS[due.attempts]
    with transaction.atomic(using=service):
        if sql.is_busy(error):
            parked.postpone(service=service, due=due, reason=reason)
            is_last = False
        elif not parked.failed_again(service=service, due=due, reason=reason, delay=delay):
            is_last = False
        if is_last and event and step:
            outbox.add(service=service, said=[_parked(service, event, step, reason)])
        failpoints.reach("parking.before_failed_again")
    failpoints.reach("parking.failed_again")
    log.error("attempt %d at parked message %d: %.500s", due.attempts + 1, due.id, reason)


def _parked(service: str, cause: Event, step: str, reason: str) -> Event:
    """Says that this service has set the message aside for a person."""
    return Event(
        id=events.event_id(
            saga_id=cause.saga_id, step=step, direction=f"parked {service} {cause.type}"
        ),
        type=projection.STEP_PARKED,
        saga_id=cause.saga_id,
        saga=cause.saga,
        occurred_at=datetime.now(UTC),
        data=Facts(
            context=cause.data.context,
            result={"service": service, "event": cause.type},
            failure=Failure(step, refusals.GIVEN_UP, storable(text=reason)),
        ),
        cause_id=cause.id,
        traceparent=cause.traceparent,
    )
