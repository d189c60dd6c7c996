"""Groups 7 and 8, of all sagas at once: once nothing runs, nothing is on its way; a key stands for
one saga, and an event has one id: (group, saga id or nothing, what). And waiting until nothing
runs.
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

# A service publishes once that it has dead-lettered messages, whatever they were.
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
"""Looks in a row that must find nothing: a message may be between an outbox and a queue."""
LOOK_SECONDS = 0.5


class Unsettled(msgspec.Struct, frozen=True, kw_only=True):
    """What is still under way."""

    accepted: int
    sagas: int
    unsent: int
    queued: int

    def __str__(self) -> str:
        return (
            f"{self.accepted} accepted sagas run, {self.sagas} at their coordinators,"
            f" {self.unsent} events unsent, {self.queued} messages in queues"
        )

    @property
    def is_settled(self) -> bool:
        return not (self.accepted or self.sagas or self.unsent or self.queued)


def look(*, broker: Broker) -> Unsettled:
    """What is under way now; sagas that are parked, or wait for a person, are not. Raises
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
    """Waits until nothing is under way, telling what is; whether it came to that in time."""
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
    """7: events that were not sent, and what the card network was not told."""
    for service, saga_id, event in everywhere(services=WITH_WORKER, statement=_UNSENT):
        yield 7, saga_id, f"{event} of {service} was never sent"
    yield from pagos.owed()


def queued(*, broker: Broker) -> Iterator[tuple[int, str, str]]:
    """7: messages that were not consumed, or a broker that can't tell."""
    try:
        depths = _depths(broker)
    except BrokerUnavailable as error:
        yield 7, "", f"the queues can't be asked: {error}"
        return
    for queue, depth in depths.items():
        if depth:
            yield 7, "", f"{depth} messages in queue {queue}"


def parked(*, open_sagas: Collection[str]) -> Iterator[tuple[str, str, bool]]:
    """Failed messages. Gives (saga id, what, whether it is a breach).

    One that a person must look at is none by itself: poison ends here. It is one while it is
    still being tried, or while its saga has not ended because of it.
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
    """8: an event is the same one whenever it is published; a notice or an appeal is of its
    moment.
    """
    for service, saga_id, event, ids in everywhere(
        services=WITH_WORKER,
        statement=_EVENTS,
        values=[[f"%{name}" for name in (*projection.NOTICES, *projection.APPEALS)]],
    ):
        yield 8, saga_id, f"{service} has published {event} under {ids} ids"


def _depths(broker: Broker) -> dict[str, int]:
    return broker.depths([queue_of(service=service) for service in WITH_WORKER])
