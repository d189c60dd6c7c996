"""Every statement of the PostgreSQL broker, by name.

`message.consumer` is the number of the consumer that took a message and has not settled it. That
consumer's connection holds an advisory lock on (a class number made of the schema, its number):
a number without its lock belongs to nobody alive.
"""

from __future__ import annotations

from hashlib import sha1

from contracts.bounds import MOST_BYTES_OF_A_MESSAGE
from messaging.brokers import LONGEST_NAME

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
