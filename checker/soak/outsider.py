"""What any AMQP client can do to the shop: say things a second time, and throw messages away.

A plain client, with nothing of the shop's own messaging in it.
"""

import logging
import random
import threading
from typing import Any

import pika
import pika.exceptions

EXCHANGES = ("saga_events", "saga_commands", "saga_replies")
_AGAIN_SECONDS = 0.5
_TIMEOUT_SECONDS = 5.0

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
