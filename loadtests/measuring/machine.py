"""The environment of a result (machine, versions, durability), and checkpoints of the database,
made between windows so that none occurs within one.

A checkpoint writes all changes to the tables' files, and for a while after it whole pages go to the
write-ahead log: a window with a checkpoint is slower than the window it is compared with. By itself
the stack's PostgreSQL makes one after 15 minutes or 4 GB of log (stack/postgres.py).
"""

import os
import platform
import subprocess
from pathlib import Path

import django
import psutil
import psycopg

from loadtests.shop import Shop
from messaging.brokers import connect

DURABILITY = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")
MOST_SECONDS = 600.0
MOST_WAL_BYTES = 2 * 2**30
"""Since the last checkpoint; a block of windows takes at most a minute, and writes far less."""


def make_checkpoint_if_due(
    *,
    database: str,
    most_seconds: float = MOST_SECONDS,
    most_wal_bytes: int = MOST_WAL_BYTES,
) -> bool:
    """Makes a checkpoint, and waits for it, if the last one is older than this; whether it did.

    The database's user may lack the right to (on a server that was given): then none is made, and
    the run reports the windows in which one ended. Raises psycopg.Error.
    """
    with psycopg.connect(database, autocommit=True) as cluster:
        ((seconds, wal_bytes),) = cluster.execute(
            """
            SELECT extract(epoch FROM clock_timestamp() - checkpoint_time)::float8,
                   pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn)::bigint
            FROM pg_control_checkpoint()
            """
        ).fetchall()
        if seconds < most_seconds and wal_bytes < most_wal_bytes:
            return False
        try:
            cluster.execute("CHECKPOINT")
        except psycopg.errors.InsufficientPrivilege:
            return False
    return True


def describe(*, shop: Shop, database: str) -> dict[str, str]:
    """Facts by name, for people. `database`: the stack's description of the server.

    Raises psycopg.Error or BrokerUnavailable.
    """
    broker = connect(shop.broker)
    try:
        described = broker.describe()
    finally:
        broker.close()
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory()}, {platform.system()}"
        f" {platform.release()}",
        "code": f"Dueto {_revision()}, Python {platform.python_version()},"
        f" Django {django.get_version()}",
        "database": f"{database}, {_durability(shop)}",
        "broker": "; ".join(
            fact if name == "broker" else f"{name} {fact}" for name, fact in described.items()
        ),
        "processes": "one web and one worker process per service, all on this machine, with the"
        " load generator",
    }


def _durability(shop: Shop) -> str:
    with psycopg.connect(shop.databases["default"]) as connection:
        rows = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s) ORDER BY name",
            [list(DURABILITY)],
        ).fetchall()
    return ", ".join(f"{name} {setting}" for name, setting in rows)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> str:
    return f"{psutil.virtual_memory().total / 2**30:.0f} GiB"


def _revision() -> str:
    """The commit, if this is a git clone."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 -- whichever git the user has
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else "without version control"
