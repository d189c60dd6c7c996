"""All SQL on accepted sagas and Idempotency-Keys, for all owners."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.db import transaction

from contracts import projection, refusals
from contracts.outcomes import Failure, Refused
from contracts.patterns import STARTING_THEMSELVES
from contracts.saga import Context
from contracts.states import SagaStatus
from messaging import wakeups
from participant import metrics, sql

log = logging.getLogger(__name__)

_context = msgspec.json.Decoder(Context)
_STARTING_THEMSELVES = ", ".join(f"'{name}'" for name in STARTING_THEMSELVES)
SETTLED = f"""
    handed_over_at = CASE WHEN saga_pattern IN ({_STARTING_THEMSELVES}) THEN handed_over_at
                          ELSE coalesce(handed_over_at, clock_timestamp()) END,
    dead_lettered_at = NULL, dead_letter_reason = ''
"""
"""The columns that an accepted saga's end sets: it needs no hand-over any more, unless it starts by
itself: that one is still handed over, so that its coordinator knows it."""


def row_of(context: Context) -> dict[str, Any]:
    """The columns that every owner inserts. `runs`: the saga starts by its own first event."""
    return {
        "saga_id": context.saga_id,
        "saga": context.saga,
        "saga_pattern": context.pattern,
        "context": context,
        "runs": context.pattern in STARTING_THEMSELVES,
    }


def status_after(failure: Failure) -> SagaStatus:
    """`compensated`, or `failed` if no undo had an effect."""
    return SagaStatus.COMPENSATED if failure.undone else SagaStatus.FAILED


def ended_row(saga_id: str, failure: Failure) -> dict[str, str]:
    """The columns that every owner updates when a saga ends without success."""
    return {
        "saga_id": saga_id,
        "status": status_after(failure).value,
        "step": failure.step[:64],
        "code": failure.code[:64],
        "detail": failure.detail,
    }


_TURNS = 7_305_112
"""The seed for the keys of advisory locks, under which a user's sagas are accepted one after the
other; any number that no other lock uses."""
MOST_COUNTED = 1_000
"""Sagas per pattern that are counted as not handed over."""
ENDED = "ended"
"""The channel for requests that wait for the end of a saga, at its owner."""


def ended_columns(table: str) -> str:
    """The columns for `tell_ended`, from the table of accepted sagas with this name or alias."""
    seconds = f"extract(epoch FROM {table}.ended_at - {table}.accepted_at)::float8"
    return f"{table}.saga_id, {table}.saga, {table}.saga_pattern, {table}.status, {seconds}"


def tell_ended(*, service: str, ended: Sequence[tuple[Any, ...]]) -> None:
    """Wakes requests that wait for these sagas, and counts their ends, after the commit. `ended`:
    the `ended_columns` of each saga.
    """
    wakeups.tell(service=service, channel=ENDED, keys=[row[0] for row in ended])
    transaction.on_commit(lambda: _count_ended(ended), using=service)


def _count_ended(ended: Iterable[tuple[Any, ...]]) -> None:
    for _, saga, pattern, outcome, seconds in ended:
        metrics.observe(metrics.DURATION, seconds, saga, pattern, outcome)


class UnknownSaga(Exception):
    """This service does not have the saga."""


def unreadable(what: object) -> Refused:
    """The refusal of an action on a saga whose rows are damaged."""
    detail = f"{what}. Undo it (compensate), or repair the row and retry."
    return Refused(refusals.UNREADABLE, detail)


class UnreadableRow(NamedTuple):
    """A stored saga that can't be read, and what is wrong with it."""

    saga_id: str
    reason: str


class Ended(NamedTuple):
    """A saga that was accepted longer ago than the retention. `is_due`: it also ended that long
    ago, and was handed over.
    """

    accepted_at: datetime
    saga_id: str
    saga: str
    pattern: str
    is_due: bool


class Stall(NamedTuple):
    """Sagas of a pattern that were accepted and not handed over."""

    pattern: str
    number: int
    since: datetime
    saga_ids: list[str]


@dataclass(frozen=True, kw_only=True)
class Key:
    """An Idempotency-Key of a user, its saga, and the fingerprint of its request."""

    user_id: str
    key: str
    saga_id: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class AcceptedSagas:
    """The rows of one owner. `table`: made from `coordination.models.AcceptedSaga`."""

    service: str
    table: str

    def not_handed_over(
        self,
        *,
        patterns: Sequence[str],
        limit: int,
        older_than_seconds: float = 0.0,
        but_not: Sequence[str] = (),
    ) -> list[Context | UnreadableRow]:
        """The sagas that are not handed over yet, oldest first; without those in `but_not`."""
        rows = self._execute(
            """
            SELECT saga_id, context::text FROM {table}
            WHERE handed_over_at IS NULL AND dead_lettered_at IS NULL AND saga_pattern = ANY(%s)
              AND saga_id <> ALL(%s)
              AND accepted_at <= statement_timestamp() - make_interval(secs => %s)
            ORDER BY accepted_at LIMIT %s
            """,
            [list(patterns), list(but_not), older_than_seconds, limit],
        )
        return [_read(*row) for row in rows]

    def mark_handed_over(self, *, saga_ids: Sequence[str]) -> None:
        """Marks sagas as handed over. Those that have ended stay ended; a saga that ends at this
        moment is locked, and needs no mark.
        """
        self._execute(
            """
            UPDATE {table}
            SET handed_over_at = coalesce(handed_over_at, clock_timestamp()),
                status = CASE status WHEN 'pending' THEN 'running' ELSE status END
            WHERE saga_id IN (SELECT saga_id FROM {table}
                              WHERE saga_id = ANY(%s)
                                AND (handed_over_at IS NULL OR status = 'pending')
                              FOR NO KEY UPDATE SKIP LOCKED)
            """,
            [list(saga_ids)],
        )

    def dead_letter(self, *, reasons: Mapping[str, str]) -> None:
        """Dead-letters sagas for an operator. `reasons`: by saga id."""
        self._execute(
            """
            UPDATE {table} AS accepted
            SET dead_lettered_at = clock_timestamp(), dead_letter_reason = v.reason
            FROM json_to_recordset(%s) AS v (saga_id text, reason text)
            WHERE accepted.saga_id = v.saga_id AND handed_over_at IS NULL
            """,
            [sql.rows({"saga_id": saga_id, "reason": why} for saga_id, why in reasons.items())],
        )

    def lock_dead_letters(
        self, *, saga_ids: Sequence[str], patterns: Sequence[str]
    ) -> dict[str, str]:
        """Locks the dead-lettered sagas of these patterns; each saga's name by its id."""
        rows = self._execute(
            """
            SELECT saga_id, saga FROM {table}
            WHERE saga_id = ANY(%s) AND dead_lettered_at IS NOT NULL AND saga_pattern = ANY(%s)
            ORDER BY saga_id FOR NO KEY UPDATE
            """,
            [list(saga_ids), list(patterns)],
        )
        return dict(rows)

    def take_back(self, *, saga_ids: Sequence[str]) -> set[str]:
        """Resets dead-lettered sagas, to be handed over again; which were dead-lettered."""
        rows = self._execute(
            """
            UPDATE {table} SET dead_lettered_at = NULL, dead_letter_reason = ''
            WHERE saga_id = ANY(%s) AND dead_lettered_at IS NOT NULL
            RETURNING saga_id
            """,
            [list(saga_ids)],
        )
        return {row[0] for row in rows}

    def ended_among(self, saga_ids: Sequence[str]) -> set[str]:
        """Which of these have ended."""
        rows = self._execute(
            "SELECT saga_id FROM {table} WHERE saga_id = ANY(%s) AND ended_at IS NOT NULL",
            [list(saga_ids)],
        )
        return {row[0] for row in rows}

    def in_flight(self, *, saga: str, pattern: str, among: float, within: float) -> tuple[int, int]:
        """Of the sagas that were accepted in the last `among` seconds: how many have not ended, and
        how many ended in the last `within` seconds.
        """
        ((number, ended),) = self._execute(
            """
            SELECT count(*) FILTER (WHERE ended_at IS NULL),
                   count(*) FILTER (WHERE ended_at > statement_timestamp()
                                                     - make_interval(secs => %s))
            FROM {table}
            WHERE closed_at IS NULL AND saga = %s AND saga_pattern = %s
              AND accepted_at > statement_timestamp() - make_interval(secs => %s)
            """,
            [within, saga, pattern, among],
        )
        return number, ended

    def stalls(self, *, patterns: Sequence[str], seconds: float, limit: int) -> list[Stall]:
        """By pattern, the sagas that are not handed over after `seconds`; the first with ids."""
        rows = self._execute(
            """
            SELECT pattern.name, count(*), min(accepted_at),
                   (array_agg(saga_id ORDER BY accepted_at))[1:%s]
            FROM unnest(%s::text[]) AS pattern (name) CROSS JOIN LATERAL (
                SELECT saga_id, accepted_at FROM {table}
                WHERE handed_over_at IS NULL AND saga_pattern = pattern.name
                  AND accepted_at < now() - make_interval(secs => %s)
                ORDER BY accepted_at LIMIT %s) AS waiting
            GROUP BY pattern.name
            """,
            [limit, list(patterns), seconds, MOST_COUNTED],
        )
        return [Stall(*row) for row in rows]

    def unknown(self, *, patterns: Sequence[str]) -> list[tuple[str, int, float]]:
        """By pattern, how many sagas are not handed over, and the age of the oldest in seconds."""
        return self._execute(
            """
            SELECT pattern.name, count(*), extract(epoch FROM now() - min(accepted_at))::float8
            FROM unnest(%s::text[]) AS pattern (name) CROSS JOIN LATERAL (
                SELECT accepted_at FROM {table}
                WHERE handed_over_at IS NULL AND saga_pattern = pattern.name
                ORDER BY accepted_at LIMIT %s) AS waiting
            GROUP BY pattern.name
            """,
            [list(patterns), MOST_COUNTED],
        )

    def to_close(
        self, *, after: tuple[datetime, str], limit: int, seconds: float, lasts: float
    ) -> list[Ended]:
        """Sagas that are not closed and were accepted more than `seconds` + `lasts` ago, the oldest
        first, beyond `after` (time of acceptance, and id). `seconds`: since the end.
        """
        rows = self._execute(
            """
            SELECT accepted_at, saga_id, saga, saga_pattern,
                   coalesce(ended_at < now() - make_interval(secs => %s), false)
                       AND handed_over_at IS NOT NULL AND dead_lettered_at IS NULL
            FROM {table}
            WHERE closed_at IS NULL AND accepted_at >= %s AND (accepted_at, saga_id) > (%s, %s)
              AND accepted_at < now() - make_interval(secs => %s)
            ORDER BY accepted_at, saga_id LIMIT %s
            """,
            [seconds, after[0], *after, seconds + lasts, limit],
        )
        return [Ended(*row) for row in rows]

    def mark_closed(self, *, saga_ids: Sequence[str]) -> None:
        """Marks sagas as closed: only their owner's row is left. Deletes their keys."""
        if saga_ids:
            self._execute(
                """
                WITH freed AS (
                    DELETE FROM {service}_idempotencykey WHERE saga_id = ANY(%s)
                )
                UPDATE {table} SET closed_at = clock_timestamp()
                WHERE saga_id = ANY(%s) AND ended_at IS NOT NULL
                """,
                [list(saga_ids), list(saga_ids)],
            )

    def take_keys(self, *, keys: Sequence[Key]) -> dict[str, Key]:
        """Inserts the keys that are new; returns the stored keys of the others, by the saga id of
        the request.

        Waits for transactions that are inserting the same keys. Keys are inserted in sorted order,
        and after the locks on carts and the like, so that two lists can't wait for each other.
        """
        if not keys:
            return {}
        wanted = sql.rows(map(asdict, keys))
        self._execute(
            """
            INSERT INTO {service}_idempotencykey (user_id, key, saga_id, fingerprint)
            SELECT user_id, key, saga_id, fingerprint
            FROM json_to_recordset(%s)
                 AS v (user_id text, key text, saga_id text, fingerprint text)
            ORDER BY user_id COLLATE "C", key COLLATE "C"
            ON CONFLICT (user_id, key) DO NOTHING
            """,
            [wanted],
        )
        rows = self._execute(
            """
            SELECT v.saga_id, held.user_id, held.key, held.saga_id, held.fingerprint
            FROM json_to_recordset(%s) AS v (user_id text, key text, saga_id text)
            JOIN {service}_idempotencykey AS held USING (user_id, key)
            WHERE v.saga_id <> held.saga_id
            """,
            [wanted],
        )
        return {
            row[0]: Key(user_id=row[1], key=row[2], saga_id=row[3], fingerprint=row[4])
            for row in rows
        }

    def under_way(self, *, user_ids: Sequence[str]) -> dict[str, int]:
        """The number of unfinished sagas of each user. Until this transaction has ended, other
        acceptances for these users wait here.
        """
        self._execute(
            """
            SELECT pg_advisory_xact_lock(hashtextextended(user_id, %s))
            FROM unnest(%s::text[]) AS user_id
            """,
            [_TURNS, sorted(set(user_ids))],
        )
        rows = self._execute(
            """
            SELECT user_id, count(*) FROM {table}
            WHERE user_id = ANY(%s) AND ended_at IS NULL GROUP BY user_id
            """,
            [list(user_ids)],
        )
        return dict(rows)

    def free_keys(self, *, saga_ids: Sequence[str]) -> None:
        """Deletes the keys of these sagas, which were not accepted."""
        if saga_ids:
            self._execute(
                "DELETE FROM {service}_idempotencykey WHERE saga_id = ANY(%s)", [list(saga_ids)]
            )

    def _execute(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        named = statement.format(table=self.table, service=self.service)
        return sql.execute(service=self.service, sql=named, values=values)


def _read(saga_id: str, context: str) -> Context | UnreadableRow:
    try:
        found = _context.decode(context)
        projection.select(found.saga, found.data)
    except (msgspec.MsgspecError, RecursionError, KeyError) as error:
        log.warning("a saga's row can't be read: %r", error, extra={"saga_id": saga_id})
        return UnreadableRow(saga_id, f"its row can't be read: {sql.category(error)}")
    if found.saga_id != saga_id:
        return UnreadableRow(saga_id, f"its row's context is that of saga {found.saga_id}")
    return found
