"""`perform`: the one way into an operation, whichever door the commands came through."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, transaction

from contracts.commands import Command
from contracts.outcomes import Busy, Outcome
from sagas import barrier, faults, points, sql
from sagas.operations import Operation

APART_SECONDS = 2.0
"""With the second that the list has waited before, less than a call of a step may take."""


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


def perform_apart(
    *, operation: Operation, commands: Sequence[Command], seconds: float = APART_SECONDS
) -> list[Outcome | Busy]:
    """The outcome of each command, where one that has to wait for a locked row holds up no other.

    The list is tried as one; where that meets a row that somebody else holds on to, each command
    alone and without patience, for so many `seconds` in all. What was not decided is Busy.
    """
    try:
        return [one.outcome for one in perform(operation=operation, commands=commands)]
    except DatabaseError as error:
        if not faults.is_busy(error):
            raise
        if len(commands) == 1:
            return [Busy(faults.BUSY)]
    until = time.monotonic() + seconds
    with sql.impatient(service=operation.service):
        return [_alone(operation, command, until) for command in commands]


def _alone(operation: Operation, command: Command, until: float) -> Outcome | Busy:
    if time.monotonic() >= until:
        return Busy(faults.BUSY)
    try:
        return perform(operation=operation, commands=[command])[0].outcome
    except DatabaseError as error:
        if faults.is_busy(error):
            return Busy(faults.BUSY)
        raise


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
