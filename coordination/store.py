"""All SQL on an owner's accepted sagas and Idempotency-Keys, whichever owner's they are."""

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
"""What is set of an accepted saga that ends: its coordinator has it, or need not; but one that
starts by itself is made known all the same."""


def row_of(context: Context) -> dict[str, Any]:
    """What an owner writes of any saga that it accepts. `runs`: at once, by its own first event."""
    return {
        "saga_id": context.saga_id,
        "saga": context.saga,
        "saga_pattern": context.pattern,
        "context": context,
        "runs": context.pattern in STARTING_THEMSELVES,
    }


def status_after(failure: Failure) -> SagaStatus:
    """`failed` where nothing had to be undone."""
    return SagaStatus.COMPENSATED if failure.undone else SagaStatus.FAILED


def ended_row(saga_id: str, failure: Failure) -> dict[str, str]:
    """What an owner writes of any saga that ends without success."""
    return {
        "saga_id": saga_id,
        "status": status_after(failure).value,
        "step": failure.step[:64],
        "code": failure.code[:64],
        "detail": failure.detail,
    }


_TURNS = 7_305_112
"""The first half of the key of an advisory lock, under which a user's sagas are accepted one after
the other; any number that no other lock uses."""
ENDED = "ended"
"""The channel of those who wait for the end of a saga, at its owner."""


def ended_columns(table: str) -> str:
    """What `tell_ended` is given of each accepted saga, of the table of this name or alias."""
    seconds = f"extract(epoch FROM {table}.ended_at - {table}.accepted_at)::float8"
    return f"{table}.saga_id, {table}.saga, {table}.saga_pattern, {table}.status, {seconds}"


def tell_ended(*, service: str, ended: Sequence[tuple[Any, ...]]) -> None:
    """Who waits for these knows of it, and they are counted, once that is committed. `ended`: the
    `ended_columns` of each.
    """
    wakeups.tell(service=service, channel=ENDED, keys=[row[0] for row in ended])
    transaction.on_commit(lambda: _count_ended(ended), using=service)


def _count_ended(ended: Iterable[tuple[Any, ...]]) -> None:
    for _, saga, pattern, outcome, seconds in ended:
        metrics.observe(metrics.DURATION, seconds, saga, pattern, outcome)


class UnknownSaga(Exception):
    """There is no such saga here."""


def unreadable(what: object) -> Refused:
    """Why nothing else can be done to a saga whose rows are such."""
    detail = f"{what}. Undo it (compensate), or mend what is stored and retry."
    return Refused(refusals.UNREADABLE, detail)


class UnreadableSaga(NamedTuple):
    """A stored saga that is none any more, and what is wrong with it."""

    saga_id: str
    reason: str


class Ended(NamedTuple):
    """A saga that was accepted longer ago than the retention. `is_due`: it also ended so long ago,
    and its coordinator has answered for it.
    """

    accepted_at: datetime
    saga_id: str
    saga: str
    pattern: str
    is_due: bool


class Stall(NamedTuple):
    """Sagas of a pattern that were accepted, and that nobody was told of."""

    pattern: str
    number: int
    since: datetime
    saga_ids: list[str]


@dataclass(frozen=True, kw_only=True)
class Key:
    """An Idempotency-Key of a user, the saga that it stands for, and what was asked for."""

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
    ) -> list[Context | UnreadableSaga]:
        """Those that their coordinator has not answered for yet, oldest first.

        `but_not`: saga ids to be left alone for now. One that can't be read harms no other.
        """
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
        """From now on the coordinator has them. Some may have ended meanwhile, and stay ended; one
        that ends at this moment is locked, and needs no mark.
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
        """These wait for a person (`reasons`, by saga id), and no other waits for them."""
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
        """Those of these patterns that are dead-lettered, locked; each saga's name by its id."""
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
        """These are handed over again, from the start; which of them were dead-lettered."""
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
        """How many have not ended of those that were accepted in the last `among` seconds, and how
        many of them ended in the last `within`.
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

    def stalls(
        self, *, patterns: Sequence[str], seconds: float, limit: int, most: int = 1000
    ) -> list[Stall]:
        """By pattern, those that nobody was told of for so many seconds; the first are named."""
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
            [limit, list(patterns), seconds, most],
        )
        return [Stall(*row) for row in rows]

    def unknown(self, *, patterns: Sequence[str], most: int = 1000) -> list[tuple[str, int, float]]:
        """By pattern, how many no coordinator has been told of, and the age of the oldest."""
        return self._execute(
            """
            SELECT pattern.name, count(*), extract(epoch FROM now() - min(accepted_at))::float8
            FROM unnest(%s::text[]) AS pattern (name) CROSS JOIN LATERAL (
                SELECT accepted_at FROM {table}
                WHERE handed_over_at IS NULL AND saga_pattern = pattern.name
                ORDER BY accepted_at LIMIT %s) AS waiting
            GROUP BY pattern.name
            """,
            [list(patterns), most],
        )

    def to_close(
        self, *, after: tuple[datetime, str], limit: int, seconds: float, lasts: float
    ) -> list[Ended]:
        """Sagas that are not closed and were accepted `lasts` seconds before that time, the oldest
        first, beyond `after` (when it was accepted, and its id).
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
        """From now on nobody keeps anything of these but their owner's own record; their keys are
        free again.
        """
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
        """Takes the keys that are free; gives those that are not, by the saga id that asked.

        Waits for a transaction that has just taken one. Keys are taken in sorted order, and after
        what the sagas are about, so that two lists can't wait for each other.
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
        """How many sagas each of these users has that have not ended. None of them begins another
        one before this transaction has ended: it waits for its turn here.
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
        """Frees the keys of these again: nothing of them was accepted."""
        if saga_ids:
            self._execute(
                "DELETE FROM {service}_idempotencykey WHERE saga_id = ANY(%s)", [list(saga_ids)]
            )

    def _execute(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        named = statement.format(table=self.table, service=self.service)
        return sql.execute(service=self.service, sql=named, values=values)


def _read(saga_id: str, context: str) -> Context | UnreadableSaga:
    try:
        found = _context.decode(context)
        projection.select(found.saga, found.data)
    except (msgspec.MsgspecError, RecursionError, KeyError) as error:
        log.warning("its row can't be read: %r", error, extra={"saga_id": saga_id})
        return UnreadableSaga(saga_id, f"its row can't be read: {sql.category(error)}")
    if found.saga_id != saga_id:
        return UnreadableSaga(saga_id, f"its row's context is that of saga {found.saga_id}")
    return found
