"""Operations of a service: functions on a list of commands, and the functions that undo them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import msgspec
from django.conf import settings

from contracts.outcomes import Outcome, Waiting
from contracts.saga import COMMANDS, SAGAS, Command, Direction, Undo, find_step

# Any: each operation takes its own class of command, checked where it is declared.
Run = Callable[[Sequence[Any]], list[Outcome]]
Key = tuple[str, Direction]
YES, NO, OVERDUE, WITHDRAWN = "yes", "no", "overdue", "withdrawn"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The decision on a command that waited for `decided_by`: yes, no, overdue (no decision came in
    time) or withdrawn (an undo or a block came first). `data`: sent with the decision.
    """

    step: str
    command: Any
    word: str
    decided_by: str
    by: str = ""
    reason: str = ""
    data: Mapping[str, Any] = {}


Decide = Callable[[Sequence[Verdict]], list[Outcome]]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A local transaction of one service, in a saga. Called through `participant.executing`.

    `action`: what is done, undone or blocked. `run` takes the commands that are fresh, inside the
    transaction, and returns an outcome for each, in order. It locks, decides and writes; it
    publishes nothing and calls no service.

    `decide` takes the verdicts on commands for which `run` returned `Waiting`, inside the
    transaction of the decision, and returns an outcome for each, which may be to wait for another
    decision. Its outcome of `withdrawn` is ignored. `reverses`: the operation that an undo or a
    block reverses.
    """

    service: str
    action: str
    direction: Direction
    command: type[Command]
    run: Run
    decide: Decide | None = None
    reverses: "Operation | None" = None

    @property
    def doing(self) -> "Operation":
        """The operation that this one does, undoes or blocks."""
        return self.reverses or self

    @property
    def full_name(self) -> str:
        """As in a saga's definition: `inventario.reserve`."""
        return f"{self.service}.{self.action}"

    @property
    def name(self) -> str:
        """For logs and reports: `undo inventario.reserve`."""
        return f"{self.direction} {self.service}.{self.action}"

    def step_of(self, command: Command) -> str:
        """The step that this command is for."""
        return command.step or self.action


def asks(
    *,
    command: Command,
    operation: Operation | None = None,
    decided_by: str = "",
    seconds: float = 0.0,
) -> Waiting:
    """The outcome of a command whose step waits: for the decision that its saga's definition names
    (DUETO_DECIDE_SECONDS may change the time), or for `decided_by`, for `seconds`.

    A saga that started with another version of its definition may have a step that this version
    lacks: it waits as other steps of this `operation` do. Raises LookupError if there are none.
    """
    if decided_by:
        return Waiting(decided_by, seconds=seconds)
    named = find_step(command.saga, command.step)
    alike = [
        step
        for other in SAGAS.values()
        for step in other.steps
        if operation and step.operation == operation.full_name
    ]
    if not (named or alike):
        raise LookupError(f"no definition says who decides {command.step} of a {command.saga}")
    step = named or alike[0]
    changed = getattr(settings, "DECIDE_SECONDS", {}).get(f"{command.saga}.{command.step}")
    return Waiting(step.decided_by, seconds=changed or step.decide_seconds)


def does(
    *, service: str, command: type[Command] | None = None, decide: Decide | None = None
) -> Callable[[Run], Operation]:
    """Declares the function as an operation of the service, under its own name.

    `command`: its type of command, if no other service needs to know it. `decide`: see Operation.
    """

    def declare(run: Run) -> Operation:
        action = run.__name__
        return Operation(
            service=service,
            action=action,
            direction=Direction.DO,
            command=command or COMMANDS.get(f"{service}.{action}", Command),
            run=run,
            decide=decide,
        )

    return declare


def undoes(operation: Operation) -> Callable[[Run], Operation]:
    """Declares the function as the undo of that operation, once it was done."""

    def declare(run: Run) -> Operation:
        return Operation(
            service=operation.service,
            action=operation.action,
            direction=Direction.UNDO,
            command=Undo,
            run=run,
            reverses=operation,
        )

    return declare


def blocks(operation: Operation) -> Operation:
    """An operation that keeps the given one from ever taking effect.

    Its outcome: done if the step has taken effect already, refused if it never will.
    """
    return Operation(
        service=operation.service,
        action=operation.action,
        direction=Direction.BLOCK,
        command=Undo,
        run=_nothing_to_run,
        reverses=operation,
    )


def all_in(module: ModuleType) -> Mapping[Key, Operation]:
    """The operations that a service's module declares; each can be blocked as well."""
    declared = [value for value in vars(module).values() if isinstance(value, Operation)]
    found = {(operation.action, operation.direction): operation for operation in declared}
    blocked = [blocks(operation) for operation in declared if operation.direction is Direction.DO]
    return found | {(operation.action, operation.direction): operation for operation in blocked}


def _nothing_to_run(commands: Sequence[Any]) -> list[Outcome]:
    raise AssertionError("the barrier answers a block by itself")
