"""The consumer: hears events in batches, handles them by reaction, and acks after the commit.

A batch that faults is handled again one by one, so a poison message harms only itself: it is set
aside (`parking`), tried again with growing delays, and in the end left to a person.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from django.db import DatabaseError, InterfaceError, connections

from contracts import events
from contracts.events import Event
from messaging import parking
from messaging.brokers import Broker, BrokerUnavailable, Delivery, Subscription
from messaging.reactions import Reaction

log = logging.getLogger(__name__)

BATCH = 100
PREFETCH = 200
IDLE_SECONDS = 0.5
RETRY_SECONDS = 1.0
"""How often messages that were set aside are looked at, also in the middle of a rush."""


class DatabaseUnavailable(Exception):
    """The service's own database cannot be reached: no message's fault."""


class Consumer:
    """Hears what the reactions name, on the service's durable queue.

    `linger`: seconds to wait for more once something is there; only for who keeps nobody waiting.
    """

    name = "consumer"

    def __init__(
        self,
        *,
        service: str,
        broker: Broker,
        reactions: Sequence[Reaction],
        linger: float = 0.0,
    ) -> None:
        self.service = service
        self.broker = broker
        self.linger = linger
        self.queue = queue_of(service=service)
        self.reactions: Mapping[str, Reaction] = {one.hears: one for one in reactions}
        self._counters: Counter[str] = Counter()
        self._retry_at = 0.0

    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    def run(self, stop: threading.Event) -> None:
        """Consumes until `stop` is set; an unreachable broker or database is waited for."""
        delay = 0.0
        while not stop.is_set():
            try:
                self._consume(stop)
                delay = 0.0
            except (BrokerUnavailable, DatabaseUnavailable, DatabaseError, InterfaceError) as error:
                delay = min(max(0.1, delay * 2), 2.0)
                log.warning("consumer of %s: %s; again in %.1f s", self.service, error, delay)
                connections[self.service].close()
            stop.wait(delay)
        connections[self.service].close()

    def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Handles a batch; afterwards every message has taken effect or is set aside.

        Raises DatabaseUnavailable, and then nothing may be acked.
        """
        heard: dict[str, list[Event]] = {}
        for delivery in deliveries:
            event = self._decoded(delivery)
            if event:
                heard.setdefault(self.reactions[event.type].group, []).append(event)
        for group in heard.values():
            self._handle_group(self.reactions[group[0].type], group)
        self._counters["messages_consumed"] += len(deliveries)
        self._counters["consume_batches"] += 1

    def _consume(self, stop: threading.Event) -> None:
        self.broker.declare(queue=self.queue, events=sorted(self.reactions))
        subscription = self.broker.subscribe(queue=self.queue, prefetch=PREFETCH)
        try:
            while not stop.is_set():
                self._take_and_handle(subscription)
        finally:
            subscription.close()

    def _take_and_handle(self, subscription: Subscription) -> None:
        deliveries = subscription.take(limit=BATCH, timeout=IDLE_SECONDS)
        if self.linger and 0 < len(deliveries) < BATCH:
            time.sleep(self.linger)
            deliveries += subscription.take(limit=BATCH - len(deliveries), timeout=0)
        if time.monotonic() >= self._retry_at:
            parking.retry_due(service=self.service, handle=self._handle_one)
            self._retry_at = time.monotonic() + RETRY_SECONDS
        if not deliveries:
            return
        try:
            self.handle(deliveries)
        except DatabaseUnavailable:
            subscription.give_back(deliveries)
            raise
        subscription.ack(deliveries)

    def _decoded(self, delivery: Delivery) -> Event | None:
        message = delivery.message
        try:
            event = events.decode(message.body)
        except msgspec.MsgspecError as error:
            parking.park_unreadable(service=self.service, message=message, reason=str(error))
            return None
        if event.type not in self.reactions:
            parking.park_unreadable(
                service=self.service, message=message, reason="no reaction to this event here"
            )
            return None
        return event

    def _handle_group(self, reaction: Reaction, group: list[Event]) -> None:
        try:
            reaction.handle(group)
        except Exception as error:  # noqa: BLE001 -- any fault: find whose it is, one by one
            self._raise_if_database_is_gone(error)
            log.warning("%s: %d events, now one by one: %r", reaction.group, len(group), error)
            for event in group:
                self._handle_or_set_aside(event)

    def _handle_or_set_aside(self, event: Event) -> None:
        try:
            self._handle_one(event)
        except Exception as error:  # noqa: BLE001 -- the message is poison: set aside with its reason
            self._raise_if_database_is_gone(error)
            self._counters["messages_set_aside"] += 1
            parking.set_aside(service=self.service, event=event, reason=repr(error))

    def _handle_one(self, event: Event) -> None:
        self.reactions[event.type].handle([event])

    def _raise_if_database_is_gone(self, error: Exception) -> None:
        is_database_error = isinstance(error, DatabaseError | InterfaceError)
        if is_database_error and not connections[self.service].is_usable():
            raise DatabaseUnavailable(f"the database of {self.service}: {error}") from error


def queue_of(*, service: str) -> str:
    """The name of the service's queue."""
    return f"dueto.{service}"
