"""pika, the only module that imports it: a connection with its hot paths shortened.

The adapter is `rabbitmq_broker`, made of `rabbitmq_link` (connections and channels, and who drives
them), `rabbitmq_publisher`, `rabbitmq_subscription` and `rabbitmq_frames` (the bytes).
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pika.exceptions

from messaging.brokers import BrokerUnavailable
from messaging.brokers.rabbitmq_frames import FrameReader

# pika logs several errors with tracebacks for each lost connection. Here the reason reaches the
# caller as BrokerUnavailable, and whoever backs off logs it once.
logging.getLogger("pika").setLevel(logging.CRITICAL)

CONNECT_SECONDS = 5.0
HEARTBEAT_SECONDS = 15
READ_BYTES = 65536
_REFUSALS = (311, 403, 405, 406)
"""Content too large, access refused, resource locked, precondition failed. A 404 is none: what is
missing is declared anew."""


def parameters(url: str, *, name: str = "") -> Any:
    """Read an `amqp(s)://` URL into pika's parameters. Raises ValueError when it is malformed."""
    read = pika.URLParameters(url)
    read.connection_attempts = 1  # who calls backs off and calls again
    read.socket_timeout = CONNECT_SECONDS
    read.stack_timeout = 2 * CONNECT_SECONDS
    read.heartbeat = HEARTBEAT_SECONDS
    read.client_properties = {"connection_name": f"dueto {name} {os.getpid()}"}
    return read


class Connection(pika.SelectConnection):  # type: ignore[misc]  # pika has no type information
    """pika's connection with the hot paths led past its frame objects and its output queue."""

    def __init__(
        self,
        read_parameters: Any,
        *,
        opened: Callable[[Any], None],
        ended: Callable[[Any, Exception], None],
        dispatch: Callable[[FrameReader], None],
    ) -> None:
        """Begin to connect: the loop of whoever drives it calls `opened` or `ended`, and then
        `dispatch` whenever something was read.
        """
        self._dispatch = dispatch
        self._reader = FrameReader(pass_on=super()._on_data_available)
        super().__init__(
            read_parameters,
            on_open_callback=opened,
            on_open_error_callback=ended,
            on_close_callback=ended,
        )

    def _on_data_available(self, data_in: bytes) -> None:
        read = self._reader.feed(data_in)  # pika counts by itself what is passed on to it
        # The heartbeat checker tells life from death by this count.
        self.bytes_received += read
        self._dispatch(self._reader)

    def read_in_one_go(self) -> None:
        """Read once for each time the socket is readable, and much, instead of 4 kB at a time
        until it would block. Not with TLS, where data may wait out of the poller's sight.
        """
        if type(self._transport._sock) is socket.socket:
            self._transport._MAX_RECV_BYTES = READ_BYTES
            self._transport._MAX_CONSUME_BYTES = 1

    def write(self, frames: bytes) -> None:
        """Send whole frames at once. What the socket doesn't take now, pika sends later."""
        transport, sent = self._transport, 0
        if type(transport._sock) is socket.socket and not transport.get_write_buffer_size():
            try:
                sent = transport._sock.send(frames)
            except OSError:
                sent = 0  # full or broken: pika finds out which
        if sent < len(frames):
            self._adapter_emit_data(frames[sent:])

    def abort(self, reason: str) -> None:
        """Drop the connection without a goodbye."""
        if not self.is_closed:
            self._terminate_stream(pika.exceptions.AMQPConnectionError(reason))


@contextmanager
def translated() -> Iterator[None]:
    """Have pika's errors as BrokerUnavailable."""
    try:
        yield
    except pika.exceptions.AMQPError as error:
        raise BrokerUnavailable(f"RabbitMQ can't be asked: {describe(error)}") from error


def is_refusal(error: BaseException) -> bool:
    """Whether the broker closed a channel because it will not do what was asked, ever."""
    return isinstance(error, pika.exceptions.ChannelClosedByBroker) and (
        getattr(error, "reply_code", 0) in _REFUSALS
    )


def describe(error: BaseException) -> str:
    """Say the innermost reason of one of pika's nested errors."""
    inner = [*getattr(error, "exceptions", ()), getattr(error, "exception", None), *error.args]
    nested = [item for item in inner if isinstance(item, BaseException)]
    return describe(nested[-1]) if nested else f"{type(error).__name__} {error}".strip()
