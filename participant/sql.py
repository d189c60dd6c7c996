"""Set-based SQL: one statement for a whole batch, its rows as one JSON value.

A batch of 50 rows of five columns costs 0.17 ms of CPU in Python as one JSON parameter, and
0.83 ms as five arrays (psycopg 3.3): `FROM json_to_recordset(%s) AS v (saga_id text, ...)`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from django.db import DatabaseError, InterfaceError, connections

IMPATIENT_MILLISECONDS = 20
"""Enough for a neighbour's transaction to end, and little enough for a hundred in a row."""


def execute(*, service: str, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Runs one statement in the service's database; the rows, if it returns any."""
    with connections[service].cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def impatient(*, service: str) -> Iterator[None]:
    """Within the block this thread's transactions wait only a moment for a locked row.

    For those who try a list one by one, after all of it has waited in vain: most of its rows are
    free, and must not wait again for the one that is not.
    """
    execute(service=service, sql=f"SET lock_timeout = {IMPATIENT_MILLISECONDS}")
    try:
        yield
    finally:
        try:
            execute(service=service, sql="RESET lock_timeout")
        except (DatabaseError, InterfaceError):
            connections[service].close()  # the next one has the usual limit


def rows(records: Iterable[Mapping[str, Any]]) -> str:
    """The parameter of a json_to_recordset; money goes as text, and numeric columns read it."""
    return msgspec.json.encode(list(records)).decode()


def as_json(value: Any) -> str:
    """A value for one json column."""
    return msgspec.json.encode(value).decode()
