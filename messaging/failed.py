"""Messages whose handling failed: retried with growing delays, then dead-lettered for an operator.

A dead letter is announced (`step.parked`), so that its saga is shown as parked. All SQL on the
table is here.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import transaction

from contracts import events, projection, refusals
from contracts.bounds import MOST_ID
from contracts.events import Event, Facts
from contracts.outcomes import Failure
from messaging import outbox
from messaging.brokers import Message
from messaging.models import FailedStatus, storable
from participant import failpoints, sql, trail

log = logging.getLogger(__name__)

DELAYS = (1, 2, 4, 8)
"""Seconds before the second, third, ... attempt; after the last attempt it is a dead letter."""
ROUND_SECONDS = 0.5
"""How long one round of retries may delay new messages."""
AT_ONCE = 20
_BELIEVED = f"reason NOT LIKE '{refusals.NOT_ITS_TO_SAY}:%%'"
"""The other messages had a publisher that may not publish them. The publisher is not stored, so a
retry would accept them."""
CLAIM_SECONDS = 20
"""Long enough for a round of retries; if it crashes, its messages are due again after this time."""


class Due(NamedTuple):
    """A message whose retry is due. `attempts`: so far."""

    id: int
    attempts: int
    body: bytes


class FailedDelivery(NamedTuple):
    """A message to be stored. `delay`: seconds until its next attempt; None: a dead letter."""

    message: Message
    saga_id: str
    attempts: int
    reason: str
    delay: int | None


def keep(*, service: str, event: Event, attempts: int, error: Exception) -> None:
    """Stores the message for a later attempt; then it may be acked. A duplicate is not stored
    twice, and a redrive revives its dead letter.

    `attempts`: so far; 0 if it only met a locked row.
    """
    message, reason = Message(event.id, event.route, events.encode(event)), sql.category(error)
    failed = FailedDelivery(message, event.saga_id, attempts, reason, DELAYS[max(attempts, 1) - 1])
    failpoints.reach("failed.before_keep")
    is_kept = event.redrive and revive(service=service, failed=failed)
    failpoints.reach("failed.before_insert")
    if not is_kept:
        insert(service=service, failed=failed)
    failpoints.reach("failed.inserted")
    log.error("failed: %s, to be retried: %.500r", event.route, error, extra=_of(event.saga_id))


def dead_letter(*, service: str, message: Message, reason: str, is_again: bool = True) -> None:
    """Stores a message that no attempt can handle, for an operator.

    `is_again`: whether it may be stored already, which costs a query.
    """
    failpoints.reach("failed.before_dead_letter")
    insert(service=service, failed=FailedDelivery(message, "", 1, reason, None), is_again=is_again)
    failpoints.reach("failed.dead_lettered")
    log.error("unreadable message %.64r (%.64r): %.500s", message.id, message.type, reason)


def retry_due(
    *,
    service: str,
    handle: Callable[[Event], None],
    step_of: Callable[[Event], str],
    limit: int = AT_ONCE,
) -> int:
    """Retries messages that are due, for at most about ROUND_SECONDS; returns their number.

    `step_of`: the step that an event causes; empty if there is none. Messages are retried one by
    one, with a short lock timeout. Raises errors that are an outage of the database; then no
    attempt is counted.
    """
    count, until = 0, time.monotonic() + ROUND_SECONDS
    while True:
        failpoints.reach("failed.before_claim")
        due = claim_due(service=service, limit=limit)
        if due:
            with sql.impatient(service=service):
                for message in due:
                    failpoints.reach("failed.claimed")
                    _retry(service, message, handle, step_of)
        count += len(due)
        if len(due) < limit or time.monotonic() >= until:
            return count


def being_retried(*, service: str, redrives: Sequence[Event]) -> set[str]:
    """The ids of redrives whose message failed and will be retried anyway."""
    if not redrives:
        return set()
    return retrying(service=service, event_ids=[event.id for event in redrives])


def close(*, service: str, handled: Sequence[Event]) -> None:
    """Closes the dead letters of these events, which were handled."""
    if handled:
        failpoints.reach("failed.before_close")
        close_dead_letters(service=service, event_ids=[event.id for event in handled])
        failpoints.reach("failed.closed")


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
    failpoints.reach("failed.before_handled")
    mark_handled(service=service, due=due)
    failpoints.reach("failed.handled")
    close(service=service, handled=[event])


def _failed_again(service: str, due: Due, error: Exception, event: Event | None, step: str) -> None:
    """Counts a failed attempt, unless it only met a locked row. `event`: None if it can't be read;
    `step`: empty if its dead letter need not be announced.
    """
    reason = sql.category(error)
    is_last = event is None or due.attempts >= len(DELAYS)
    delay = None if is_last else DELAYS[due.attempts]
    with transaction.atomic(using=service):
        if sql.is_busy(error):
            postpone(service=service, due=due, reason=reason)
            is_last = False
        elif not count_attempt(service=service, due=due, reason=reason, delay=delay):
            is_last = False
        if is_last and event and step:
            outbox.add(service=service, events=[_step_parked(service, event, step, reason)])
        failpoints.reach("failed.before_count")
    failpoints.reach("failed.counted")
    log.error("attempt %d at failed message %d: %.500r", due.attempts + 1, due.id, error)


def _step_parked(service: str, cause: Event, step: str, reason: str) -> Event:
    """The event that this service has dead-lettered a message of a saga."""
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


def insert(*, service: str, failed: FailedDelivery, is_again: bool = True) -> None:
    """Stores a failed message. `is_again`: unless the same message is stored already."""
    message = failed.message
    names = [_id(message.id), _id(message.type)]
    _execute(
        service,
        """
        INSERT INTO {table}
               (event_id, event_type, saga_id, body, status, attempts, reason, next_attempt_at)
        SELECT %s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s)
        WHERE NOT (%s AND EXISTS (SELECT FROM {table} WHERE event_id = %s AND event_type = %s
                                  AND body = %s AND status IN ('retrying', 'dead_lettered')))
        """,
        [
            *[*names, _id(failed.saga_id), message.body, _status(failed.delay)],
            *[failed.attempts, storable(text=failed.reason), failed.delay],
            *[is_again, *names, message.body],
        ],
    )


def revive(*, service: str, failed: FailedDelivery) -> bool:
    """Makes a dead letter of this event retry; whether there was a dead letter."""
    return bool(
        _execute(
            service,
            f"""
            UPDATE {{table}} SET status = 'retrying', attempts = %s, reason = %s,
                   next_attempt_at = now() + make_interval(secs => %s)
            WHERE event_id = %s AND event_type = %s AND status = 'dead_lettered' AND {_BELIEVED}
            RETURNING id
            """,
            [
                *[failed.attempts, storable(text=failed.reason), failed.delay],
                *[_id(failed.message.id), _id(failed.message.type)],
            ],
        )
    )


def claim_due(*, service: str, limit: int) -> list[Due]:
    """Claims messages that are due, for `CLAIM_SECONDS`."""
    rows = _execute(
        service,
        """
        UPDATE {table} SET next_attempt_at = now() + make_interval(secs => %s)
        WHERE id IN (SELECT id FROM {table} WHERE status = 'retrying' AND next_attempt_at <= now()
                     ORDER BY next_attempt_at LIMIT %s FOR UPDATE SKIP LOCKED)
        RETURNING id, attempts, body
        """,
        [CLAIM_SECONDS, limit],
    )
    return [Due(row[0], row[1], bytes(row[2])) for row in rows]


def count_attempt(*, service: str, due: Due, reason: str, delay: int | None) -> bool:
    """Counts the attempt; False if the message is not being retried: it may have been discarded."""
    return bool(
        _execute(
            service,
            """
            UPDATE {table} SET attempts = %s, reason = %s, status = %s,
                   next_attempt_at = now() + make_interval(secs => %s)
            WHERE id = %s AND status = 'retrying' RETURNING id
            """,
            [due.attempts + 1, storable(text=reason), _status(delay), delay, due.id],
        )
    )


def postpone(*, service: str, due: Due, reason: str) -> None:
    """Delays the message for as long as it has waited so far, from 1 to 8 s; counts no attempt."""
    _execute(
        service,
        """
        UPDATE {table} SET reason = %s,
               next_attempt_at = now() + greatest(least(now() - failed_at, interval '8 s'),
                                                  interval '1 s')
        WHERE id = %s AND status = 'retrying'
        """,
        [storable(text=reason), due.id],
    )


def retry(*, service: str, ids: Sequence[int], note: str = "") -> list[int]:
    """For operators: makes failed messages retry, from the first attempt; returns which. Leaves out
    messages that their publisher may not publish (`unbelieved`).

    `note`: who asks and why; stored below the message's reason until it fails again, and logged.
    """
    changes = "status = 'retrying', attempts = 0, next_attempt_at = now()"
    return _acted(service, ids, note, "message.retry", changes, only=_BELIEVED)


def unbelieved(*, service: str, ids: Sequence[int]) -> set[int]:
    """The dead letters that can only be discarded: their publisher may not publish them."""
    return set(
        _ids(
            service,
            f"SELECT id FROM {{table}} WHERE id = ANY(%s) AND status = 'dead_lettered'"
            f" AND NOT {_BELIEVED}",
            ids,
        )
    )


def discard(*, service: str, ids: Sequence[int], note: str = "") -> list[int]:
    """For operators: discards failed messages; returns which. The rows are kept, each with the
    `note`: who asked, and why.
    """
    changes = "status = 'discarded', next_attempt_at = NULL"
    return _acted(service, ids, note, "message.discard", changes)


def _acted(
    service: str, ids: Sequence[int], note: str, action: str, changes: str, *, only: str = "TRUE"
) -> list[int]:
    with transaction.atomic(using=service):
        rows = _changed(service, ids, note, changes, only)
        trail.note(
            service=service,
            action=action,
            subjects=[
                (f"message {row_id}", f"{event_type} of {saga_id}")
                for row_id, saga_id, event_type in rows
            ],
        )
    for row_id, saga_id, _ in rows if note else ():
        log.info("failed message %d: %s", row_id, note, extra=_of(saga_id))
    return [row[0] for row in rows]


def _changed(
    service: str, ids: Sequence[int], note: str, changes: str, only: str
) -> list[tuple[Any, ...]]:
    return _execute(
        service,
        "UPDATE {table} SET "
        + changes
        + """, reason = concat_ws(E'\\n', nullif(reason, ''), nullif(%s, ''))
        WHERE id = ANY(%s) AND status IN ('dead_lettered', 'retrying') AND """
        + only
        + " RETURNING id, saga_id, event_type",
        [storable(text=note), list(ids)],
    )


def mark_handled(*, service: str, due: Due) -> None:
    """Marks a message as handled; its row is kept."""
    _ids(
        service,
        "UPDATE {table} SET status = 'handled', next_attempt_at = NULL WHERE id = ANY(%s)"
        " RETURNING id",
        [due.id],
    )


def close_dead_letters(*, service: str, event_ids: Sequence[str]) -> None:
    """Marks the dead letters of these events as handled."""
    _execute(
        service,
        "UPDATE {table} SET status = 'handled' WHERE event_id = ANY(%s)"
        " AND status = 'dead_lettered'",
        [list(event_ids)],
    )


def forget_sagas(*, service: str, saga_ids: Sequence[str]) -> None:
    """Deletes the unhandled messages of these sagas, which ended without them long ago."""
    if saga_ids:
        _execute(
            service,
            "DELETE FROM {table} WHERE saga_id = ANY(%s)"
            " AND status IN ('retrying', 'dead_lettered')",
            [list(saga_ids)],
        )


def retrying(*, service: str, event_ids: Sequence[str]) -> set[str]:
    """Those of these events that will be retried."""
    rows = _execute(
        service,
        "SELECT event_id FROM {table} WHERE event_id = ANY(%s) AND status = 'retrying'",
        [list(event_ids)],
    )
    return {row[0] for row in rows}


def _status(delay: int | None) -> str:
    return (FailedStatus.DEAD_LETTERED if delay is None else FailedStatus.RETRYING).value


def _id(text: str) -> str:
    return storable(text=text, longest=MOST_ID)


def _of(saga_id: str) -> dict[str, str]:
    return {"saga_id": saga_id}


def _ids(service: str, statement: str, ids: Sequence[int]) -> list[int]:
    return [row[0] for row in _execute(service, statement, [list(ids)])]


def _execute(service: str, statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
    table = f"{service}_failedmessage"
    return sql.execute(service=service, sql=statement.format(table=table), values=values)
