"""What is heard of a request sets its saga on: the move, and the next request, in one transaction.

A reply counts if it answers what is due of its saga now: same step, same direction. Whichever of
several repeated requests it answers, the barrier of the service has made sure that it says the
same. Any other is late or doubled, and changes nothing.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import transaction

from contracts.events import Event
from contracts.outcomes import Done, Outcome, Refused
from contracts.projection import reply_to
from contracts.statuses import FINAL, SagaStatus
from participant import points
from saga_orchestrator import sagalog
from saga_orchestrator.deciding import after, given_up, tally
from saga_orchestrator.moves import Move
from saga_orchestrator.requesting import goes_by_message, request_of, write
from saga_orchestrator.sagalog import InFlight

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Told:
    """The reaction to what a service tells of a request. `move`: what follows for the saga; None
    where this tells nothing of what is due.
    """

    saga: str
    hears: str
    move: Callable[[InFlight, Event], Move | None]
    group: str = "replies"
    """All of them are handled together: the moves of a batch are one statement."""
    step: str = ""

    def handle(self, heard: Sequence[Event]) -> None:
        """Moves the sagas on, each at most once."""
        now = time.monotonic()
        with transaction.atomic(using=sagalog.ALIAS):
            sagas = _locked(heard, now)
            moves: dict[str, tuple[Event, Move]] = {}
            for event in heard:
                saga = sagas.get(event.saga_id)
                move = self.move(saga, event) if saga else None
                if move:
                    moves.setdefault(event.saga_id, (event, move))
            written = write(
                moves=[(sagas[saga_id], move) for saga_id, (_, move) in moves.items()],
                now=now,
                causes={saga_id: event.id for saga_id, (event, _) in moves.items()},
            )
            points.reach("replies.before_commit")
        points.reach("replies.after_commit")
        tally.count(written)
        if len(written) < len(heard):
            log.info("%d of %d replies were late or doubled", len(heard) - len(written), len(heard))


def after_reply(saga: InFlight, reply: Event) -> Move | None:
    """What follows from the outcome, if it is that of the call that is due.

    A saga that is parked has the answer that it lacked then, unless that is a refusal: only a
    person can say what follows from one that must not be.
    """
    request = _due(saga)
    outcome = _outcome(reply)
    is_of_use = saga.status is not SagaStatus.PARKED or isinstance(outcome, Done)
    if request and reply.type == reply_to(request) and is_of_use:
        return after(saga=saga, answer=outcome)
    return None


def after_giving_up(saga: InFlight, told: Event) -> Move | None:
    """What follows where a service has set the request that is due aside for a person."""
    request = _due(saga)
    failure = told.data.failure
    if not (request and failure) or saga.status is SagaStatus.PARKED:
        return None
    if told.data.result.get("event") != request:
        return None
    return given_up(saga=saga, reason=failure.detail)


def _locked(heard: Sequence[Event], now: float) -> dict[str, InFlight]:
    """The sagas that go by message, their rows locked."""
    found = sagalog.lock(saga_ids={event.saga_id for event in heard})
    sagas = [one for one in found if isinstance(one, InFlight) and goes_by_message(saga=one)]
    for saga in sagas:
        saga.deadline += now
    return {saga.saga_id: saga for saga in sagas}


def _due(saga: InFlight) -> str:
    """The request whose answer is due; empty where there is none."""
    return "" if saga.status in FINAL else request_of(progress=saga.progress)


def _outcome(reply: Event) -> Outcome:
    """A reply has a failure if and only if the service refused."""
    failure = reply.data.failure
    return Refused(failure.code, failure.detail) if failure else Done(reply.data.result)
