"""The outbox: an event is a row of the business transaction, so it is said if and only if that
transaction commits. The relay sends the rows; nobody else does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections, transaction

from contracts import events
from contracts.events import Event
from messaging import doorbell
from sagas import sql

CHANNEL = "outbox"


@dataclass(frozen=True, kw_only=True)
class Unsent:
    """A row that waits for the relay."""

    id: int
    event_id: str
    event_type: str
    body: bytes


def add(*, service: str, said: Sequence[Event]) -> None:
    """Writes the events, in order, in the transaction that is open; wakes the relay after it."""
    if not said:
        return
    sql.execute(
        service=service,
        sql=f"""
            INSERT INTO {_table(service)} (event_id, event_type, saga_id, body)
            SELECT * FROM json_to_recordset(%s)
                     AS v (event_id text, event_type text, saga_id text, body text)
            """,
        values=[
            sql.rows(
                {
                    "event_id": event.id,
                    "event_type": event.type,
                    "saga_id": event.saga_id,
                    "body": events.encode(event).decode(),
                }
                for event in said
            )
        ],
    )
    transaction.on_commit(lambda: doorbell.ring(service=service, channel=CHANNEL), using=service)


def unsent(*, service: str, limit: int) -> list[Unsent]:
    """The oldest rows that are not confirmed yet, in order.

    Asks for the rows themselves, not for ids after the last one seen: a transaction that took an
    early id may commit late.
    """
    found = sql.execute(
        service=service,
        sql=f"""
            SELECT id, event_id, event_type, body FROM {_table(service)}
            WHERE sent_at IS NULL ORDER BY id LIMIT %s
            """,
        values=[limit],
    )
    return [
        Unsent(id=row[0], event_id=row[1], event_type=row[2], body=row[3].encode()) for row in found
    ]


def mark_sent(*, service: str, ids: Sequence[int]) -> None:
    """Called once the broker has confirmed them."""
    sql.execute(
        service=service,
        sql=f"UPDATE {_table(service)} SET sent_at = clock_timestamp() WHERE id = ANY(%s)",
        values=[list(ids)],
    )


def forget_sent(*, service: str, older_than_seconds: int, limit: int = 10_000) -> int:
    """Deletes rows sent long ago, at most `limit`; returns how many."""
    with connections[service].cursor() as cursor:
        cursor.execute(
            f"""
            DELETE FROM {_table(service)} WHERE id IN (
                SELECT id FROM {_table(service)}
                WHERE sent_at < now() - make_interval(secs => %s) ORDER BY id LIMIT %s)
            """,
            [older_than_seconds, limit],
        )
        return int(cursor.rowcount)


def _table(service: str) -> str:
    return f"{service}_outboxentry"
