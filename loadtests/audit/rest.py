"""Group 7: once nothing runs, nothing is on its way; and waiting until nothing runs."""

import time
from collections.abc import Callable, Collection, Iterator

import msgspec

from loadtests.audit.reading import rows
from messaging.brokers import Broker, BrokerUnavailable
from messaging.consumer import queue_of

SPEAKERS = ("carrito", "inventario", "pagos", "saga_orchestrator", "saga_choreography")
"""The services with an outbox, and so with a queue."""

SETTLED_ROUNDS = 2
"""Looks in a row that must find nothing: a message may be between an outbox and a queue."""
LOOK_SECONDS = 0.5


class Unsettled(msgspec.Struct, frozen=True, kw_only=True):
    """What is still under way."""

    checkouts: int
    sagas: int
    unsent: int
    queued: int

    def __str__(self) -> str:
        return (
            f"{self.checkouts} checkouts run, {self.sagas} sagas at their coordinators,"
            f" {self.unsent} events unsent, {self.queued} messages in queues"
        )

    @property
    def is_settled(self) -> bool:
        return not (self.checkouts or self.sagas or self.unsent or self.queued)


def look(*, broker: Broker) -> Unsettled:
    """What is under way now; parked sagas are not. Raises BrokerUnavailable."""
    parked = {
        row[0]
        for service in ("saga_orchestrator", "saga_choreography")
        for row in rows(
            service=service,
            statement=f"SELECT saga_id FROM {service}_saga WHERE status = 'parked'",
        )
    }
    running = rows(
        service="carrito",
        statement="SELECT saga_id FROM carrito_checkout"
        " WHERE ended_at IS NULL AND set_aside_at IS NULL",
    )
    return Unsettled(
        checkouts=len([one for (one,) in running if one not in parked]),
        sagas=sum(_running(service) for service in ("saga_orchestrator", "saga_choreography")),
        unsent=sum(len(_unsent(service)) for service in SPEAKERS),
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


def unsent() -> Iterator[tuple[str, str]]:
    """Events that were not sent. Gives (saga id, what)."""
    for service in SPEAKERS:
        for saga_id, event_type in _unsent(service):
            yield saga_id, f"{event_type} of {service} was never sent"


def queued(*, broker: Broker) -> Iterator[str]:
    """Messages that were not consumed, or a broker that can't tell."""
    try:
        depths = _depths(broker)
    except BrokerUnavailable as error:
        yield f"the queues can't be asked: {error}"
        return
    for queue, depth in depths.items():
        if depth:
            yield f"{depth} messages in queue {queue}"


def parked(*, open_sagas: Collection[str]) -> Iterator[tuple[str, str, bool]]:
    """Messages set aside. Gives (saga id, what, whether it is a breach).

    One that a person must look at is none by itself: poison ends here. It is one while it is
    still being tried, or while its saga has not ended because of it.
    """
    for service in SPEAKERS:
        for saga_id, event_type, status, attempts, reason in rows(
            service=service,
            statement="SELECT saga_id, event_type, status, attempts, reason"
            f" FROM {service}_parkedmessage WHERE status IN ('retrying', 'parked') ORDER BY id",
        ):
            what = f"{event_type} {status} at {service} after {attempts} attempts: {reason[:200]}"
            yield saga_id, what, status == "retrying" or saga_id in open_sagas


def _unsent(service: str) -> list[tuple[str, str]]:
    return rows(
        service=service,
        statement="SELECT saga_id, event_type"
        f" FROM {service}_outboxentry WHERE sent_at IS NULL ORDER BY id",
    )


def _running(service: str) -> int:
    statement = (
        f"SELECT count(*) FROM {service}_saga"
        " WHERE status IN ('pending', 'running', 'compensating')"
    )
    return int(rows(service=service, statement=statement)[0][0])


def _depths(broker: Broker) -> dict[str, int]:
    return broker.depths([queue_of(service=service) for service in SPEAKERS])
