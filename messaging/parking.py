"""Messages that could not be handled: tried again with growing delays, then left to a person."""

import logging
from collections.abc import Callable
from typing import Any

from contracts import events
from contracts.events import Event
from messaging.brokers import Message
from messaging.models import ParkedStatus
from sagas import sql

log = logging.getLogger(__name__)

DELAYS = (1, 2, 4, 8)
"""Seconds before the second, third, ... attempt; after the last one the message is parked."""


def set_aside(*, service: str, event: Event, reason: str) -> None:
    """Keeps the message for a later attempt; it may be acked then."""
    message = Message(event.id, event.type, events.encode(event))
    _insert(service, message, event.saga_id, ParkedStatus.RETRYING, reason, DELAYS[0])
    log.error("set aside %s: %s", event.type, reason, extra={"saga_id": event.saga_id})


def park_unreadable(*, service: str, message: Message, reason: str) -> None:
    """Keeps a message that no attempt can handle, for a person."""
    _insert(service, message, "", ParkedStatus.PARKED, reason, None)
    log.error("parked unreadable message %s (%s): %s", message.id, message.type, reason)


def retry_due(*, service: str, handle: Callable[[Event], None], limit: int = 20) -> int:
    """Tries messages whose time has come; returns how many there were."""
    due = _claim_due(service, limit)
    for parked_id, attempts, body in due:
        try:
            handle(events.decode(body))
        except Exception as error:  # noqa: BLE001 -- any fault counts as a failed attempt, kept with its reason
            _failed_again(service, parked_id, attempts + 1, repr(error))
        else:
            _set_status(service, parked_id, ParkedStatus.HANDLED)
    return len(due)


def retry(*, service: str, parked_id: int) -> None:
    """An operator's: puts a parked message back among those that are tried, from the start."""
    _execute(
        service,
        """
        UPDATE {table} SET status = 'retrying', attempts = 0, next_attempt_at = now()
        WHERE id = %s AND status IN ('parked', 'retrying')
        """,
        [parked_id],
    )


def discard(*, service: str, parked_id: int) -> None:
    """An operator's: the message is not wanted any more; the row stays as a record."""
    _set_status(service, parked_id, ParkedStatus.DISCARDED)


def _claim_due(service: str, limit: int) -> list[tuple[int, int, bytes]]:
    rows = _execute(
        service,
        """
        UPDATE {table} SET next_attempt_at = now() + interval '1 minute'
        WHERE id IN (SELECT id FROM {table} WHERE status = 'retrying' AND next_attempt_at <= now()
                     ORDER BY next_attempt_at LIMIT %s FOR UPDATE SKIP LOCKED)
        RETURNING id, attempts, body
        """,
        [limit],
    )
    return [(row[0], row[1], bytes(row[2])) for row in rows]


def _failed_again(service: str, parked_id: int, attempts: int, reason: str) -> None:
    is_last = attempts > len(DELAYS)
    _execute(
        service,
        """
        UPDATE {table} SET attempts = %s, reason = %s, status = %s,
               next_attempt_at = now() + make_interval(secs => %s)
        WHERE id = %s
        """,
        [
            attempts,
            reason,
            (ParkedStatus.PARKED if is_last else ParkedStatus.RETRYING).value,
            0 if is_last else DELAYS[attempts - 1],
            parked_id,
        ],
    )
    log.error("attempt %d at parked message %d: %s", attempts, parked_id, reason)


def _set_status(service: str, parked_id: int, status: ParkedStatus) -> None:
    _execute(
        service,
        "UPDATE {table} SET status = %s, next_attempt_at = NULL WHERE id = %s",
        [status.value, parked_id],
    )


def _insert(
    service: str,
    message: Message,
    saga_id: str,
    status: ParkedStatus,
    reason: str,
    delay: int | None,
) -> None:
    _execute(
        service,
        """
        INSERT INTO {table}
               (event_id, event_type, saga_id, body, status, attempts, reason, next_attempt_at)
        VALUES (%s, %s, %s, %s, %s, 1, %s, now() + make_interval(secs => %s))
        """,
        [message.id, message.type, saga_id, message.body, status.value, reason, delay],
    )


def _execute(service: str, statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
    table = f"{service}_parkedmessage"
    return sql.execute(service=service, sql=statement.format(table=table), values=values)
