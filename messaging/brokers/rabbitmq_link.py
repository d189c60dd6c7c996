"""Connections to RabbitMQ and their channels, on pika: the only module that imports it.

A `Link` is one connection, driven by the thread that waits for something on it: the thread that
publishes reads its own confirms, the thread that consumes reads its own deliveries. There is no
I/O thread between them, which would cost each small publish two thread switches and twice the CPU
(280 µs instead of 130 µs here). `keep` keeps a link alive that no thread drives, so that a slow
handler never costs the connection.

A link is used for one connection: when that is gone, the link is `lost` for good, and the next call
makes a new link, to any node of the broker that answers.
"""

from __future__ import annotations

import logging
import os
import random
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pika.exceptions
from pika import spec

from contracts.bounds import MOST_BYTES_OF_A_MESSAGE
from contracts.nearness import each_host
from messaging.brokers import BrokerUnavailable, Delivery, Message, Rejected

# pika logs several errors with tracebacks for each lost connection. Here the reason reaches the
# caller as BrokerUnavailable, and the loop that backs off logs it once.
logging.getLogger("pika").setLevel(logging.CRITICAL)

CONNECT_SECONDS = 5.0
HOST_SECONDS = 2.0
"""For each host while others are left to try; the last host gets the full time."""
HEARTBEAT_SECONDS = 15
ANSWER_SECONDS = 15.0
CLOSE_SECONDS = 2.0
_REFUSALS = (311, 403, 405, 406)
"""Content too large, access refused, resource locked, precondition failed. A 404 is no refusal: the
topology may still be made."""


def parameters(url: str, *, name: str = "") -> list[Any]:
    """Read an `amqp(s)://` URL into pika's parameters, for each host that it names.

    Raises ValueError when it is malformed.
    """
    found = [pika.URLParameters(each) for each in each_host(url)]
    for read in found:
        read.connection_attempts = 1  # the caller backs off and calls again
        read.heartbeat = HEARTBEAT_SECONDS
        read.client_properties = {"connection_name": f"dueto {name} {os.getpid()}"}
    return found


def connected(url: str, *, name: str) -> Link:
    """Connect to any host of the URL, a random one first, so that clients spread over the nodes.

    Raises BrokerUnavailable with the reason of each host if none accepts the connection.
    """
    to_try, reasons = parameters(url, name=name), []
    random.shuffle(to_try)
    while to_try:
        chosen = to_try.pop()
        try:
            return Link(chosen, seconds=HOST_SECONDS if to_try else 3 * CONNECT_SECONDS)
        except BrokerUnavailable as error:
            reasons.append(str(error))
    raise BrokerUnavailable("; ".join(reasons))


class Properties(pika.BasicProperties):  # type: ignore[misc]  # pika has no type information
    """A message's properties; drops a table of headers that pika can't read (a time in
    milliseconds, an unknown type of field), because it must not cost the connection.
    """

    def decode(self, encoded: bytes, offset: int = 0) -> Any:
        try:
            return super().decode(encoded, offset)
        except Exception:  # noqa: BLE001 -- pika raises many kinds, and the bytes may be anything
            self.headers = None
        try:
            return super().decode(_without_headers(encoded[offset:]))
        except Exception:  # noqa: BLE001 -- as above: an empty id then
            self.message_id = None
        return self


spec.props[pika.BasicProperties.INDEX] = Properties


def _without_headers(encoded: bytes) -> bytes:
    """AMQP 0-9-1, 4.2.6.1: the flags, then the properties that they name, in a fixed order."""
    (flags,) = struct.unpack_from(">H", encoded)
    start = 2
    for flag in (Properties.FLAG_CONTENT_TYPE, Properties.FLAG_CONTENT_ENCODING):
        if flags & flag:
            start += 1 + encoded[start]
    (length,) = struct.unpack_from(">I", encoded, start)
    flags &= ~Properties.FLAG_HEADERS
    return struct.pack(">H", flags) + encoded[2:start] + encoded[start + 4 + length :]


def _text(name: str | bytes | None) -> str:
    """Any program may have published the message: decodes its names, whatever their bytes."""
    return name.decode(errors="replace") if isinstance(name, bytes) else name or ""


class Link:
    """One open connection. All its methods may be called from any thread."""

    def __init__(self, read: Any, *, seconds: float) -> None:
        """Connect by these `parameters`. Raises BrokerUnavailable when it fails or takes longer."""
        self.lost = ""  # why it is gone
        self.blocked = ""  # why the broker takes no messages from us for now
        self.lock = threading.RLock()  # held while a thread drives or uses the connection
        self._opened = False
        read.socket_timeout = min(seconds, CONNECT_SECONDS)
        read.stack_timeout = min(seconds, 2 * CONNECT_SECONDS)
        self._address = f"{read.host}:{read.port}"
        self._connection = pika.SelectConnection(
            read,
            on_open_callback=self._on_opened,
            on_open_error_callback=self._on_ended,
            on_close_callback=self._on_ended,
        )
        self._loop = self._connection.ioloop
        self._loop.activate_poller()
        self.drive(until=lambda: self._opened, seconds=seconds)
        if not self._opened:
            self.abandon(f"it opened no connection within {seconds:g} s")
            raise BrokerUnavailable(self.lost)

    @property
    def server(self) -> dict[str, Any]:
        """The broker's properties: `product`, `version` and more."""
        properties: dict[str, Any] = self._connection.server_properties
        return properties

    def open_channel(self) -> Channel:
        """Open a channel. Raises BrokerUnavailable."""
        opened: list[Any] = []
        with self.lock, translated():
            self._connection.channel(on_open_callback=opened.append)
            self.drive(until=lambda: bool(opened), seconds=ANSWER_SECONDS)
            self.raise_if_lost()
            if not opened:
                raise BrokerUnavailable("RabbitMQ opened no channel in time")
        return Channel(self, opened[0])

    def raise_if_lost(self) -> None:
        """Raise BrokerUnavailable with the reason of the loss, if it is lost."""
        if self.lost:
            raise BrokerUnavailable(self.lost)

    def drive(self, *, until: Callable[[], bool], seconds: float) -> None:
        """Do I/O until `until()` is true, the link is lost, or the time is over."""
        deadline = time.monotonic() + seconds
        with self.lock:
            if until() or self.lost:
                return
            timer = self._loop.call_later(seconds, _nothing)
            while not (until() or self.lost or time.monotonic() >= deadline):
                self._turn()
            if not self.lost:
                self._loop.remove_timeout(timer)

    def keep(self) -> None:
        """Send and answer heartbeats if no thread drives the link now. Doesn't wait."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            if not self.lost:
                self._loop.add_callback(_nothing)  # or the turn would wait for an event
                self._turn()
        finally:
            self.lock.release()

    def wake(self) -> None:
        """Make the thread that drives the link check its condition again."""
        self._loop.add_callback_threadsafe(_nothing)

    def close(self) -> None:
        """Close the connection; waits at most `CLOSE_SECONDS` for the broker's answer."""
        with self.lock:
            if self._connection.is_open:
                self._connection.close()
            self.drive(until=lambda: False, seconds=CLOSE_SECONDS)
            self.abandon("this connection was closed")

    def abandon(self, reason: str) -> None:
        """Drop the connection at once, for this reason."""
        with self.lock:
            if not self.lost:
                if not self._connection.is_closed:
                    # pika has no public way to drop a connection without closing it properly.
                    self._connection._terminate_stream(pika.exceptions.AMQPConnectionError(reason))
                self.drive(until=lambda: False, seconds=CLOSE_SECONDS)
            if not self.lost:
                self._lose(reason)
                self._loop.close()

    # The methods below are called while a thread drives.

    def _on_opened(self, connection: Any) -> None:
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
        # The outermost loop of every connection: after an error that pika did not expect, no thread
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
        self._channel = channel
        self._closed = ""
        self._is_refused = False
        channel.add_on_close_callback(self._on_closed)
        channel.add_on_cancel_callback(self._on_cancelled)

    @property
    def lost(self) -> str:
        """Why the channel is gone, or empty."""
        return self._closed or self.link.lost

    def call(self, method: str, **arguments: Any) -> Any:
        """Call pika's channel method of this name, and return the broker's answer.

        Raises BrokerUnavailable, and Rejected if the broker refuses, which closes the channel.
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
        """Make sure that a durable exchange exists. Raises BrokerUnavailable."""
        self.call("exchange_declare", exchange=name, exchange_type=kind, durable=True)

    def raise_if_lost(self) -> None:
        """Raise BrokerUnavailable or Rejected with the reason of the loss, if it is lost."""
        if self._is_refused and not self.link.lost:
            raise Rejected(self._closed)
        if self.lost:
            raise BrokerUnavailable(self.lost)

    def consume(self, *, queue: str, deliver: Callable[[Delivery], None]) -> None:
        """Call `deliver` with each message of the queue, on the thread that drives the link."""

        def _arrived(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            kept = body[: MOST_BYTES_OF_A_MESSAGE + 1]  # enough to see that it is too large
            message = Message(_text(properties.message_id), _text(method.routing_key), kept)
            speaker = _text(properties.user_id)
            deliver(Delivery(message, method.redelivered, method.delivery_tag, speaker))

        self.call("basic_consume", queue=queue, on_message_callback=_arrived)

    def on_return(self, returned: Callable[[str], None]) -> None:
        """Call `returned` with the id of each message without a bound queue, on the thread that
        drives the link.
        """
        self._channel.add_on_return_callback(
            lambda _channel, _method, properties, _body: returned(properties.message_id)
        )

    def publish(self, message: Message, *, exchange: str, login: str) -> None:
        """Send a message, persistent and mandatory, once a thread drives; does nothing after a
        loss. `login`: our own; the broker refuses any other.
        """
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=pika.DeliveryMode.Persistent,
            message_id=message.id,
            type=message.type,
            user_id=login,
        )
        with self.link.lock, translated():
            if not self.lost:
                self._channel.basic_publish(
                    exchange, message.type, message.body, properties, mandatory=True
                )

    def ack(self, tag: int, *, multiple: bool) -> None:
        """Settle one delivery, or all up to and including it; does nothing after a loss."""
        if not self.lost:
            self._channel.basic_ack(tag, multiple)

    def requeue(self, tag: int) -> None:
        """Put a delivery back into its queue; does nothing after a loss."""
        if not self.lost:
            self._channel.basic_nack(tag, requeue=True)

    def close(self) -> None:
        """Close the channel: sent messages still count, unsettled deliveries go back."""
        with self.link.lock:
            if not self.lost:
                self._channel.close()
                self.link.drive(until=lambda: bool(self.lost), seconds=CLOSE_SECONDS)

    def _on_closed(self, _channel: Any, error: Exception) -> None:
        if not self._closed:
            self._is_refused = is_refusal(error)
            self._closed = f"RabbitMQ closed the channel: {describe(error)}"

    def _on_cancelled(self, _frame: Any) -> None:
        self._closed = "RabbitMQ ended the consumer: its queue was deleted or moved"
        self._channel.close()


def _nothing() -> None:
    """Wakes the loop by being called."""


@contextmanager
def translated() -> Iterator[None]:
    """Translate pika's errors into BrokerUnavailable."""
    try:
        yield
    except pika.exceptions.AMQPError as error:
        raise BrokerUnavailable(f"RabbitMQ can't be asked: {describe(error)}") from error


def is_refusal(error: BaseException) -> bool:
    """Whether the broker closed a channel because it refuses the operation for good."""
    return isinstance(error, pika.exceptions.ChannelClosedByBroker) and (
        getattr(error, "reply_code", 0) in _REFUSALS
    )


def describe(error: BaseException) -> str:
    """The innermost reason of one of pika's nested errors."""
    inner = [*getattr(error, "exceptions", ()), getattr(error, "exception", None), *error.args]
    nested = [item for item in inner if isinstance(item, BaseException)]
    return describe(nested[-1]) if nested else f"{type(error).__name__} {error}".strip()
