"""Connections to a database that must not be used again, although they answer a ping.

After a failover (the old server answers, but takes no writes) or a migration (connections keep
their old plans) each connection would fail once before it is replaced. Here the first error in one
thread marks the time: all older connections of the process are stale.

A loop that only reads or listens on the old server would never see an error. So once a server has
refused to write (SQLSTATE 25006), a statement on a stale connection fails here, as on a broken
connection. All loops then close it, and lead and listen anew on another connection.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from django.db import DatabaseError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from participant import sql

_failed_at = _read_only_at = float("-inf")


class StaleConnection(OperationalError):
    """The connection was made before a failover."""


def mark(*, error: BaseException | None) -> None:
    """Marks all connections of this process as stale, if the error is of that kind."""
    global _failed_at
    is_known = isinstance(error, StaleConnection)
    if error is not None and not is_known and sql.spends_connection(error):
        _failed_at = time.monotonic()


def mark_read_only() -> None:
    """Marks all connections of this process as stale and refused: a server takes no writes."""
    global _failed_at, _read_only_at
    _failed_at = _read_only_at = time.monotonic()


def close(*, among: Iterable[BaseDatabaseWrapper] | None = None) -> None:
    """Closes the stale connections among these (by default this thread's), except in the middle of
    a transaction; the next statement opens a new connection."""
    for connection in connections.all(initialized_only=True) if among is None else among:
        is_idle = connection.connection is not None and not connection.in_atomic_block
        if is_idle and _made_at(connection) <= _failed_at:
            connection.close()


def refuse(connection: BaseDatabaseWrapper) -> None:
    """Raises StaleConnection if it was made before a server refused to write."""
    if _made_at(connection) <= _read_only_at:
        raise StaleConnection("this connection is from before a failover")


def _made_at(connection: BaseDatabaseWrapper) -> float:
    return float(getattr(connection, "made_at", "-inf"))


def _watched(
    execute: Callable[..., Any], statement: str, values: Any, many: bool, context: dict[str, Any]
) -> Any:
    refuse(context["connection"])
    try:
        return execute(statement, values, many, context)
    except DatabaseError as error:
        if sql.is_read_only(error):
            mark_read_only()
        raise


def _note_age(*, connection: Any, **_: object) -> None:
    connection.made_at = time.monotonic()
    if _watched not in connection.execute_wrappers:
        connection.execute_wrappers.append(_watched)


connection_created.connect(_note_age)
