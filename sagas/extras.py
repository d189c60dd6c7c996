"""The operations of the extra steps (`contracts.extras`): the barrier's row, and no other."""

from collections.abc import Sequence

from contracts.commands import Command
from contracts.extras import EXTRAS, Extra
from contracts.outcomes import Done, Outcome
from sagas.operations import Kind, Operation


def own(*, service: str) -> list[tuple[Extra, Operation]]:
    """The extra steps of this service, each with its operation; usually none."""
    return [(one, operation_of(extra=one)) for one in EXTRAS if one.service == service]


def operation_of(*, extra: Extra) -> Operation:
    """What the service does in this step: it says that it is done."""
    return Operation(
        service=extra.service, step=extra.name, kind=Kind.DO, command=Command, run=_change_nothing
    )


def _change_nothing(commands: Sequence[Command]) -> list[Outcome]:
    return [Done() for _ in commands]
