"""What a service can do in a saga: a function on a list of commands, and the step that it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contracts.commands import Command
from contracts.outcomes import Outcome


class Kind(StrEnum):
    """DO takes effect once. UNDO blocks DO, then reverses it once. BLOCK only blocks DO."""

    DO = "do"
    UNDO = "undo"
    BLOCK = "block"


# Any: each operation takes its own class of command, checked where it is declared.
Run = Callable[[Sequence[Any]], list[Outcome]]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A local transaction of one service, in a saga. Called through `sagas.performing.perform`.

    `run` takes the commands that are fresh, inside the transaction, and returns an outcome for
    each, in order. It locks, decides and writes; it publishes nothing and calls nobody.
    """

    service: str
    step: str
    kind: Kind
    command: type[Command]
    run: Run

    @property
    def name(self) -> str:
        """For logs and reports: `undo reserve_inventory`."""
        return f"{self.kind} {self.step}"


def does(*, service: str, step: str, command: type[Command]) -> Callable[[Run], Operation]:
    """Declares the function as the way to do this step."""
    return _declared(service=service, step=step, kind=Kind.DO, command=command)


def undoes(*, service: str, step: str, command: type[Command]) -> Callable[[Run], Operation]:
    """Declares the function as the way to undo this step, once it was done."""
    return _declared(service=service, step=step, kind=Kind.UNDO, command=command)


def blocks(*, service: str, step: str, command: type[Command]) -> Operation:
    """The operation that keeps this step from ever taking effect, unless it already has.

    Its outcome: done, the step had taken effect already; refused, it never will.
    """
    return Operation(
        service=service, step=step, kind=Kind.BLOCK, command=command, run=_nothing_to_run
    )


def _declared(
    *, service: str, step: str, kind: Kind, command: type[Command]
) -> Callable[[Run], Operation]:
    def declare(run: Run) -> Operation:
        return Operation(service=service, step=step, kind=kind, command=command, run=run)

    return declare


def _nothing_to_run(commands: Sequence[Any]) -> list[Outcome]:
    raise AssertionError("the barrier answers a block by itself")
