"""The RabbitMQ adapter: topic exchanges and durable quorum queues, without loss or polling.

One connection publishes, one asks, and each subscription has its own. RabbitMQ stops reading from
a connection that publishes while a memory or disk alarm is on; consuming must go on meanwhile.

Delivery limit: RabbitMQ 4 drops a message after 20 returns by default. Here the limit is explicit
and far beyond what the consumer needs (it dead-letters a poison message itself, after a few tries),
and even then the message is moved, safely ("at-least-once"), to the durable queue `<queue>.dead`.
`depths` counts that queue like any other.

Services make no exchanges, queues or bindings: `manage.py topology` has made them before. Each
message has its publisher's login as `user_id`, which RabbitMQ checks against the connection's
login.

The messages of one `publish` call go out in one write, and all their confirms are awaited together:
a round trip and a disk flush for a list, not for each message.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from contracts.topology import DEAD, EXCHANGES, exchange_of
from messaging.brokers import (
    BrokerUnavailable,
    Delivery,
    Message,
    Rejected,
    Rights,
    Unroutable,
    refuse_invalid,
)
from messaging.brokers.rabbitmq_link import (
    HEARTBEAT_SECONDS,
    Channel,
    Link,
    connected,
    parameters,
)
from participant import failpoints

# An explicit limit is also what keeps returned messages at the head of a quorum queue.
DELIVERY_LIMIT = 1_000_000

ELECTION_SECONDS = 20.0
"""For this time nacks are taken for an outage: a quorum queue has lost its leader. After it they
are refusals (of a full queue, say), which must not delay messages for other queues."""
CALM_SECONDS = 60.0
"""After this time without a nack, the next nack is taken for an outage again."""


class RabbitMQBroker:
    """A `Broker` that connects at the first call, and again at the first call after a loss, to any
    node in the URL.
    """

    def __init__(
        self, url: str, *, namespace: str = "", delivery_limit: int = DELIVERY_LIMIT
    ) -> None:
        """`namespace` prefixes every name. Raises ValueError for a malformed URL."""
        found = parameters(url)
        self._login = str(found[0].credentials.username)
        self._url, self._namespace, self._delivery_limit = url, namespace, delivery_limit
        self._links: dict[str, Link] = {}
        self._locks = {"publishing": threading.RLock(), "asking": threading.RLock()}
        self._publisher: Publisher | None = None
        self._is_only_node = len(found) == 1
        self._silences = 0  # consecutive connections on which no confirm came in time
        self._nacked_since = self._nacked_at = float("-inf")
        self._subscriptions: list[RabbitMQSubscription] = []
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="rabbitmq-keeper", daemon=True)

    @property
    def login(self) -> str:
        return self._login

    def may_configure(self) -> bool:
        """Tries to make a queue that ends with the connection."""
        channel, name = self._asking_channel(), f"{self._namespace}dueto.{uuid4()}"
        try:
            channel.call("queue_declare", queue=name, exclusive=True, auto_delete=True)
        except Rejected:
            return False
        channel.call("queue_delete", queue=name)
        channel.close()
        return True

    def describe(self) -> dict[str, str]:
        server = self._shared_link("asking").server
        return {
            "broker": f"{server['product']} {server['version']}",
            "queues": "durable quorum queues",
            "publishing": "persistent, mandatory, each message confirmed",
            "acknowledging": "by hand",
        }

    def declare(self, *, queue: str, events: Sequence[str]) -> None:
        name = self._namespace + queue
        dead, dead_queue = self._namespace + DEAD, f"{name}.dead"
        quorum = {"x-queue-type": "quorum"}
        dead_letter = {
            "x-dead-letter-exchange": dead,
            "x-dead-letter-routing-key": name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",  # which at-least-once requires
            "x-delivery-limit": self._delivery_limit,
        }
        channel = self._asking_channel()
        for exchange in EXCHANGES:
            channel.declare_exchange(self._namespace + exchange)
        channel.declare_exchange(dead, kind="direct")
        channel.call("queue_declare", queue=dead_queue, durable=True, arguments=quorum)
        channel.call("queue_bind", queue=dead_queue, exchange=dead, routing_key=name)
        try:
            channel.call("queue_declare", queue=name, durable=True, arguments=quorum | dead_letter)
        except Rejected as error:
            wanted = f"wanted is a durable quorum queue that dead-letters to {dead}"
            raise Rejected(f"{error}; {wanted}") from error
        for event in sorted(events):
            exchange = self._namespace + exchange_of(message_type=event)
            channel.call("queue_bind", queue=name, exchange=exchange, routing_key=event)
        channel.close()

    def grant(self, rights: Rights) -> None:
        """Does nothing: RabbitMQ's operator sets the rights."""

    def publish(self, messages: Sequence[Message]) -> None:
        refuse_invalid(messages)
        with self._locks["publishing"]:
            publisher = self._usable_publisher()
            try:
                publisher.publish(messages)
            except NotStored as error:
                if self._may_be_stored_soon():
                    raise BrokerUnavailable(str(error)) from error
                raise
            finally:
                self._silences = self._silences + 1 if publisher.is_silent else 0

    def _may_be_stored_soon(self) -> bool:
        """Whether a nack is taken for an outage; called at each nack."""
        now = time.monotonic()
        if now - self._nacked_at > CALM_SECONDS:
            self._nacked_since = now
        self._nacked_at = now
        return now - self._nacked_since < ELECTION_SECONDS

    def _usable_publisher(self) -> Publisher:
        if self._publisher is None or not self._publisher.usable:
            link = self._shared_link("publishing")
            self._publisher = Publisher(
                link,
                namespace=self._namespace,
                login=self._login,
                hurry=None if self._is_only_node else self._silences,
            )
        return self._publisher

    def subscribe(self, *, queue: str, prefetch: int) -> RabbitMQSubscription:
        name = self._namespace + queue
        subscription = RabbitMQSubscription(
            lambda: self._open_link(name), queue=name, prefetch=prefetch
        )
        # A consumer subscribes again after each fault.
        open_ones = [
            subscription for subscription in self._subscriptions if not subscription.is_closed
        ]
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

    def _open_link(self, name: str) -> Link:
        if self._closing.is_set():
            raise BrokerUnavailable("this broker was closed")
        link = connected(self._url, name=name)
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


WINDOW = 500  # messages sent and not yet confirmed: bounds memory on both sides
CONFIRM_SECONDS = 15.0
SOME_CONFIRM_SECONDS = 5.0
"""If there are other nodes: this node may be cut off from them. The time doubles with each
consecutive time-out."""
BLOCKED_SECONDS = 2.0


class NotStored(Rejected):
    """A nack: a queue did not store a published message now."""


class Publisher:
    """A confirming channel on a link. Lives as long as the channel; for one thread at a time."""

    def __init__(self, link: Link, *, namespace: str, login: str, hurry: int | None) -> None:
        """Open the channel. `hurry`: None if there is no other node, else the number of consecutive
        time-outs so far. Raises BrokerUnavailable.
        """
        self._link, self._namespace, self._login = link, namespace, login
        self._hurry = hurry
        self.is_silent = False
        """Whether it was closed because no confirm came in time."""
        self._next_tag = self._lowest_tag = 1
        self._unconfirmed: set[int] = set()
        self._refused: set[int] = set()
        self._returned: list[str] = []
        self._channel = link.open_channel()
        self._channel.on_return(self._returned.append)
        self._channel.call("confirm_delivery", ack_nack_callback=self._on_answer)

    @property
    def usable(self) -> bool:
        """Whether the channel is still there."""
        return not self._channel.lost

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish in order and await all confirms.

        Raises BrokerUnavailable, Rejected and Unroutable.
        """
        self._returned.clear()
        for start in range(0, len(messages), WINDOW):
            with self._link.lock:
                window = messages[start : start + WINDOW]
                try:
                    self._publish_window(window)
                except Rejected as error:
                    if error.ids:
                        raise
                    raise Rejected(str(error), self._named_in(error, window)) from None
        if self._returned:
            raise Unroutable(self._returned)

    def _publish_window(self, messages: Sequence[Message]) -> None:
        # While the broker does not read, sending would only fill our own memory.
        self._await_unblocked()
        first, self._next_tag = self._next_tag, self._next_tag + len(messages)
        self._unconfirmed = set(range(first, self._next_tag))
        self._refused.clear()
        failpoints.reach("publisher.before_write")
        for message in messages:
            exchange = self._namespace + exchange_of(message_type=message.type)
            self._channel.publish(message, exchange=exchange, login=self._login)
        failpoints.reach("publisher.before_confirm")
        self._await_confirms()
        if self._refused:
            ids = [messages[tag - first].id for tag in sorted(self._refused)]
            # A channel that has met a queue without a leader never looks for the new leader
            # (RabbitMQ 3.10, rabbit_fifo_client: its first message to a queue): it keeps nacking.
            self._channel.close()
            raise NotStored(f"RabbitMQ could not store {len(ids)} message(s)", ids)

    def _named_in(self, error: Rejected, messages: Sequence[Message]) -> list[str]:
        """The ids of the messages of the type or the exchange that the error names."""
        reason = str(error)
        if of_type := [it.id for it in messages if f"topic '{it.type}'" in reason]:
            return of_type
        refused = {name for name in EXCHANGES if f"'{self._namespace}{name}'" in reason}
        return [
            message.id for message in messages if exchange_of(message_type=message.type) in refused
        ]

    def _await_confirms(self) -> None:
        seconds = CONFIRM_SECONDS
        if self._hurry is not None:
            seconds = min(seconds, SOME_CONFIRM_SECONDS * 2**self._hurry)
        deadline = time.monotonic() + seconds
        while self._unconfirmed:
            self._link.drive(until=self._settled_or_stuck, seconds=deadline - time.monotonic())
            self._channel.raise_if_lost()
            if self._link.blocked:
                self._await_unblocked()
                deadline = time.monotonic() + seconds
            if time.monotonic() >= deadline:
                # A silent broker may have vanished: reconnect next time.
                self.is_silent = True
                self._link.abandon(f"RabbitMQ confirmed nothing for {seconds:g} s")

    def _settled_or_stuck(self) -> bool:
        return bool(not self._unconfirmed or self._channel.lost or self._link.blocked)

    def _await_unblocked(self) -> None:
        self._link.drive(
            until=lambda: bool(self._channel.lost or not self._link.blocked),
            seconds=BLOCKED_SECONDS,
        )
        self._channel.raise_if_lost()
        if self._link.blocked:
            raise BrokerUnavailable(f"RabbitMQ blocked publishing: {self._link.blocked}")

    def _on_answer(self, frame: Any) -> None:
        """Confirms or refuses one message, or all open messages up to it."""
        tag, first = frame.method.delivery_tag, frame.method.delivery_tag
        if frame.method.multiple:
            first, self._lowest_tag = self._lowest_tag, tag + 1
        answered = self._unconfirmed.intersection(range(first, tag + 1))
        self._unconfirmed -= answered
        if frame.method.NAME == "Basic.Nack":
            self._refused |= answered


class RabbitMQSubscription:
    """A consumer of one queue, which holds at most `prefetch` unsettled deliveries.

    After a loss the next `take` makes a new link. Delivery tags start again with each channel, so a
    delivery counts as ours only while this very object is noted as unsettled.
    """

    def __init__(self, open_link: Callable[[], Link], *, queue: str, prefetch: int) -> None:
        """Start consuming. Raises BrokerUnavailable, also for an unknown queue."""
        self.queue = queue
        self._open_link, self._prefetch = open_link, prefetch
        self._waiting: deque[Delivery] = deque()
        self._unsettled: dict[int, Delivery] = {}  # by tag, which is the order of arrival
        self._closed = False
        self._consume()

    @property
    def held(self) -> int:
        """The number of messages that this consumer holds, taken or waiting to be taken."""
        self._link.keep()  # reads what arrived meanwhile
        return len(self._unsettled)

    def keep(self) -> None:
        """Keep the connection alive while a handler takes its time."""
        self._link.keep()

    def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        if self._closed:
            return []
        if self._channel.lost:
            self._link.close()
            self._consume()
        with self._link.lock:
            self._link.drive(until=self._has_something_to_publish, seconds=timeout)
            if self._closed:
                return []
            self._channel.raise_if_lost()
            count = min(limit, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        # One ack for all deliveries before the oldest unsettled one, and one ack each for others.
        with self._link.lock:
            tags = self._settle(deliveries)
            oldest = next(iter(self._unsettled), None)
            together = len(tags) if oldest is None else bisect_left(tags, oldest)
            for tag in tags[together:]:
                self._channel.ack(tag, multiple=False)
            if together:
                self._channel.ack(tags[together - 1], multiple=True)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        # They come before messages in the queue, but after those that were sent to us already.
        with self._link.lock:
            for tag in self._settle(deliveries):
                self._channel.requeue(tag)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._link.wake()
        with self._link.lock:
            self._link.close()
            # Last: deliveries still come while the connection closes; they go back, too.
            self._forget()

    def _consume(self) -> None:
        self._link = self._open_link()
        with self._link.lock:
            self._forget()
            self._channel = self._link.open_channel()
            try:
                self._channel.call("basic_qos", prefetch_count=self._prefetch)
                self._channel.consume(queue=self.queue, deliver=self._on_delivery)
            except BrokerUnavailable:
                self._link.close()  # or a late consumer would hold messages that are never taken
                raise
        if self._closed:
            self._link.close()

    def _has_something_to_publish(self) -> bool:
        return bool(self._waiting or self._closed or self._channel.lost)

    def _settle(self, deliveries: Sequence[Delivery]) -> list[int]:
        """The tags that are still ours to settle, lowest first; forgets them."""
        ours = [item.tag for item in deliveries if self._unsettled.get(item.tag) is item]
        for tag in ours:
            del self._unsettled[tag]
        return sorted(ours)

    def _forget(self) -> None:
        self._waiting.clear()
        self._unsettled.clear()

    def _on_delivery(self, delivery: Delivery) -> None:
        self._unsettled[delivery.tag] = delivery
        self._waiting.append(delivery)
