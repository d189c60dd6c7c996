"""The watchdog: helps a saga that stands still. A component of this service's worker.

There is no orchestrator, so a lost message would leave a saga standing for ever. First the service
whose event was the last is asked to publish it again, marked as a redrive: a service that has
answered it before publishes the stored answer again, and so the chain heals along its way, while
the barrier lets nothing happen twice. Past its deadline an abort is asked for, and the pivot
decides whether it still can be. A saga that waits for a decision is left alone until that must be
overdue, and its time stands still meanwhile. A saga that nothing moves is parked, with its step and
the reason, for a person; any new event un-parks it. A saga that can't be read, or helped, is parked
with the fault, and the others are helped. All times are the database's: a worker whose own clock is
wrong decides like any other.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import msgspec
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections, transaction

from contracts import refusals
from contracts.saga import SAGAS
from messaging import outbox
from participant import failpoints, sql
from saga_choreography import operations, store, tracking
from saga_choreography.models import Action
from saga_choreography.store import (
    SERVICE,
    TrackedEvent,
    Wait,
    WatchdogUpdate,
    WatchedSaga,
)
from saga_choreography.tracking import Asked, machine_of, redrive_seconds

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
MOST_AT_ONCE = 50
"""Sagas a look. After an outage many stand still that only wait their turn: redriving them all at
once would double the work that they wait for."""
MOST_REDRIVES = 5
LONGEST_WAIT = 3
"""In units of REDRIVE_SECONDS; the wait doubles up to it."""
BEHIND = 500
"""With more than this in tracking's own queue, what looks like standing still may only be late."""


OVERDUE_SECONDS = 5.0
"""A service ends its overdue steps by itself; the saga of one that it has not is redriven then."""


class Remedy(StrEnum):
    WAIT = "wait"
    REDRIVE = "redrive"
    ABORT = "abort"
    RETURN = "return"
    PARK = "park"


class Diagnosis(NamedTuple):
    """What to do with a saga, when to look at it next, and its redrives since it last moved."""

    remedy: Remedy
    watch_at: datetime | None
    redrives: int


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a saga may stand still before it is redriven, and take before it is aborted."""

    redrive_seconds: float
    saga_seconds: float

    def wait(self, *, redrives: int) -> timedelta:
        """After so many redrives."""
        return timedelta(seconds=self.redrive_seconds * min(2**redrives, LONGEST_WAIT))


class Watchdog:
    """Looks once a second. Several workers share the sagas: each claims those it looks at."""

    name = "watchdog"

    def __init__(self, *, backlog: Callable[[], float]) -> None:
        """`backlog`: how many messages wait for tracking."""
        self._backlog = backlog
        self._counters: Counter[str] = Counter()

    def counters(self) -> dict[str, int]:
        return {
            f"sagas_{remedy}": n for remedy, n in self._counters.items() if remedy != Remedy.WAIT
        }

    def run(self, stop: threading.Event) -> None:
        """Watches until `stop` is set."""
        while not stop.wait(LOOK_SECONDS):
            try:
                if self._backlog() <= BEHIND:
                    self._counters.update(look(now=store.now()))
            except (DatabaseError, InterfaceError) as error:
                log.warning("watchdog: %s; again at the next look", error)
                connections[SERVICE].close()
        connections[SERVICE].close()


def look(*, now: datetime) -> Counter[Remedy]:
    """Looks at the sagas that are due, at most MOST_AT_ONCE, and does what is to be done.

    `now`: the database's. Where they can't be helped together each is helped by itself, and the
    one whose fault it is parked.
    """
    try:
        remedies = _do(_help, now)
    except Exception as error:  # any fault: find whose it is, and help the others
        if sql.is_outage(error):
            raise
        due = store.claim_still(now=now, limit=MOST_AT_ONCE)
        log.warning("%d sagas, now one by one: %r", len(due), error)
        with sql.impatient(service=SERVICE):
            alone = [_alone(saga_id, now) for saga_id in due]
        remedies = {saga_id: remedy for found in alone for saga_id, remedy in found.items()}
    for saga_id, remedy in remedies.items():
        if remedy is not Remedy.WAIT:
            log.warning("it stands still: %s", remedy, extra={"saga_id": saga_id})
    return Counter(remedies.values())


Work = Callable[[Sequence[str], datetime], dict[str, Remedy]]


def _do(work: Work, now: datetime, *, only: str | None = None) -> dict[str, Remedy]:
    """Claims what is due, and works on it in one transaction; nothing where nothing is. `only`:
    this saga alone.
    """
    with transaction.atomic(using=SERVICE):
        claimed = store.claim_still(now=now, limit=MOST_AT_ONCE, only=only)
        if not claimed:
            return {}
        remedies = work(claimed, now)
        failpoints.reach("watchdog.before_commit")
    failpoints.reach("watchdog.after_commit")
    return remedies


def _alone(saga_id: str, now: datetime) -> dict[str, Remedy]:
    try:
        return _do(_help, now, only=saga_id)
    except Exception as error:  # as above; this one is left to a person
        if sql.is_outage(error):
            raise
        if sql.is_busy(error):
            log.warning("it is locked by another session", extra={"saga_id": saga_id})
            return {saga_id: Remedy.WAIT}
        log.error("it can't be helped: %r", error, extra={"saga_id": saga_id})
        reason = f"It can't be helped: {sql.category(error)}"
    return _do(partial(_park, reason), now, only=saga_id)


def _park(reason: str, claimed: Sequence[str], now: datetime) -> dict[str, Remedy]:
    """Leaves these to a person; nothing more is known of them than `reason`."""
    store.record(
        updates=[
            WatchdogUpdate(
                saga_id=saga_id, parked_at=now, parked_step="unknown", parked_reason=reason
            )
            for saga_id in claimed
        ]
    )
    return dict.fromkeys(claimed, Remedy.PARK)


def _help(claimed: Sequence[str], now: datetime) -> dict[str, Remedy]:
    """Does for these sagas, which are locked, what each needs; what that was."""
    sagas = store.lock_watched(saga_ids=claimed)
    trails = store.of(saga_ids=claimed)
    decided = [
        (saga, decide(watched=saga, seen=trails[saga.saga_id], now=now, patience=patience_of(saga)))
        for saga in sagas
    ]
    store.record(updates=[_update(saga, it, trails[saga.saga_id], now) for saga, it in decided])
    _redrive([saga for saga, it in decided if it.remedy is Remedy.REDRIVE], trails, now)
    asked = [_abort(saga, trails) for saga, it in decided if it.remedy is Remedy.ABORT]
    asked += [_return(saga) for saga, it in decided if it.remedy is Remedy.RETURN]
    if asked:
        tracking.ask(asked=asked, now=now)
    return {saga.saga_id: it.remedy for saga, it in decided}


def patience_of(watched: WatchedSaga) -> Patience:
    """As its page says, unless the settings say otherwise for every saga."""
    return Patience(
        redrive_seconds=redrive_seconds(),
        saga_seconds=getattr(settings, "SAGA_SECONDS", 0) or SAGAS[watched.context.saga].seconds,
    )


def decide(
    *, watched: WatchedSaga, seen: Sequence[TrackedEvent], now: datetime, patience: Patience
) -> Diagnosis:
    """What a saga needs that was last seen to move as its trail tells."""
    moved_at = max((event.seen_at for event in seen), default=watched.started_at)
    types = operations.types_of(seen)
    if watched.wait and is_left_alone(watched=watched, event_types=types, now=now):
        return Diagnosis(Remedy.WAIT, overdue_at(watched.wait), 0)
    helped_at = watched.redriven_at
    redrives = watched.redrives if helped_at and helped_at >= moved_at else 0
    deadline = _deadline(watched, seen, patience)
    if deadline and now >= deadline:
        return Diagnosis(Remedy.ABORT, now + patience.wait(redrives=0), 0)
    due = max(moved_at, helped_at or moved_at) + patience.wait(redrives=redrives)
    if now < due:
        return Diagnosis(Remedy.WAIT, min(due, deadline or due), redrives)
    if redrives >= MOST_REDRIVES:
        return _give_up(watched, seen, now, patience, redrives)
    again = now + patience.wait(redrives=redrives + 1)
    return Diagnosis(Remedy.REDRIVE, min(again, deadline or again), redrives + 1)


def _give_up(
    watched: WatchedSaga,
    seen: Sequence[TrackedEvent],
    now: datetime,
    patience: Patience,
    redrives: int,
) -> Diagnosis:
    types = operations.types_of(seen)
    if operations.decide_late_return(saga=watched, event_types=types):
        return Diagnosis(Remedy.RETURN, now + patience.wait(redrives=0), 0)
    return Diagnosis(Remedy.PARK, None, redrives)


def _deadline(
    watched: WatchedSaga, seen: Sequence[TrackedEvent], patience: Patience
) -> datetime | None:
    """When the saga is aborted; None where it can't be, or where that was asked for already."""
    types = operations.types_of(seen)
    decided = operations.decide_compensate(
        saga=watched.context.saga, phase=watched.phase, event_types=types
    )
    if decided is not Action.ABORT:
        return None
    return watched.started_at + timedelta(seconds=patience.saga_seconds) + waited_for(watched, seen)


def is_left_alone(*, watched: WatchedSaga, event_types: Collection[str], now: datetime) -> bool:
    """Whether the saga waits for a decision that is not overdue by more than a sweep takes."""
    waits = tracking.still_waits(
        wait=watched.wait, saga=watched.context.saga, phase=watched.phase, event_types=event_types
    )
    return waits and watched.wait is not None and now < overdue_at(watched.wait)


def overdue_at(wait: Wait) -> datetime:
    return wait.until + timedelta(seconds=OVERDUE_SECONDS)


def waited_for(watched: WatchedSaga, seen: Sequence[TrackedEvent]) -> timedelta:
    """For how long its steps have waited for decisions: not of its own time."""
    wait = watched.wait
    if wait is None:
        return timedelta()
    after = [event.seen_at for event in seen if event.seen_at > wait.since]
    ended = min(after, default=wait.until)
    return timedelta(seconds=wait.waited_seconds) + (min(ended, wait.until) - wait.since)


def _redrive(sagas: Sequence[WatchedSaga], trails: store.Trails, now: datetime) -> None:
    again = [
        event
        for saga in sagas
        for event in operations.redrives(
            phase=saga.phase, seen=trails[saga.saga_id], context=saga.context, now=now
        )
    ]
    outbox.add(service=SERVICE, events=again)


def _abort(saga: WatchedSaga, trails: store.Trails) -> Asked:
    return Asked(
        context=saga.context,
        action=Action.ABORT,
        requested_by="watchdog",
        reason=f"Its time was over at {_step_of(saga, trails[saga.saga_id])}.",
        code=refusals.DEADLINE,
    )


def _return(saga: WatchedSaga) -> Asked:
    return Asked(
        context=saga.context,
        action=Action.RETURN,
        requested_by="watchdog",
        reason="It was stopped by a person, has passed its pivot, and does not end.",
    )


def _update(
    watched: WatchedSaga, decided: Diagnosis, seen: Sequence[TrackedEvent], now: datetime
) -> WatchdogUpdate:
    is_redrive, is_parked = decided.remedy is Remedy.REDRIVE, decided.remedy is Remedy.PARK
    return WatchdogUpdate(
        saga_id=watched.saga_id,
        watch_at=decided.watch_at,
        redrives=decided.redrives,
        redriven_at=now if is_redrive else watched.redriven_at,
        parked_at=now if is_parked else None,
        parked_step=_step_of(watched, seen) if is_parked else "",
        parked_reason=_why_parked(watched, decided, seen) if is_parked else "",
    )


def _why_parked(watched: WatchedSaga, decided: Diagnosis, seen: Sequence[TrackedEvent]) -> str:
    first = machine_of(watched.context.saga).started
    last = max(reversed(seen), key=lambda event: event.seen_at).event_type if seen else first
    return f"No event came after {last}, also not after {decided.redrives} redrives."


def _step_of(watched: WatchedSaga, seen: Sequence[TrackedEvent]) -> str:
    machine = machine_of(watched.context.saga)
    types = operations.types_of(seen)
    return machine.current_step(phase=watched.phase, event_types=types) or "its end"
