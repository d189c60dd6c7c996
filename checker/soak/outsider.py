"""What any AMQP client can do to the shop: say things a second time, and throw messages away.

A plain client, with nothing of the shop's own messaging in it.
"""

import logging
import random
import struct
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pika
import pika.exceptions

EXCHANGES = ("saga_events", "saga_commands", "saga_replies")
_AGAIN_SECONDS = 0.5
_TIMEOUT_SECONDS = 5.0
_SECONDS = 1_772_000_000
_MILLISECONDS = struct.pack(">Q", _SECONDS * 1000)


class _InMilliseconds(pika.BasicProperties):  # type: ignore[misc]  # pika has no type information
    """A header of type T in milliseconds, as some programs write it: past the year 9999."""

    def encode(self) -> list[bytes]:
        pieces: list[bytes] = super().encode()
        return [piece.replace(struct.pack(">Q", _SECONDS), _MILLISECONDS) for piece in pieces]


FOREIGN = (
    (_InMilliseconds(headers={"sent": datetime.fromtimestamp(_SECONDS, tz=UTC)}), b"not JSON"),
    (pika.BasicProperties(message_id="x" * 200), b"\xf1\x00" * 50),
    (pika.BasicProperties(), b""),
    (pika.BasicProperties(content_type="text/xml"), b"<order/>"),
    (pika.BasicProperties(type="checkout.payment.processed"), b"[" * 100_000),
    (pika.BasicProperties(type="checkout.payment.processed"), b'{"id": "\\ud800", "type": 7}'),
    (pika.BasicProperties(), b'{"id": "1", "type": "a", "saga_id": "b", "saga": "c"}'),
    (pika.BasicProperties(), b"x" * 2_000_000),
)
"""What other programs may send."""

logging.getLogger("pika").setLevel(logging.CRITICAL)


def purge(*, url: str, queue: str) -> int:
    """Throws away all that waits in a queue; returns how many messages those were.

    Raises ConnectionError.
    """
    try:
        with pika.BlockingConnection(_parameters(url)) as connection:
            return int(connection.channel().queue_purge(queue).method.message_count)
    except pika.exceptions.AMQPError as error:
        raise ConnectionError(f"RabbitMQ is away ({type(error).__name__})") from error


def intrude(*, url: str, queue: str) -> int:
    """Sends to a queue what other programs send to the wrong place; returns how many those were.

    Raises ConnectionError.
    """
    try:
        with pika.BlockingConnection(_parameters(url)) as connection:
            channel = connection.channel()
            for properties, body in FOREIGN:
                channel.basic_publish("", queue, body, properties)
    except pika.exceptions.AMQPError as error:
        raise ConnectionError(f"RabbitMQ is away ({type(error).__name__})") from error
    return len(FOREIGN)


def usurp(*, url: str, queue: str, wait: Callable[[], object]) -> str:
    """Puts a queue of another kind in the place of this one, until `wait` returns; then it is gone.

    Raises ConnectionError.
    """
    try:
        with pika.BlockingConnection(_parameters(url)) as connection:
            channel = connection.channel()
            channel.queue_delete(queue)
            try:
                channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "classic"})
            except pika.exceptions.ChannelClosedByBroker:
                return "the shop was faster, and has made its queue again"
            wait()
            channel.queue_delete(queue)
    except pika.exceptions.AMQPError as error:
        raise ConnectionError(f"RabbitMQ is away ({type(error).__name__})") from error
    return ""


class Echo:
    """Hears everything on a queue of its own, and publishes `share` of it again.

    What it says again it hears too, and may repeat once more. A lost connection is made again;
    what is said meanwhile is not repeated.
    """

    def __init__(self, *, url: str, share: float, seed: str) -> None:
        self.heard = self.repeated = 0
        self._parameters = _parameters(url)
        self._share = share
        self._chance = random.Random(seed)  # noqa: S311 -- which ones to repeat, no secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="echo", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Repeats nothing any more, and takes its queue away with its connection."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (pika.exceptions.AMQPError, OSError):  # the broker is away: one of the faults
                self._stop.wait(_AGAIN_SECONDS)

    def _listen(self) -> None:
        with pika.BlockingConnection(self._parameters) as connection:
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True, auto_delete=True).method.queue
            for exchange in EXCHANGES:
                channel.exchange_declare(exchange, "topic", durable=True)
                channel.queue_bind(queue, exchange, "#")
            for method, properties, body in channel.consume(
                queue, auto_ack=True, inactivity_timeout=_AGAIN_SECONDS
            ):
                if self._stop.is_set():
                    return
                if method is not None:
                    self._hear(channel, method, properties, body)

    def _hear(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.heard += 1
        if self._chance.random() < self._share:
            channel.basic_publish(method.exchange, method.routing_key, body, properties)
            self.repeated += 1


def _parameters(url: str) -> Any:
    found = pika.URLParameters(url)
    found.socket_timeout = found.stack_timeout = _TIMEOUT_SECONDS
    found.blocked_connection_timeout = _TIMEOUT_SECONDS
    found.heartbeat = int(_TIMEOUT_SECONDS)
    return found
