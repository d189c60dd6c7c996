"""The broker on PostgreSQL, for use without RabbitMQ: queues are tables, wake-ups are NOTIFY.

A message is stored once the publisher's transaction is on disk. Taking a message marks it with the
consumer's number, so no transaction stays open while it is handled. A consumer holds an advisory
lock for as long as its connection lives: when the lock is gone, the messages that it had taken are
free again, whether the consumer crashed, was killed or lost its connection.

Only publishing waits for the disk. A crash of the server may undo a take or an ack, and then a
message comes twice, which "at least once" allows.

`message.consumer` is the number of the consumer that took a message and has not settled it. That
consumer's connection holds an advisory lock on (a class number made of the schema, its number):
a number without its lock belongs to no living consumer.

All access is through functions that act as the schema's owner (SECURITY DEFINER) and check the
rights of the session's own login: the types of messages that it may publish, the queue that it may
consume. A service only needs the right to connect. The owner and a superuser may do everything.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from messaging.brokers import (
    BrokerUnavailable,
    Delivery,
    Message,
    Rejected,
    Rights,
    Unroutable,
    refuse_invalid,
)
from messaging.brokers.postgres_sql import MAY_CONFIGURE, QUICK, Statements
from participant.databases import with_several_hosts

CONNECT_SECONDS, STATEMENT_SECONDS = 5, 10.0


class PostgresBroker:
    """A `Broker`, with its tables in the schema `dueto_broker`, which `declare` makes."""

    def __init__(self, url: str, *, namespace: str = "") -> None:
        """`namespace` goes before the name of the schema. Raises ValueError for a malformed URL."""
        try:
            given = psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise ValueError(f"malformed PostgreSQL URL: {error}") from error
        self._login = str(given.get("user") or "")
        self._given = {"connect_timeout": CONNECT_SECONDS, **with_several_hosts(given)}
        self._statements = Statements(f"{namespace}dueto_broker")
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._subscriptions: list[PostgresSubscription] = []
        self._closed = False

    @property
    def login(self) -> str:
        return self._login

    def may_configure(self) -> bool:
        """Whether it owns the schema, or is a superuser."""
        with self._connected() as connection:
            rows = connection.execute(MAY_CONFIGURE, {"schema": self._statements.schema})
            return any(is_owner for (is_owner,) in rows)

    def describe(self) -> dict[str, str]:
        with self._connected() as connection:
            version = connection.info.parameter_status("server_version")
            fsync, commit = connection.execute(
                "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
            ).fetchone() or ("?", "?")
        return {
            "broker": f"PostgreSQL {version} (embedded broker)",
            "queues": "tables, written ahead to the log",
            "publishing": f"committed, fsync {fsync}, synchronous_commit {commit}",
            "acknowledging": "by hand, synchronous_commit off",
        }

    def declare(self, *, queue: str, events: Sequence[str]) -> None:
        with self._connected() as connection:
            connection.execute(self._statements.setup, prepare=False)
            values = {"queue": queue, "events": sorted(set(events))}
            connection.execute(self._statements.declare, values)

    def grant(self, rights: Rights) -> None:
        """For logins with a role in the database: to connect, publish and consume."""
        pairs = [(login, event) for login, events in rights.publishes.items() for event in events]
        values = {
            "logins": [login for login, _ in pairs],
            "events": [event for _, event in pairs],
            "queues": list(rights.consumes),
            "owners": list(rights.consumes.values()),
        }
        with self._connected() as connection, connection.transaction():
            connection.execute(self._statements.grant, values)
            connection.execute(self._statements.let_in, prepare=False)

    def publish(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        refuse_invalid(messages)
        values = {
            "ids": [message.id for message in messages],
            "types": [message.type for message in messages],
            "bodies": [message.body for message in messages],
        }
        with self._connected() as connection:
            rows = connection.execute(self._statements.publish, values, binary=True).fetchall()
            reached = sorted(queue for queue, _ in rows if queue is not None)
            if reached:
                connection.execute(self._statements.notify(reached), prepare=False)
        unroutable = {message_id for queue, message_id in rows if queue is None}
        if unroutable:
            raise Unroutable([message.id for message in messages if message.id in unroutable])

    def subscribe(self, *, queue: str, prefetch: int) -> PostgresSubscription:
        subscription = PostgresSubscription(
            self._connect, self._statements, queue=queue, prefetch=prefetch
        )
        self._subscriptions.append(subscription)
        return subscription

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        with self._connected() as connection:
            rows = connection.execute(self._statements.depths, {"queues": list(queues)}).fetchall()
        return {queue: dict(rows).get(queue, 0) for queue in queues}

    def ping(self) -> None:
        with self._connected() as connection:
            connection.execute("SELECT 1")

    def close(self) -> None:
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Lend the connection to one caller at a time; reconnects after a loss."""
        with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = self._connect()
            with translated(self._connection):
                yield self._connection

    def _connect(self) -> Connection:
        if self._closed:
            raise BrokerUnavailable("this broker was closed")
        try:
            connection = psycopg.connect(
                **self._given,
                autocommit=True,
                application_name="dueto broker",
                options=f"-c statement_timeout={round(STATEMENT_SECONDS * 1000)}",
                tcp_user_timeout=10_000,  # for a server that vanished
                prepare_threshold=1,
            )
        except psycopg.Error as error:
            raise BrokerUnavailable(f"no connection to PostgreSQL: {error}") from error
        return connection


SWEEP_SECONDS = 2.0  # how long messages of a consumer that died are stuck, at most
_REFUSALS = ("22", "23", "42501", "54", "P0")
"""SQLSTATEs: a value that can't be stored, a constraint, a missing right, a limit, a trigger."""

Connection = psycopg.Connection[Any]


class PostgresSubscription:
    """A consumer with a connection of its own; the next `take` after a loss reconnects.

    A delivery's tag is its place in the queue and the number under which this consumer took it.
    Each connection has a new number: a late ack never settles a message that was handed out again.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        statements: Statements,
        *,
        queue: str,
        prefetch: int,
    ) -> None:
        """Start consuming. Raises BrokerUnavailable, also for an unknown queue."""
        self._connect, self._statements = connect, statements
        self._queue, self._prefetch = queue, prefetch
        self._lock = threading.Lock()  # held while the connection is used
        self._held: set[tuple[int, int]] = set()
        self._closed = False
        self._consume()
        self._waker, self._woken = socket.socketpair()

    def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        deadline = time.monotonic() + timeout
        with self._lock:
            if not self._closed and self._connection.closed:
                self._consume()
            while not self._closed:
                room = min(limit, self._prefetch - len(self._held))
                deliveries = self._claim(room) if room > 0 else []
                remaining = deadline - time.monotonic()
                if deliveries or remaining <= 0:
                    return deliveries
                self._await_news(min(remaining, SWEEP_SECONDS))
        return []

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self._settle(self._statements.ack, deliveries)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        self._settle(self._statements.give_back, deliveries, tell=True)

    def close(self) -> None:
        self._closed = True
        with suppress(OSError):
            self._waker.send(b"x")
        with self._lock, suppress(psycopg.Error):
            if not self._connection.closed:
                self._run(self._statements.release, consumer=self._number)
                self._tell()
            self._connection.close()
        self._waker.close()
        self._woken.close()

    def _consume(self) -> None:
        self._connection = connection = self._connect()
        self._held.clear()
        self._news = False
        self._swept_at = float("-inf")
        connection.add_notify_handler(self._on_notify)
        try:
            with translated(connection):
                self._enlist(connection)
        except BrokerUnavailable:
            connection.close()
            raise

    def _enlist(self, connection: Connection) -> None:
        connection.execute(QUICK, prepare=False)
        if self._run(self._statements.exists).fetchone() != (True,):
            raise BrokerUnavailable(f"no queue {self._queue!r}: declare it first")
        connection.execute(self._statements.listen(self._queue))
        for number, _lock in self._run(self._statements.enlist):
            self._number: int = number

    def _claim(self, room: int) -> list[Delivery]:
        """Take free messages, oldest first."""
        self._news = False
        with translated(self._connection):
            self._sweep_if_due()
            rows = self._run(self._statements.take, limit=room, consumer=self._number).fetchall()
        rows.sort()
        self._held.update((row[0], self._number) for row in rows)
        return [
            Delivery(Message(message_id, kind, body), redelivered, (place, self._number), speaker)
            for place, message_id, kind, body, redelivered, speaker in rows
        ]

    def _sweep_if_due(self) -> None:
        if time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            self._run(self._statements.sweep)
            self._swept_at = time.monotonic()

    def _await_news(self, seconds: float) -> None:
        """Wait for a NOTIFY, a broken connection or `close`."""
        if self._news:
            self._news = False
            return
        poller = select.poll()
        poller.register(self._woken, select.POLLIN)
        poller.register(self._connection.fileno(), select.POLLIN)
        poller.poll(seconds * 1000)
        with translated(self._connection):
            self._connection.pgconn.consume_input()
            while self._connection.pgconn.notifies():
                pass

    def _settle(
        self, statement: bytes, deliveries: Sequence[Delivery], *, tell: bool = False
    ) -> None:
        tags = [delivery.tag for delivery in deliveries]
        if not tags:
            return
        places, consumers = (list(part) for part in zip(*tags, strict=True))
        with self._lock:
            self._held.difference_update(tags)
            if self._connection.closed:
                return  # they come again
            # The next `take` finds a loss and reconnects.
            with suppress(BrokerUnavailable), translated(self._connection):
                self._run(statement, places=places, consumers=consumers)
                if tell:
                    self._tell()

    def _tell(self) -> None:
        """Wake the other consumers of the queue."""
        self._connection.execute(self._statements.notify([self._queue]), prepare=False)

    def _run(self, statement: bytes, **values: object) -> psycopg.Cursor[Any]:
        return self._connection.execute(statement, {"queue": self._queue, **values}, binary=True)

    def _on_notify(self, _notify: psycopg.Notify) -> None:
        self._news = True


@contextmanager
def translated(connection: Connection) -> Iterator[None]:
    """Translate PostgreSQL's errors: into Rejected if it refuses these values for good, else into
    BrokerUnavailable, and close the connection.
    """
    try:
        yield
    except psycopg.Error as error:
        if (error.sqlstate or "").startswith(_REFUSALS):
            raise Rejected(f"PostgreSQL as a broker: {error}") from error
        connection.close()
        raise BrokerUnavailable(f"PostgreSQL as a broker: {error}") from error
