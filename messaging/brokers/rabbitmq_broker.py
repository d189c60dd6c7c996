"""The RabbitMQ adapter: a topic exchange and durable quorum queues, nothing lost, nothing polled.

Two connections: one publishes, the other consumes and asks. RabbitMQ stops reading from a
connection that publishes while a memory or disk alarm is on; consuming must go on meanwhile.

A queue's last net: RabbitMQ 4 drops a message after 20 returns unless told otherwise, 3.10 after
none. Here the limit is explicit and far beyond what the consumer needs (it parks a poison message
itself, after a few tries), and even then the message is moved, safely ("at-least-once"), to the
durable queue `<queue>.dead`. `depths` counts that like any other.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from messaging.brokers import EXCHANGE, BrokerUnavailable, Message
from messaging.brokers.rabbitmq import Channel, Link, parameters
from messaging.brokers.rabbitmq_publisher import Publisher
from messaging.brokers.rabbitmq_subscription import RabbitMQSubscription

# An explicit limit is also what keeps returned messages at the head of a quorum queue.
DELIVERY_LIMIT = 1_000_000


class RabbitMQBroker:
    """See `Broker`. Connects at the first call, and again at the first call after a loss."""

    def __init__(
        self, url: str, *, namespace: str = "", delivery_limit: int = DELIVERY_LIMIT
    ) -> None:
        """`namespace` goes before every name. Raises ValueError for a malformed URL."""
        parameters(url)
        self._url, self._namespace, self._delivery_limit = url, namespace, delivery_limit
        self._exchange = namespace + EXCHANGE
        self._links: dict[str, Link] = {}
        self._locks = {"publishing": threading.RLock(), "consuming": threading.RLock()}
        self._publisher: Publisher | None = None
        self._declared: dict[str, set[str]] = {}
        self._subscriptions: list[RabbitMQSubscription] = []
        self._closed = False

    def describe(self) -> dict[str, str]:
        server = self._link("consuming").server
        return {
            "broker": f"{server['product']} {server['version']}",
            "queues": "durable quorum queues",
            "publishing": "persistent, mandatory, each message confirmed",
            "acknowledging": "by hand",
        }

    def declare(self, *, queue: str, events: Sequence[str]) -> None:
        self._declared.setdefault(self._namespace + queue, set()).update(events)
        self._declare(self._namespace + queue)

    def publish(self, messages: Sequence[Message]) -> None:
        with self._locks["publishing"]:
            if self._publisher is None or not self._publisher.usable:
                self._publisher = Publisher(self._link("publishing"), exchange=self._exchange)
            self._publisher.publish(messages)

    def subscribe(self, *, queue: str, prefetch: int) -> RabbitMQSubscription:
        name = self._namespace + queue
        subscription = RabbitMQSubscription(
            lambda: self._consuming_channel(name), queue=name, prefetch=prefetch
        )
        self._subscriptions.append(subscription)
        return subscription

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        return {queue: self._depth(self._namespace + queue) for queue in queues}

    def ping(self) -> None:
        self._link("consuming").open_channel().close()
        publishing = self._links.get("publishing")
        if publishing is not None and publishing.blocked:
            raise BrokerUnavailable(f"RabbitMQ blocked publishing: {publishing.blocked}")

    def close(self) -> None:
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()
        for link in list(self._links.values()):
            link.close()  # frees whoever waits on it and holds the lock
        for name, lock in self._locks.items():
            with lock:
                late = self._links.pop(name, None)
            if late is not None:
                late.close()

    def _link(self, name: str) -> Link:
        with self._locks[name]:
            if self._closed:
                raise BrokerUnavailable("this broker was closed")
            link = self._links.get(name)
            if link is None or link.lost is not None:
                link = self._links[name] = Link(self._url, name=name)
            return link

    def _consuming_channel(self, queue: str) -> Channel:
        # A broker that came back may have forgotten everything: make the queue again.
        if queue in self._declared:
            self._declare(queue)
        return self._link("consuming").open_channel()

    def _declare(self, queue: str) -> None:
        dead, dead_queue = f"{self._exchange}.dead", f"{queue}.dead"
        quorum = {"x-queue-type": "quorum"}
        dead_letter = {
            "x-dead-letter-exchange": dead,
            "x-dead-letter-routing-key": queue,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",  # which at-least-once requires
            "x-delivery-limit": self._delivery_limit,
        }
        channel = self._link("consuming").open_channel()
        for exchange, kind in ((self._exchange, "topic"), (dead, "direct")):
            channel.call("exchange_declare", exchange=exchange, exchange_type=kind, durable=True)
        channel.call("queue_declare", queue=dead_queue, durable=True, arguments=quorum)
        channel.call("queue_bind", queue=dead_queue, exchange=dead, routing_key=queue)
        arguments = quorum | dead_letter
        channel.call("queue_declare", queue=queue, durable=True, arguments=arguments)
        for event in sorted(self._declared[queue]):
            channel.call("queue_bind", queue=queue, exchange=self._exchange, routing_key=event)
        channel.close()

    def _depth(self, queue: str) -> int:
        channel = self._link("consuming").open_channel()
        try:
            answer = channel.call("queue_declare", queue=queue, passive=True)
        except BrokerUnavailable as error:
            if "NOT_FOUND" in str(error):
                return 0
            raise
        channel.close()
        held = sum(item.held for item in self._subscriptions if item.queue == queue)
        return int(answer.method.message_count) + held
