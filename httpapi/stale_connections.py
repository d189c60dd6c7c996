"""Connections that a process must not use again: one request finds out, and the others need not.

A web process keeps a connection for each request that it works on at once. After a restart of the
database, a failover (the old server answers, and writes nothing) or a migration (plans from before
it are kept) each of them would fail a request before it is replaced: a coordinator would turn a
hand-over away eight times. A ping tells none of the last two.
"""

import sys
import time
from collections.abc import Iterable
from typing import Any

from django.core.signals import got_request_exception
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from participant import sql

_failed_at = float("-inf")


def mark(*, error: BaseException | None) -> None:
    """After an error: all connections of this process so far are stale, if it is of that kind."""
    global _failed_at
    if error is not None and sql.spends_connection(error):
        _failed_at = time.monotonic()


def close(*, among: Iterable[BaseDatabaseWrapper] | None = None) -> None:
    """Closes the stale ones of these, by default of this thread; the next statement makes new
    ones. None of them in the middle of a transaction."""
    for connection in connections.all(initialized_only=True) if among is None else among:
        made_at = getattr(connection, "made_at", float("-inf"))
        is_idle = connection.connection is not None and not connection.in_atomic_block
        if is_idle and made_at <= _failed_at:
            connection.close()


def _note(*, connection: Any, **_: object) -> None:
    connection.made_at = time.monotonic()


def _mark_unanswered(**_: object) -> None:
    """Where no door of ours answers an error: a page of the admin, say."""
    mark(error=sys.exc_info()[1])


connection_created.connect(_note)
got_request_exception.connect(_mark_unanswered)
