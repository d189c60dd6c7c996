"""What any client with a login can do to the shop's servers, by plain AMQP and plain SQL.

It uses none of the shop's code. Each function raises ConnectionError if the server is down.
"""

import logging
import random
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pika
import pika.exceptions
import psycopg
from psycopg import sql

EXCHANGES = ("saga_events", "saga_commands", "saga_replies")
_AGAIN_SECONDS = 0.5
_TIMEOUT_SECONDS = 5.0
_SECONDS = 1_772_000_000
_MILLISECONDS = struct.pack(">Q", _SECONDS * 1000)


class _InMilliseconds(pika.BasicProperties):  # type: ignore[misc]  # pika has no type information
    """A timestamp header in milliseconds, as some programs write it: past the year 9999."""

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
"""Messages that other programs may send."""
Wait = Callable[[], object]
"""Returns when the fault should end."""

logging.getLogger("pika").setLevel(logging.CRITICAL)


def purge(*, url: str, queue: str) -> str:
    """Deletes all messages in a queue."""
    with _channel(url) as channel:
        return f"{channel.queue_purge(queue).method.message_count} messages lost"


def intrude(*, url: str, queue: str) -> str:
    """Sends foreign messages to a queue."""
    with _channel(url) as channel:
        for properties, body in FOREIGN:
            channel.basic_publish("", queue, body, properties)
    return f"{len(FOREIGN)} foreign messages"


def usurp(*, url: str, queue: str, wait: Wait) -> None:
    """Replaces a queue by one of another type, and finally deletes that."""
    with _channel(url) as channel:
        channel.queue_delete(queue)
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "classic"})
        wait()
        channel.queue_delete(queue)


@contextmanager
def _channel(url: str) -> Iterator[Any]:
    try:
        with pika.BlockingConnection(_parameters(url)) as connection:
            yield connection.channel()
    except pika.exceptions.AMQPError as error:
        raise ConnectionError(f"RabbitMQ is down ({type(error).__name__})") from error


class Echo:
    """Consumes all messages on a queue of its own, and publishes a `share` of them again.

    It also consumes these repetitions, and may repeat them once more. It reconnects after a lost
    connection; messages published meanwhile are not repeated.
    """

    def __init__(self, *, url: str, share: float, seed: str) -> None:
        self.consumed = self.repeated = 0
        self._parameters = _parameters(url)
        self._share = share
        self._chance = random.Random(seed)  # noqa: S311 -- which messages to repeat, no secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="echo", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Stops repeating; its queue ends with its connection."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (pika.exceptions.AMQPError, OSError):  # the broker is down: one of the faults
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
                    self._consume(channel, method, properties, body)

    def _consume(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.consumed += 1
        if self._chance.random() < self._share:
            channel.basic_publish(method.exchange, method.routing_key, body, properties)
            self.repeated += 1


def _parameters(url: str) -> Any:
    found = pika.URLParameters(url)
    found.socket_timeout = found.stack_timeout = _TIMEOUT_SECONDS
    found.blocked_connection_timeout = _TIMEOUT_SECONDS
    found.heartbeat = int(_TIMEOUT_SECONDS)
    return found


BUSIEST = {
    "carrito": "carrito_checkout",
    "inventario": "inventario_product",
    "pagos": "pagos_payment",
    "pedidos": "pedidos_order",
    "envios": "envios_courier",
    "tarjetas": "tarjetas_charge",
    "reservas": "reservas_booking",
    "facturas": "facturas_bill",
    "saga_orchestrator": "saga_orchestrator_saga",
    "saga_choreography": "saga_choreography_saga",
    "saga_temporal": "saga_temporal_saga",
}
"""A service's busiest table; that of any other is its barrier."""
TEXTS = {
    "pagos": ("pagos_payment", "payment_method"),
    "tarjetas": ("tarjetas_charge", "payment_method"),
    "saga_orchestrator": ("saga_orchestrator_saga", "parked_reason"),
    "saga_choreography": ("saga_choreography_saga", "parked_reason"),
    "saga_temporal": ("saga_temporal_saga", "parked_reason"),
}
"""A text column of a service, for a migration while the shop runs; that of any other service is the
`detail` of its barrier."""
TRIES = 20


def hold_row(*, url: str, service: str, wait: Wait) -> str:
    """Locks the newest row in a transaction, and keeps that open for a while."""
    name = BUSIEST.get(service, _barrier_of(service))
    table = sql.Identifier(name)
    with _connected(url, autocommit=False) as session:
        found = session.execute(
            sql.SQL("SELECT ctid::text FROM {} ORDER BY ctid DESC LIMIT 1 FOR UPDATE").format(table)
        ).fetchone()
        wait()
        session.rollback()
    return f"row {found[0]} of {name}" if found else f"{name} is empty"


def make_read_only(*, url: str, wait: Wait) -> str:
    """As after a failover: sessions are cut, new ones are read-only; those stay so even after the
    fault has ended.
    """
    with _connected(url, autocommit=True) as session:
        name = sql.Identifier(session.info.dbname)
        setting = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name)
        session.execute(setting)
        try:
            cut = session.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
            wait()
        finally:
            session.execute("SET default_transaction_read_only = off")
            back = sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name)
            session.execute(back)
    return f"{cut[0] if cut else 0} sessions cut"


def change_column(*, url: str, service: str) -> str:
    """Changes the type of a text column, which invalidates each prepared plan of its table."""
    table, column = TEXTS.get(service, (_barrier_of(service), "detail"))
    with _connected(url, autocommit=True) as session:
        session.execute("SET lock_timeout = '200ms'")
        found = session.execute(
            "SELECT data_type FROM information_schema.columns"
            " WHERE table_name = %s AND column_name = %s",
            [table, column],
        ).fetchone()
        kind = "varchar(4000)" if found and found[0] == "text" else "text"
        change = sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {}").format(
            sql.Identifier(table), sql.Identifier(column), sql.SQL(kind)
        )
        for _ in range(TRIES):
            try:
                session.execute(change)
            except psycopg.errors.LockNotAvailable:
                continue
            return f"{table}.{column} is {kind} now"
    raise ConnectionError(f"{table} was never free")


def _barrier_of(service: str) -> str:
    return f"{service}_barrierentry"


@contextmanager
def _connected(url: str, *, autocommit: bool) -> Iterator[psycopg.Connection]:
    try:
        # Even while another fault makes the database read-only.
        writes = "-c default_transaction_read_only=off"
        with psycopg.connect(
            url, autocommit=autocommit, connect_timeout=5, options=writes
        ) as session:
            yield session
    except psycopg.OperationalError as error:
        raise ConnectionError(f"PostgreSQL is down ({type(error).__name__})") from error
