"""`execute`: the only way into an operation, for commands from HTTP, messages and by hand."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db import DatabaseError, transaction

from contracts import refusals
from contracts.outcomes import Busy, Outcome, Refused, Waiting, word_of
from contracts.saga import Command
from participant import barrier, decisions, failpoints, metrics, sql, tracing
from participant.barrier import Key
from participant.operations import Operation

APART_SECONDS = 2.0
"""Together with the second for which the list waits first, less than the timeout of a call."""


@dataclass(frozen=True, kw_only=True)
class Executed:
    """The outcome of a command. `fresh`: it was executed now; else its stored outcome."""

    command: Command
    outcome: Outcome
    fresh: bool


InSameTransaction = Callable[[Sequence[Executed]], None]
"""What a door adds to the same transaction (the rows of its outbox, say)."""


class _BecameOwned(Exception):
    """While a command by hand was executed, a saga has used its saga id here."""


def execute(
    *,
    operation: Operation,
    commands: Sequence[Command],
    in_same_transaction: InSameTransaction | None = None,
    cause: Callable[[Command], str] | None = None,
) -> list[Executed]:
    """Runs the operation for the commands that are fresh; answers the others from the barrier.

    One transaction for the whole list: effects, stored outcomes and what `in_same_transaction` adds
    are there together or not at all. Returns one `Executed` per command, in order. A fault (a lost
    connection, a bug) is raised, and leaves nothing behind. `cause`: the message that requested a
    command; it is stored if the step waits for a decision.
    """
    name, kind = operation.name, "consumer" if cause else "server"
    while True:
        try:
            with tracing.continued(name, commands, kind=kind) as (given, begun):
                executed = _in_one_transaction(operation, given, in_same_transaction, cause)
                begun.note(executed, _word)
        except _BecameOwned:
            continue  # the next try refuses the command
        _count(operation, executed)
        return _pursued(operation, executed, came_by_message=cause is not None)


def _word(executed: Executed) -> str:
    return word_of(executed.outcome) if executed.fresh else "repeated"


def _count(operation: Operation, executed: Sequence[Executed]) -> None:
    direction = operation.direction
    for answered in executed:
        saga = answered.command.saga
        step = answered.command.step if saga else ""
        metrics.count(metrics.STEPS, saga, step, direction, _word(answered))
    metrics.observe(metrics.BATCH, len(executed), "commands")


def _in_one_transaction(
    operation: Operation,
    commands: Sequence[Command],
    in_same_transaction: InSameTransaction | None,
    cause: Callable[[Command], str] | None,
) -> list[Executed]:
    with transaction.atomic(using=operation.service):
        executed = _execute(operation, commands, cause)
        if in_same_transaction:
            in_same_transaction(executed)
        failpoints.reach("executing.before_commit", operation)
    failpoints.reach("executing.after_commit", operation)
    return executed


def _pursued(
    operation: Operation, executed: list[Executed], *, came_by_message: bool
) -> list[Executed]:
    """After the commit: asks the external system that decides waiting steps, if there is one, and
    returns the outcomes after that. For steps that still wait, the coordinator is promised a call
    once they are decided, unless their commands came by message and a reply will tell it.
    """
    if not operation.decide:
        return executed
    keys = [barrier.key_of(operation, result.command) for result in executed]
    outcomes: Mapping[Key, Outcome] = {
        key: result.outcome
        for key, result in zip(keys, executed, strict=True)
        if isinstance(result.outcome, Waiting)
    }
    if not outcomes:
        return executed
    if decisions.pursue(service=operation.service, outcomes=outcomes):
        outcomes = barrier.stored(operation=operation, keys=outcomes.keys())
    waiting = [key for key, outcome in outcomes.items() if isinstance(outcome, Waiting)]
    if waiting and not came_by_message:
        failpoints.reach("executing.before_promise")
        decisions.promise(service=operation.service, keys=waiting)
        failpoints.reach("executing.promised")
    return [
        replace(result, outcome=outcomes.get(key, result.outcome))
        for key, result in zip(keys, executed, strict=True)
    ]


def execute_apart(
    *, operation: Operation, commands: Sequence[Command], seconds: float = APART_SECONDS
) -> list[Outcome | Busy]:
    """The outcome of each command; a command that waits for a locked row delays no other.

    The list is tried as one transaction. If that meets a locked row, each command is tried alone
    with a short lock timeout, for `seconds` in all. Commands that were not executed are Busy.
    """
    try:
        return [result.outcome for result in execute(operation=operation, commands=commands)]
    except DatabaseError as error:
        if not sql.is_busy(error):
            raise
        if len(commands) == 1:
            return [Busy(sql.BUSY)]
    until = time.monotonic() + seconds
    with sql.impatient(service=operation.service):
        return [_alone(operation, command, until) for command in commands]


def _alone(operation: Operation, command: Command, until: float) -> Outcome | Busy:
    if time.monotonic() >= until:
        return Busy(sql.BUSY)
    try:
        return execute(operation=operation, commands=[command])[0].outcome
    except DatabaseError as error:
        if sql.is_busy(error):
            return Busy(sql.BUSY)
        raise


def _execute(
    operation: Operation,
    commands: Sequence[Command],
    cause: Callable[[Command], str] | None,
) -> list[Executed]:
    owned = _owned(operation, commands)
    free = [command for command in commands if command.saga_id not in owned] if owned else commands
    entry = barrier.enter(operation=operation, commands=free)
    keys = [barrier.key_of(operation, command) for command in commands]
    # Of several commands with one key the first is run; the others get its outcome.
    first = {
        key: command
        for key, command in zip(reversed(keys), reversed(commands), strict=True)
        if key not in entry.known and command.saga_id not in owned
    }
    decisions.withdraw(operation=operation, keys=entry.withdrawn)
    to_run = [first[key] for key in sorted(entry.fresh)]
    ran = _run(operation, {key: first[key] for key in sorted(entry.fresh)}, cause)
    if _owned(operation, to_run):
        raise _BecameOwned
    barrier.record(
        operation=operation, outcomes={entry.fresh[key]: outcome for key, outcome in ran.items()}
    )
    outcomes = {**entry.known, **entry.settled, **ran}
    return [
        Executed(
            command=asked,
            outcome=owned.get(asked.saga_id) or outcomes[key],
            fresh=first.get(key) is asked,
        )
        for key, asked in zip(keys, commands, strict=True)
    ]


def _run(
    operation: Operation,
    commands: Mapping[Key, Command],
    cause: Callable[[Command], str] | None,
) -> dict[Key, Outcome]:
    if not commands:
        return {}
    ran = dict(zip(commands, operation.run([*commands.values()]), strict=True))
    if not operation.decide:
        return ran
    outcomes = decisions.reckoned(operation=operation, outcomes=ran)
    waiting = [key for key, outcome in outcomes.items() if isinstance(outcome, Waiting)]
    causes = {key: cause(commands[key]) for key in waiting} if cause else {}
    decisions.ask(operation=operation, commands=commands, outcomes=outcomes, cause=causes)
    return outcomes


def _owned(operation: Operation, commands: Sequence[Command]) -> dict[str, Refused]:
    """By saga id, the refusals of commands by hand whose step belongs to a saga."""
    by_hand = [command for command in commands if not command.saga]
    found = barrier.owned(operation=operation, commands=by_hand) if by_hand else {}
    return {
        saga_id: Refused(
            refusals.PART_OF_A_SAGA,
            f"This is part of the {saga} {saga_id}, which alone does and undoes it. To undo all of"
            f" it: POST /saga/{saga_id}/compensate at saga_orchestrator, or"
            f" /saga/choreography/{saga_id}/compensate at saga_choreography.",
        )
        for saga_id, saga in found.items()
    }
