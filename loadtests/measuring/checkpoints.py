"""Checkpoints of the database, made between windows so that none comes in one.

A checkpoint writes all that has changed to the tables' files, and for a while after it whole pages
go to the write-ahead log: a window that meets one is slower than the one that it is compared with.
By itself the stack's PostgreSQL makes one after 15 minutes or 4 GB of log (stack/postgres.py).
"""

import psycopg

MOST_SECONDS = 600.0
MOST_WAL_BYTES = 2 * 2**30
"""Since the last one; a block of windows lasts a minute at most, and writes a fraction of that."""


class Checkpoints:
    """Of one PostgreSQL cluster."""

    def __init__(self, *, database: str) -> None:
        """`database`: the URL of any of its databases. Raises psycopg.Error."""
        self._cluster = psycopg.connect(database, autocommit=True)

    def close(self) -> None:
        self._cluster.close()

    def make_if_due(
        self, *, most_seconds: float = MOST_SECONDS, most_wal_bytes: int = MOST_WAL_BYTES
    ) -> bool:
        """Makes one where the last is so old, and waits for it; whether it did.

        Not where the user of the database may not (an own server, with another user than that of
        the stack): the run then says in which window one came. Raises psycopg.Error.
        """
        seconds, wal_bytes = self._since_the_last()
        if seconds < most_seconds and wal_bytes < most_wal_bytes:
            return False
        try:
            self._cluster.execute("CHECKPOINT")
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True

    def _since_the_last(self) -> tuple[float, int]:
        row = self._cluster.execute(
            """
            SELECT extract(epoch FROM clock_timestamp() - checkpoint_time)::float8,
                   pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn)::bigint
            FROM pg_control_checkpoint()
            """
        ).fetchone()
        assert row  # noqa: S101 -- a function without a set returns a row
        return float(row[0]), int(row[1])
