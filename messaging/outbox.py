"""The outbox: an event is a row of the business transaction, so it is published if and only if that
transaction commits. The relay sends the rows; nothing else does.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from contracts.events import Event, encode
from messaging import wakeups
from messaging.models import storable
from participant import failpoints, sql, tracing, trail

log = logging.getLogger(__name__)

CHANNEL = "outbox"
PARTITIONS = 12
"""Divides evenly among 1, 2, 3, 4, 6 and 12 relays; a thirteenth relay is a spare."""
ALL_PARTITIONS = frozenset(range(PARTITIONS))
PARTITION_SQL = f"mod(hashtext(saga_id)::bigint + 2147483648, {PARTITIONS})"
"""The number of a row's partition."""
MOST_KEPT = 5_000
"""Rows that are kept in memory for a relay that can't send; further rows are only in the table."""
_DISTANCE = "power(2, least(attempts, 4))"
"""Seconds until a postponed row is retried: 1, 2, 4, 8, and 16 from then on."""


@dataclass(frozen=True, kw_only=True)
class Unsent:
    """A row that waits for the relay."""

    id: int
    event_id: str
    event_type: str
    body: bytes


_new_rows: dict[str, "NewRows"] = {}


def add(*, service: str, events: Sequence[Event]) -> None:
    """Inserts the events, in order, in the open transaction; wakes the relay after its commit."""
    if not events:
        return
    events, begun = tracing.begin(lambda event: f"send {event.type}", events, kind="producer")
    rows = sql.execute(
        service=service,
        sql=f"""
            INSERT INTO {_table(service)} (event_id, event_type, saga_id, body)
            SELECT * FROM json_to_recordset(%s)
                     AS v (event_id text, event_type text, saga_id text, body text)
            RETURNING id, event_id, event_type, body
            """,
        values=[
            sql.rows(
                {
                    "event_id": event.id,
                    "event_type": event.route,
                    "saga_id": event.saga_id,
                    "body": encode(event).decode(),
                }
                for event in events
            )
        ],
    )
    transaction.on_commit(lambda: _committed(service, rows, begun), using=service)


class NewRows:
    """The queue from this process's commits to its relay, and the wake-ups of other processes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rows: list[Unsent] = []
        self._takes_all = False
        self._is_woken = False

    def take_all(self, takes_all: bool) -> None:
        """Sets whether this relay alone sends all rows, or shares them with other relays."""
        with self._changed:
            self._takes_all = takes_all

    def give(self, rows: Sequence[Unsent]) -> bool:
        """Queues committed rows, so that the relay need not query the table for them.

        If there are too many (the broker takes nothing), they are dropped here and the relay
        queries the table. False if other relays send some of the rows: each then finds its own
        rows in the table, in order.
        """
        with self._changed:
            if not self._takes_all:
                return False
            if len(self._rows) + len(rows) > MOST_KEPT:
                self._rows.clear()
                self._is_woken = True
            else:
                self._rows.extend(rows)
            self._changed.notify()
        return True

    def set(self) -> None:
        """A wake-up: the table may have new rows."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def take(self, *, timeout: float, limit: int) -> tuple[list[Unsent], bool]:
        """Waits for queued rows or a wake-up; at most `limit` rows, and whether it was woken.

        After a wake-up the relay has to query the table, which has the queued rows too, in order.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._rows or self._is_woken, timeout)
            if self._is_woken:
                self._is_woken = False
                return [], True
            rows, self._rows = self._rows[:limit], self._rows[limit:]
        return rows, False

    def forget(self) -> None:
        """Drops the queued rows: the caller is about to query the table, which has them all."""
        with self._changed:
            self._rows.clear()


@contextmanager
def arriving(*, service: str) -> Iterator[NewRows]:
    """Within the block, rows that this process commits are also queued for its relay.

    Rows that other processes commit, or that a crash has left, are found with `unsent`.
    """
    new_rows = _new_rows[service] = NewRows()
    try:
        with wakeups.listening(service=service, channel=CHANNEL, flag=new_rows):
            yield new_rows
    finally:
        del _new_rows[service]


def _committed(service: str, rows: list[tuple[Any, ...]], begun: tracing.Begun) -> None:
    failpoints.reach("outbox.committed")
    begun.end()
    new_rows = _new_rows.get(service)
    if not (new_rows and new_rows.give([_unsent(row) for row in rows])):
        wakeups.notify_all(service=service, channel=CHANNEL)


def unsent(*, service: str, limit: int, among: frozenset[int] = ALL_PARTITIONS) -> list[Unsent]:
    """The oldest rows of these partitions that are neither confirmed nor postponed, in order.

    Does not start after the last id seen: a transaction that took an early id may commit late.
    """
    found = sql.execute(
        service=service,
        sql=f"""
            SELECT id, event_id, event_type, body FROM {_table(service)}
            WHERE sent_at IS NULL AND next_attempt_at IS NULL {_of(among)} ORDER BY id LIMIT %s
            """,
        values=[limit],
    )
    return [_unsent(row) for row in found]


def due(*, service: str, limit: int, among: frozenset[int] = ALL_PARTITIONS) -> list[Unsent]:
    """Postponed rows of these partitions whose retry is due."""
    found = sql.execute(
        service=service,
        sql=f"""
            SELECT id, event_id, event_type, body FROM {_table(service)}
            WHERE sent_at IS NULL AND next_attempt_at <= now() {_of(among)}
            ORDER BY next_attempt_at, id LIMIT %s
            """,
        values=[limit],
    )
    return [_unsent(row) for row in sorted(found)]


def mark_sent(*, service: str, given: Mapping[int, datetime]) -> list[int]:
    """Marks rows that the broker has confirmed. `given`: by id, when they were given to the broker.

    Returns the marked rows; does not wait for rows that another session has locked.
    """
    found = sql.execute(
        service=service,
        sql=f"""
            WITH given AS (SELECT * FROM json_to_recordset(%s) AS v (id bigint, at timestamptz)),
            free AS (SELECT id FROM {_table(service)} WHERE id IN (SELECT id FROM given)
                     FOR NO KEY UPDATE SKIP LOCKED)
            UPDATE {_table(service)} AS entry SET sent_at = given.at
            FROM given JOIN free USING (id) WHERE entry.id = given.id
            RETURNING entry.id
            """,
        values=[sql.rows({"id": row_id, "at": at} for row_id, at in given.items())],
    )
    return _ids(found)


def still_unsent(*, service: str, ids: Sequence[int]) -> list[int]:
    """Those of these rows that exist and are not marked as sent."""
    if not ids:
        return []
    table = _table(service)
    found = sql.execute(
        service=service,
        sql=f"SELECT id FROM {table} WHERE id = ANY(%s) AND sent_at IS NULL",
        values=[list(ids)],
    )
    return _ids(found)


def postpone(*, service: str, ids: Sequence[int], reason: str) -> int:
    """Postpones rows that the broker does not take, each time for longer; others are sent.

    Returns how many are postponed; does not wait for rows that another session has locked.
    """
    found = sql.execute(
        service=service,
        sql=f"""
            UPDATE {_table(service)}
            SET attempts = attempts + 1, reason = %s,
                next_attempt_at = now() + make_interval(secs => {_DISTANCE})
            WHERE id IN (SELECT id FROM {_table(service)} WHERE id = ANY(%s) AND sent_at IS NULL
                         FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING id
            """,
        values=[storable(text=reason), list(ids)],
    )
    return len(found)


def retry(*, service: str, ids: Sequence[int]) -> list[int]:
    """For operators: the relay's next sweep sends the postponed rows among these."""
    return _acted(service, ids, "unsent.retry", "UPDATE {table} SET next_attempt_at = now()")


def discard(*, service: str, ids: Sequence[int]) -> list[int]:
    """For operators: deletes the postponed rows among these; they are never sent."""
    return _acted(service, ids, "unsent.discard", "DELETE FROM {table}")


def _acted(service: str, ids: Sequence[int], action: str, change: str) -> list[int]:
    with transaction.atomic(using=service):
        found = sql.execute(
            service=service,
            sql=f"""
                {change.format(table=_table(service))}
                WHERE id = ANY(%s) AND sent_at IS NULL AND next_attempt_at IS NOT NULL
                RETURNING id, event_id, event_type, saga_id
                """,
            values=[list(ids)],
        )
        trail.note(
            service=service,
            action=action,
            subjects=[
                (f"unsent {row_id}", f"{event_type} of {saga_id}")
                for row_id, _, event_type, saga_id in found
            ],
        )
    for _, event_id, event_type, saga_id in found:
        log.warning("%s %s %s", action, event_type, event_id, extra={"saga_id": saga_id})
    return _ids(found)


def _of(among: frozenset[int]) -> str:
    """The partitions as a condition in SQL; empty for all: a single relay hashes nothing."""
    if among == ALL_PARTITIONS:
        return ""
    return f"AND {PARTITION_SQL} = ANY('{{{','.join(map(str, sorted(among)))}}}'::bigint[])"


def _ids(rows: Sequence[tuple[Any, ...]]) -> list[int]:
    return [row[0] for row in rows]


def _unsent(row: tuple[Any, ...]) -> Unsent:
    return Unsent(id=row[0], event_id=row[1], event_type=row[2], body=row[3].encode())


def _table(service: str) -> str:
    return f"{service}_outboxentry"
