"""What a service does when it hears an event, and what it says then.

A service's `reactions.py` is a table of `on(...)`; this module makes a transaction of it:
event -> command -> operation (through the barrier) -> the fact that follows, in the outbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from contracts import events, sagas
from contracts.commands import Checkout, Command
from contracts.events import Event, Facts
from contracts.outcomes import Failure, Outcome, Refused, had_effect
from messaging import outbox
from sagas.operations import Kind, Operation
from sagas.performing import Performed, perform


class Unfit(Exception):
    """No command can be made from this event; nothing was done for the others either."""

    def __init__(self, event: Event, why: str) -> None:
        super().__init__(why)
        self.event = event


class Reaction(Protocol):
    """Anything that can be done on hearing an event."""

    @property
    def hears(self) -> str:
        """The type of event."""

    @property
    def group(self) -> str:
        """Events whose reactions have the same group are handled together, in one transaction."""

    @property
    def step(self) -> str:
        """The step of a saga that this does or undoes; empty where it is none."""

    def handle(self, heard: Sequence[Event]) -> None:
        """Takes these events, in order, in one transaction. May see an event again.

        Raises Unfit where it can tell whose fault it is.
        """


@dataclass(frozen=True, kw_only=True)
class SagaReaction:
    """Do this operation on hearing that event; then say one thing, or the other if refused.

    An event that is heard again says nothing, unless it is a nudge: then the stored outcome is
    said again, under the same event id.
    """

    hears: str
    operation: Operation
    says: str
    says_if_refused: str

    @property
    def group(self) -> str:
        return self.hears

    @property
    def step(self) -> str:
        return self.operation.step

    def handle(self, heard: Sequence[Event]) -> None:
        """Performs the operation for all of them; the facts that follow go to the outbox."""
        started = datetime.now(UTC)
        commands = [self._command(event) for event in heard]

        def say(performed: Sequence[Performed]) -> None:
            said = [
                self._said(event, one.outcome, started)
                for event, one in zip(heard, performed, strict=True)
                if (one.fresh or event.nudge) and self._name(one.outcome)
            ]
            outbox.add(service=self.operation.service, said=said)

        perform(operation=self.operation, commands=commands, also=say)

    def _command(self, event: Event) -> Command:
        checkout = context(event=event)
        return self.operation.command.of(checkout=checkout, failure=event.data.failure)

    def _name(self, outcome: Outcome) -> str:
        return self.says_if_refused if isinstance(outcome, Refused) else self.says

    def _said(self, heard: Event, outcome: Outcome, started: datetime) -> Event:
        failure = heard.data.failure
        if isinstance(outcome, Refused) and not failure:
            failure = Failure(self.operation.step, outcome.code, outcome.detail)
        if failure and self._undid(outcome):
            failure = msgspec.structs.replace(failure, undone=True)
        return follow(
            cause=heard,
            event_type=self._name(outcome),
            facts=Facts(
                context=heard.data.context,
                result={} if isinstance(outcome, Refused) else outcome.data,
                failure=failure,
                requested_at=started,
            ),
        )

    def _undid(self, outcome: Outcome) -> bool:
        """Whether a step was undone; the acceptance's undo is the end itself."""
        is_undo = self.operation.kind is Kind.UNDO and self.operation.step != sagas.ACCEPT
        return is_undo and had_effect(outcome)


def on(*hears: str, do: Operation, says: str = "", says_if_refused: str = "") -> list[SagaReaction]:
    """The reactions of one line of a service's table; an empty name says nothing."""
    return [
        SagaReaction(hears=event, operation=do, says=says, says_if_refused=says_if_refused)
        for event in hears
    ]


def follow(*, cause: Event, event_type: str, facts: Facts) -> Event:
    """The event that `cause` sets off. A nudge is passed on: the chain heals along its way."""
    return Event(
        id=events.event_id(saga_id=cause.saga_id, event_type=event_type),
        type=event_type,
        saga_id=cause.saga_id,
        saga=cause.saga,
        occurred_at=datetime.now(UTC),
        data=facts,
        cause_id=cause.id,
        traceparent=cause.traceparent,
        nudge=cause.nudge,
    )


def context(*, event: Event) -> Checkout:
    """The checkout that the event is about. Raises Unfit if it is malformed, or of another saga."""
    try:
        checkout = msgspec.json.decode(event.data.context, type=Checkout)
    except msgspec.MsgspecError as error:
        raise Unfit(event, str(error)) from error
    if checkout.saga_id != event.saga_id:
        raise Unfit(event, f"its context is of the saga {checkout.saga_id}")
    return checkout
