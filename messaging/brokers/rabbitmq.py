"""Connections to RabbitMQ: the only module that imports pika.

A `Link` is one connection with a thread of its own for input, output and heartbeats, so that a
handler that takes long never costs the connection. A link lives once: when its connection is gone
it is lost for good, everyone who waits on it hears why, and the next call makes a new one.

`rabbitmq_broker` is the adapter made of it, `rabbitmq_publisher` and `rabbitmq_subscription` use
its channels, and `rabbitmq_frames` writes and reads the bytes of the hot paths.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import pika
import pika.exceptions

from messaging.brokers import BrokerUnavailable
from messaging.brokers.rabbitmq_frames import FrameReader
from messaging.brokers.rabbitmq_waiting import Answer, Lifeline

# pika logs several errors with tracebacks for each lost connection. Here the reason reaches the
# caller as BrokerUnavailable, and whoever backs off logs it once.
logging.getLogger("pika").setLevel(logging.CRITICAL)

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 3.0
HEARTBEAT_SECONDS = 15


def parameters(url: str, *, name: str = "") -> Any:
    """Read an `amqp(s)://` URL into pika's parameters. Raises ValueError when it is malformed."""
    read = pika.URLParameters(url)
    read.connection_attempts = 1  # who calls backs off and calls again
    read.socket_timeout = CONNECT_SECONDS
    read.stack_timeout = 2 * CONNECT_SECONDS
    read.heartbeat = HEARTBEAT_SECONDS
    read.client_properties = {"connection_name": f"dueto {name} {os.getpid()}"}
    return read


class _Connection(pika.SelectConnection):  # type: ignore[misc]  # pika has no type information
    """pika's connection with the hot paths led past its frame objects (see `rabbitmq_frames`)."""

    def __init__(self, link: Link, read_parameters: Any) -> None:
        self._link = link
        self._reader = FrameReader(pass_on=super()._on_data_available, foreign_id=_foreign_id)
        super().__init__(
            read_parameters,
            on_open_callback=link.on_opened,
            on_open_error_callback=link.on_ended,
            on_close_callback=link.on_ended,
        )

    def _on_data_available(self, data_in: bytes) -> None:
        # The heartbeat checker tells life from death by this count.
        self.bytes_received += self._reader.feed(data_in)
        self._link.dispatch(self._reader)

    def write(self, frames: bytes) -> None:
        """Send whole frames as they are."""
        self._adapter_emit_data(frames)


def _foreign_id(properties: bytes) -> str:
    return pika.BasicProperties().decode(properties).message_id or ""


class Link(Lifeline):
    """One open connection. Whatever touches pika is done in its thread, through `post`."""

    def __init__(self, url: str, *, name: str) -> None:
        """Connect. Raises BrokerUnavailable when that fails or takes too long."""
        super().__init__()
        self.blocked = ""  # the broker's reason while it takes no messages from us
        self.channels: dict[int, Channel] = {}
        self._opened = Answer(self)
        self._connection = _Connection(self, parameters(url, name=name))
        self._thread = threading.Thread(target=self._run, name=f"rabbitmq-{name}", daemon=True)
        self._thread.start()
        self._opened.wait(seconds=3 * CONNECT_SECONDS)

    @property
    def server(self) -> dict[str, Any]:
        """What the broker says of itself: `product`, `version` and more."""
        properties: dict[str, Any] = self._connection.server_properties
        return properties

    @property
    def frame_max(self) -> int:
        """The size of the largest frame that the broker takes, in bytes."""
        return int(self._connection.params.frame_max)

    def post(self, work: Callable[[], object]) -> None:
        """Have `work` done in the link's thread, in the order of the posts."""
        self._connection.ioloop.add_callback_threadsafe(work)

    def open_channel(self) -> Channel:
        """Open a channel. Raises BrokerUnavailable."""
        answer = Answer(self)

        def opened(channel: Any) -> None:
            answer.give(Channel(self, channel))

        self.post(lambda: attempt(answer, lambda: self._connection.channel(None, opened)))
        channel: Channel = answer.wait()
        return channel

    def close(self) -> None:
        """Say goodbye and end the thread. Waits at most `CLOSE_SECONDS`: when the broker doesn't
        answer, the thread ends by itself with the next heartbeat missed.
        """
        self.post(self._close)
        self._thread.join(CLOSE_SECONDS)

    def abandon(self, reason: str) -> None:
        """Treat it as lost, because the broker doesn't answer any more. Doesn't wait."""
        self.lose(reason)
        self.post(self._close)

    # From here on everything runs in the link's thread.

    def write(self, frames: bytes) -> None:
        """Send frames; after a loss, nothing."""
        if self.lost is None:
            self._connection.write(frames)

    def dispatch(self, reader: FrameReader) -> None:
        """Hand out what was read."""
        for arrived in (reader.deliveries, reader.confirms):
            for number, items in arrived.items():
                if number in self.channels:
                    self.channels[number].receive(items)
            arrived.clear()

    def on_opened(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(
            lambda _, frame: self._set_blocked(frame.method.reason or "alarm")
        )
        connection.add_on_connection_unblocked_callback(lambda _, __: self._set_blocked(""))
        self._opened.give()

    def on_ended(self, connection: Any, error: Exception) -> None:
        self.lose(f"no connection to RabbitMQ: {describe(error)}")
        connection.ioloop.stop()

    def _set_blocked(self, reason: str) -> None:
        self.blocked = reason
        for channel in list(self.channels.values()):
            channel.receive([])

    def _close(self) -> None:
        if self._connection.is_open:
            self._connection.close()

    def _run(self) -> None:
        try:
            self._connection.ioloop.start()
        # The outermost loop of the thread: whatever pika raises, those who wait must hear of it.
        except Exception as error:
            logging.getLogger(__name__).exception("the connection to RabbitMQ failed")
            self.lose(f"the connection to RabbitMQ failed: {describe(error)}")
        finally:
            self.lose("the connection to RabbitMQ ended")
            self._connection.ioloop.close()


class Channel(Lifeline):
    """One channel of a link, for use from other threads."""

    def __init__(self, link: Link, channel: Any) -> None:
        super().__init__()
        self.link = link
        self.number: int = channel.channel_number
        self.receive: Callable[[list[Any]], None] = lambda _items: None
        self._channel = channel
        link.channels[self.number] = self
        link.watch(self._on_link_lost)
        channel.add_on_close_callback(self._on_closed)
        channel.add_on_cancel_callback(self._on_cancelled)

    def call(self, method: str, **arguments: Any) -> Any:
        """Call pika's channel method of this name, and give the broker's answer.

        Raises BrokerUnavailable, also when the broker refuses, which closes the channel.
        """
        answer = Answer(self)
        work = getattr(self._channel, method)
        self.link.post(
            lambda: attempt(answer, lambda: work(callback=answer.give, **arguments)),
        )
        return answer.wait()

    def on_receive(self, receive: Callable[[list[Any]], None]) -> None:
        """Have `receive` called, in the link's thread, with each lot of deliveries or confirms,
        and with an empty one when the broker blocks or unblocks publishing.
        """
        self.receive = receive

    def on_return(self, returned: Callable[[str], None]) -> None:
        """Have `returned` called, in the link's thread, with the id of each unroutable message."""
        self._channel.add_on_return_callback(
            lambda _channel, _method, properties, _body: returned(properties.message_id)
        )

    def send(self, frames: bytes) -> None:
        """Send frames of this channel, one wake-up of the link's thread for all of them."""
        self.link.post(lambda: self._send(frames))

    def close(self) -> None:
        """Close it: all that was sent before still counts, unsettled messages go back."""
        closed = threading.Event()
        self.watch(lambda _reason: closed.set())
        self.link.post(lambda: self._channel.is_open and self._channel.close())
        closed.wait(CLOSE_SECONDS)
        self.lose("this channel was closed")

    def _send(self, frames: bytes) -> None:
        if self.lost is None:
            self.link.write(frames)

    def _on_closed(self, _channel: Any, error: Exception) -> None:
        self.link.channels.pop(self.number, None)
        self.link.unwatch(self._on_link_lost)
        self.lose(f"RabbitMQ closed the channel: {describe(error)}")

    def _on_link_lost(self, reason: BrokerUnavailable) -> None:
        self.lose(str(reason))

    def _on_cancelled(self, _frame: Any) -> None:
        self.lose("RabbitMQ ended the consumer: its queue was deleted or moved")
        self._channel.close()


def attempt(answer: Answer, question: Callable[[], object]) -> None:
    """Put a question to pika; that it can't even be asked is an answer too."""
    try:
        question()
    except pika.exceptions.AMQPError as error:
        answer.fail(BrokerUnavailable(f"RabbitMQ can't be asked: {describe(error)}"))


def describe(error: BaseException) -> str:
    """Say the innermost reason of one of pika's nested errors."""
    inner = getattr(error, "exceptions", None) or error.args
    nested = [item for item in inner if isinstance(item, BaseException)]
    return describe(nested[-1]) if nested else f"{type(error).__name__} {error}".strip()
