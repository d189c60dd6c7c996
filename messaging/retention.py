"""Retention: old rows are deleted in small batches.

A component of every worker. Each table has a `RetentionRule` here; the rows of a saga are deleted
with the whole saga, once its owner has closed it (`coordination.closing`).

The tables grow at their end, so a batch begins at the oldest row and ends at the first young row:
it never scans rows that stay. A batch is one statement of some milliseconds, which skips locked
rows; while there is more, the next batch follows at once.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from django.db import DatabaseError, InterfaceError, connections

from contracts.states import Complaint
from messaging.worker import Backoff, wait_to_lead
from participant import sql

log = logging.getLogger(__name__)

SENT_SECONDS = 6 * 3600.0
"""Only the timeline and the audit read sent events."""
DEAD_WORKER_SECONDS = 900.0
"""For the row of a dead worker: a measurement may still read its counters."""
AT_ONCE = 2_000
PAUSE_SECONDS = 10.0
AGAIN_SECONDS = 3600.0
"""How often a table is searched from its first row: some rows are kept longer than others."""


class RetentionRule(NamedTuple):
    """The rows of a table are deleted `seconds` after `since`.

    `begun`: a column that grows with the rows' ids. `condition`: on the row, `entry`; rows that do
    not meet it are never deleted.
    """

    table: str
    since: str
    begun: str
    seconds: float
    condition: str = "true"


def kept(*, service: str) -> list[RetentionRule]:
    """The rules for the tables that every service has. Never deleted are unsent events, messages
    that are retried or dead-lettered, and the row of a worker that stands still.
    """
    from participant import barrier  # has models: after the apps

    beats = f"{service}_workerheartbeat"
    is_dead = f"""NOT EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
           AND classid::bigint = (hashtext('{beats}')::bigint & 4294967295)
           AND objid::bigint = entry.id)"""
    handled = "status IN ('handled', 'discarded')"
    return [
        RetentionRule(f"{service}_outboxentry", "sent_at", "created_at", SENT_SECONDS),
        RetentionRule(
            f"{service}_failedmessage", "failed_at", "failed_at", barrier.keep_seconds(), handled
        ),
        RetentionRule(beats, "seen_at", "started_at", DEAD_WORKER_SECONDS, is_dead),
    ]


class Cleaned(NamedTuple):
    """How many rows a batch has deleted, by name of a counter; whether there is more to delete."""

    counts: Mapping[str, int]
    is_more: bool


class Chore(Protocol):
    """Something to clean, a batch at a time."""

    def clean(self) -> Cleaned:
        """One batch, some milliseconds. Raises django.db.DatabaseError."""

    def complaints(self) -> list[Complaint]:
        """The problems that keep it from its work."""


class Deleting:
    """The chore of one table: deletes batches, from its oldest row on.

    Rows age in the order of their ids, or nearly so. Old rows that a batch has left are tried again
    after AGAIN_SECONDS.
    """

    def __init__(self, *, service: str, what: RetentionRule) -> None:
        self._service, self._what = service, what
        self._first = self._next = 0
        self._again_at = time.monotonic() + AGAIN_SECONDS

    def clean(self) -> Cleaned:
        looked_at, last, old, deleted = self._delete()
        is_more = looked_at == AT_ONCE and old > 0
        if self._next == self._first and old == AT_ONCE:
            self._first = last
        if not is_more and time.monotonic() >= self._again_at:
            self._first = 0
            self._again_at = time.monotonic() + AGAIN_SECONDS
        self._next = last if is_more else self._first
        return Cleaned({f"deleted.{self._what.table}": deleted}, is_more)

    def complaints(self) -> list[Complaint]:
        return []

    def _delete(self) -> tuple[int, int, int, int]:
        """Deletes a batch: the number of rows examined, the last id, and how many are old and were
        deleted.
        """
        what = self._what
        ((looked_at, last, old, deleted),) = sql.execute(
            service=self._service,
            sql=f"""
            WITH first AS MATERIALIZED (
                SELECT id, {what.begun} AS begun FROM {what.table} WHERE id > %(after)s
                ORDER BY id LIMIT %(limit)s
            ), over AS MATERIALIZED (
                SELECT id FROM {what.table} AS entry WHERE id IN (SELECT id FROM first)
                AND {what.since} < now() - make_interval(secs => %(seconds)s) AND {what.condition}
                FOR UPDATE SKIP LOCKED
            ), gone AS (
                DELETE FROM {what.table} WHERE id IN (SELECT id FROM over) RETURNING id
            )
            SELECT count(*), coalesce(max(id), 0),
                   count(*) FILTER (WHERE begun < now() - make_interval(secs => %(seconds)s)),
                   (SELECT count(*) FROM gone)
            FROM first
            """,
            values={"after": self._next, "limit": AT_ONCE, "seconds": what.seconds},
        )
        return looked_at, last, old, deleted


class Cleaner:
    """Does a service's chores in turn. Only the leading worker does: two would delete the same."""

    name = "cleaner"

    def __init__(self, *, service: str, chores: Sequence[Chore]) -> None:
        self._service, self._chores = service, chores
        self._counters: Counter[str] = Counter()
        self._backoff = Backoff(longest=PAUSE_SECONDS)

    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    def complaints(self) -> list[Complaint]:
        return [complaint for chore in self._chores for complaint in chore.complaints()]

    def run(self, stop: threading.Event) -> None:
        """Cleans until `stop` is set; waits for a database that is down."""
        while not stop.is_set():
            try:
                self._lead(stop)
            except (DatabaseError, InterfaceError) as error:
                log.warning("cleaner of %s: %s", self._service, error)
                connections[self._service].close()
                stop.wait(self._backoff.pause(error))
        connections[self._service].close()

    def clean_once(self) -> bool:
        """Runs a batch of each chore; whether there is more to delete."""
        more = [self._clean(chore) for chore in self._chores]
        return any(more)

    def _clean(self, chore: Chore) -> bool:
        """Runs a batch; a locked table does not keep others from being cleaned."""
        try:
            counts, is_more = chore.clean()
        except DatabaseError as error:
            if not sql.is_busy(error):
                raise
            log.warning("cleaner of %s: %s", self._service, error)
            return False
        self._counters.update({what: count for what, count in counts.items() if count})
        return is_more

    def _lead(self, stop: threading.Event) -> None:
        if not wait_to_lead(service=self._service, task=self.name, stop=stop):
            return
        while not stop.is_set():
            is_more = self.clean_once()
            self._backoff.went_well()
            if not is_more:
                stop.wait(PAUSE_SECONDS)
