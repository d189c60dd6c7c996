"""Consuming a RabbitMQ queue, a link for each consumer."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence

from messaging.brokers import BrokerUnavailable, Delivery
from messaging.brokers.rabbitmq_frames import ack_frame, requeue_frame
from messaging.brokers.rabbitmq_link import Link


class RabbitMQSubscription:
    """A consumer of one queue, which holds at most `prefetch` unsettled deliveries.

    After a loss it makes a new link at the next `take`. Delivery tags start again with each
    channel, so a delivery counts as ours only while this very object is noted as unsettled.
    """

    def __init__(self, open_link: Callable[[], Link], *, queue: str, prefetch: int) -> None:
        """Start consuming. Raises BrokerUnavailable, also when there is no such queue."""
        self.queue = queue
        self._open_link, self._prefetch = open_link, prefetch
        self._waiting: deque[Delivery] = deque()
        self._unsettled: dict[int, Delivery] = {}  # by tag, which is the order of arrival
        self._closed = False
        self._consume()

    @property
    def held(self) -> int:
        """How many messages this consumer holds, taken or waiting to be."""
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
            self._link.drive(until=self._something_to_say, seconds=timeout)
            if self._closed:
                return []
            self._channel.raise_if_lost()
            count = min(limit, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        # One frame for all whose elders are settled too, and one each for the others.
        with self._link.lock:
            tags, number = self._settle(deliveries), self._channel.number
            oldest = next(iter(self._unsettled), None)
            together = len(tags) if oldest is None else bisect_left(tags, oldest)
            frames = [ack_frame(channel=number, tag=tag, multiple=False) for tag in tags[together:]]
            if together:
                frames.append(ack_frame(channel=number, tag=tags[together - 1], multiple=True))
            self._channel.write(b"".join(frames))

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        # They come before what waits in the queue, but after what was sent to us already.
        with self._link.lock:
            tags, number = self._settle(deliveries), self._channel.number
            self._channel.write(b"".join(requeue_frame(channel=number, tag=tag) for tag in tags))

    @property
    def is_closed(self) -> bool:
        """Whether it will never give anything again."""
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._link.wake()
        with self._link.lock:
            self._link.close()
            # Last: deliveries still come while the connection closes. They go back with the rest.
            self._forget()

    def _consume(self) -> None:
        self._link = self._open_link()
        with self._link.lock:
            self._forget()
            self._channel = self._link.open_channel()
            self._channel.on_receive(self._on_deliveries)
            try:
                self._channel.call("basic_qos", prefetch_count=self._prefetch)
                # FrameReader reads deliveries; pika's callback is never reached.
                self._channel.call(
                    "basic_consume", queue=self.queue, on_message_callback=lambda *_: None
                )
            except BrokerUnavailable:
                self._link.close()  # or a late consumer would hold messages that nobody takes
                raise
        if self._closed:
            self._link.close()

    def _something_to_say(self) -> bool:
        return bool(self._waiting or self._closed or self._channel.lost)

    def _settle(self, deliveries: Sequence[Delivery]) -> list[int]:
        """Give the tags that are still ours to settle, lowest first, and forget them."""
        ours = [item.tag for item in deliveries if self._unsettled.get(item.tag) is item]
        for tag in ours:
            del self._unsettled[tag]
        return sorted(ours)

    def _forget(self) -> None:
        self._waiting.clear()
        self._unsettled.clear()

    def _on_deliveries(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self._unsettled[delivery.tag] = delivery
        self._waiting.extend(deliveries)
