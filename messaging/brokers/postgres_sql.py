"""The SQL of the broker on PostgreSQL: the tables and functions of one schema, and the statements
that use them.
"""

from hashlib import sha1

from contracts.bounds import MOST_BYTES_OF_A_MESSAGE
from messaging.brokers import LONGEST_NAME

_SETUP = """
SELECT pg_advisory_xact_lock({lock_class}, 0);  -- two concurrent setups would collide
CREATE SCHEMA IF NOT EXISTS "{schema}";
CREATE SEQUENCE IF NOT EXISTS "{schema}".consumer AS integer CYCLE;
CREATE TABLE IF NOT EXISTS "{schema}".queue (name text PRIMARY KEY, login text);
CREATE TABLE IF NOT EXISTS "{schema}".publisher (
    login text NOT NULL, event text NOT NULL, PRIMARY KEY (login, event)
);
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
    speaker text NOT NULL,
    consumer integer,
    redelivered boolean NOT NULL DEFAULT false,
    PRIMARY KEY (queue, place)
) WITH (
    -- Taking a message changes no index, and finds room on its own page.
    fillfactor = 60,
    -- A queue is all updates and deletes: clean up by their number, not by a share of the table.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000
);

CREATE OR REPLACE FUNCTION "{schema}".check_consumer(of_queue text) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN
    IF NOT (pg_has_role(session_user, current_user, 'USAGE') OR EXISTS (
        SELECT FROM "{schema}".queue WHERE name = of_queue AND login = session_user
    )) THEN
        RAISE insufficient_privilege
            USING MESSAGE = format('%s may not consume the queue %s', session_user, of_queue);
    END IF;
END $$;

-- Stores all; returns the queues that got messages and the ids without a bound queue.
CREATE OR REPLACE FUNCTION "{schema}".publish(ids text[], types text[], bodies bytea[])
RETURNS TABLE (reached text, unroutable text) {definer} AS $$
DECLARE refused text;
BEGIN
    IF NOT pg_has_role(session_user, current_user, 'USAGE') THEN
        SELECT kind INTO refused FROM unnest(types) AS kind WHERE NOT EXISTS (
            SELECT FROM "{schema}".publisher WHERE login = session_user AND event = kind
        ) LIMIT 1;
        IF FOUND THEN
            RAISE insufficient_privilege
                USING MESSAGE = format('%s may not publish %s', session_user, refused);
        END IF;
    END IF;
    RETURN QUERY
    WITH incoming AS (
        SELECT given.*, binding.queue
        FROM unnest(ids, types, bodies) WITH ORDINALITY AS given (id, type, body, place)
        LEFT JOIN "{schema}".binding ON binding.event = given.type
    ), stored AS (
        INSERT INTO "{schema}".message (queue, id, type, body, speaker)
        SELECT queue, id, type, body, session_user FROM incoming
        WHERE queue IS NOT NULL ORDER BY place
    )
    SELECT DISTINCT queue, CASE WHEN queue IS NULL THEN id END FROM incoming;
END $$;

CREATE OR REPLACE FUNCTION "{schema}".take(of_queue text, most integer, taker integer)
RETURNS TABLE (
    place bigint, id text, type text, body bytea, redelivered boolean, speaker text
) {definer} AS $$
#variable_conflict use_column
BEGIN
    PERFORM "{schema}".check_consumer(of_queue);
    RETURN QUERY
    WITH free AS (
        SELECT place, redelivered FROM "{schema}".message
        WHERE queue = of_queue AND consumer IS NULL
        ORDER BY place LIMIT most FOR UPDATE SKIP LOCKED
    )
    UPDATE "{schema}".message SET consumer = taker, redelivered = true
    FROM free WHERE message.queue = of_queue AND message.place = free.place
    RETURNING message.place, left(message.id, {longest_name}), left(message.type, {longest_name}),
        substring(message.body FOR {largest_body}), free.redelivered, message.speaker;
END $$;

CREATE OR REPLACE FUNCTION "{schema}".ack(of_queue text, places bigint[], consumers integer[])
RETURNS void {definer} AS $$ BEGIN
    PERFORM "{schema}".check_consumer(of_queue);
    DELETE FROM "{schema}".message USING unnest(places, consumers) AS done (place, consumer)
    WHERE message.queue = of_queue
        AND message.place = done.place AND message.consumer = done.consumer;
END $$;

CREATE OR REPLACE FUNCTION "{schema}".give_back(
    of_queue text, places bigint[], consumers integer[]
) RETURNS void {definer} AS $$ BEGIN
    PERFORM "{schema}".check_consumer(of_queue);
    UPDATE "{schema}".message SET consumer = NULL
    FROM unnest(places, consumers) AS back (place, consumer)
    WHERE message.queue = of_queue
        AND message.place = back.place AND message.consumer = back.consumer;
END $$;

CREATE OR REPLACE FUNCTION "{schema}".release(of_queue text, taker integer)
RETURNS void {definer} AS $$ BEGIN
    PERFORM "{schema}".check_consumer(of_queue);
    UPDATE "{schema}".message SET consumer = NULL WHERE queue = of_queue AND consumer = taker;
END $$;

-- Frees the messages of dead consumers.
CREATE OR REPLACE FUNCTION "{schema}".sweep(of_queue text) RETURNS void {definer} AS $$ BEGIN
    PERFORM "{schema}".check_consumer(of_queue);
    UPDATE "{schema}".message SET consumer = NULL
    WHERE queue = of_queue AND consumer IS NOT NULL AND consumer NOT IN (
        SELECT objid::bigint FROM pg_locks
        WHERE locktype = 'advisory' AND classid = {lock_class} AND objsubid = 2
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    );
END $$;

CREATE OR REPLACE FUNCTION "{schema}".enlist() RETURNS integer {definer} AS $$ BEGIN
    RETURN nextval('"{schema}".consumer');
END $$;

CREATE OR REPLACE FUNCTION "{schema}".has_queue(of_name text) RETURNS boolean {definer} AS $$ BEGIN
    IF NOT EXISTS (SELECT FROM "{schema}".queue WHERE name = of_name) THEN
        RETURN false;
    END IF;
    PERFORM "{schema}".check_consumer(of_name);
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION "{schema}".depths(queues text[])
RETURNS TABLE (of_queue text, waiting bigint) {definer} AS $$ BEGIN
    RETURN QUERY SELECT queue, count(*) FROM "{schema}".message
    WHERE queue = ANY(queues) GROUP BY queue;
END $$;

GRANT USAGE ON SCHEMA "{schema}" TO PUBLIC;  -- to call these, and nothing else
"""

# A caller acts as the schema's owner; the functions check the rights of its own login.
_DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"

_DECLARE = """
WITH made AS (
    INSERT INTO "{schema}".queue (name) VALUES (%(queue)s) ON CONFLICT DO NOTHING
)
INSERT INTO "{schema}".binding (event, queue)
SELECT event, %(queue)s FROM unnest(%(events)s::text[]) AS event
ON CONFLICT DO NOTHING
"""

_GRANT = """
WITH gone AS (
    DELETE FROM "{schema}".publisher
    WHERE (login, event) NOT IN (SELECT * FROM unnest(%(logins)s::text[], %(events)s::text[]))
), owned AS (
    UPDATE "{schema}".queue SET login = given.login
    FROM unnest(%(queues)s::text[], %(owners)s::text[]) AS given (name, login)
    WHERE queue.name = given.name
)
INSERT INTO "{schema}".publisher (login, event)
SELECT * FROM unnest(%(logins)s::text[], %(events)s::text[]) ON CONFLICT DO NOTHING
"""

_LET_IN = """
DO $$ DECLARE login text; BEGIN
    FOR login IN SELECT rolname FROM pg_roles JOIN "{schema}".queue ON queue.login = rolname LOOP
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), login);
    END LOOP;
END $$
"""

MAY_CONFIGURE = """
SELECT pg_has_role(session_user, nspowner, 'USAGE') FROM pg_namespace WHERE nspname = %(schema)s
"""

_PUBLISH = """
SELECT reached, unroutable
FROM "{schema}".publish(%(ids)s::text[], %(types)s::text[], %(bodies)s::bytea[])
"""

_TAKE = """
SELECT place, id, type, body, redelivered, speaker
FROM "{schema}".take(%(queue)s, %(limit)s::integer, %(consumer)s::integer)
"""

_SETTLE = """
SELECT "{schema}".{how}(%(queue)s, %(places)s::bigint[], %(consumers)s::integer[])
"""

_ENLIST = """
SELECT number, pg_advisory_lock({lock_class}, number)
FROM (SELECT "{schema}".enlist() AS number OFFSET 0) AS next
"""

# A server crash may undo these without harm, so they don't wait for the disk. The plans are meant
# for full queues, whatever the statistics of an empty queue.
QUICK = b"SET synchronous_commit TO off; SET enable_seqscan TO off; SET jit TO off"


class Statements:
    """The statements for the tables of one schema."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self._schema = schema.replace('"', '""')
        self._lock_class = (
            int.from_bytes(sha1(schema.encode(), usedforsecurity=False).digest()[:4]) >> 1
        )
        self.setup = self._with_names(_SETUP)
        self.declare = self._with_names(_DECLARE)
        self.grant = self._with_names(_GRANT)
        self.let_in = self._with_names(_LET_IN)
        self.exists = self._with_names('SELECT "{schema}".has_queue(%(queue)s)')
        self.publish = self._with_names(_PUBLISH)
        self.enlist = self._with_names(_ENLIST)
        self.take = self._with_names(_TAKE)
        self.ack = self._with_names(_SETTLE, how="ack")
        self.give_back = self._with_names(_SETTLE, how="give_back")
        self.release = self._with_names(
            'SELECT "{schema}".release(%(queue)s, %(consumer)s::integer)'
        )
        self.sweep = self._with_names('SELECT "{schema}".sweep(%(queue)s)')
        self.depths = self._with_names(
            'SELECT of_queue, waiting FROM "{schema}".depths(%(queues)s::text[])'
        )

    def listen(self, queue: str) -> bytes:
        """Listen for new messages in a queue."""
        return f"LISTEN {self._channel(queue)}".encode()

    def notify(self, queues: list[str]) -> bytes:
        """Wake the listeners. In a transaction of its own: NOTIFY makes commits queue up behind
        each other, so it must not be in a transaction that waits for the disk.
        """
        calls = ", ".join(f"pg_notify('{self._channel(queue)}', '')" for queue in queues)
        return f"BEGIN; SET LOCAL synchronous_commit TO off; SELECT {calls}; COMMIT".encode()

    def _channel(self, queue: str) -> str:
        # Hashed, because a name may be as long as PostgreSQL's limit for the two together.
        return (
            "dueto_" + sha1(f"{self._schema}.{queue}".encode(), usedforsecurity=False).hexdigest()
        )

    def _with_names(self, statement: str, *, how: str = "") -> bytes:
        names = {
            "schema": self._schema,
            "how": how,
            "definer": _DEFINER,
            "lock_class": self._lock_class,
            "longest_name": LONGEST_NAME,
            # Enough of a larger body to see that it is too large.
            "largest_body": MOST_BYTES_OF_A_MESSAGE + 1,
        }
        return statement.format_map(names).encode()
