"""The watchdog: helps a saga that stands still. A part of this service's worker.

Nobody conducts, so a lost message would leave a saga standing for ever. First its last fact is
said again, marked as a nudge: whoever has answered that fact before says the stored answer again,
and so the chain heals along its way, while the barrier lets nothing happen twice. Past its
deadline an abort is asked for, and the pivot decides whether it still can be. A saga that nothing
moves is parked, with its step and the reason, for a person; any new event of it un-parks it.
A saga that can't be read, or helped, is parked with the fault, and the others are helped.
All times are the database's: a worker whose own clock is wrong decides like any other.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections, transaction

from contracts import refusals
from contracts.catalogue import SAGAS
from messaging import outbox
from messaging.brokers import Broker, BrokerUnavailable
from messaging.consumer import queue_of
from participant import faults, points, sql
from saga_choreography import operations, store, tracking
from saga_choreography.models import Action
from saga_choreography.state import machine_of
from saga_choreography.store import SERVICE, Seen, Verdict, Watched
from saga_choreography.tracking import Asked

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
    RETURN = "return"
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
                    self._counters.update(look(now=store.now()))
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
    """Looks at the sagas that are due, at most MOST_AT_ONCE, and does what is to be done.

    `now`: the database's. Where they can't be helped together each is helped by itself, and the
    one whose fault it is parked.
    """
    claimed: list[str] = []

    def claim() -> list[str]:
        claimed.extend(store.claim_still(now=now, limit=MOST_AT_ONCE))
        return claimed

    try:
        moves = _do(claim, lambda: _help(claimed, now))
    except Exception as error:  # any fault: find whose it is, and help the others
        if not claimed or faults.is_outage(error):
            raise
        log.warning("%d sagas, now one by one: %r", len(claimed), error)
        with sql.impatient(service=SERVICE):
            alone = [_alone(one, now) for one in claimed]
        moves = {saga_id: move for one in alone for saga_id, move in one.items()}
    for saga_id, move in moves.items():
        if move is not Move.WAIT:
            log.warning("it stands still: %s", move, extra={"saga_id": saga_id})
    return Counter(moves.values())


def _do(claim: Callable[[], list[str]], work: Callable[[], dict[str, Move]]) -> dict[str, Move]:
    """Claims and works in one transaction; nothing where nothing was there to be claimed."""
    with transaction.atomic(using=SERVICE):
        if not claim():
            return {}
        moves = work()
        points.reach("watchdog.before_commit")
    points.reach("watchdog.after_commit")
    return moves


def _alone(saga_id: str, now: datetime) -> dict[str, Move]:
    def claim() -> list[str]:
        return store.claim_one(saga_id=saga_id, now=now)

    try:
        return _do(claim, lambda: _help([saga_id], now))
    except Exception as error:  # as above; this one is left to a person
        if faults.is_outage(error):
            raise
        if faults.is_busy(error):
            log.warning("it is locked by somebody else", extra={"saga_id": saga_id})
            return {saga_id: Move.WAIT}
        log.error("it can't be helped: %r", error, extra={"saga_id": saga_id})
        verdict = _park_unreadable(saga_id, error, now)
    return _do(claim, lambda: _park(verdict))


def _park(verdict: Verdict) -> dict[str, Move]:
    store.record(verdicts=[verdict])
    return {verdict.saga_id: Move.PARK}


def _help(claimed: Sequence[str], now: datetime) -> dict[str, Move]:
    """Does for these sagas, which are locked, what each needs; what that was."""
    sagas = store.lock_watched(saga_ids=claimed)
    trails = store.of(saga_ids=claimed)
    decided = [
        (one, decide(watched=one, seen=trails[one.saga_id], now=now, patience=patience_with(one)))
        for one in sagas
    ]
    store.record(verdicts=[_verdict(one, what, trails[one.saga_id], now) for one, what in decided])
    _nudge([one for one, what in decided if what.move is Move.NUDGE], trails)
    _ask(decided, trails, now)
    return {one.saga_id: what.move for one, what in decided}


def patience_with(watched: Watched) -> Patience:
    """As its page says, unless the settings say otherwise for every saga."""
    return Patience(
        nudge_seconds=settings.NUDGE_SECONDS,
        saga_seconds=settings.SAGA_SECONDS or SAGAS[watched.context.saga].seconds,
    )


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
        return _give_up(watched, seen, now, patience, nudges)
    again = now + patience.wait(nudges=nudges + 1)
    return Decided(Move.NUDGE, min(again, deadline or again), nudges + 1)


def _give_up(
    watched: Watched, seen: Sequence[Seen], now: datetime, patience: Patience, nudges: int
) -> Decided:
    types = {one.event_type for one in seen}
    if operations.decide_late_return(saga=watched, event_types=types):
        return Decided(Move.RETURN, now + patience.wait(nudges=0), 0)
    return Decided(Move.PARK, None, nudges)


def _deadline(watched: Watched, seen: Sequence[Seen], patience: Patience) -> datetime | None:
    """When the saga is aborted; None where it can't be, or where that was asked for already."""
    types = {one.event_type for one in seen}
    decided = operations.decide_compensate(
        saga=watched.context.saga, stage=watched.stage, event_types=types
    )
    if decided is not Action.ABORT:
        return None
    return watched.started_at + timedelta(seconds=patience.saga_seconds)


def _nudge(sagas: Sequence[Watched], trails: store.Trails) -> None:
    said = [
        event
        for one in sagas
        for event in operations.nudges(
            stage=one.stage, seen=trails[one.saga_id], context=one.context
        )
    ]
    outbox.add(service=SERVICE, said=said)


def _ask(decided: Sequence[tuple[Watched, Decided]], trails: store.Trails, now: datetime) -> None:
    asked = [_abort(one, trails) for one, what in decided if what.move is Move.ABORT]
    asked += [_return(one) for one, what in decided if what.move is Move.RETURN]
    if asked:
        tracking.ask(asked=asked, now=now)


def _abort(saga: Watched, trails: store.Trails) -> Asked:
    return Asked(
        context=saga.context,
        action=Action.ABORT,
        requested_by="watchdog",
        reason=f"Its time was over at {_step_of(saga, trails[saga.saga_id])}.",
        code=refusals.DEADLINE,
    )


def _return(saga: Watched) -> Asked:
    return Asked(
        context=saga.context,
        action=Action.RETURN,
        requested_by="watchdog",
        reason="It was stopped by a person, has passed its pivot, and does not end.",
    )


def _verdict(watched: Watched, decided: Decided, seen: Sequence[Seen], now: datetime) -> Verdict:
    is_nudge, is_parked = decided.move is Move.NUDGE, decided.move is Move.PARK
    return Verdict(
        saga_id=watched.saga_id,
        watch_at=decided.watch_at,
        nudges=decided.nudges,
        nudged_at=now if is_nudge else watched.nudged_at,
        parked_at=now if is_parked else None,
        parked_step=_step_of(watched, seen) if is_parked else "",
        parked_reason=_why_parked(watched, decided, seen) if is_parked else "",
    )


def _park_unreadable(saga_id: str, error: Exception, now: datetime) -> Verdict:
    return Verdict(
        saga_id=saga_id,
        watch_at=None,
        nudges=0,
        nudged_at=None,
        parked_at=now,
        parked_step="unknown",
        parked_reason=f"It can't be helped: {error or repr(error)}",
    )


def _why_parked(watched: Watched, decided: Decided, seen: Sequence[Seen]) -> str:
    first = machine_of(watched.context.saga).started
    last = max(reversed(seen), key=lambda one: one.seen_at).event_type if seen else first
    return f"Nothing was said after {last}, also not after {decided.nudges} nudges."


def _step_of(watched: Watched, seen: Sequence[Seen]) -> str:
    types = [one.event_type for one in seen]
    machine = machine_of(watched.context.saga)
    return machine.current_step(stage=watched.stage, event_types=types) or "its end"
