"""What a soak alone knows: what each shopper was answered, held against what the owner's table has.
Everything else about the sagas is the audit's.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from django.apps import apps

from contracts.saga import Saga
from loadtests.shop import accepted_table

Read = Callable[[str, str], list[tuple[Any, ...]]]
"""Gives the rows of a statement in a service's database: `read(service, statement)`."""
Answers = Mapping[str, Sequence[str]]
"""By idempotency key: each different final answer that the shopper got."""


class Accepted(NamedTuple):
    """A saga, as its owner has it. Times in seconds since 1970."""

    saga_id: str
    key: str
    status: str
    accepted_at: float
    ended_at: float | None


def read_accepted(*, read: Read, saga: Saga) -> list[Accepted]:
    """All of them, as they are now."""
    keys = apps.get_model(saga.owner, "IdempotencyKey")._meta.db_table
    statement = f"""
        SELECT saga_id,
               coalesce((SELECT min(key) FROM {keys} AS held
                         WHERE held.saga_id = accepted.saga_id), ''),
               status,
               extract(epoch FROM accepted_at)::float8, extract(epoch FROM ended_at)::float8
        FROM {accepted_table(service=saga.owner)} AS accepted WHERE saga = '{saga.name}'
    """
    return [Accepted._make(row) for row in read(saga.owner, statement)]


def reader(*, databases: Mapping[str, str]) -> Read:
    """Reads each statement on a connection of its own. What it gives raises psycopg.Error."""

    def read(service: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(databases[service], connect_timeout=5) as connection:
            return connection.execute(statement).fetchall()

    return read


def breaches(*, accepted: Sequence[Accepted], answers: Answers) -> list[str]:
    """What is wrong, a sentence each; empty where all is right."""
    return [*_of_answers(accepted, answers), *_of_keys(accepted, answers)]


def _of_answers(accepted: Sequence[Accepted], answers: Answers) -> Iterator[str]:
    """Whoever was told of a saga finds it, always the same one; everybody was told of one."""
    keys = {one.saga_id: one.key for one in accepted}
    for key, told in answers.items():
        if not told:
            yield f"what was asked for under key {key} was never accepted"
        elif len(told) > 1:
            yield f"the shopper under key {key} was given several answers: {', '.join(told)}"
        elif told[0] not in keys:
            yield f"the shopper under key {key} was answered {told[0]}, which no table has"
        elif keys[told[0]] != key:
            yield f"saga {told[0]} was told under key {key}, and is kept under {keys[told[0]]}"


def _of_keys(accepted: Sequence[Accepted], answers: Answers) -> Iterator[str]:
    """A key has one saga, and no saga is anybody else's."""
    for key, count in Counter(one.key for one in accepted).items():
        if count > 1:
            yield f"key {key} has {count} sagas"
        if key not in answers:
            yield f"{count} sagas are under key {key!r}, for which nobody asked"
