"""The figures of the front page: every saga in every pattern, and every service."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from django.conf import settings

from contracts.patterns import PATTERNS
from contracts.saga import SAGAS
from dashboard import records, services
from dashboard.live import Shared
from dashboard.store import TABLES
from participant import sql

REFRESH_SECONDS = 2.0
BUCKETS, BUCKET_SECONDS, MOST_SAMPLED = 30, 10, 300
_WIDTH, _HEIGHT = 180, 36


class Bucket(NamedTuple):
    """BUCKET_SECONDS of a saga in a pattern, `ago` buckets ago. `failed`: how many of the sample;
    latencies in milliseconds, of the sampled sagas that have ended.
    """

    ago: int
    saga: str
    pattern: str
    failed: int
    p50: float | None
    p95: float | None


class PatternRow(msgspec.Struct, kw_only=True):
    """A saga in a pattern. Latencies in milliseconds, of the newest bucket with ended sagas."""

    saga: str
    pattern: str
    rate: float = 0.0
    in_flight: int = 0
    waiting: int = 0
    parked: int = 0
    oldest: float | None = None
    failed: int = 0
    p50: float | None = None
    p95: float | None = None
    line50: str = ""
    line95: str = ""
    most: float | None = None

    @property
    def is_idle(self) -> bool:
        return not (self.rate or self.in_flight or self.most)


class Now(msgspec.Struct, frozen=True, kw_only=True):
    rows: list[PatternRow]
    services: list[dict[str, Any]]
    attention: list[dict[str, Any]]
    minutes: int = BUCKETS * BUCKET_SECONDS // 60

    @property
    def idle(self) -> dict[str, list[str]]:
        """The patterns of idle rows, by saga."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            if row.is_idle:
                found.setdefault(row.saga, []).append(row.pattern)
        return found

    @property
    def totals(self) -> dict[str, float]:
        names = ("rate", "in_flight", "waiting", "parked")
        return {name: sum(getattr(row, name) for row in self.rows) for name in names}


def _look() -> Now:
    rows = {
        (saga, pattern): PatternRow(saga=saga, pattern=pattern)
        for saga, definition in SAGAS.items()
        if definition.owner in settings.SERVICE_URLS
        for pattern in PATTERNS
    }

    def row(saga: str, pattern: str) -> PatternRow:
        return rows.setdefault((saga, pattern), PatternRow(saga=saga, pattern=pattern))

    for saga, pattern, *numbers in in_flight():
        found = row(saga, pattern)
        found.in_flight, found.waiting, found.parked, found.oldest = numbers
    for (saga, pattern), rate in rates().items():
        row(saga, pattern).rate = rate
    by_row: dict[tuple[str, str], list[Bucket]] = {}
    for bucket in buckets():
        by_row.setdefault((bucket.saga, bucket.pattern), []).append(bucket)
    for key, found_buckets in by_row.items():
        _fill(row(*key), found_buckets)
    queues = services.queues()
    health = [
        {**found, "queued": queues.get(found["service"])}
        for found in services.health(urls=settings.SERVICE_URLS)
    ]
    return Now(rows=list(rows.values()), services=health, attention=services.attention(health))


now = Shared(_look, seconds=REFRESH_SECONDS)


def _fill(row: PatternRow, found: Sequence[Bucket]) -> None:
    """Sets the row's failures, latencies and lines. The row's latency is that of the newest bucket
    that has one, the end of its line: percentiles can't be added up.
    """
    row.failed = sum(bucket.failed for bucket in found)
    known = [bucket for bucket in found if bucket.p95 is not None]
    known.sort(key=lambda bucket: bucket.ago)
    # Of the newest bucket only the quick sagas have ended: it counts only if there is no other.
    known = [bucket for bucket in known if bucket.ago] or known
    if not known:
        return
    row.p50, row.p95 = known[0].p50, known[0].p95
    row.most = max(bucket.p95 or 0.0 for bucket in known)
    # A line of one point is drawn as a dot: to itself, with round ends.
    known *= 2 if len(known) == 1 else 1
    row.line50 = " ".join(_points(known, "p50", row.most))
    row.line95 = " ".join(_points(known, "p95", row.most))


def _points(known: Sequence[Bucket], name: str, most: float) -> Iterator[str]:
    for bucket in known:
        x = _WIDTH - bucket.ago * _WIDTH / (BUCKETS - 1)
        y = _HEIGHT - 2 - (getattr(bucket, name) or 0.0) / (most or 1.0) * (_HEIGHT - 4)
        yield f"{x:.1f},{y:.1f}"


def in_flight() -> list[tuple[Any, ...]]:
    """Rows of: saga, pattern, how many are in flight, how many of these wait for a person, how many
    are parked, and the age in seconds of the oldest that moves.
    """
    return [
        row
        for table in TABLES
        for row in sql.execute(
            service=table.service,
            sql=f"""
                SELECT {table.saga}, {table.pattern}, count(*),
                       count(*) FILTER (WHERE {table.waits}),
                       count(*) FILTER (WHERE status = 'parked'),
                       extract(epoch FROM statement_timestamp() - min(started_at)
                           FILTER (WHERE status <> 'parked' AND NOT ({table.waits})))::float8
                FROM {table.name} AS saga WHERE {table.is_open} GROUP BY 1, 2
                """,
        )
    ]


def buckets() -> list[Bucket]:
    """The buckets of the last minutes, from the owners' rows: acceptance and end by one clock. Of
    each bucket the newest MOST_SAMPLED sagas are read: all of them, at 100,000 a minute, would make
    the page too slow.
    """
    return [
        Bucket(*row)
        for service, table in records.owners().items()
        for row in sql.execute(service=service, sql=_SAMPLED.format(table=table))
    ]


_SAMPLED = f"""
    SELECT ago, saga, saga_pattern, count(*) FILTER (WHERE status IN ('failed', 'compensated')),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY took),
           percentile_cont(0.95) WITHIN GROUP (ORDER BY took)
    FROM generate_series(0, {BUCKETS - 1}) AS ago CROSS JOIN LATERAL (
        SELECT saga, saga_pattern, status,
               extract(epoch FROM ended_at - accepted_at)::float8 * 1000 AS took
        FROM {{table}}
        WHERE accepted_at > statement_timestamp() - interval '{BUCKET_SECONDS} s' * (ago + 1)
          AND accepted_at <= statement_timestamp() - interval '{BUCKET_SECONDS} s' * ago
        ORDER BY accepted_at DESC, saga_id DESC LIMIT {MOST_SAMPLED}) AS sampled
    GROUP BY 1, 2, 3
"""


def rates() -> dict[tuple[str, str], float]:
    """Sagas accepted per second, by saga and pattern, in the last BUCKET_SECONDS."""
    return {
        (saga, pattern): number / BUCKET_SECONDS
        for service, table in records.owners().items()
        for saga, pattern, number in sql.execute(
            service=service,
            sql=f"""
                SELECT saga, saga_pattern, count(*) FROM {table}
                WHERE accepted_at > statement_timestamp() - interval '{BUCKET_SECONDS} s'
                GROUP BY 1, 2
                """,
        )
    }
