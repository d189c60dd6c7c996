"""The figures of the front page: every saga in every pattern, and every service, as of now."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.conf import settings

from contracts.patterns import PATTERNS
from contracts.saga import SAGAS
from dashboard import services, store
from dashboard.live import Shared
from dashboard.store import BUCKET_SECONDS, BUCKETS, Bucket

REFRESH_SECONDS = 2.0
_WIDTH, _HEIGHT = 180, 36


class Row(msgspec.Struct, kw_only=True):
    """A saga in a pattern. Latencies in milliseconds, of the last minute's that have ended."""

    saga: str
    pattern: str
    rate: float = 0.0
    in_flight: int = 0
    waiting: int = 0
    parked: int = 0
    oldest: datetime | None = None
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
    rows: list[Row]
    services: list[dict[str, Any]]
    attention: list[dict[str, Any]]
    minutes: int = BUCKETS * BUCKET_SECONDS // 60

    @property
    def idle(self) -> dict[str, list[str]]:
        """Sagas of which nothing is to be told, by the names of theirs: their patterns."""
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
        (saga, pattern): Row(saga=saga, pattern=pattern)
        for saga, page in SAGAS.items()
        if page.owner in settings.SERVICE_URLS
        for pattern in PATTERNS
    }

    def row(saga: str, pattern: str) -> Row:
        return rows.setdefault((saga, pattern), Row(saga=saga, pattern=pattern))

    for saga, pattern, in_flight, waiting, parked, oldest in store.in_flight():
        found = row(saga, pattern)
        found.in_flight, found.waiting, found.parked = in_flight, waiting, parked
        found.oldest = oldest
    for (saga, pattern), rate in store.rates().items():
        row(saga, pattern).rate = rate
    by_row: dict[tuple[str, str], list[Bucket]] = {}
    for bucket in store.buckets():
        by_row.setdefault((bucket.saga, bucket.pattern), []).append(bucket)
    for key, found_buckets in by_row.items():
        _fill(row(*key), found_buckets)
    queues = services.queues()
    health = [
        {**one, "queued": queues.get(one["service"])}
        for one in services.health(urls=settings.SERVICE_URLS)
    ]
    return Now(rows=list(rows.values()), services=health, attention=services.attention(health))


now = Shared(_look, seconds=REFRESH_SECONDS)


def _fill(row: Row, buckets: Sequence[Bucket]) -> None:
    """The last minute's latency is that of its latest bucket that has one, which is the line's end:
    percentiles can't be added up."""
    row.failed = sum(bucket.failed for bucket in buckets)
    known = sorted((one for one in buckets if one.p95 is not None), key=lambda one: one.ago)
    if not known:
        return
    row.p50, row.p95 = known[0].p50, known[0].p95
    row.most = max(one.p95 or 0.0 for one in known)
    # A line of one point is drawn as a dot: to itself, with round ends.
    known *= 2 if len(known) == 1 else 1
    row.line50 = " ".join(_points(known, "p50", row.most))
    row.line95 = " ".join(_points(known, "p95", row.most))


def _points(known: Sequence[Bucket], name: str, most: float) -> Iterator[str]:
    for one in known:
        x = _WIDTH - one.ago * _WIDTH / (BUCKETS - 1)
        y = _HEIGHT - 2 - (getattr(one, name) or 0.0) / (most or 1.0) * (_HEIGHT - 4)
        yield f"{x:.1f},{y:.1f}"
