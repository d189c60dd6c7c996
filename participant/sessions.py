"""Whether a connection to a database is a session: behind a pool of connections it may be none.

A process of a service needs its sessions whole:

* advisory locks that last: who leads (`messaging.worker`), who lives (its heartbeat), who migrates;
* LISTEN: wake-ups (`messaging.wakeups`), and those who wait for a saga's end;
* SET: the limits of each connection and how it plans (`participant.databases`), patience
  (`participant.sql.impatient`), the health's own limits;
* prepared statements.

A pool that lends a server's session for a transaction (PgBouncer's `pool_mode = transaction`) takes
all of that away without a word: two would lead, or nobody. One that keeps it for as long as the
client stays (`pool_mode = session`) takes nothing, if it passes on what is asked for at the start.
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
"""Where the pool is busy, a session is lent to somebody else in between."""


def require(*, alias: str) -> None:
    """Raises ImproperlyConfigured where the way to this database leads through a pool that can't be
    used, with what to change. Where the database is away it is not looked at: a process starts all
    the same then, and waits.
    """
    variable = f"{databases.variable_of(alias=alias)} (or {databases.SHARED})"
    try:
        if _is_direct(alias):
            return
        if _is_shared(alias):
            raise ImproperlyConfigured(
                f"{variable} leads through a pool that lends a session for one transaction: locks,"
                " LISTEN and SET of a service would be lost in it, and two workers could lead at"
                " once. Use `pool_mode = session`, or lead the service to the database itself."
            )
        if lost := _lost_settings(alias):
            said = ", ".join(f"{name} = {value}" for name, value in lost.items())
            raise ImproperlyConfigured(
                f"{variable} leads through a pool that does not pass on the settings of a"
                f" connection: {said}. Set each for the login itself (`ALTER ROLE name SET"
                " lock_timeout = 1000`), or lead the service to the database itself."
            )
    except (OperationalError, InterfaceError, psycopg.OperationalError) as error:
        log.warning("whether the database is behind a pool could not be looked at: %s", error)
    finally:
        connections[alias].close()


def _is_direct(alias: str) -> bool:
    """A pool can't tell its clients the number of the server's process: they keep theirs while it
    has another one.
    """
    connection = connections[alias]
    connection.ensure_connection()
    ((number,),) = _asked(connection.connection, "SELECT pg_backend_pid()")
    return bool(connection.connection.info.backend_pid == number)


def _is_shared(alias: str) -> bool:
    """Whether somebody else meets what we have set, or we don't, while our connection stays. Who is
    kept waiting for a session shares none.
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
    """A pool that has no session left keeps a client waiting for minutes, and no limit of the
    server's ends that.
    """
    with socket.socket(fileno=os.dup(number)) as line:
        line.shutdown(socket.SHUT_RDWR)


def _lost_settings(alias: str) -> dict[str, str]:
    """Those that our connections are to have, and this one has not."""
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
