"""A service's reactions: a handler for each row that is projected for it from the sagas'
definitions, and for the appeals to redrive or skip a step.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import ClassVar

import msgspec
from django.db import transaction

from contracts import events, projection
from contracts.events import Event
from contracts.outcomes import SKIPPED, Done, Outcome
from contracts.saga import SAGAS, Direction, Undo
from messaging import outbox
from messaging.handlers import CommandHandler, EventHandler, Reaction, Received, context
from participant import barrier, failpoints, operations
from participant.decisions import DecidedStep
from participant.operations import Operation

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Appeal(ABC):
    """An appeal goes to all services of a saga; the service of the named step does it. `known`: the
    handlers of this service's steps, by the value of the field `names` in the appeal.
    """

    service: str
    saga: str
    known: Mapping[str, EventHandler]
    step: ClassVar[str] = ""
    on: ClassVar[str]
    names: ClassVar[str]

    @property
    def group(self) -> str:
        return events.route(self.saga, self.on)

    def handle(self, received: Sequence[Event]) -> None:
        for event in received:
            handler = self.known.get(str(event.data.result.get(self.names)))
            if handler:
                self._answer(event, handler)

    @abstractmethod
    def _answer(self, event: Event, handler: EventHandler) -> None: ...


class RedriveHandler(_Appeal):
    """Publishes the stored outcome of a step again, as a redrive."""

    on = projection.REDRIVE_REQUESTED
    names = "event"

    def _answer(self, event: Event, handler: EventHandler) -> None:
        key = event.saga_id, handler.step
        with transaction.atomic(using=self.service):
            outcome = barrier.stored(operation=handler.operation, keys=[key]).get(key)
            again = handler.decided(asked_by=event, outcome=outcome) if outcome else None
            if again is None or again.type != event.data.result[self.names]:
                log.warning("asked for an event that was never published: %s", event.data.result)
                return
            outbox.add(service=self.service, events=[again])
            failpoints.reach("saying_again.before_commit")
        failpoints.reach("saying_again.after_commit")


class SkipHandler(_Appeal):
    """Records in the barrier that an operator has skipped a step, and emits its event; an outcome
    that is stored already stays.
    """

    on = projection.SKIP_REQUESTED
    names = "reaction"

    def _answer(self, event: Event, handler: EventHandler) -> None:
        _SkippedStep(row=handler.row, operation=_skipped(handler.operation)).handle([event])


class _SkippedStep(EventHandler):
    """A step that is not run. Its context may lack a field, so no command is made from it."""

    def _read(self, event: Event) -> Received:
        reason = str(event.data.result.get(SKIPPED, ""))
        command = Undo(saga_id=event.saga_id, step=self.step, saga=self.saga, reason=reason)
        return Received(event, command, context(event=event))


def _skipped(operation: Operation) -> Operation:
    def run(commands: Sequence[Undo]) -> list[Outcome]:
        return [Done({SKIPPED: command.reason}) for command in commands]

    return replace(operation, run=run, decide=None)


def _appeals(
    *, service: str, saga: str, declared: Mapping[operations.Key, Operation]
) -> list[Reaction]:
    """The handlers of appeals, of a saga that the service takes part in."""
    own = [step for step in SAGAS[saga].steps if step.service == service]
    by_event: dict[str, EventHandler] = {}
    for step in own:
        do = projection.ReactionRow(saga, "", Direction.DO, step, step.done, step.refused)
        undo = projection.ReactionRow(saga, "", Direction.UNDO, step, step.undone)
        by_event |= {event: _handler(declared, do) for event in (step.done, step.refused) if event}
        if step.undone:
            by_event[step.undone] = _handler(declared, undo)
    rows = [
        row
        for row in projection.reactions(saga)
        if row.service == service and row.direction is not Direction.BLOCK
    ]
    skippable = {f"{row.direction} {row.step.name}": _handler(declared, row) for row in rows}
    return [
        RedriveHandler(service=service, saga=saga, known=by_event),
        SkipHandler(service=service, saga=saga, known=skippable),
    ]


def of(*, service: str, module: ModuleType) -> list[Reaction]:
    """All reactions of a service. `module`: its operations. Raises LookupError if a definition
    needs an operation that it does not declare.
    """
    return to_operations(service=service, declared=operations.all_in(module))


def to_operations(*, service: str, declared: Mapping[operations.Key, Operation]) -> list[Reaction]:
    """As `of`, with the service's operations."""
    found: list[Reaction] = [_handler(declared, row) for row in projection.of_service(service)]
    found += [
        CommandHandler(
            row=call, operation=_operation(declared, call.step.operation, call.direction)
        )
        for call in projection.asked_of(service)
    ]
    for name, saga in SAGAS.items():
        if service in projection.services_of(saga):
            found += _appeals(service=service, saga=name, declared=declared)
    return found


def _handler(
    declared: Mapping[operations.Key, Operation], row: projection.ReactionRow
) -> EventHandler:
    return EventHandler(row=row, operation=_operation(declared, row.step.operation, row.direction))


def emitted(*, reactions: Sequence[Reaction], decided: Sequence[DecidedStep]) -> list[Event]:
    """The events of steps that waited and are decided now: those of the reaction to the event that
    requested the step, as if it were received now. None for steps that were requested over HTTP.

    Raises LookupError if this version of the code has no such reaction any more.
    """
    by_event = {(reaction.saga, reaction.on): reaction for reaction in reactions}
    found = []
    for decision in decided:
        if not decision.asked.cause:
            continue
        cause = events.decode(decision.asked.cause.encode())
        if decision.traceparent:
            cause = msgspec.structs.replace(cause, traceparent=decision.traceparent)
        reaction = by_event.get((cause.saga, cause.type))
        if not isinstance(reaction, EventHandler | CommandHandler):
            raise LookupError(f"no reaction to {cause.type} of {cause.saga} emits what was decided")
        event = reaction.decided(
            asked_by=cause, outcome=decision.outcome, since=decision.asked.opened_at
        )
        found += [event] if event else []
    return found


def _operation(
    declared: Mapping[operations.Key, Operation], name: str, direction: Direction
) -> Operation:
    service, _, action = name.partition(".")
    if (action, direction) not in declared:
        raise LookupError(
            f"a saga's definition needs {direction} {name}, and {service}/operations.py does not"
            " declare it: see manage.py sagas check"
        )
    return declared[action, direction]
