"""Handlers of events and request messages: event -> command -> operation (through the barrier) ->
next event, in the outbox, in one transaction.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple, Protocol

import msgspec

from contracts import events, outcomes, projection
from contracts.events import Event, Facts
from contracts.outcomes import Done, Failure, Outcome, Refused, Waiting, had_effect
from contracts.saga import SAGAS, Command, Context, Direction, Step, is_sampled
from messaging import outbox
from participant.executing import Executed, execute
from participant.operations import Operation

_NO_CONTEXT = msgspec.Raw(b"null")
"""For replies: the sender has the context already."""
_context = msgspec.json.Decoder(Context)
_encode = msgspec.json.Encoder().encode


class InvalidEvent(outcomes.Described):
    """No command can be made from this event; the other events were not handled either."""

    def __init__(self, event: Event, why: str) -> None:
        super().__init__(why)
        self.event = event


class Reaction(Protocol):
    """A handler for a type of event."""

    @property
    def saga(self) -> str:
        """The saga to which `on` belongs."""

    @property
    def on(self) -> str:
        """The type of event."""

    @property
    def group(self) -> str:
        """Events of reactions with the same group are handled together, in one transaction."""

    @property
    def step(self) -> str:
        """The step of a saga that this does or undoes; empty if it is none."""

    def handle(self, received: Sequence[Event]) -> None:
        """Handles these events, in order, in one transaction. May get an event again.

        Raises InvalidEvent if it knows which event is at fault.
        """


class Received(NamedTuple):
    """An event, with its command. `context`: None if the event carries a command instead."""

    event: Event
    command: Command
    context: Context | None


class _Handler(ABC):
    """Event -> command -> operation -> next event, in the outbox: one transaction."""

    operation: Operation
    row: projection.ReactionRow | projection.StepCall
    answers_again: ClassVar[bool]
    """Whether a repeated event that is no redrive is answered again."""

    @property
    def saga(self) -> str:
        return self.row.saga

    @property
    @abstractmethod
    def on(self) -> str: ...

    @property
    def group(self) -> str:
        return events.route(self.saga, self.on)

    @property
    def step(self) -> str:
        return self.row.step.name

    def handle(self, received: Sequence[Event]) -> None:
        """Executes the operation for all events; the next events go to the outbox."""
        started = datetime.now(UTC)
        read = [self._continued(self._read(event)) for event in received]

        def publish(executed: Sequence[Executed]) -> None:
            pairs = zip(read, executed, strict=True)
            outbox.add(
                service=self.operation.service,
                events=[
                    self._event(_caused(it.event, done), it.context, done.outcome, started)
                    for it, done in pairs
                    if self._emits(it.event, done)
                ],
            )

        asked_by = {it.command.saga_id: it.event for it in reversed(read)}
        execute(
            operation=self.operation,
            commands=[it.command for it in read],
            in_same_transaction=publish,
            cause=lambda command: events.encode(asked_by[command.saga_id]).decode(),
        )

    def decided(
        self, *, asked_by: Event, outcome: Outcome, since: datetime | None = None
    ) -> Event | None:
        """The event of a step that waited since `since`, if any. `asked_by`: its request."""
        if not isinstance(outcome, Waiting) and not self._type(outcome):
            return None
        started = since or datetime.now(UTC)
        return self._event(asked_by, self._context(asked_by), outcome, started)

    def _event(
        self, cause: Event, found: Context | None, outcome: Outcome, started: datetime
    ) -> Event:
        if isinstance(outcome, Waiting):
            context = cause.data.context if found else _NO_CONTEXT
            return notice(cause=cause, step=self.row.step, waiting=outcome, context=context)
        return follow(
            cause=cause,
            event_type=self._type(outcome),
            event_id=events.event_id(
                saga_id=cause.saga_id, step=self.step, direction=self._direction
            ),
            facts=self._facts(cause, found, outcome, started),
        )

    def _continued(self, received: Received) -> Received:
        """Continues the trace of the event, not that of the saga's start."""
        if not is_sampled(received.event.traceparent):
            return received
        traceparent = received.event.traceparent
        command = msgspec.structs.replace(received.command, traceparent=traceparent)
        return received._replace(command=command)

    @property
    @abstractmethod
    def _direction(self) -> str:
        """Makes this event's id different from those of the step's other events."""

    @abstractmethod
    def _read(self, event: Event) -> Received: ...

    def _context(self, event: Event) -> Context | None:
        return None

    def _emits(self, received: Event, done: Executed) -> bool:
        is_again = received.redrive or (self.answers_again and not done.fresh)
        if not (done.fresh or is_again):
            return False
        if isinstance(done.outcome, Waiting):
            return is_noticed(self.row.step, done.outcome, is_again=is_again)
        return bool(self._type(done.outcome))

    @abstractmethod
    def _type(self, outcome: Done | Refused) -> str:
        """The type of the next event; empty if there is none."""

    @abstractmethod
    def _facts(
        self, cause: Event, found: Context | None, outcome: Done | Refused, started: datetime
    ) -> Facts: ...


@dataclass(frozen=True, kw_only=True)
class EventHandler(_Handler):
    """On an event executes an operation; then emits the event of its outcome.

    A repeated event emits nothing, unless it is a redrive: then the event of the stored outcome is
    emitted again, under the same event id.
    """

    row: projection.ReactionRow
    operation: Operation
    answers_again: ClassVar[bool] = False

    @property
    def on(self) -> str:
        return self.row.event

    @property
    def _direction(self) -> str:
        return "undo" if self.row.direction is Direction.UNDO else "do"

    def _read(self, event: Event) -> Received:
        found = context(event=event)
        try:
            command = projection.command(
                step=self.row.step,
                direction=self.row.direction,
                context=found,
                failure=event.data.failure,
            )
        except msgspec.ValidationError as error:
            raise InvalidEvent(event, str(error)) from error
        return Received(event, command, found)

    def _context(self, event: Event) -> Context:
        return context(event=event)

    def _type(self, outcome: Done | Refused) -> str:
        return self.row.emits_on_refusal if isinstance(outcome, Refused) else self.row.emits

    def _facts(
        self, cause: Event, found: Context | None, outcome: Done | Refused, started: datetime
    ) -> Facts:
        failure = cause.data.failure
        if isinstance(outcome, Refused) and not failure:
            failure = Failure(self.step, outcome.code, outcome.detail)
        if failure and self._undid(outcome):
            failure = msgspec.structs.replace(failure, undone=True)
        return Facts(
            context=self._passed_on(cause, found, outcome),
            result={} if isinstance(outcome, Refused) else outcome.data,
            failure=failure,
            requested_at=started,
        )

    def _passed_on(
        self, cause: Event, found: Context | None, outcome: Done | Refused
    ) -> msgspec.Raw:
        """The received context, with those fields of this step's result that later steps need."""
        if found is None or self.row.direction is not Direction.DO:
            return cause.data.context
        grown = projection.with_result(
            context=found, steps=SAGAS[self.saga].steps, step=self.step, outcome=outcome
        )
        return cause.data.context if grown is found else msgspec.Raw(_encode(grown))

    def _undid(self, outcome: Outcome) -> bool:
        """Whether a step was undone, other than the acceptance, whose undo is the end."""
        is_end = self.step == SAGAS[self.saga].steps[0].name
        return self.row.direction is Direction.UNDO and not is_end and had_effect(outcome)


@dataclass(frozen=True, kw_only=True)
class CommandHandler(_Handler):
    """On a request executes an operation, and replies with the outcome.

    Nothing else follows: the sender decides. A repeated request is answered again, with the stored
    outcome and under the same id: its sender repeats it because it lacks the answer. (A repeated
    event emits nothing, unless it is a redrive: its publisher waits for nothing.)
    """

    row: projection.StepCall
    operation: Operation
    answers_again: ClassVar[bool] = True

    @property
    def on(self) -> str:
        return self.row.request

    @property
    def emits(self) -> str:
        """The type of the reply."""
        return projection.reply_to(self.row.request)

    @property
    def _direction(self) -> str:
        return f"reply {self.row.direction}"

    def _read(self, event: Event) -> Received:
        try:
            found = msgspec.json.decode(event.data.context, type=self.operation.command)
        except msgspec.MsgspecError as error:
            raise InvalidEvent(event, str(error)) from error
        if (found.saga_id, found.step, found.saga) != (event.saga_id, self.step, self.saga):
            raise InvalidEvent(
                event, f"its command is for {found.step} of {found.saga} {found.saga_id}"
            )
        return Received(event, found, None)

    def _type(self, outcome: Done | Refused) -> str:
        return self.emits

    def _facts(
        self, cause: Event, found: Context | None, outcome: Done | Refused, started: datetime
    ) -> Facts:
        if isinstance(outcome, Refused):
            failure = Failure(self.step, outcome.code, outcome.detail)
            return Facts(context=_NO_CONTEXT, requested_at=started, failure=failure)
        return Facts(context=_NO_CONTEXT, requested_at=started, result=outcome.data)


def _caused(cause: Event, executed: Executed) -> Event:
    """The cause, with the traceparent of the span of its execution here, if that is traced."""
    traceparent = executed.command.traceparent
    return msgspec.structs.replace(cause, traceparent=traceparent) if traceparent else cause


def is_noticed(step: Step, waiting: Waiting, *, is_again: bool) -> bool:
    """Whether to publish that a step waits: at once if a person decides. A system mostly answers
    soon, so then only a repeated request is answered with the notice.
    """
    return is_again or waiting.decided_by == step.decided_by


def notice(*, cause: Event, step: Step, waiting: Waiting, context: msgspec.Raw) -> Event:
    """The event that the step waits: for the watchdog and the orchestrator."""
    result = {"step": step.name, "decided_by": waiting.decided_by, "until": waiting.until}
    return follow(
        cause=cause,
        event_type=projection.STEP_WAITING,
        event_id=events.event_id(
            saga_id=cause.saga_id, step=step.name, direction=f"waiting {waiting.until}"
        ),
        facts=Facts(context=context, result={**result, "cause": cause.type}),
    )


def follow(*, cause: Event, event_type: str, event_id: str, facts: Facts) -> Event:
    """The event that follows from `cause`; a redrive if `cause` is one, to repair the chain."""
    return Event(
        id=event_id,
        type=event_type,
        saga_id=cause.saga_id,
        saga=cause.saga,
        occurred_at=datetime.now(UTC),
        data=facts,
        cause_id=cause.id,
        traceparent=cause.traceparent,
        redrive=cause.redrive,
    )


def context(*, event: Event) -> Context:
    """The event's context. Raises InvalidEvent if it is malformed, or another saga's."""
    try:
        found = _context.decode(event.data.context)
    except msgspec.MsgspecError as error:
        raise InvalidEvent(event, str(error)) from error
    if (found.saga, found.saga_id) != (event.saga, event.saga_id):
        raise InvalidEvent(event, f"its context is of the {found.saga} {found.saga_id}")
    return found
