"""The outcomes of a window's sagas, from the rows of their owner: one clock for all patterns."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from loadtests.shop import Shop, accepted_table
from messaging.brokers import Broker, BrokerUnavailable, connect

POLL_SECONDS = 0.1
REST_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class SagaOutcome:
    """`ended_at`: seconds since 1970, 0 before its end."""

    status: str
    ended_at: float


@dataclass(frozen=True, kw_only=True)
class OwnerProgress:
    """The progress of an owner's sagas. `oldest`: seconds since the acceptance of the oldest saga
    that has not ended.
    """

    accepted: int
    ended: int
    oldest: float


def progress_of(
    *, owner: str, read: Callable[[str, str], Sequence[tuple[Any, ...]]]
) -> OwnerProgress:
    """From its table, as it is now. `read(service, statement)` gives rows."""
    statement = f"""
        SELECT count(*), count(ended_at), coalesce(extract(epoch FROM
               clock_timestamp() - min(accepted_at) FILTER (WHERE ended_at IS NULL)), 0)::float8
        FROM {accepted_table(service=owner)}
    """
    ((accepted, ended, oldest),) = read(owner, statement)
    return OwnerProgress(accepted=accepted, ended=ended, oldest=oldest)


class Rows:
    """Reads the databases of a running shop's services."""

    def __init__(self, *, shop: Shop) -> None:
        self._databases = {
            service: psycopg.connect(shop.databases[service], autocommit=True)
            for service in shop.services
        }

    def close(self) -> None:
        for database in self._databases.values():
            database.close()

    def of(self, service: str, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        return self._databases[service].execute(statement, values).fetchall()


class Outcomes:
    """The outcomes of sagas in a running shop, and whether the shop is idle."""

    def __init__(self, *, shop: Shop) -> None:
        self._services = shop.services
        self._rows = Rows(shop=shop)
        self._owner = shop.saga.owner
        self._accepted = accepted_table(service=self._owner)
        self._broker: Broker = connect(shop.broker)

    def close(self) -> None:
        self._broker.close()
        self._rows.close()

    def drain(self, *, within: float) -> bool:
        """Waits until every accepted saga has ended; returns whether they did in time."""

        def has_ended() -> bool:
            now = self.progress()
            return now.accepted == now.ended

        return until(has_ended, within)

    def progress(self) -> OwnerProgress:
        """Of all sagas of this owner."""
        return progress_of(owner=self._owner, read=self._rows.of)

    def rest(self) -> bool:
        """Waits until no message is in flight and each worker has reported since; returns whether
        that happened in time.
        """
        since = time.time()
        return until(lambda: self._is_at_rest(since), REST_SECONDS)

    def of(self, *, saga_ids: Sequence[str]) -> dict[str, SagaOutcome]:
        """The outcomes of those of these sagas that their owner has."""
        rows = self._rows.of(
            self._owner,
            f"""
            SELECT saga_id, status, coalesce(extract(epoch FROM ended_at), 0)::float8
            FROM {self._accepted} WHERE saga_id = ANY(%s)
            """,
            [list(saga_ids)],
        )
        return {row[0]: SagaOutcome(status=row[1], ended_at=row[2]) for row in rows}

    def counters(self) -> dict[str, dict[str, int]]:
        """The counters of each service's workers, since they started."""
        return {service: self.counters_of(service=service) for service in self._services}

    def counters_of(self, *, service: str) -> dict[str, int]:
        """The sums over this service's workers."""
        rows = self._rows.of(service, f"SELECT counters FROM {service}_workerheartbeat")
        total: dict[str, int] = {}
        for (counters,) in rows:
            for name, count in counters.items():
                total[name] = total.get(name, 0) + count
        return total

    def _is_at_rest(self, since: float) -> bool:
        return (
            all(self._has_reported(service, since) for service in self._services)
            and self._unsent() == 0
            and self._queued() == 0
        )

    def _has_reported(self, service: str, since: float) -> bool:
        ((has_reported,),) = self._rows.of(
            service,
            f"""
            SELECT coalesce(bool_and(seen_at > to_timestamp(%s)), false)
            FROM {service}_workerheartbeat WHERE seen_at > to_timestamp(%s) - interval '5 s'
            """,
            [since, since],
        )
        return bool(has_reported)

    def _unsent(self) -> int:
        unsent = "SELECT count(*) FROM {}_outboxentry WHERE sent_at IS NULL"
        return sum(
            self._rows.of(service, unsent.format(service))[0][0] for service in self._services
        )

    def _queued(self) -> int:
        queues = [f"dueto.{service}" for service in self._services]
        try:
            return sum(self._broker.depths(queues).values())
        except BrokerUnavailable:
            return 1


def until(condition: Callable[[], bool], within: float) -> bool:
    """Waits for the condition; returns whether it held in time."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def total_of(counters: Mapping[str, Mapping[str, int]], name: str) -> int:
    """The sum of one counter over all services."""
    return sum(counts.get(name, 0) for counts in counters.values())
