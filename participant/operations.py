"""What a service can do in a saga: a function on a list of commands, and what undoes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from contracts.commands import COMMANDS, Command, Undo
from contracts.outcomes import Outcome
from contracts.saga import Direction

# Any: each operation takes its own class of command, checked where it is declared.
Run = Callable[[Sequence[Any]], list[Outcome]]
Key = tuple[str, Direction]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A local transaction of one service, in a saga. Called through `participant.performing`.

    `action`: what is done, undone or blocked. `run` takes the commands that are fresh, inside the
    transaction, and returns an outcome for each, in order. It locks, decides and writes; it
    publishes nothing and calls nobody.
    """

    service: str
    action: str
    direction: Direction
    command: type[Command]
    run: Run

    @property
    def name(self) -> str:
        """For logs and reports: `undo inventario.reserve`."""
        return f"{self.direction} {self.service}.{self.action}"

    def step_of(self, command: Command) -> str:
        """Which step of its saga this command is for."""
        return command.step or self.action


def does(*, service: str, command: type[Command] | None = None) -> Callable[[Run], Operation]:
    """Declares the function as an operation of the service, under its own name.

    `command`: what it takes, where that is no other service's matter.
    """

    def declare(run: Run) -> Operation:
        action = run.__name__
        return Operation(
            service=service,
            action=action,
            direction=Direction.DO,
            command=command or COMMANDS.get(f"{service}.{action}", Command),
            run=run,
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
    )


def all_in(module: ModuleType) -> Mapping[Key, Operation]:
    """The operations that a service's module declares; each can be blocked as well."""
    declared = [one for one in vars(module).values() if isinstance(one, Operation)]
    found = {(one.action, one.direction): one for one in declared}
    blocked = [blocks(one) for one in declared if one.direction is Direction.DO]
    return found | {(one.action, one.direction): one for one in blocked}


def _nothing_to_run(commands: Sequence[Any]) -> list[Outcome]:
    raise AssertionError("the barrier answers a block by itself")
