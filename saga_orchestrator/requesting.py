"""Calls as messages: a move, and the request that it makes due, are written in one transaction.

    a saga that is claimed    was never asked           ask
                              has no reply in time      a fault: the engine says what follows
                              is to be turned back      the engine's move
    a reply (`replies`)       answers what is due       the engine's move, and the next request

While the reply is on its way nobody holds the saga: it waits in its row, and is due again (to be
claimed by any runner) when its patience is over. So a crash anywhere loses nothing, and a request
may be sent twice: whoever hears it again answers again.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec
from django.db import transaction

from contracts import events, patterns, projection
from contracts.events import Event, Facts
from messaging import doorbell, outbox
from participant import points
from saga_orchestrator import sagalog
from saga_orchestrator.deciding import Step, after, tally, turned_back
from saga_orchestrator.moves import Fault, Move, Progress
from saga_orchestrator.sagalog import InFlight

PATIENCE = 2
"""Times what a call of the step may take: the other half is for the queues, there and back."""
NEARLY = 0.9
"""Of its patience: a saga that is claimed earlier was woken for another reason."""
_NONE: Mapping[str, str] = MappingProxyType({})


def goes_by_message(*, saga: InFlight) -> bool:
    """Whether this saga's services are told what to do by message."""
    return saga.context.pattern == patterns.ORCHESTRATED_MESSAGING


def request_of(*, progress: Progress) -> str:
    """The type of the request for the call that is due."""
    return projection.request_of(progress.step, progress.direction)


def take_up(*, sagas: Sequence[InFlight]) -> list[Step]:
    """Asks for what is due of these, claimed ones; one that has waited for nothing has faulted.

    Returns the moves that were written.
    """
    now = time.monotonic()
    moves = [(saga, _due(saga, now)) for saga in sagas]
    with transaction.atomic(using=sagalog.ALIAS):
        written = write(moves=moves, now=now)
        points.reach("requesting.before_commit")
    points.reach("requesting.after_commit")
    tally.count(written)
    return written


def write(*, moves: Sequence[Step], now: float, causes: Mapping[str, str] = _NONE) -> list[Step]:
    """Writes the moves, and into the outbox the requests that are due then.

    `causes`: the reply that each saga moves on, by saga. Runs in the caller's transaction; returns
    the moves that were written (the others' sagas were moved by somebody else).
    """
    # In one order everywhere, so that two that write at once can't wait for each other.
    ordered = sorted(moves, key=lambda one: one[0].saga_id)
    patience = {
        saga.saga_id: _patience(saga, move.progress, now)
        for saga, move in ordered
        if move.goes_on and _can_ask(saga, move.progress, now)
    }
    moved = sagalog.record(moves=ordered, patience=patience)
    written = [(saga, move) for saga, move in ordered if saga.saga_id in moved]
    asked = [(saga, move) for saga, move in written if saga.saga_id in patience]
    outbox.add(
        service=sagalog.ALIAS,
        said=[_request(saga, move, causes.get(saga.saga_id, "")) for saga, move in asked],
    )
    if sum(move.goes_on for _, move in written) > len(asked):
        transaction.on_commit(_wake, using=sagalog.ALIAS)
    return written


def _due(saga: InFlight, now: float) -> Move:
    turned = turned_back(saga=saga, progress=saga.progress, now=now)
    if turned:
        return turned
    if saga.waited is not None and saga.waited >= NEARLY * _longest(saga.progress):
        request = request_of(progress=saga.progress)
        reason = f"no reply to {request} within {saga.waited:.1f} s"
        return after(saga=saga, answer=Fault(reason))
    return Move(progress=saga.progress, status=saga.status)


def _can_ask(saga: InFlight, progress: Progress, now: float) -> bool:
    return turned_back(saga=saga, progress=progress, now=now) is None


def _patience(saga: InFlight, progress: Progress, now: float) -> float:
    """Seconds to wait for the reply; no longer than to the deadline, if that can turn it back."""
    longest = _longest(progress)
    left = saga.deadline - now
    if left < longest and turned_back(saga=saga, progress=progress, now=saga.deadline):
        return left
    return longest


def _longest(progress: Progress) -> float:
    """Twice as long after each fault: a service that is late is not buried in questions."""
    return PATIENCE * progress.step.seconds * float(2**progress.faults)


def _request(saga: InFlight, move: Move, cause_id: str) -> Event:
    """It carries the command, and nothing that its step does not need."""
    progress = move.progress
    command = projection.command(
        step=progress.step,
        direction=progress.direction,
        context=saga.context_after(move),
        failure=progress.failure,
    )
    return Event(
        id=events.event_id(
            saga_id=saga.saga_id, step=progress.step.name, direction=f"ask {progress.direction}"
        ),
        type=request_of(progress=progress),
        saga_id=saga.saga_id,
        saga=saga.name,
        occurred_at=datetime.now(UTC),
        data=Facts(context=msgspec.Raw(msgspec.json.encode(command))),
        cause_id=cause_id,
        traceparent=saga.context.traceparent,
        nudge=progress.faults > 0,
    )


def _wake() -> None:
    points.reach("requesting.before_wake")
    doorbell.ring(service=sagalog.ALIAS, channel=sagalog.CHANNEL)
