"""The broker on PostgreSQL, where no RabbitMQ is at hand: queues are tables, wake-ups are NOTIFY.

A message is stored once the publisher's transaction is on the disk. Taking one marks it with the
consumer's number, so no transaction stays open while it is handled. A consumer holds an advisory
lock for as long as its connection lives: when the lock is gone, whatever it had taken is free
again, whether the consumer crashed, was killed or lost its connection.

Only publishing waits for the disk. A crash of the server may undo a take or an ack, and then a
message comes twice, which "at least once" allows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from messaging.brokers import BrokerUnavailable, Message, Unroutable, refuse_unfit
from messaging.brokers.postgres_sql import Statements
from messaging.brokers.postgres_subscription import Connection, PostgresSubscription, translated

CONNECT_SECONDS, STATEMENT_SECONDS = 5, 10.0


class PostgresBroker:
    """See `Broker`. Makes its tables when it connects, in the schema `dueto_broker`."""

    def __init__(self, url: str, *, namespace: str = "") -> None:
        """`namespace` goes before the name of the schema. Raises ValueError for a malformed URL."""
        try:
            psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise ValueError(f"malformed PostgreSQL URL: {error}") from error
        self._url = url
        self._statements = Statements(f"{namespace}dueto_broker")
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._declared: dict[str, list[str]] = {}
        self._subscriptions: list[PostgresSubscription] = []
        self._closed = False

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
        self._declared[queue] = sorted({*self._declared.get(queue, ()), *events})
        with self._connected() as connection:
            self._declare(connection, queue)

    def publish(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        refuse_unfit(messages)
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
        """Lend the connection to one caller at a time, a new one after a loss."""
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
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name="dueto broker",
                options=f"-c statement_timeout={round(STATEMENT_SECONDS * 1000)}",
                tcp_user_timeout=10_000,  # a server that is gone without a trace
                prepare_threshold=1,
            )
        except psycopg.Error as error:
            raise BrokerUnavailable(f"no connection to PostgreSQL: {error}") from error
        with translated(connection):
            connection.execute(self._statements.setup, prepare=False)
            for queue in self._declared:
                self._declare(connection, queue)
        return connection

    def _declare(self, connection: Connection, queue: str) -> None:
        values = {"queue": queue, "events": self._declared[queue]}
        connection.execute(self._statements.declare, values)
