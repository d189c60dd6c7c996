"""The components of the worker of every service that receives and publishes events.

The probe asks the broker at intervals whether it works, and for the depths of its queues, for
/health and /metrics.
"""

import math
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from contracts import topology
from contracts.states import Complaint
from messaging.brokers import Broker, BrokerUnavailable, Rights
from messaging.consumer import Consumer
from messaging.handlers import Reaction
from messaging.relay import Relay
from messaging.worker import Component


def make_topology(*, broker: Broker) -> int:
    """Makes every queue with its bindings, and grants the services their rights. Idempotent.
    Returns the number of queues. Raises BrokerUnavailable and Rejected.
    """
    services = topology.services()
    for service in services:
        broker.declare(
            queue=topology.queue_of(service=service), events=topology.bindings_of(service=service)
        )
    publishes = {
        service: [key for keys in topology.published_by(service).values() for key in keys]
        for service in services
    }
    consumes = {topology.queue_of(service=service): service for service in services}
    broker.grant(Rights(publishes, consumes))
    return len(services)


def components(
    *, service: str, broker: Broker, reactions: Sequence[Reaction], linger: float = 0.0
) -> list[Component]:
    """Consumer, relay and probe."""
    return [
        Consumer(service=service, broker=broker, reactions=reactions, linger=linger),
        Relay(service=service, broker=broker),
        BrokerProbe(queue=topology.queue_of(service=service), broker=broker),
    ]


def backlog(*, broker: Broker, service: str) -> float:
    """The number of messages that wait for a service; infinite if the broker can't be asked."""
    queue = topology.queue_of(service=service)
    try:
        return broker.depths([queue])[queue]
    except BrokerUnavailable:
        return math.inf


PROBE_SECONDS = 2.0
ANSWER_SECONDS = 3.0
"""A paused broker refuses nothing: the ping itself fails much later."""
LONGEST_REASON = 200


class BrokerProbe:
    """A component of every worker that talks to the broker."""

    name = "probe"

    def __init__(self, *, queue: str, broker: Broker) -> None:
        self.broker = broker
        self._queue = queue
        self._dead: Complaint | None = None
        self._depths: dict[str, int] = {}
        self._is_up = False
        self._asked_at: datetime | None = None
        self._complaint: Complaint | None = None

    def counters(self) -> dict[str, int]:
        return {"broker_up": int(self._is_up and not self._waits_long()), **self._depths}

    def complaints(self) -> list[Complaint]:
        """That the broker does not work, since the first ping without an answer; or that there are
        messages in the dead-letter queue, which stops no saga.
        """
        complaint, asked_at = self._complaint, self._asked_at
        if complaint is None and asked_at and self._waits_long():
            complaint = _away("it does not answer", asked_at)
        return [complaint for complaint in (complaint, self._dead) if complaint]

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._asked_at = asked_at = datetime.now(UTC)
            try:
                self.broker.ping()
                self._dead = self._dead_now(asked_at)
                self._is_up, self._complaint = True, None
            except BrokerUnavailable as error:
                since = self._complaint.since if self._complaint else asked_at
                self._is_up, self._complaint = False, _away(str(error), since)
            self._asked_at = None
            stop.wait(PROBE_SECONDS)

    def _dead_now(self, now: datetime) -> Complaint | None:
        name = f"{self._queue}.dead"
        depths = self.broker.depths([self._queue, name])
        count = depths[name]
        self._depths = {"queue.work": depths[self._queue], "queue.dead": count}
        since = self._dead.since if self._dead else now
        return _dead(count, self._queue, since) if count else None

    def _waits_long(self) -> bool:
        asked_at = self._asked_at
        return bool(asked_at and (datetime.now(UTC) - asked_at).total_seconds() > ANSWER_SECONDS)


def _dead(count: int, queue: str, since: datetime) -> Complaint:
    return Complaint(
        what=f"{count} messages are in {queue}.dead, and no service receives them",
        since=since,
        do=f"with the broker's own tools move them to {queue}, where each is handled once or"
        f" dead-lettered with its reason; or purge {queue}.dead",
        stops_sagas=False,
    )


def _away(reason: str, since: datetime) -> Complaint:
    return Complaint(
        what=f"the broker does not work: {reason[:LONGEST_REASON]}",
        since=since,
        do="start or continue it, or free its memory or disk; events wait in the outboxes",
    )
