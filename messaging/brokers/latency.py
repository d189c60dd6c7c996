"""Latency injection: makes a broker appear more distant, for comparisons.

Each way takes `seconds`: a batch to the broker, its confirms back, a message from the broker to the
consumer. Deliveries travel in parallel, as on a network; a batch waits for its confirms, as the
relay does on a network. `httpapi.client` delays its calls in the same way.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from messaging.brokers import Broker, BrokerUnavailable, Delivery, Message, Subscription


class LatencyBroker:
    """Another broker, `seconds` away."""

    def __init__(self, broker: Broker, *, seconds: float) -> None:
        self._broker = broker
        self._seconds = seconds
        self.describe, self.declare, self.grant = broker.describe, broker.declare, broker.grant
        self.may_configure = broker.may_configure
        self.depths, self.ping, self.close = broker.depths, broker.ping, broker.close

    @property
    def login(self) -> str:
        return self._broker.login

    def publish(self, messages: Sequence[Message]) -> None:
        time.sleep(self._seconds)
        self._broker.publish(messages)
        time.sleep(self._seconds)

    def subscribe(self, *, queue: str, prefetch: int) -> Subscription:
        near = self._broker.subscribe(queue=queue, prefetch=prefetch)
        return LatencySubscription(near, seconds=self._seconds)


class LatencySubscription:
    """Another subscription, whose deliveries are `seconds` in transit.

    A delivery's transit starts when it is read, in `take`: deliveries that come while the consumer
    is busy are late by that time.
    """

    def __init__(self, near: Subscription, *, seconds: float) -> None:
        self._near = near
        self._seconds = seconds
        self._in_transit: deque[tuple[float, Delivery]] = deque()

    def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        deadline = time.monotonic() + timeout
        self._read(limit, wait=0 if self._in_transit else timeout)
        while not (arrived := self._arrived(limit)) and self._in_transit:
            due = self._in_transit[0][0]
            if due > deadline:
                time.sleep(max(deadline - time.monotonic(), 0))
                break
            self._read(limit, wait=max(due - time.monotonic(), 0))
        return arrived

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self._near.ack(deliveries)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        self._near.give_back(deliveries)

    def close(self) -> None:
        self._near.close()

    def _read(self, limit: int, *, wait: float) -> None:
        """Reads waiting deliveries, for at most `wait` seconds."""
        try:
            found = self._near.take(limit=limit, timeout=wait)
        except BrokerUnavailable:
            self._in_transit.clear()  # they will come again
            raise
        arrives = time.monotonic() + self._seconds
        self._in_transit.extend((arrives, delivery) for delivery in found)

    def _arrived(self, limit: int) -> list[Delivery]:
        now = time.monotonic()
        arrived: list[Delivery] = []
        while self._in_transit and self._in_transit[0][0] <= now and len(arrived) < limit:
            arrived.append(self._in_transit.popleft()[1])
        return arrived
