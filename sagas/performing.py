"""`perform`: the one way into an operation, whichever door the commands came through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import transaction

from contracts.commands import Command
from contracts.outcomes import Outcome
from sagas import barrier, points
from sagas.operations import Operation


@dataclass(frozen=True, kw_only=True)
class Performed:
    """What became of a command. `fresh`: answered now; otherwise the outcome stored before."""

    command: Command
    outcome: Outcome
    fresh: bool


Also = Callable[[Sequence[Performed]], None]
"""What a door adds to the same transaction (the rows of its outbox, say)."""


def perform(
    *, operation: Operation, commands: Sequence[Command], also: Also | None = None
) -> list[Performed]:
    """Runs the operation for those commands that are fresh; answers the others from the barrier.

    One transaction for the whole list: effects, stored outcomes and what `also` adds are there
    together or not at all. Returns one `Performed` a command, in order. A fault (lost connection,
    a bug) is raised, and leaves nothing behind.
    """
    with transaction.atomic(using=operation.service):
        performed = _perform(operation, commands)
        if also:
            also(performed)
        points.reach("performing.before_commit", operation)
    points.reach("performing.after_commit", operation)
    return performed


def _perform(operation: Operation, commands: Sequence[Command]) -> list[Performed]:
    entry = barrier.enter(operation=operation, saga_ids=[one.saga_id for one in commands])
    first = {one.saga_id: one for one in reversed(commands) if one.saga_id not in entry.known}
    to_run = [first[saga_id] for saga_id in sorted(entry.fresh)]
    ran = dict(zip(sorted(entry.fresh), operation.run(to_run) if to_run else [], strict=True))
    barrier.record(
        operation=operation,
        outcomes={entry.fresh[saga_id]: outcome for saga_id, outcome in ran.items()},
    )
    outcomes = {**entry.known, **entry.settled, **ran}
    return [
        Performed(command=one, outcome=outcomes[one.saga_id], fresh=first.get(one.saga_id) is one)
        for one in commands
    ]
