"""What a result was made on: machine, versions, and how durable everything was."""

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


def describe(*, shop: Shop, database: str) -> dict[str, str]:
    """Facts by name, for people. `database`: the server in words, as the stack calls it.

    Raises psycopg.Error or BrokerUnavailable: a result that can't say this is none.
    """
    broker = connect(shop.broker)
    try:
        said = broker.describe()
    finally:
        broker.close()
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory()}, {platform.system()}"
        f" {platform.release()}",
        "code": f"Dueto {_revision()}, Python {platform.python_version()},"
        f" Django {django.get_version()}",
        "database": f"{database}, {_durability(shop)}",
        "broker": "; ".join(
            fact if name == "broker" else f"{name} {fact}" for name, fact in said.items()
        ),
        "processes": "one web and one worker process a service, all on this machine, with the"
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
    """The commit; a copy without its history has none, and that is no reason to fail."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 -- whichever git the user has
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else "without version control"
