"""The table of messages that were set aside: all its SQL."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from contracts.bounds import MOST_ID
from messaging.brokers import Message
from messaging.models import ParkedStatus, storable
from participant import sql

CLAIM_SECONDS = 20
"""Enough for a round of retries; after a crash or an outage in it the messages wait no longer."""


class Due(NamedTuple):
    """A message whose time has come. `attempts`: so far."""

    id: int
    attempts: int
    body: bytes


class Aside(NamedTuple):
    """A message to be kept. `delay`: seconds until its next attempt; None waits for a person."""

    message: Message
    saga_id: str
    attempts: int
    reason: str
    delay: int | None


def add(*, service: str, aside: Aside, is_again: bool = True) -> None:
    """Keeps it, unless the very same message is kept already; which is not looked for if it
    can't be.
    """
    message = aside.message
    status = ParkedStatus.PARKED if aside.delay is None else ParkedStatus.RETRYING
    names = [_id(message.id), _id(message.type)]
    _execute(
        service,
        """
        INSERT INTO {table}
               (event_id, event_type, saga_id, body, status, attempts, reason, next_attempt_at)
        SELECT %s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s)
        WHERE NOT (%s AND EXISTS (SELECT FROM {table} WHERE event_id = %s AND event_type = %s
                                  AND body = %s AND status IN ('retrying', 'parked')))
        """,
        [
            *[*names, _id(aside.saga_id), message.body, status.value],
            *[aside.attempts, storable(text=aside.reason), aside.delay],
            *[is_again, *names, message.body],
        ],
    )


def revive(*, service: str, aside: Aside) -> bool:
    """Has one of this event that waits for a person tried again; whether there was one."""
    return bool(
        _execute(
            service,
            """
            UPDATE {table} SET status = 'retrying', attempts = %s, reason = %s,
                   next_attempt_at = now() + make_interval(secs => %s)
            WHERE event_id = %s AND event_type = %s AND status = 'parked' RETURNING id
            """,
            [
                *[aside.attempts, storable(text=aside.reason), aside.delay],
                *[_id(aside.message.id), _id(aside.message.type)],
            ],
        )
    )


def claim_due(*, service: str, limit: int) -> list[Due]:
    """Messages whose time has come; nobody else has them for `CLAIM_SECONDS`."""
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


def failed_again(*, service: str, due: Due, reason: str, delay: int | None) -> bool:
    """Counts the attempt; whether it counts still: a person may have discarded the message."""
    status = ParkedStatus.PARKED if delay is None else ParkedStatus.RETRYING
    return bool(
        _execute(
            service,
            """
            UPDATE {table} SET attempts = %s, reason = %s, status = %s,
                   next_attempt_at = now() + make_interval(secs => %s)
            WHERE id = %s AND status = 'retrying' RETURNING id
            """,
            [due.attempts + 1, storable(text=reason), status.value, delay, due.id],
        )
    )


def postpone(*, service: str, due: Due, reason: str) -> None:
    """Waits as long again as it has waited, up to 8 s; the attempts stay as they are."""
    _execute(
        service,
        """
        UPDATE {table} SET reason = %s,
               next_attempt_at = now() + greatest(least(now() - parked_at, interval '8 s'),
                                                  interval '1 s')
        WHERE id = %s AND status = 'retrying'
        """,
        [storable(text=reason), due.id],
    )


def retry(*, service: str, ids: Sequence[int]) -> list[int]:
    """Puts them among those that are tried, from the first attempt; which of them."""
    found = _execute(
        service,
        """
        UPDATE {table} SET status = 'retrying', attempts = 0, next_attempt_at = now()
        WHERE id = ANY(%s) AND status IN ('parked', 'retrying') RETURNING id
        """,
        [list(ids)],
    )
    return [row[0] for row in found]


def discard(*, service: str, ids: Sequence[int]) -> list[int]:
    """They need nobody any more; the rows stay as a record. Which of them."""
    found = _execute(
        service,
        """
        UPDATE {table} SET status = 'discarded', next_attempt_at = NULL
        WHERE id = ANY(%s) AND status IN ('parked', 'retrying') RETURNING id
        """,
        [list(ids)],
    )
    return [row[0] for row in found]


def settle(*, service: str, parked_id: int, status: ParkedStatus) -> None:
    """It needs nobody any more; the row stays as a record."""
    _execute(
        service,
        "UPDATE {table} SET status = %s, next_attempt_at = NULL WHERE id = %s",
        [status.value, parked_id],
    )


def close(*, service: str, event_ids: Sequence[str]) -> None:
    """Those of these events that waited for a person need nobody any more."""
    _execute(
        service,
        "UPDATE {table} SET status = 'handled' WHERE event_id = ANY(%s) AND status = 'parked'",
        [list(event_ids)],
    )


def retrying(*, service: str, event_ids: Sequence[str]) -> set[str]:
    """Those of these events that will be tried again anyway."""
    rows = _execute(
        service,
        "SELECT event_id FROM {table} WHERE event_id = ANY(%s) AND status = 'retrying'",
        [list(event_ids)],
    )
    return {row[0] for row in rows}


def _id(text: str) -> str:
    return storable(text=text, longest=MOST_ID)


def _execute(service: str, statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
    table = f"{service}_parkedmessage"
    return sql.execute(service=service, sql=statement.format(table=table), values=values)
