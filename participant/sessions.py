"""Checks that each connection to a database is a session of its own; a connection pool may share
them.

A process of a service needs its own sessions for:

* advisory locks of a session: leadership and heartbeats (`messaging.worker`), migrations;
* LISTEN: wake-ups (`messaging.wakeups`), and requests that wait for a saga's end;
* SET: limits and planner settings of a connection (`participant.databases`), lock timeouts
  (`participant.sql.impatient`), the limits of health checks;
* prepared statements.

A pool that lends a server's session for one transaction (PgBouncer's `pool_mode = transaction`)
breaks all of that silently: two workers would lead, or none. A pool that lends it for as long as
the client stays (`pool_mode = session`) breaks nothing, if it passes on the startup settings.
"""

import logging
import os
import secrets
import socket
import threading
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, connections

from participant import databases

log = logging.getLogger(__name__)

_WAIT_SECONDS = 3.0
_TRIES = 10
"""A busy pool may lend the session to another client in between."""


def require(*, alias: str) -> None:
    """Raises ImproperlyConfigured if connections to this database go through a pool that can't be
    used, with what to change. If the database is down there is no check: the process starts all the
    same, and waits.
    """
    variable = f"{databases.variable_of(alias=alias)} (or {databases.SHARED})"
    try:
        if _is_direct(alias):
            return
        if _is_shared(alias):
            raise ImproperlyConfigured(
                f"{variable} leads through a pool that lends a session for one transaction: locks,"
                " LISTEN and SET of a service would be lost in it, and two workers could lead at"
                " once. Use `pool_mode = session`, or connect the service to the database itself."
            )
        if lost := _lost_settings(alias):
            settings = ", ".join(f"{name} = {value}" for name, value in lost.items())
            raise ImproperlyConfigured(
                f"{variable} leads through a pool that does not pass on the settings of a"
                f" connection: {settings}. Set each for the login itself (`ALTER ROLE name SET"
                " lock_timeout = 1000`), or connect the service to the database itself."
            )
    except (OperationalError, InterfaceError, psycopg.OperationalError) as error:
        log.warning("whether the database is behind a pool could not be checked: %s", error)
    finally:
        connections[alias].close()


def _is_direct(alias: str) -> bool:
    """Whether the client knows the true process id of its server: behind a pool it differs, because
    the server's process changes while the client keeps its number.
    """
    connection = connections[alias]
    connection.ensure_connection()
    ((number,),) = _asked(connection.connection, "SELECT pg_backend_pid()")
    return bool(connection.connection.info.backend_pid == number)


def _is_shared(alias: str) -> bool:
    """Whether another connection sees a setting of ours, or ours loses it. If the other has to wait
    for a session, sessions are not shared.
    """
    ours = connections[alias]
    given = {**ours.get_connection_params(), "autocommit": True}
    context = given.pop("context", None)
    given.pop("cursor_factory", None)
    seen = "SELECT current_setting('dueto.session', true)"
    other = psycopg.connect(**given, context=context)
    timer = threading.Timer(_WAIT_SECONDS, _cut, [other.fileno()])
    timer.start()
    try:
        for _ in range(_TRIES):
            mark = secrets.token_hex(8)
            _asked(ours.connection, f"SET dueto.session = '{mark}'")
            try:
                theirs = _asked(other, seen)
            except psycopg.OperationalError:
                return False
            if theirs == [(mark,)] or _asked(ours.connection, seen) != [(mark,)]:
                return True
    finally:
        timer.cancel()
        other.close()
    return False


def _cut(number: int) -> None:
    """Ends a connection that waits for a session: a pool without a free one keeps its client
    waiting for minutes, and no limit of the server ends that.
    """
    with socket.socket(fileno=os.dup(number)) as line:
        line.shutdown(socket.SHUT_RDWR)


def _lost_settings(alias: str) -> dict[str, str]:
    """The settings that our connections should have, and this one lacks."""
    service = os.environ.get("DUETO_SERVICE", "")
    wanted = databases.planning(service=service) | databases.limits(service=service)
    there = _asked(
        connections[alias].connection,
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)",
        list(wanted),
    )
    return {name: value for name, value in wanted.items() if (name, value) not in there}


def _asked(connection: Any, statement: str, *values: object) -> list[tuple[Any, ...]]:
    cursor = connection.execute(statement, values or None, prepare=False)
    return list(cursor.fetchall()) if cursor.description else []
