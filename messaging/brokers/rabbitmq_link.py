"""Connections to RabbitMQ and their channels.

A `Link` is one connection, driven by whoever waits for something on it: the thread that publishes
reads its own confirms, the thread that consumes reads its own deliveries. There is no
input-and-output thread between them, which would cost each small publish two thread switches and
twice the CPU (280 µs instead of 130 µs here). A link that nobody drives is kept alive by `keep`,
so that a handler that takes long never costs the connection.

A link lives once: when its connection is gone it is `lost` for good, and the next call makes a
new one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from messaging.brokers import BrokerUnavailable, Rejected
from messaging.brokers.rabbitmq import (
    CONNECT_SECONDS,
    Connection,
    describe,
    is_refusal,
    parameters,
    translated,
)
from messaging.brokers.rabbitmq_frames import FrameReader

ANSWER_SECONDS = 15.0
CLOSE_SECONDS = 2.0


class Link:
    """One open connection. All its methods may be called from any thread."""

    def __init__(self, url: str, *, name: str) -> None:
        """Connect. Raises BrokerUnavailable when that fails or takes too long."""
        self.lost = ""  # why it is gone
        self.blocked = ""  # why the broker takes no messages from us for now
        self.lock = threading.RLock()  # held by who drives, or touches the connection
        self._opened = False
        self._channels: dict[int, Channel] = {}
        read = parameters(url, name=name)
        self._address = f"{read.host}:{read.port}"
        self._connection = Connection(
            read, opened=self._on_opened, ended=self._on_ended, dispatch=self._dispatch
        )
        self._loop = self._connection.ioloop
        self._loop.activate_poller()
        self.drive(until=lambda: self._opened, seconds=3 * CONNECT_SECONDS)
        if not self._opened:
            self.close()
            raise BrokerUnavailable(self.lost)

    @property
    def server(self) -> dict[str, Any]:
        """What the broker says of itself: `product`, `version` and more."""
        properties: dict[str, Any] = self._connection.server_properties
        return properties

    @property
    def frame_max(self) -> int:
        """The size of the largest frame that the broker takes, in bytes."""
        return int(self._connection.params.frame_max)

    def open_channel(self) -> Channel:
        """Open a channel. Raises BrokerUnavailable."""
        opened: list[Any] = []
        with self.lock, translated():
            self._connection.channel(on_open_callback=opened.append)
            self.drive(until=lambda: bool(opened), seconds=ANSWER_SECONDS)
            self.raise_if_lost()
            if not opened:
                raise BrokerUnavailable("RabbitMQ opened no channel in time")
            channel = self._channels[opened[0].channel_number] = Channel(self, opened[0])
        return channel

    def raise_if_lost(self) -> None:
        """Raise BrokerUnavailable with the reason of the loss, if it is lost."""
        if self.lost:
            raise BrokerUnavailable(self.lost)

    def drive(self, *, until: Callable[[], bool], seconds: float) -> None:
        """Do input and output until `until()`, or the link is lost, or the time is over."""
        deadline = time.monotonic() + seconds
        with self.lock:
            if until() or self.lost:
                return
            alarm = self._loop.call_later(seconds, _nothing)
            while not (until() or self.lost or time.monotonic() >= deadline):
                self._turn()
            if not self.lost:
                self._loop.remove_timeout(alarm)

    def keep(self) -> None:
        """Send and answer heartbeats if nobody drives the link just now. Doesn't wait."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            if not self.lost:
                self._loop.add_callback(_nothing)  # or the turn would wait for something to do
                self._turn()
        finally:
            self.lock.release()

    def wake(self) -> None:
        """Have whoever drives the link look at its condition again."""
        self._loop.add_callback_threadsafe(_nothing)

    def write(self, frames: bytes) -> None:
        """Send whole frames; after a loss, nothing."""
        with self.lock:
            if not self.lost:
                self._connection.write(frames)

    def close(self) -> None:
        """Say goodbye, and leave without an answer after `CLOSE_SECONDS`."""
        with self.lock:
            if self._connection.is_open:
                self._connection.close()
            self.drive(until=lambda: False, seconds=CLOSE_SECONDS)
            self.abandon("this connection was closed")

    def abandon(self, reason: str) -> None:
        """Drop the connection at once, for this reason."""
        with self.lock:
            if not self.lost:
                self._connection.abort(reason)
                self.drive(until=lambda: False, seconds=CLOSE_SECONDS)
            if not self.lost:
                self._lose(reason)
                self._loop.close()

    def forget(self, channel: Channel) -> None:
        """Hand nothing to this channel any more."""
        self._channels.pop(channel.number, None)

    # What follows is called while somebody drives.

    def _dispatch(self, reader: FrameReader) -> None:
        """Hand out what was read."""
        for arrived in (reader.deliveries, reader.confirms):
            for number, items in arrived.items():
                if number in self._channels:
                    self._channels[number].receive(items)
            arrived.clear()

    def _on_opened(self, connection: Any) -> None:
        connection.read_in_one_go()
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        self._opened = True

    def _on_ended(self, _connection: Any, error: Exception) -> None:
        self._lose(f"no connection to RabbitMQ at {self._address}: {describe(error)}")

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self.blocked = frame.method.reason or "alarm"

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self.blocked = ""

    def _lose(self, reason: str) -> None:
        self.lost = self.lost or reason

    def _turn(self) -> None:
        try:
            self._loop.poll()
            if not self.lost:
                self._loop.process_timeouts()
        # The outermost loop of every connection: after an error that pika did not expect, nobody
        # may go on waiting on it.
        except Exception as error:
            logging.getLogger(__name__).exception("a connection to RabbitMQ failed")
            self._lose(f"the connection to RabbitMQ failed: {describe(error)}")
        if self.lost:
            self._loop.close()


class Channel:
    """One channel of a link."""

    def __init__(self, link: Link, channel: Any) -> None:
        self.link = link
        self.number: int = channel.channel_number
        self.receive: Callable[[list[Any]], None] = lambda _items: None
        self._channel = channel
        self._closed = ""
        self._is_refused = False
        channel.add_on_close_callback(self._on_closed)
        channel.add_on_cancel_callback(self._on_cancelled)

    @property
    def lost(self) -> str:
        """Why it is gone, or empty."""
        return self._closed or self.link.lost

    def call(self, method: str, **arguments: Any) -> Any:
        """Call pika's channel method of this name, and give the broker's answer.

        Raises BrokerUnavailable, and Rejected when the broker refuses, which closes the channel.
        """
        answers: list[Any] = []
        with self.link.lock, translated():
            getattr(self._channel, method)(callback=answers.append, **arguments)
            self.link.drive(until=lambda: bool(answers or self.lost), seconds=ANSWER_SECONDS)
            self.raise_if_lost()
        if not answers:
            raise BrokerUnavailable(f"RabbitMQ gave no answer to {method} in time")
        return answers[0]

    def declare_exchange(self, name: str, *, kind: str = "topic") -> None:
        """Make sure that a durable exchange is there. Raises BrokerUnavailable."""
        self.call("exchange_declare", exchange=name, exchange_type=kind, durable=True)

    def raise_if_lost(self) -> None:
        """Raise BrokerUnavailable or Rejected with the reason of the loss, if it is lost."""
        if self._is_refused and not self.link.lost:
            raise Rejected(self._closed)
        if self.lost:
            raise BrokerUnavailable(self.lost)

    def on_receive(self, receive: Callable[[list[Any]], None]) -> None:
        """Have `receive` called, by who drives the link, with lots of deliveries or confirms."""
        self.receive = receive

    def on_return(self, returned: Callable[[str], None]) -> None:
        """Have `returned` called, by who drives the link, with the id of each message that no
        queue is bound for.
        """
        self._channel.add_on_return_callback(
            lambda _channel, _method, properties, _body: returned(properties.message_id)
        )

    def write(self, frames: bytes) -> None:
        """Send frames of this channel; after a loss, nothing."""
        with self.link.lock:
            if not self.lost:
                self.link.write(frames)

    def close(self) -> None:
        """Close it: all that was sent before still counts, unsettled messages go back."""
        with self.link.lock:
            if not self.lost:
                self._channel.close()
                self.link.drive(until=lambda: bool(self.lost), seconds=CLOSE_SECONDS)

    def _on_closed(self, _channel: Any, error: Exception) -> None:
        if not self._closed:
            self._is_refused = is_refusal(error)
            self._closed = f"RabbitMQ closed the channel: {describe(error)}"
        self.link.forget(self)

    def _on_cancelled(self, _frame: Any) -> None:
        self._closed = "RabbitMQ ended the consumer: its queue was deleted or moved"
        self._channel.close()


def _nothing() -> None:
    """Wakes the loop by being called."""
