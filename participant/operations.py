"""What a service can do in a saga: a function on a list of commands, and what undoes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import msgspec
from django.conf import settings

from contracts.outcomes import Outcome, Waiting
from contracts.saga import COMMANDS, SAGAS, Command, Direction, Undo

# Any: each operation takes its own class of command, checked where it is declared.
Run = Callable[[Sequence[Any]], list[Outcome]]
Key = tuple[str, Direction]
YES, NO, OVERDUE, WITHDRAWN = "yes", "no", "overdue", "withdrawn"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided of a command that waited for `decided_by`: yes, no, overdue (nobody decided
    in time) or withdrawn (an undo or a block came first). `data`: what who decided has added.
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
    publishes nothing and calls nobody.

    `decide`: what follows from the verdicts on commands that it has answered with `Waiting`, inside
    the transaction of the decision: an outcome for each, which may be to wait for somebody else.
    What it answers to `withdrawn` is not looked at. `reverses`: what an undo or a block reverses.
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
        """What is done, undone or blocked by it."""
        return self.reverses or self

    @property
    def full_name(self) -> str:
        """As pages name it: `inventario.reserve`."""
        return f"{self.service}.{self.action}"

    @property
    def name(self) -> str:
        """For logs and reports: `undo inventario.reserve`."""
        return f"{self.direction} {self.service}.{self.action}"

    def step_of(self, command: Command) -> str:
        """Which step of its saga this command is for."""
        return command.step or self.action


def asks(
    *,
    command: Command,
    operation: Operation | None = None,
    decided_by: str = "",
    seconds: float = 0.0,
) -> Waiting:
    """That the command's step waits for who decides it by its saga's page, for so long as that says
    (DUETO_DECIDE_SECONDS may say otherwise); or for `decided_by`, for so many `seconds`.

    A saga that began by another version of its page may have a step that this one has not: it waits
    as others of this `operation` do. Raises LookupError where there is none.
    """
    if decided_by:
        return Waiting(decided_by, seconds=seconds)
    page = SAGAS.get(command.saga)
    named = [step for step in page.steps if step.name == command.step] if page else []
    alike = [
        step
        for other in SAGAS.values()
        for step in other.steps
        if operation and step.operation == operation.full_name
    ]
    if not (named or alike):
        raise LookupError(f"no page says who decides {command.step} of a {command.saga}")
    step = (named or alike)[0]
    changed = getattr(settings, "DECIDE_SECONDS", {}).get(f"{command.saga}.{command.step}")
    return Waiting(step.decided_by, seconds=changed or step.decide_seconds)


def does(
    *, service: str, command: type[Command] | None = None, decide: Decide | None = None
) -> Callable[[Run], Operation]:
    """Declares the function as an operation of the service, under its own name.

    `command`: what it takes, where that is no other service's matter. `decide`: as of Operation.
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
    """Declares the function as the way to undo that operation, once it was done."""

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
    """Keeps that operation from ever taking effect, unless it already has.

    Its outcome: done, the step had taken effect already; refused, it never will.
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
