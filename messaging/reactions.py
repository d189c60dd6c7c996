"""What a service does when it hears an event, or is asked by message, and what it says then.

A service's `reactions.py` is the projection of the sagas' pages for its name; this module makes a
transaction of each row: event -> command -> operation (through the barrier) -> what follows, in the
outbox.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Protocol

import msgspec

from contracts import events, projection
from contracts.events import Event, Facts
from contracts.outcomes import Done, Failure, Outcome, Refused, Waiting, had_effect
from contracts.saga import SAGAS, Command, Context, Direction, Step
from messaging import outbox
from participant import operations
from participant.decisions import DecidedStep
from participant.executing import Executed, execute
from participant.operations import Operation

_NO_CONTEXT = msgspec.Raw(b"null")
"""Who asked has the context: sending it back would only cost."""
_context = msgspec.json.Decoder(Context)
_encode = msgspec.json.Encoder().encode


class InvalidEvent(Exception):
    """No command can be made from this event; nothing was done for the others either."""

    def __init__(self, event: Event, why: str) -> None:
        super().__init__(why)
        self.event = event


class Reaction(Protocol):
    """Anything that can be done on hearing an event."""

    @property
    def saga(self) -> str:
        """The saga in which `on` has its meaning."""

    @property
    def on(self) -> str:
        """The type of event."""

    @property
    def group(self) -> str:
        """Events whose reactions have the same group are handled together, in one transaction."""

    @property
    def step(self) -> str:
        """The step of a saga that this does or undoes; empty where it is none."""

    def handle(self, heard: Sequence[Event]) -> None:
        """Takes these events, in order, in one transaction. May see an event again.

        Raises InvalidEvent where it can tell whose fault it is.
        """


@dataclass(frozen=True, kw_only=True)
class EventHandler:
    """Do this operation on hearing that event; then say one thing, or the other if refused.

    An event that is heard again says nothing, unless it is a redrive: then the stored outcome is
    said again, under the same event id.
    """

    row: projection.ReactionRow
    operation: Operation

    @property
    def saga(self) -> str:
        return self.row.saga

    @property
    def on(self) -> str:
        return self.row.event

    @property
    def group(self) -> str:
        return events.route(self.row.saga, self.row.event)

    @property
    def step(self) -> str:
        return self.row.step.name

    def handle(self, heard: Sequence[Event]) -> None:
        """Executes the operation for all of them; the facts that follow go to the outbox."""
        started = datetime.now(UTC)
        contexts = [context(event=event) for event in heard]
        commands = [self._command(event, one) for event, one in zip(heard, contexts, strict=True)]

        def say(executed: Sequence[Executed]) -> None:
            said = [
                self._said(event, one, done.outcome, started)
                for event, one, done in zip(heard, contexts, executed, strict=True)
                if (done.fresh or event.redrive) and self._emits(event, done.outcome)
            ]
            outbox.add(service=self.operation.service, said=said)

        execute(
            operation=self.operation,
            commands=commands,
            in_same_transaction=say,
            heard=_encoded(commands, heard),
        )

    def decided(self, *, heard: Event, outcome: Outcome, since: datetime) -> Event | None:
        """What is said of a step that has waited `since` then, of which this event asked."""
        if not (isinstance(outcome, Waiting) or self._name(outcome)):
            return None
        return self._said(heard, context(event=heard), outcome, since)

    def _command(self, event: Event, found: Context) -> Command:
        try:
            return projection.command(
                step=self.row.step,
                direction=self.row.direction,
                context=found,
                failure=event.data.failure,
            )
        except msgspec.ValidationError as error:
            raise InvalidEvent(event, str(error)) from error

    def _emits(self, heard: Event, outcome: Outcome) -> bool:
        if isinstance(outcome, Waiting):
            return is_noticed(self.row.step, outcome, is_again=heard.redrive)
        return bool(self._name(outcome))

    def _name(self, outcome: Done | Refused) -> str:
        return self.row.emits_on_refusal if isinstance(outcome, Refused) else self.row.emits

    def _said(self, heard: Event, found: Context, outcome: Outcome, started: datetime) -> Event:
        step = self.row.step
        if isinstance(outcome, Waiting):
            return notice(cause=heard, step=step, waiting=outcome, context=heard.data.context)
        failure = heard.data.failure
        if isinstance(outcome, Refused) and not failure:
            failure = Failure(step.name, outcome.code, outcome.detail)
        if failure and self._undid(outcome):
            failure = msgspec.structs.replace(failure, undone=True)
        return follow(
            cause=heard,
            event_type=self._name(outcome),
            event_id=events.event_id(
                saga_id=heard.saga_id,
                step=step.name,
                direction="undo" if self.row.direction is Direction.UNDO else "do",
            ),
            facts=Facts(
                context=self._passed_on(heard, found, outcome),
                result={} if isinstance(outcome, Refused) else outcome.data,
                failure=failure,
                requested_at=started,
            ),
        )

    def _passed_on(self, heard: Event, found: Context, outcome: Done | Refused) -> msgspec.Raw:
        """As it came, with what later steps need of this one's result."""
        if self.row.direction is not Direction.DO:
            return heard.data.context
        grown = projection.with_result(
            context=found,
            steps=SAGAS[self.row.saga].steps,
            step=self.row.step.name,
            outcome=outcome,
        )
        return heard.data.context if grown is found else msgspec.Raw(_encode(grown))

    def _undid(self, outcome: Outcome) -> bool:
        """Whether a step was undone; the acceptance's undo is the end itself."""
        is_end = self.row.step.name == SAGAS[self.row.saga].steps[0].name
        return self.row.direction is Direction.UNDO and not is_end and had_effect(outcome)


@dataclass(frozen=True, kw_only=True)
class CommandHandler:
    """Do this operation when asked by that request, and reply what came of it.

    Nothing else follows from it: who asked decides. A request that is heard again is answered
    again, with the stored outcome and under the same id: its sender asks again because it lacks the
    answer. (A fact that is heard again says nothing, unless it is a redrive: whoever said it waits
    for nothing.)
    """

    call: projection.StepCall
    operation: Operation

    @property
    def saga(self) -> str:
        return self.call.saga

    @property
    def on(self) -> str:
        return self.call.request

    @property
    def group(self) -> str:
        return events.route(self.call.saga, self.call.request)

    @property
    def step(self) -> str:
        return self.call.step.name

    @property
    def emits(self) -> str:
        """The type of the reply."""
        return projection.reply_to(self.call.request)

    def handle(self, heard: Sequence[Event]) -> None:
        """Executes the operation for all of them; the replies go to the outbox."""
        started = datetime.now(UTC)
        commands = [self._command(event) for event in heard]

        def reply(executed: Sequence[Executed]) -> None:
            replies = [
                self._reply(event, one.outcome, started)
                for event, one in zip(heard, executed, strict=True)
                if self._replies(one.outcome, is_again=event.redrive or not one.fresh)
            ]
            outbox.add(service=self.operation.service, said=replies)

        execute(
            operation=self.operation,
            commands=commands,
            in_same_transaction=reply,
            heard=_encoded(commands, heard),
        )

    def decided(self, *, heard: Event, outcome: Outcome, since: datetime) -> Event | None:
        """The reply to this request, whose step has waited `since` then."""
        return self._reply(heard, outcome, since)

    def _replies(self, outcome: Outcome, *, is_again: bool) -> bool:
        if isinstance(outcome, Waiting):
            return is_noticed(self.call.step, outcome, is_again=is_again)
        return True

    def _command(self, event: Event) -> Command:
        try:
            found = msgspec.json.decode(event.data.context, type=self.operation.command)
        except msgspec.MsgspecError as error:
            raise InvalidEvent(event, str(error)) from error
        wanted = (event.saga_id, self.call.step.name, self.call.saga)
        if (found.saga_id, found.step, found.saga) != wanted:
            raise InvalidEvent(
                event, f"its command is for {found.step} of {found.saga} {found.saga_id}"
            )
        return found

    def _reply(self, request: Event, outcome: Outcome, started: datetime) -> Event:
        facts = Facts(context=_NO_CONTEXT, requested_at=started)
        if isinstance(outcome, Waiting):
            step = self.call.step
            return notice(cause=request, step=step, waiting=outcome, context=_NO_CONTEXT)
        if isinstance(outcome, Refused):
            failure = Failure(self.step, outcome.code, outcome.detail)
            facts = msgspec.structs.replace(facts, failure=failure)
        else:
            facts = msgspec.structs.replace(facts, result=outcome.data)
        return follow(
            cause=request,
            event_type=self.emits,
            event_id=events.event_id(
                saga_id=request.saga_id,
                step=self.step,
                direction=f"reply {self.call.direction}",
            ),
            facts=facts,
        )


def of(*, service: str, module: ModuleType) -> list[Reaction]:
    """All that a service reacts to and answers. `module`: its operations.

    Raises LookupError where a page wants an operation that the module does not declare.
    """
    declared = operations.all_in(module)
    found: list[Reaction] = [
        EventHandler(row=row, operation=_operation(declared, row.step.operation, row.direction))
        for row in projection.of_service(service)
    ]
    return found + [
        CommandHandler(
            call=call, operation=_operation(declared, call.step.operation, call.direction)
        )
        for call in projection.asked_of(service)
    ]


def said(*, reactions: Sequence[Reaction], decided: Sequence[DecidedStep]) -> list[Event]:
    """What is said of steps that waited, and are decided now: by the reaction to the event that
    asked, as if it had been heard now. Nothing of those that were asked for over HTTP.

    Raises LookupError where this version of the code has no such reaction any more.
    """
    by_heard = {(reaction.saga, reaction.on): reaction for reaction in reactions}
    found = []
    for one in decided:
        if not one.asked.heard:
            continue
        heard = events.decode(one.asked.heard.encode())
        reaction = by_heard.get((heard.saga, heard.type))
        if not isinstance(reaction, EventHandler | CommandHandler):
            raise LookupError(f"no reaction to {heard.type} of {heard.saga} says what was decided")
        event = reaction.decided(heard=heard, outcome=one.outcome, since=one.asked.opened_at)
        found += [event] if event else []
    return found


def is_noticed(step: Step, waiting: Waiting, *, is_again: bool) -> bool:
    """Whether it is told that a step waits: at once where a person decides. A system mostly answers
    before anybody could ask: of that only those are told who ask again.
    """
    return is_again or waiting.decided_by == step.decided_by


def notice(*, cause: Event, step: Step, waiting: Waiting, context: msgspec.Raw) -> Event:
    """That the step waits, for whom, and until when: for the watchdog, or the orchestrator."""
    told = {"step": step.name, "decided_by": waiting.decided_by, "until": waiting.until}
    return follow(
        cause=cause,
        event_type=projection.STEP_WAITING,
        event_id=events.event_id(
            saga_id=cause.saga_id, step=step.name, direction=f"waiting {waiting.until}"
        ),
        facts=Facts(context=context, result={**told, "heard": cause.type}),
    )


def _encoded(commands: Sequence[Command], heard: Sequence[Event]) -> Callable[[Command], str]:
    """The event that asked for each of these commands."""
    asked = {id(command): event for command, event in zip(commands, heard, strict=True)}
    return lambda command: events.encode(asked[id(command)]).decode()


def _operation(
    declared: Mapping[operations.Key, Operation], name: str, direction: Direction
) -> Operation:
    service, _, action = name.partition(".")
    if (action, direction) not in declared:
        raise LookupError(
            f"a page of the catalogue wants {direction} {name}, and {service}/operations.py does"
            " not declare it: see manage.py sagas check"
        )
    return declared[action, direction]


def follow(*, cause: Event, event_type: str, event_id: str, facts: Facts) -> Event:
    """The event that `cause` sets off. A redrive is passed on: the chain heals along its way."""
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
    """What the saga is about. Raises InvalidEvent if it is malformed, or another saga's."""
    try:
        found = _context.decode(event.data.context)
    except msgspec.MsgspecError as error:
        raise InvalidEvent(event, str(error)) from error
    if (found.saga, found.saga_id) != (event.saga, event.saga_id):
        raise InvalidEvent(event, f"its context is of the {found.saga} {found.saga_id}")
    return found
