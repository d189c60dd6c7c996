"""The watchdog: helps a saga that stands still. A part of this service's worker.

Nobody conducts, so a lost message would leave a saga standing for ever. First its last fact is
said again, marked as a nudge: whoever has answered that fact before says the stored answer again,
and so the chain heals along its way, while the barrier lets nothing happen twice. Past its
deadline an abort is asked for, and the pivot decides whether it still can be. A saga that nothing
moves is parked, with its step and the reason, for a person; any new event of it un-parks it.
"""

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections, transaction

from contracts import events, refusals
from messaging import outbox
from messaging.brokers import Broker, BrokerUnavailable
from messaging.consumer import queue_of
from saga_choreography import operations, trail
from saga_choreography.checkout import SERVICE
from saga_choreography.entries import Seen, Watched
from saga_choreography.models import Action
from saga_choreography.operations import Asked
from saga_choreography.state import current_step
from sagas import points

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
MOST_AT_ONCE = 50
"""Sagas a look. After an outage many stand still that only wait their turn: nudging them all at
once would double the work that they wait for."""
MOST_NUDGES = 5
LONGEST_WAIT = 3
"""In units of NUDGE_SECONDS; the wait doubles up to it."""
BEHIND = 500
"""With more than this in tracking's own queue, what looks like standing still may only be late."""


class Move(StrEnum):
    WAIT = "wait"
    NUDGE = "nudge"
    ABORT = "abort"
    PARK = "park"


class Decided(NamedTuple):
    """What to do with a saga, when to look at it next, and its nudges since it last moved."""

    move: Move
    watch_at: datetime | None
    nudges: int


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a saga may stand still before it is nudged, and take before it is aborted."""

    nudge_seconds: float
    saga_seconds: float

    def wait(self, *, nudges: int) -> timedelta:
        """After so many nudges."""
        return timedelta(seconds=self.nudge_seconds * min(2**nudges, LONGEST_WAIT))


class Watchdog:
    """Looks once a second. Several workers share the sagas: each claims those it looks at."""

    name = "watchdog"

    def __init__(self, *, broker: Broker) -> None:
        self._broker = broker
        self._counters: Counter[str] = Counter()

    def counters(self) -> dict[str, int]:
        return {f"sagas_{move}": n for move, n in self._counters.items() if move is not Move.WAIT}

    def run(self, stop: threading.Event) -> None:
        """Watches until `stop` is set."""
        while not stop.wait(LOOK_SECONDS):
            try:
                if not self._is_behind():
                    self._counters.update(look(now=datetime.now(UTC)))
            except BrokerUnavailable:
                continue  # A nudge could not be sent; the relay and /health say so already.
            except (DatabaseError, InterfaceError) as error:
                log.warning("watchdog: %s; again at the next look", error)
                connections[SERVICE].close()
        connections[SERVICE].close()

    def _is_behind(self) -> bool:
        queue = queue_of(service=SERVICE)
        return self._broker.depths([queue])[queue] > BEHIND


def look(*, now: datetime) -> Counter[Move]:
    """Looks at the sagas that are due, at most MOST_AT_ONCE, and does what is to be done."""
    patience = Patience(nudge_seconds=settings.NUDGE_SECONDS, saga_seconds=settings.SAGA_SECONDS)
    moves: Counter[Move] = Counter()
    with transaction.atomic(using=SERVICE):
        claimed = trail.claim_still(now=now, limit=MOST_AT_ONCE)
        if not claimed:
            return moves
        trails = trail.of(saga_ids=[one.saga_id for one in claimed])
        decided = [
            (one, decide(watched=one, seen=trails[one.saga_id], now=now, patience=patience))
            for one in claimed
        ]
        trail.record(
            verdicts=[_verdict(one, what, trails[one.saga_id], now) for one, what in decided]
        )
        _nudge([one for one, what in decided if what.move is Move.NUDGE], trails)
        _abort([one for one, what in decided if what.move is Move.ABORT], trails, now)
        points.reach("watchdog.before_commit")
    points.reach("watchdog.after_commit")
    for one, what in decided:
        moves[what.move] += 1
        if what.move is not Move.WAIT:
            log.warning("it stands still: %s", what.move, extra={"saga_id": one.saga_id})
    return moves


def decide(*, watched: Watched, seen: Sequence[Seen], now: datetime, patience: Patience) -> Decided:
    """What a saga needs that was last seen to move as its trail tells."""
    moved_at = max((one.seen_at for one in seen), default=watched.started_at)
    helped_at = watched.nudged_at
    nudges = watched.nudges if helped_at and helped_at >= moved_at else 0
    deadline = _deadline(watched, seen, patience)
    if deadline and now >= deadline:
        return Decided(Move.ABORT, now + patience.wait(nudges=0), 0)
    due = max(moved_at, helped_at or moved_at) + patience.wait(nudges=nudges)
    if now < due:
        return Decided(Move.WAIT, min(due, deadline or due), nudges)
    if nudges >= MOST_NUDGES:
        return Decided(Move.PARK, None, nudges)
    again = now + patience.wait(nudges=nudges + 1)
    return Decided(Move.NUDGE, min(again, deadline or again), nudges + 1)


def _deadline(watched: Watched, seen: Sequence[Seen], patience: Patience) -> datetime | None:
    """When the saga is aborted; None where it can't be, or where that was asked for already."""
    types = {one.event_type for one in seen}
    decided = operations.decide_compensate(stage=watched.stage, event_types=types)
    if decided is not Action.ABORT:
        return None
    return watched.started_at + timedelta(seconds=patience.saga_seconds)


def _nudge(sagas: Sequence[Watched], trails: trail.Trails) -> None:
    said = [
        event
        for one in sagas
        for event in operations.nudges(
            stage=one.stage, seen=trails[one.saga_id], context=one.context
        )
    ]
    outbox.add(service=SERVICE, said=said)


def _abort(sagas: Sequence[Watched], trails: trail.Trails, now: datetime) -> None:
    asked = [
        Asked(
            saga_id=one.saga_id,
            context=one.context,
            action=Action.ABORT,
            requested_by="watchdog",
            reason=f"Its time was over at {_step_of(one, trails)}.",
            code=refusals.DEADLINE,
        )
        for one in sagas
    ]
    if asked:
        operations.ask(asked=asked, now=now)


def _verdict(
    watched: Watched, decided: Decided, seen: Sequence[Seen], now: datetime
) -> trail.Verdict:
    is_nudge, is_parked = decided.move is Move.NUDGE, decided.move is Move.PARK
    step = current_step(stage=watched.stage, event_types=[one.event_type for one in seen])
    return trail.Verdict(
        saga_id=watched.saga_id,
        watch_at=decided.watch_at,
        nudges=decided.nudges,
        nudged_at=now if is_nudge else watched.nudged_at,
        parked_at=now if is_parked else None,
        parked_step=(step or "") if is_parked else "",
        parked_reason=_why_parked(decided, seen) if is_parked else "",
    )


def _why_parked(decided: Decided, seen: Sequence[Seen]) -> str:
    last = seen[-1].event_type if seen else events.CHECKOUT_INITIATED
    return f"Nothing was said after {last}, also not after {decided.nudges} nudges."


def _step_of(watched: Watched, trails: trail.Trails) -> str:
    types = [one.event_type for one in trails[watched.saga_id]]
    return current_step(stage=watched.stage, event_types=types) or "its end"
