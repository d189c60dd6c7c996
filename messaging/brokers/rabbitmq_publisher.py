"""Publishing to RabbitMQ with pipelined confirms.

The messages of a call go out in one write, and all their confirms are awaited together: a round
trip and a disk flush for a list, not for each message.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from messaging.brokers import (
    EXCHANGES,
    BrokerUnavailable,
    Message,
    Rejected,
    Unroutable,
    exchange_of,
)
from messaging.brokers.rabbitmq_frames import Confirm, publish_frames
from messaging.brokers.rabbitmq_link import Link
from participant import points

WINDOW = 500  # messages sent and not yet confirmed: bounds memory on both sides
CONFIRM_SECONDS = 15.0
BLOCKED_SECONDS = 2.0


class Publisher:
    """A confirming channel on a link. Lives as long as the channel; for one thread at a time."""

    def __init__(self, link: Link, *, namespace: str) -> None:
        """Open the channel and declare the exchanges. Raises BrokerUnavailable."""
        self._link, self._namespace = link, namespace
        self._next_tag = self._lowest_tag = 1
        self._unconfirmed: set[int] = set()
        self._refused: set[int] = set()
        self._returned: list[str] = []
        self._channel = link.open_channel()
        self._channel.on_receive(self._on_confirms)
        self._channel.on_return(self._returned.append)
        for exchange in EXCHANGES:
            self._channel.declare_exchange(namespace + exchange)
        self._channel.call("confirm_delivery", ack_nack_callback=self._on_refused)

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
                    raise Rejected(str(error), error.ids or self._named_in(error, window)) from None
        if self._returned:
            raise Unroutable(self._returned)

    def _publish_window(self, messages: Sequence[Message]) -> None:
        # While the broker reads nothing, sending would only fill our own memory.
        self._await_unblocked()
        first, self._next_tag = self._next_tag, self._next_tag + len(messages)
        self._unconfirmed = set(range(first, self._next_tag))
        self._refused.clear()
        points.reach("publisher.before_write")
        self._channel.write(
            publish_frames(
                messages,
                channel=self._channel.number,
                namespace=self._namespace,
                frame_max=self._link.frame_max,
            )
        )
        points.reach("publisher.before_confirm")
        self._await_confirms()
        if self._refused:
            ids = [messages[tag - first].id for tag in sorted(self._refused)]
            raise Rejected(f"RabbitMQ could not store {len(ids)} message(s)", ids)

    def _named_in(self, error: Rejected, messages: Sequence[Message]) -> list[str]:
        """Those that go to the exchange that the broker names, where it refuses a whole one."""
        reason = str(error)
        refused = {name for name in EXCHANGES if f"'{self._namespace}{name}'" in reason}
        return [one.id for one in messages if exchange_of(message_type=one.type) in refused]

    def _await_confirms(self) -> None:
        deadline = time.monotonic() + CONFIRM_SECONDS
        while self._unconfirmed:
            self._link.drive(until=self._settled_or_stuck, seconds=deadline - time.monotonic())
            self._channel.raise_if_lost()
            if self._link.blocked:
                self._await_unblocked()
                deadline = time.monotonic() + CONFIRM_SECONDS
            if time.monotonic() >= deadline:
                # A broker that says nothing may be gone without a trace: start anew next time.
                self._link.abandon(f"RabbitMQ confirmed nothing for {CONFIRM_SECONDS:g} s")

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

    def _on_confirms(self, confirms: list[Confirm]) -> None:
        for confirm in confirms:
            self._settle(confirm.tag, confirm.multiple)

    def _on_refused(self, frame: Any) -> None:
        awaited = set(self._unconfirmed)
        self._settle(frame.method.delivery_tag, frame.method.multiple)
        self._refused |= awaited - self._unconfirmed

    def _settle(self, tag: int, multiple: bool) -> None:
        """Note these as answered."""
        if multiple:
            self._unconfirmed.difference_update(range(self._lowest_tag, tag + 1))
            self._lowest_tag = tag + 1
        else:
            self._unconfirmed.discard(tag)
