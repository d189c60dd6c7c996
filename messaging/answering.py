"""What a service does when it is asked by message, and how it answers.

The other half of `reactions`: request -> command -> operation (through the barrier) -> the reply,
in the outbox, all in one transaction. Nothing else follows from it: who asked conducts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from contracts.events import Event, Facts
from contracts.outcomes import Failure, Outcome, Refused
from contracts.requests import reply_to
from messaging import outbox
from messaging.reactions import context, follow
from sagas.operations import Operation
from sagas.performing import Performed, perform

_NO_CONTEXT = msgspec.Raw(b"null")
"""Who asked has the checkout: sending it back would only cost."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Do this operation when asked by that request, and reply what came of it.

    A request that is heard again is answered again, with the stored outcome and under the same
    id: its sender asks again because it lacks the answer. (A fact that is heard again says
    nothing, unless it is a nudge: whoever said it waits for nothing.)
    """

    hears: str
    operation: Operation

    @property
    def group(self) -> str:
        return self.hears

    @property
    def step(self) -> str:
        return self.operation.step

    @property
    def says(self) -> str:
        """The type of the reply."""
        return reply_to(request=self.hears)

    def handle(self, heard: Sequence[Event]) -> None:
        """Performs the operation for all of them; the replies go to the outbox."""
        started = datetime.now(UTC)
        commands = [
            self.operation.command.of(checkout=context(event=event), failure=event.data.failure)
            for event in heard
        ]

        def reply(performed: Sequence[Performed]) -> None:
            replies = [
                self._reply(event, one.outcome, started)
                for event, one in zip(heard, performed, strict=True)
            ]
            outbox.add(service=self.operation.service, said=replies)

        perform(operation=self.operation, commands=commands, also=reply)

    def _reply(self, request: Event, outcome: Outcome, started: datetime) -> Event:
        facts = Facts(context=_NO_CONTEXT, requested_at=started)
        if isinstance(outcome, Refused):
            failure = Failure(self.operation.step, outcome.code, outcome.detail)
            facts = msgspec.structs.replace(facts, failure=failure)
        else:
            facts = msgspec.structs.replace(facts, result=outcome.data)
        return follow(cause=request, event_type=self.says, facts=facts)
