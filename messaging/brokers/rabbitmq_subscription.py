"""Consuming a RabbitMQ queue: prefetched deliveries wait here until they are taken."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from messaging.brokers import BrokerUnavailable, Delivery
from messaging.brokers.rabbitmq import Channel
from messaging.brokers.rabbitmq_frames import ack_frame, requeue_frame


class RabbitMQSubscription:
    """A consumer of one queue, at most `prefetch` deliveries ahead.

    After a loss it makes a new channel at the next `take`. Delivery tags start again with each
    channel, so that a delivery counts as ours only while this very object is noted as unsettled.
    """

    def __init__(self, open_channel: Callable[[], Channel], *, queue: str, prefetch: int) -> None:
        """Start consuming. Raises BrokerUnavailable, also when there is no such queue."""
        self.queue = queue
        self._open_channel, self._prefetch = open_channel, prefetch
        self._changed = threading.Condition()
        self._waiting: deque[Delivery] = deque()
        self._unsettled: dict[int, Delivery] = {}  # by tag, which is the order of arrival
        self._closed = False
        self._channel: Channel
        self._consume()

    @property
    def held(self) -> int:
        """How many messages this consumer holds, taken or waiting to be."""
        return len(self._unsettled)

    def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        """See `Subscription.take`."""
        if self._channel.lost is not None and not self._closed:
            self._consume()
        with self._changed:
            self._changed.wait_for(self._something_to_say, timeout)
            if self._closed:
                return []
            if self._channel.lost is not None:
                raise BrokerUnavailable(str(self._channel.lost))
            count = min(limit, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """See `Subscription.ack`. One frame for all whose elders are settled too."""
        with self._changed:
            tags = self._settle(deliveries)
            oldest = next(iter(self._unsettled), None)
            number = self._channel.number
            together = len(tags) if oldest is None else bisect_left(tags, oldest)
            frames = [ack_frame(channel=number, tag=tag, multiple=False) for tag in tags[together:]]
            if together:
                tag = tags[together - 1]
                frames.append(ack_frame(channel=number, tag=tag, multiple=True))
            self._send(frames)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """See `Subscription.give_back`. They come back before what waits in the queue, but after
        what was prefetched already.
        """
        with self._changed:
            tags = self._settle(deliveries)
            self._send([requeue_frame(channel=self._channel.number, tag=tag) for tag in tags])

    def close(self) -> None:
        """See `Subscription.close`."""
        with self._changed:
            self._closed = True
            self._forget()
            self._changed.notify_all()
        self._channel.close()

    def _consume(self) -> None:
        channel = self._open_channel()
        with self._changed:
            self._forget()
            self._channel = channel
        channel.on_receive(partial(self._on_deliveries, channel))
        channel.watch(lambda _reason: self._wake())
        try:
            channel.call("basic_qos", prefetch_count=self._prefetch)
            # Deliveries are read by FrameReader; pika's callback is never reached.
            channel.call("basic_consume", queue=self.queue, on_message_callback=lambda *_: None)
        except BrokerUnavailable:
            channel.close()  # or a late consumer would hold messages that nobody takes
            raise
        if self._closed:
            channel.close()

    def _something_to_say(self) -> bool:
        return bool(self._waiting or self._closed or self._channel.lost)

    def _settle(self, deliveries: Sequence[Delivery]) -> list[int]:
        """Give the tags that are still ours to settle, lowest first, and forget them."""
        ours = [item.tag for item in deliveries if self._unsettled.get(item.tag) is item]
        for tag in ours:
            del self._unsettled[tag]
        return sorted(ours)

    def _send(self, frames: list[bytes]) -> None:
        if frames:
            self._channel.send(b"".join(frames))

    def _forget(self) -> None:
        self._waiting.clear()
        self._unsettled.clear()

    # From here on everything runs in the link's thread.

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _on_deliveries(self, channel: Channel, deliveries: list[Delivery]) -> None:
        with self._changed:
            if self._closed or channel is not self._channel:
                return
            for delivery in deliveries:
                self._unsettled[delivery.tag] = delivery
            self._waiting.extend(deliveries)
            self._changed.notify_all()
