"""Connections to a database that was away: one thread finds out, and the others need not.

Every thread of a web process keeps a connection of its own. After a restart of the database each
of them would answer a request with 503 before it connects again: a coordinator with eight threads
would turn a hand-over away eight times.
"""

import time
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_lost_at = float("-inf")


def notice() -> None:
    """After a fault: if a connection of this thread is gone, all older ones of the process are
    taken for gone."""
    global _lost_at
    if any(not _works(one) for one in connections.all(initialized_only=True)):
        _lost_at = time.monotonic()


def drop() -> None:
    """Before a request: closes this thread's connections from before the last loss; the next
    statement makes new ones."""
    for one in connections.all(initialized_only=True):
        made_at = getattr(one, "made_at", float("-inf"))
        if one.connection is not None and not one.in_atomic_block and made_at <= _lost_at:
            one.close()


def _works(connection: BaseDatabaseWrapper) -> bool:
    return connection.connection is not None and connection.is_usable()


def _note(*, connection: Any, **_: object) -> None:
    connection.made_at = time.monotonic()


connection_created.connect(_note)
