"""The RabbitMQ adapter: topic exchanges and durable quorum queues, nothing lost, nothing polled.

One connection publishes, each subscription has its own, and one asks. RabbitMQ stops reading from
a connection that publishes while a memory or disk alarm is on; consuming must go on meanwhile.

A queue's last net: RabbitMQ 4 drops a message after 20 returns unless told otherwise. Here the
limit is explicit and far beyond what the consumer needs (it parks a poison message itself, after
a few tries), and even then the message is moved, safely ("at-least-once"), to the durable queue
`<queue>.dead`. `depths` counts that one like any other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from messaging.brokers import (
    EVENTS,
    BrokerUnavailable,
    Message,
    Rejected,
    exchange_of,
    refuse_unfit,
)
from messaging.brokers.rabbitmq import HEARTBEAT_SECONDS, parameters
from messaging.brokers.rabbitmq_link import Channel, Link
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
        self._links: dict[str, Link] = {}
        self._locks = {"publishing": threading.RLock(), "asking": threading.RLock()}
        self._publisher: Publisher | None = None
        self._declared: dict[str, set[str]] = {}
        self._subscriptions: list[RabbitMQSubscription] = []
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="rabbitmq-keeper", daemon=True)

    def describe(self) -> dict[str, str]:
        server = self._shared_link("asking").server
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
        refuse_unfit(messages)
        with self._locks["publishing"]:
            self._usable_publisher().publish(messages)

    def _usable_publisher(self) -> Publisher:
        if self._publisher is None or not self._publisher.usable:
            link = self._shared_link("publishing")
            try:
                self._publisher = Publisher(link, namespace=self._namespace)
            except Rejected as error:  # an exchange, and none of the messages
                raise BrokerUnavailable(str(error)) from error
        return self._publisher

    def subscribe(self, *, queue: str, prefetch: int) -> RabbitMQSubscription:
        name = self._namespace + queue
        subscription = RabbitMQSubscription(
            lambda: self._consuming_link(name), queue=name, prefetch=prefetch
        )
        # A consumer subscribes anew after each fault.
        open_ones = [one for one in self._subscriptions if not one.is_closed]
        self._subscriptions = [*open_ones, subscription]
        return subscription

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        return {queue: self._depth(self._namespace + queue) for queue in queues}

    def ping(self) -> None:
        self._asking_channel().close()
        publishing = self._links.get("publishing")
        if publishing is not None and publishing.blocked:
            raise BrokerUnavailable(f"RabbitMQ blocked publishing: {publishing.blocked}")

    def close(self) -> None:
        self._closing.set()
        for subscription in self._subscriptions:
            subscription.close()
        for name, lock in self._locks.items():
            with lock:
                link = self._links.pop(name, None)
                if link is not None:
                    link.close()
        if self._keeper.is_alive():
            self._keeper.join()

    def _shared_link(self, name: str) -> Link:
        with self._locks[name]:
            link = self._links.get(name)
            if link is None or link.lost:
                link = self._links[name] = self._open_link(name)
            return link

    def _asking_channel(self) -> Channel:
        link = self._shared_link("asking")
        link.keep()  # notices a loss since the last question
        return self._shared_link("asking").open_channel()

    def _consuming_link(self, queue: str) -> Link:
        # A broker that came back may have forgotten everything: make the queue again.
        if queue in self._declared:
            self._declare(queue)
        return self._open_link(queue)

    def _open_link(self, name: str) -> Link:
        if self._closing.is_set():
            raise BrokerUnavailable("this broker was closed")
        link = Link(self._url, name=name)
        with self._locks["asking"]:
            if not self._keeper.is_alive():
                self._keeper.start()
        return link

    def _keep(self) -> None:
        while not self._closing.wait(HEARTBEAT_SECONDS / 3):
            kept: list[Link | RabbitMQSubscription] = [*self._links.values(), *self._subscriptions]
            for item in kept:
                self._keep_one(item)

    def _keep_one(self, item: Link | RabbitMQSubscription) -> None:
        try:
            item.keep()
        # The outermost loop of the keeper: one broken connection must not cost the others.
        except Exception:
            logging.getLogger(__name__).exception("a connection to RabbitMQ can't be kept alive")

    def _declare(self, queue: str) -> None:
        dead, dead_queue = f"{self._namespace}{EVENTS}.dead", f"{queue}.dead"
        quorum = {"x-queue-type": "quorum"}
        dead_letter = {
            "x-dead-letter-exchange": dead,
            "x-dead-letter-routing-key": queue,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",  # which at-least-once requires
            "x-delivery-limit": self._delivery_limit,
        }
        channel = self._asking_channel()
        for exchange in {exchange_of(message_type=one) for one in self._declared[queue]}:
            channel.declare_exchange(self._namespace + exchange)
        channel.declare_exchange(dead, kind="direct")
        channel.call("queue_declare", queue=dead_queue, durable=True, arguments=quorum)
        channel.call("queue_bind", queue=dead_queue, exchange=dead, routing_key=queue)
        arguments = quorum | dead_letter
        try:
            channel.call("queue_declare", queue=queue, durable=True, arguments=arguments)
        except Rejected as error:
            wanted = f"wanted is a durable quorum queue that dead-letters to {dead}"
            raise Rejected(f"{error}; {wanted}") from error
        for event in sorted(self._declared[queue]):
            exchange = self._namespace + exchange_of(message_type=event)
            channel.call("queue_bind", queue=queue, exchange=exchange, routing_key=event)
        channel.close()

    def _depth(self, queue: str) -> int:
        channel = self._asking_channel()
        try:
            answer = channel.call("queue_declare", queue=queue, passive=True)
        except BrokerUnavailable as error:
            if "NOT_FOUND" in str(error):
                return 0
            raise
        channel.close()
        held = sum(item.held for item in self._subscriptions if item.queue == queue)
        return int(answer.method.message_count) + held
