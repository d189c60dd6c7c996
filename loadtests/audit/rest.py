"""Groups 7 and 8, for all sagas at once: in an idle shop nothing is in flight, a key stands for one
saga, and an event has one id. Breaches are (group, saga id or empty, what). Also waits until the
shop is idle.
"""

import time
from collections.abc import Callable, Collection, Iterator

import msgspec

from catalogue.services import COORDINATORS, WITH_WORKER
from contracts import projection
from contracts.topology import queue_of
from loadtests.audit import waiting
from loadtests.audit.reading import everywhere
from loadtests.audit.services import pagos
from loadtests.shop import owners
from messaging.brokers import Broker, BrokerUnavailable

_EVENTS = """
    SELECT saga_id, event_type, count(DISTINCT event_id) FROM {service}_outboxentry
    WHERE event_type NOT LIKE ALL (%s)
    GROUP BY saga_id, event_type HAVING count(DISTINCT event_id) > 1 ORDER BY 1, 2
"""
_KEYS = """
    SELECT user_id || ' ' || key, string_agg(saga_id, ', ' ORDER BY saga_id)
    FROM {service}_idempotencykey GROUP BY user_id, key HAVING count(*) > 1 ORDER BY 1
"""
_KEYS_OF_NOTHING = """
    SELECT user_id || ' ' || key, saga_id FROM {service}_idempotencykey AS held
    WHERE NOT EXISTS (SELECT FROM {accepted} WHERE saga_id = held.saga_id) ORDER BY 1
"""
_UNSENT = "SELECT saga_id, event_type FROM {service}_outboxentry WHERE sent_at IS NULL ORDER BY id"
_FAILED = """
    SELECT saga_id, event_type, status, attempts, reason FROM {service}_failedmessage
    WHERE status IN ('retrying', 'dead_lettered') ORDER BY id
"""
_SAGAS = """
    SELECT saga_id, status = 'parked' FROM {service}_saga
    WHERE status IN ('pending', 'running', 'compensating', 'parked')
"""
_ACCEPTED = "SELECT saga_id FROM {accepted} WHERE ended_at IS NULL AND dead_lettered_at IS NULL"

SETTLED_ROUNDS = 2
"""Consecutive looks that must find nothing: a message may be between an outbox and a queue."""
LOOK_SECONDS = 0.5


class Unsettled(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of what is in flight."""

    accepted: int
    sagas: int
    unsent: int
    queued: int

    def __str__(self) -> str:
        return (
            f"{self.accepted} accepted sagas running, {self.sagas} at their coordinators,"
            f" {self.unsent} unsent events, {self.queued} messages in queues"
        )

    @property
    def is_settled(self) -> bool:
        return not (self.accepted or self.sagas or self.unsent or self.queued)


def look(*, broker: Broker) -> Unsettled:
    """What is in flight now, without sagas that are parked or wait for a person. Raises
    BrokerUnavailable.
    """
    at_rest = waiting.sagas()
    sagas = {
        row[1]: row[2] or row[1] in at_rest
        for row in everywhere(services=COORDINATORS, statement=_SAGAS)
    }
    accepted = [row[1] for row in everywhere(services=owners(), statement=_ACCEPTED)]
    return Unsettled(
        accepted=sum(not sagas.get(saga_id) for saga_id in accepted),
        sagas=sum(not is_at_rest for is_at_rest in sagas.values()),
        unsent=sum(1 for _ in unsent()) + sum(1 for _ in waiting.untold()),
        queued=sum(_depths(broker).values()),
    )


def wait(*, broker: Broker, seconds: float, say: Callable[[str], None]) -> bool:
    """Waits until nothing is in flight, and reports what is; returns whether that came in time."""
    deadline = time.monotonic() + seconds
    settled = 0
    while True:
        now = look(broker=broker)
        settled = settled + 1 if now.is_settled else 0
        if settled == SETTLED_ROUNDS:
            return True
        if not now.is_settled:
            say(f"waiting: {now}")
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_SECONDS)


def unsent() -> Iterator[tuple[int, str, str]]:
    """7: events that were not sent, and refunds that the card network did not get."""
    for service, saga_id, event in everywhere(services=WITH_WORKER, statement=_UNSENT):
        yield 7, saga_id, f"{event} of {service} was never sent"
    yield from pagos.owed()


def queued(*, broker: Broker) -> Iterator[tuple[int, str, str]]:
    """7: messages that were not consumed, or a broker that does not answer."""
    try:
        depths = _depths(broker)
    except BrokerUnavailable as error:
        yield 7, "", f"the queues can't be read: {error}"
        return
    for queue, depth in depths.items():
        if depth:
            yield 7, "", f"{depth} messages in queue {queue}"


def parked(*, open_sagas: Collection[str]) -> Iterator[tuple[str, str, bool]]:
    """Failed messages: (saga id, what, whether it is a breach).

    It is a breach while the message is retried, or while its saga has not ended. A dead-lettered
    message alone is not: poison messages end so, for an operator.
    """
    for service, saga_id, event, status, attempts, reason in everywhere(
        services=WITH_WORKER, statement=_FAILED
    ):
        word = status.replace("_", "-")
        what = f"{event} {word} at {service} after {attempts} attempts: {reason[:200]}"
        yield saga_id, what, status == "retrying" or saga_id in open_sagas


def idempotency_keys() -> Iterator[tuple[int, str, str]]:
    """8: a user's key stands for one saga of an owner."""
    for service, key, ids in everywhere(services=owners(), statement=_KEYS):
        yield 8, "", f"the idempotency key {key!r} stands for several at {service}: {ids}"
    for _, key, saga_id in everywhere(services=owners(), statement=_KEYS_OF_NOTHING):
        what = f"the idempotency key {key!r} stands for saga {saga_id}, which was never accepted"
        yield 8, "", what


def events() -> Iterator[tuple[int, str, str]]:
    """8: an event has the same id whenever it is published, except for notices and appeals."""
    for service, saga_id, event, ids in everywhere(
        services=WITH_WORKER,
        statement=_EVENTS,
        values=[[f"%{name}" for name in (*projection.NOTICES, *projection.APPEALS)]],
    ):
        yield 8, saga_id, f"{service} has published {event} under {ids} ids"


def _depths(broker: Broker) -> dict[str, int]:
    return broker.depths([queue_of(service=service) for service in WITH_WORKER])
