"""Set-based SQL: one statement for a whole batch, its rows as one JSON value.

A batch of 50 rows of five columns costs 0.17 ms of CPU in Python as one JSON parameter, and
0.83 ms as five arrays (psycopg 3.3): `FROM json_to_recordset(%s) AS v (saga_id text, ...)`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from django.db import connections


def execute(*, service: str, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Runs one statement in the service's database; the rows, if it returns any."""
    with connections[service].cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def rows(records: Iterable[Mapping[str, Any]]) -> str:
    """The parameter of a json_to_recordset; money goes as text, and numeric columns read it."""
    return msgspec.json.encode(list(records)).decode()


def as_json(value: Any) -> str:
    """A value for one json column."""
    return msgspec.json.encode(value).decode()
