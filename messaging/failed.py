"""Messages whose handling failed: retried with growing delays, then dead-lettered for a person.

A dead letter is announced (`step.parked`), so that it is seen which saga waits there. All SQL of
the table is here.
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
"""Seconds before the second, third, ... attempt; after the last one it is a dead letter."""
ROUND_SECONDS = 0.5
"""How long one round of retries may keep new messages waiting."""
AT_ONCE = 20
_BELIEVED = f"reason NOT LIKE '{refusals.NOT_ITS_TO_SAY}:%%'"
"""Who published the others is not kept with them: tried again, they would be taken for true."""
CLAIM_SECONDS = 20
"""Enough for a round of retries; after a crash or an outage in it the messages wait no longer."""


class Due(NamedTuple):
    """A message whose time has come. `attempts`: so far."""

    id: int
    attempts: int
    body: bytes


class FailedDelivery(NamedTuple):
    """A message to be kept. `delay`: seconds until its next attempt; None: a dead letter."""

    message: Message
    saga_id: str
    attempts: int
    reason: str
    delay: int | None


def keep(*, service: str, event: Event, attempts: int, error: Exception) -> None:
    """Keeps the message for a later attempt; it may be acked then. A duplicate is not kept twice,
    and a redrive has its dead letter tried again.

    `attempts`: so far; none where it only met a locked row.
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
    """Keeps a message that no attempt can handle, for a person.

    `is_again`: whether it may be kept already, which costs a search.
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
    """Tries messages whose time has come, for a while; returns how many there were.

    `step_of`: the step that an event sets off, empty where it is none of a saga's. They are tried
    one by one, so none waits long for a locked row. Raises what is an outage of the database, and
    then no attempt is counted.
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
    """The ids of those that have failed and will be retried anyway: no use for a copy."""
    if not redrives:
        return set()
    return retrying(service=service, event_ids=[event.id for event in redrives])


def close(*, service: str, handled: Sequence[Event]) -> None:
    """Dead letters of these events are settled: the events were handled."""
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
    """`event`: None where none can be read; `step`: empty where its dead letter need not be
    announced. A row that is locked is no fault of the message: no attempt counts.
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
    """Tells that this service has left the message to a person."""
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
    """Keeps it, unless the very same message is kept already; which is not looked for if it
    can't be.
    """
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
    """Has a dead letter of this event retried; whether there was one."""
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
    """Messages whose time has come; no other worker has them for `CLAIM_SECONDS`."""
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
    """Counts the attempt; whether it counts still: a person may have discarded the message."""
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
    """Waits as long again as it has waited, up to 8 s; the attempts stay as they are."""
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
    """An operator's: has those of these that failed retried, from the first attempt; which. None of
    those that were not their speaker's to say (`unbelieved`).

    `note`: who asks and why, kept below the reason of each until it fails again, and in the log.
    """
    changes = "status = 'retrying', attempts = 0, next_attempt_at = now()"
    return _acted(service, ids, note, "message.retry", changes, only=_BELIEVED)


def unbelieved(*, service: str, ids: Sequence[int]) -> set[int]:
    """Which of these are for discarding alone: nobody may say them who has said them."""
    return set(
        _ids(
            service,
            f"SELECT id FROM {{table}} WHERE id = ANY(%s) AND status = 'dead_lettered'"
            f" AND NOT {_BELIEVED}",
            ids,
        )
    )


def discard(*, service: str, ids: Sequence[int], note: str = "") -> list[int]:
    """An operator's: those of these that failed are not wanted any more; which. The rows stay as
    a record, each with the `note`: who asked, and why.
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
    """The row stays as a record."""
    _ids(
        service,
        "UPDATE {table} SET status = 'handled', next_attempt_at = NULL WHERE id = ANY(%s)"
        " RETURNING id",
        [due.id],
    )


def close_dead_letters(*, service: str, event_ids: Sequence[str]) -> None:
    """Marks those of these events as handled."""
    _execute(
        service,
        "UPDATE {table} SET status = 'handled' WHERE event_id = ANY(%s)"
        " AND status = 'dead_lettered'",
        [list(event_ids)],
    )


def forget_sagas(*, service: str, saga_ids: Sequence[str]) -> None:
    """Deletes what is still to be handled of these sagas: they ended without it, long ago."""
    if saga_ids:
        _execute(
            service,
            "DELETE FROM {table} WHERE saga_id = ANY(%s)"
            " AND status IN ('retrying', 'dead_lettered')",
            [list(saga_ids)],
        )


def retrying(*, service: str, event_ids: Sequence[str]) -> set[str]:
    """Those of these events that will be retried anyway."""
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
