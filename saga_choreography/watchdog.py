"""The watchdog: finds stalled sagas, and redrives, aborts, returns or parks them. A component of
this service's worker.

There is no orchestrator, so a lost message would leave its saga standing for ever. First the
watchdog asks the service that published the last event to publish it again, marked as a redrive. A
service that has handled that event before publishes its stored outcome again, and so the chain
heals link by link, while the barriers let no step happen twice. Past the saga's deadline the
watchdog requests an abort; the pivot decides whether the saga can still be aborted. A saga that
waits for a decision is left alone until the decision must be overdue, and its deadline moves
meanwhile. A saga that no redrive moves is parked for an operator, with its step and the reason; any
new event un-parks it. A saga that can't be read or handled is parked with the fault, and the others
go on. All times are the database's: a worker whose own clock is wrong decides like any other.
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
"""Sagas a look. After an outage many sagas stall that only wait their turn: redriving them all at
once would double the work that they wait for."""
MOST_REDRIVES = 5
LONGEST_WAIT = 3
"""In units of REDRIVE_SECONDS; the wait doubles up to it."""
BEHIND = 500
"""With more messages than this in tracking's own queue, sagas that seem stalled may only be late.
"""

OVERDUE_SECONDS = 5.0
"""A service ends its overdue steps by itself; after so long without that, the saga is redriven."""


class Remedy(StrEnum):
    WAIT = "wait"
    REDRIVE = "redrive"
    ABORT = "abort"
    RETURN = "return"
    PARK = "park"


class Diagnosis(NamedTuple):
    """What to do with a saga, when to check it next, and its redrives since it last moved."""

    remedy: Remedy
    watch_at: datetime | None
    redrives: int


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a saga may stall before it is redriven, and last before it is aborted."""

    redrive_seconds: float
    saga_seconds: float

    def wait(self, *, redrives: int) -> timedelta:
        """The time to the next redrive, after so many."""
        return timedelta(seconds=self.redrive_seconds * min(2**redrives, LONGEST_WAIT))


class Watchdog:
    """Looks once a second. Several workers share the sagas: each claims those that it checks."""

    name = "watchdog"

    def __init__(self, *, backlog: Callable[[], float]) -> None:
        """`backlog`: returns how many messages wait for tracking."""
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
    """Checks the sagas that are due, at most MOST_AT_ONCE, and applies each one's remedy. Returns
    how often each remedy was applied.

    `now`: the database's. After a fault each saga is handled in a transaction of its own, and the
    saga with the fault is parked.
    """
    try:
        remedies = _do(_help, now)
    except Exception as error:  # any fault: find the saga with it, and handle the others
        if sql.is_outage(error):
            raise
        due = store.claim_still(now=now, limit=MOST_AT_ONCE)
        log.warning("%d sagas, now one by one: %r", len(due), error)
        with sql.impatient(service=SERVICE):
            alone = [_alone(saga_id, now) for saga_id in due]
        remedies = {saga_id: remedy for found in alone for saga_id, remedy in found.items()}
    for saga_id, remedy in remedies.items():
        if remedy is not Remedy.WAIT:
            log.warning("stalled: %s", remedy, extra={"saga_id": saga_id})
    return Counter(remedies.values())


Work = Callable[[Sequence[str], datetime], dict[str, Remedy]]


def _do(work: Work, now: datetime, *, only: str | None = None) -> dict[str, Remedy]:
    """Claims the sagas that are due (`only`: no other than this), and works on them in one
    transaction.
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
    except Exception as error:  # any fault: this saga is parked
        if sql.is_outage(error):
            raise
        if sql.is_busy(error):
            log.warning("it is locked by another session", extra={"saga_id": saga_id})
            return {saga_id: Remedy.WAIT}
        log.error("the watchdog can't handle it: %r", error, extra={"saga_id": saga_id})
        reason = f"The watchdog can't handle it: {sql.category(error)}"
    return _do(partial(_park, reason), now, only=saga_id)


def _park(reason: str, claimed: Sequence[str], now: datetime) -> dict[str, Remedy]:
    """Parks these sagas; nothing is known of them but `reason`."""
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
    """Applies its remedy to each of these locked sagas."""
    sagas = store.lock_watched(saga_ids=claimed)
    trails = store.of(saga_ids=claimed)
    decided = [
        (saga, decide(watched=saga, seen=trails[saga.saga_id], now=now, patience=patience_of(saga)))
        for saga in sagas
    ]
    store.record(
        updates=[_update(saga, found, trails[saga.saga_id], now) for saga, found in decided]
    )
    _redrive([saga for saga, found in decided if found.remedy is Remedy.REDRIVE], trails, now)
    asked = [_abort(saga, trails) for saga, found in decided if found.remedy is Remedy.ABORT]
    asked += [_return(saga) for saga, found in decided if found.remedy is Remedy.RETURN]
    if asked:
        tracking.ask(asked=asked, now=now)
    return {saga.saga_id: found.remedy for saga, found in decided}


def patience_of(watched: WatchedSaga) -> Patience:
    """By the saga's definition, unless a setting overrides it for every saga."""
    return Patience(
        redrive_seconds=redrive_seconds(),
        saga_seconds=getattr(settings, "SAGA_SECONDS", 0) or SAGAS[watched.context.saga].seconds,
    )


def decide(
    *, watched: WatchedSaga, seen: Sequence[TrackedEvent], now: datetime, patience: Patience
) -> Diagnosis:
    """The remedy for a saga with this trail."""
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
    """When the saga is aborted; None if it can't be, or if its abort was requested already."""
    types = operations.types_of(seen)
    decided = operations.decide_compensate(
        saga=watched.context.saga, phase=watched.phase, event_types=types
    )
    if decided is not Action.ABORT:
        return None
    return watched.started_at + timedelta(seconds=patience.saga_seconds) + waited_for(watched, seen)


def is_left_alone(*, watched: WatchedSaga, event_types: Collection[str], now: datetime) -> bool:
    """Whether the saga waits for a decision that is not overdue by OVERDUE_SECONDS."""
    waits = tracking.still_waits(
        wait=watched.wait, saga=watched.context.saga, phase=watched.phase, event_types=event_types
    )
    return waits and watched.wait is not None and now < overdue_at(watched.wait)


def overdue_at(wait: Wait) -> datetime:
    return wait.until + timedelta(seconds=OVERDUE_SECONDS)


def waited_for(watched: WatchedSaga, seen: Sequence[TrackedEvent]) -> timedelta:
    """How long its steps have waited for decisions, which moves its deadline."""
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
        reason=f"Its deadline passed at {_step_of(saga, trails[saga.saga_id])}.",
        code=refusals.DEADLINE,
    )


def _return(saga: WatchedSaga) -> Asked:
    return Asked(
        context=saga.context,
        action=Action.RETURN,
        requested_by="watchdog",
        reason="A person stopped it, but it had passed its pivot, and it does not end.",
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
    return f"No event came after {last}, not even after {decided.redrives} redrives."


def _step_of(watched: WatchedSaga, seen: Sequence[TrackedEvent]) -> str:
    machine = machine_of(watched.context.saga)
    types = operations.types_of(seen)
    return machine.current_step(phase=watched.phase, event_types=types) or "its end"
