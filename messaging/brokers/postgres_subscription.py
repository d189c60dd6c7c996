"""Consuming a queue that is a PostgreSQL table, woken by NOTIFY."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from messaging.brokers import BrokerUnavailable, Delivery, Message, Rejected
from messaging.brokers.postgres_sql import QUICK, Statements

SWEEP_SECONDS = 2.0  # how long messages of a consumer that died are stuck, at most
_REFUSALS = ("22", "23", "54", "P0")
"""Classes of SQLSTATE: a value that can't be stored, a constraint, a limit, a trigger."""

Connection = psycopg.Connection[Any]


class PostgresSubscription:
    """A consumer with a connection of its own, and a new one at the next `take` after a loss.

    A delivery's tag is its place in the queue and the number under which this consumer took it,
    a new one for each connection: a late ack never settles what was handed out again.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        statements: Statements,
        *,
        queue: str,
        prefetch: int,
    ) -> None:
        """Start consuming. Raises BrokerUnavailable, also when there is no such queue."""
        self._connect, self._statements = connect, statements
        self._queue, self._prefetch = queue, prefetch
        self._lock = threading.Lock()  # held by who uses the connection
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
        with translated(connection):
            connection.execute(QUICK, prepare=False)
            if self._run(self._statements.exists).fetchone() is None:
                connection.close()
                raise BrokerUnavailable(f"no queue {self._queue!r}: declare it first")
            connection.execute(self._statements.listen(self._queue))
            for number, _lock in self._run(self._statements.enlist):
                self._number: int = number

    def _claim(self, room: int) -> list[Delivery]:
        """Take what is free, oldest first."""
        self._news = False
        with translated(self._connection):
            self._sweep_if_due()
            rows = self._run(self._statements.take, limit=room, consumer=self._number).fetchall()
        rows.sort()
        self._held.update((row[0], self._number) for row in rows)
        return [
            Delivery(Message(message_id, kind, body), redelivered, (place, self._number))
            for place, message_id, kind, body, redelivered in rows
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
            # A loss shows at the next `take`, which is where it is answered.
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
    """Have PostgreSQL's errors as BrokerUnavailable, and go on with a new connection then; or as
    Rejected, where it is there and takes these values never.
    """
    try:
        yield
    except psycopg.Error as error:
        if (error.sqlstate or "").startswith(_REFUSALS):
            raise Rejected(f"PostgreSQL as a broker: {error}") from error
        connection.close()
        raise BrokerUnavailable(f"PostgreSQL as a broker: {error}") from error
