"""The broker on PostgreSQL, where no RabbitMQ is at hand: queues are tables, wake-ups are NOTIFY.

A message is stored once the publisher's transaction is on the disk. Taking one marks it with the
consumer's number, so no transaction stays open while it is handled. A consumer holds an advisory
lock for as long as its connection lives: when the lock is gone, whatever it had taken is free
again, whether the consumer crashed, was killed or lost its connection.

Only publishing waits for the disk. A crash of the server may undo a take or an ack, and then a
message comes twice, which "at least once" allows.

`message.consumer` is the number of the consumer that took a message and has not settled it. That
consumer's connection holds an advisory lock on (a class number made of the schema, its number):
a number without its lock belongs to no living consumer.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha1
from typing import Any

import psycopg

from contracts.bounds import MOST_BYTES_OF_A_MESSAGE
from messaging.brokers import (
    LONGEST_NAME,
    BrokerUnavailable,
    Delivery,
    Message,
    Rejected,
    Unroutable,
    refuse_invalid,
)

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


_SETUP = """
SELECT pg_advisory_xact_lock({lock_class}, 0);  -- two that create at once would collide
CREATE SCHEMA IF NOT EXISTS "{schema}";
CREATE SEQUENCE IF NOT EXISTS "{schema}".consumer AS integer CYCLE;
CREATE TABLE IF NOT EXISTS "{schema}".queue (name text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS "{schema}".binding (
    event text NOT NULL,
    queue text NOT NULL REFERENCES "{schema}".queue ON DELETE CASCADE,
    PRIMARY KEY (event, queue)
);
CREATE TABLE IF NOT EXISTS "{schema}".message (
    queue text NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    id text NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    consumer integer,
    redelivered boolean NOT NULL DEFAULT false,
    PRIMARY KEY (queue, place)
) WITH (
    -- Taking a message changes no index, and finds room on its own page.
    fillfactor = 60,
    -- A queue is all updates and deletes: clean up by their number, not by a share of the table.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000
);
"""

_DECLARE = """
WITH made AS (
    INSERT INTO "{schema}".queue (name) VALUES (%(queue)s) ON CONFLICT DO NOTHING
)
INSERT INTO "{schema}".binding (event, queue)
SELECT event, %(queue)s FROM unnest(%(events)s::text[]) AS event
ON CONFLICT DO NOTHING
"""

_EXISTS = """SELECT 1 FROM "{schema}".queue WHERE name = %(queue)s"""

# Stores all, and gives the queues that got something and the ids that no queue is bound for.
_PUBLISH = """
WITH incoming AS (
    SELECT incoming.*, binding.queue
    FROM unnest(%(ids)s::text[], %(types)s::text[], %(bodies)s::bytea[])
        WITH ORDINALITY AS incoming (id, type, body, place)
    LEFT JOIN "{schema}".binding ON binding.event = incoming.type
), stored AS (
    INSERT INTO "{schema}".message (queue, id, type, body)
    SELECT queue, id, type, body FROM incoming WHERE queue IS NOT NULL ORDER BY place
)
SELECT DISTINCT queue, CASE WHEN queue IS NULL THEN id END FROM incoming
"""

_TAKE = """
WITH free AS (
    SELECT place, redelivered FROM "{schema}".message
    WHERE queue = %(queue)s AND consumer IS NULL
    ORDER BY place LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE "{schema}".message SET consumer = %(consumer)s, redelivered = true
FROM free WHERE message.queue = %(queue)s AND message.place = free.place
RETURNING message.place, left(message.id, {longest_name}), left(message.type, {longest_name}),
    substring(message.body FOR {largest_body}), free.redelivered
"""

_ACK = """
DELETE FROM "{schema}".message
USING unnest(%(places)s::bigint[], %(consumers)s::integer[]) AS done (place, consumer)
WHERE message.queue = %(queue)s
    AND message.place = done.place AND message.consumer = done.consumer
"""

_GIVE_BACK = """
UPDATE "{schema}".message SET consumer = NULL
FROM unnest(%(places)s::bigint[], %(consumers)s::integer[]) AS back (place, consumer)
WHERE message.queue = %(queue)s
    AND message.place = back.place AND message.consumer = back.consumer
"""

_RELEASE = """
UPDATE "{schema}".message SET consumer = NULL
WHERE queue = %(queue)s AND consumer = %(consumer)s
"""

# Frees what dead consumers hold.
_SWEEP = """
UPDATE "{schema}".message SET consumer = NULL
WHERE queue = %(queue)s AND consumer IS NOT NULL AND consumer NOT IN (
    SELECT objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND classid = {lock_class} AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
"""

_ENLIST = """
SELECT number, pg_advisory_lock({lock_class}, number)
FROM (SELECT nextval('"{schema}".consumer')::integer AS number OFFSET 0) AS next
"""

_DEPTHS = """
SELECT queue, count(*) FROM "{schema}".message WHERE queue = ANY(%(queues)s) GROUP BY queue
"""

# What a server crash may undo without harm doesn't wait for the disk. The plans are meant for
# full queues, whatever the statistics of an empty one say.
QUICK = b"SET synchronous_commit TO off; SET enable_seqscan TO off; SET jit TO off"


class Statements:
    """The statements for the tables of one schema."""

    def __init__(self, schema: str) -> None:
        self._schema = schema.replace('"', '""')
        self._lock_class = int.from_bytes(sha1(schema.encode()).digest()[:4]) >> 1  # noqa: S324 -- a short name, no secret
        self.setup = self._with_names(_SETUP)
        self.declare = self._with_names(_DECLARE)
        self.exists = self._with_names(_EXISTS)
        self.publish = self._with_names(_PUBLISH)
        self.enlist = self._with_names(_ENLIST)
        self.take = self._with_names(_TAKE)
        self.ack = self._with_names(_ACK)
        self.give_back = self._with_names(_GIVE_BACK)
        self.release = self._with_names(_RELEASE)
        self.sweep = self._with_names(_SWEEP)
        self.depths = self._with_names(_DEPTHS)

    def listen(self, queue: str) -> bytes:
        """Hear of new messages in a queue."""
        return f"LISTEN {self._channel(queue)}".encode()

    def notify(self, queues: list[str]) -> bytes:
        """Wake who listens. In a transaction of its own: NOTIFY makes commits queue up behind
        each other, so it must not be in one that waits for the disk.
        """
        calls = ", ".join(f"pg_notify('{self._channel(queue)}', '')" for queue in queues)
        return f"BEGIN; SET LOCAL synchronous_commit TO off; SELECT {calls}; COMMIT".encode()

    def _channel(self, queue: str) -> str:
        # Hashed, because a name may be as long as PostgreSQL's limit for the two together.
        return "dueto_" + sha1(f"{self._schema}.{queue}".encode()).hexdigest()  # noqa: S324 -- a short name, no secret

    def _with_names(self, statement: str) -> bytes:
        names = {
            "schema": self._schema,
            "lock_class": self._lock_class,
            "longest_name": LONGEST_NAME,
            # Of a larger one than ours as much as shows that it is one.
            "largest_body": MOST_BYTES_OF_A_MESSAGE + 1,
        }
        return statement.format_map(names).encode()


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
