"""Reads the services' databases, whole tables at a time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections, transaction

from catalogue.services import WITH_DATABASE
from loadtests.shop import accepted_table

FETCHED = 5000
"""Rows per round trip."""
_PLANS = {
    "enable_seqscan": "on",
    "enable_hashjoin": "on",
    "enable_mergejoin": "on",
    # PostgreSQL's statistics of a table may be a minute old; by these it may seem empty, and is
    # joined row by row: 22,500 sagas took 48 s once, where 17,500 take 3 s.
    "enable_nestloop": "off",
    # All rows of a cursor will be fetched, not only the first tenth.
    "cursor_tuple_fraction": "1",
}


@contextmanager
def whole_tables() -> Iterator[None]:
    """Within the block PostgreSQL may choose plans that read whole tables.

    The services' own connections forbid these, because they look rows up by keys; an audit of
    200,000 sagas would take hours that way.
    """
    with ExitStack() as open_now:
        for service in WITH_DATABASE:
            open_now.enter_context(_planning(service))
        yield


def rows(
    *, service: str, statement: str, values: Sequence[Any] | None = None
) -> list[tuple[Any, ...]]:
    """All rows of one statement."""
    with connections[service].cursor() as cursor:
        cursor.execute(statement, values)
        fetched: list[tuple[Any, ...]] = cursor.fetchall()
        return fetched


def everywhere(
    *, services: Iterable[str], statement: str, values: Sequence[Any] | None = None
) -> Iterator[tuple[Any, ...]]:
    """All rows of one statement in each of these services' databases, each row after the service's
    name. In the statement `{service}` is that name, `{accepted}` its table of accepted sagas.
    """
    for service in services:
        table = accepted_table(service=service) if "{accepted}" in statement else ""
        filled = statement.format(service=service, accepted=table)
        for row in rows(service=service, statement=filled, values=values):
            yield service, *row


def streamed(
    *, open_now: ExitStack, service: str, statement: str, saga_id: str | None
) -> Iterator[tuple[Any, ...]]:
    """The rows of a statement by `saga_id`, or only those of one saga, fetched as needed through a
    cursor on the server, which `open_now` closes.
    """
    where = "WHERE saga_id = %(saga)s" if saga_id else ""
    open_now.enter_context(transaction.atomic(using=service))
    cursor = open_now.enter_context(connections[service].chunked_cursor())
    cursor.execute(
        f"SELECT * FROM ({statement}) AS found {where} ORDER BY saga_id", {"saga": saga_id}
    )
    while fetched := cursor.fetchmany(FETCHED):
        yield from fetched


@contextmanager
def _planning(service: str) -> Iterator[None]:
    with connections[service].cursor() as cursor:
        for plan, chosen in _PLANS.items():
            cursor.execute(f"SET {plan} = {chosen}")
        try:
            yield
        finally:
            for plan in _PLANS:
                cursor.execute(f"RESET {plan}")
