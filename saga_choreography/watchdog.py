"""The watchdog: helps a saga that stands still. A part of this service's worker.

There is no orchestrator, so a lost message would leave a saga standing for ever. First its last
fact is said again, marked as a redrive: whoever has answered that fact before says the stored
answer again, and so the chain heals along its way, while the barrier lets nothing happen twice.
Past its deadline an abort is asked for, and the pivot decides whether it still can be. One that
waits for a decision is left alone until that must be overdue, and its time stands still meanwhile.
A saga that nothing moves is parked, with its step and the reason, for a person; any new event
un-parks it. A saga that can't be read, or helped, is parked with the fault, and the others are
helped. All times are the database's: a worker whose own clock is wrong decides like any other.

A service may set a saga's message aside for a person, after all its tries. Before the pivot the
saga is then aborted, as the orchestrator undoes a step that it gives up; the
pivot decides, as for any abort. A saga that can't be turned back (an undo that keeps failing, a
step after the pivot) is parked, with its step and the service's own reason; one that has passed its
pivot although a person had stopped it is returned.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import msgspec
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections, transaction

from contracts import projection, refusals
from contracts.events import Event
from contracts.outcomes import Failure
from contracts.saga import SAGAS, Direction
from messaging import outbox
from messaging.brokers import Broker, BrokerUnavailable
from messaging.consumer import queue_of
from participant import failpoints, sql
from saga_choreography import operations, store, tracking
from saga_choreography.models import Action
from saga_choreography.store import SERVICE, Seen, Stage, Verdict, Wait, Watched
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


class Move(StrEnum):
    WAIT = "wait"
    REDRIVE = "redrive"
    ABORT = "abort"
    RETURN = "return"
    PARK = "park"


class Decided(NamedTuple):
    """What to do with a saga, when to look at it next, and its redrives since it last moved."""

    move: Move
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
                continue  # A redrive could not be sent; the relay and /health say so already.
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
    try:
        moves = _do(_help, now)
    except Exception as error:  # any fault: find whose it is, and help the others
        if sql.is_outage(error):
            raise
        due = store.claim_still(now=now, limit=MOST_AT_ONCE)
        log.warning("%d sagas, now one by one: %r", len(due), error)
        with sql.impatient(service=SERVICE):
            alone = [_alone(one, now) for one in due]
        moves = {saga_id: move for one in alone for saga_id, move in one.items()}
    for saga_id, move in moves.items():
        if move is not Move.WAIT:
            log.warning("it stands still: %s", move, extra={"saga_id": saga_id})
    return Counter(moves.values())


Work = Callable[[Sequence[str], datetime], dict[str, Move]]


def _do(work: Work, now: datetime, *, only: str | None = None) -> dict[str, Move]:
    """Claims what is due, and works on it in one transaction; nothing where nothing is. `only`:
    this saga alone.
    """
    with transaction.atomic(using=SERVICE):
        claimed = store.claim_still(now=now, limit=MOST_AT_ONCE, only=only)
        if not claimed:
            return {}
        moves = work(claimed, now)
        failpoints.reach("watchdog.before_commit")
    failpoints.reach("watchdog.after_commit")
    return moves


def _alone(saga_id: str, now: datetime) -> dict[str, Move]:
    try:
        return _do(_help, now, only=saga_id)
    except Exception as error:  # as above; this one is left to a person
        if sql.is_outage(error):
            raise
        if sql.is_busy(error):
            log.warning("it is locked by somebody else", extra={"saga_id": saga_id})
            return {saga_id: Move.WAIT}
        log.error("it can't be helped: %r", error, extra={"saga_id": saga_id})
        reason = f"It can't be helped: {error or repr(error)}"
    return _do(partial(_park, reason), now, only=saga_id)


def _park(reason: str, claimed: Sequence[str], now: datetime) -> dict[str, Move]:
    """Leaves these to a person; nothing more is known of them than `reason`."""
    store.record(
        verdicts=[
            Verdict(saga_id=one, parked_at=now, parked_step="unknown", parked_reason=reason)
            for one in claimed
        ]
    )
    return dict.fromkeys(claimed, Move.PARK)


def _help(claimed: Sequence[str], now: datetime) -> dict[str, Move]:
    """Does for these sagas, which are locked, what each needs; what that was."""
    sagas = store.lock_watched(saga_ids=claimed)
    trails = store.of(saga_ids=claimed)
    decided = [
        (
            saga,
            decide(watched=saga, seen=trails[saga.saga_id], now=now, patience=patience_with(saga)),
        )
        for saga in sagas
    ]
    store.record(verdicts=[_verdict(one, what, trails[one.saga_id], now) for one, what in decided])
    _redrive([one for one, what in decided if what.move is Move.REDRIVE], trails)
    _ask(decided, trails, now)
    return {one.saga_id: what.move for one, what in decided}


def patience_with(watched: Watched) -> Patience:
    """As its page says, unless the settings say otherwise for every saga."""
    return Patience(
        redrive_seconds=redrive_seconds(),
        saga_seconds=getattr(settings, "SAGA_SECONDS", 0) or SAGAS[watched.context.saga].seconds,
    )


def decide(*, watched: Watched, seen: Sequence[Seen], now: datetime, patience: Patience) -> Decided:
    """What a saga needs that was last seen to move as its trail tells."""
    moved_at = max((one.seen_at for one in seen), default=watched.started_at)
    types = {one.event_type for one in seen}
    if watched.wait and is_left_alone(watched=watched, event_types=types, now=now):
        return Decided(Move.WAIT, _overdue_at(watched.wait), 0)
    helped_at = watched.redriven_at
    redrives = watched.redrives if helped_at and helped_at >= moved_at else 0
    deadline = _deadline(watched, seen, patience)
    if deadline and now >= deadline:
        return Decided(Move.ABORT, now + patience.wait(redrives=0), 0)
    due = max(moved_at, helped_at or moved_at) + patience.wait(redrives=redrives)
    if now < due:
        return Decided(Move.WAIT, min(due, deadline or due), redrives)
    if redrives >= MOST_REDRIVES:
        return _give_up(watched, seen, now, patience, redrives)
    again = now + patience.wait(redrives=redrives + 1)
    return Decided(Move.REDRIVE, min(again, deadline or again), redrives + 1)


def _give_up(
    watched: Watched, seen: Sequence[Seen], now: datetime, patience: Patience, redrives: int
) -> Decided:
    types = {one.event_type for one in seen}
    if operations.decide_late_return(saga=watched, event_types=types):
        return Decided(Move.RETURN, now + patience.wait(redrives=0), 0)
    return Decided(Move.PARK, None, redrives)


def _deadline(watched: Watched, seen: Sequence[Seen], patience: Patience) -> datetime | None:
    """When the saga is aborted; None where it can't be, or where that was asked for already."""
    types = {one.event_type for one in seen}
    decided = operations.decide_compensate(
        saga=watched.context.saga, stage=watched.stage, event_types=types
    )
    if decided is not Action.ABORT:
        return None
    return watched.started_at + timedelta(seconds=patience.saga_seconds) + _waited(watched, seen)


def is_left_alone(*, watched: Watched, event_types: Collection[str], now: datetime) -> bool:
    """Whether the saga waits for a decision that is not overdue by more than a sweep takes."""
    waits = tracking.still_waits(
        wait=watched.wait,
        saga=watched.context.saga,
        stage=watched.stage,
        event_types=event_types,
    )
    return waits and watched.wait is not None and now < _overdue_at(watched.wait)


def _overdue_at(wait: Wait) -> datetime:
    return wait.until + timedelta(seconds=OVERDUE_SECONDS)


def _waited(watched: Watched, seen: Sequence[Seen]) -> timedelta:
    """For how long its steps have waited for decisions: not of its own time."""
    wait = watched.wait
    if wait is None:
        return timedelta()
    after = [one.seen_at for one in seen if one.seen_at > wait.since]
    ended = min(after, default=wait.until)
    return timedelta(seconds=wait.waited_seconds) + (min(ended, wait.until) - wait.since)


def _redrive(sagas: Sequence[Watched], trails: store.Trails) -> None:
    said = [
        event
        for saga in sagas
        for event in operations.redrives(
            stage=saga.stage, seen=trails[saga.saga_id], context=saga.context
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
    is_redrive, is_parked = decided.move is Move.REDRIVE, decided.move is Move.PARK
    return Verdict(
        saga_id=watched.saga_id,
        watch_at=decided.watch_at,
        redrives=decided.redrives,
        redriven_at=now if is_redrive else watched.redriven_at,
        parked_at=now if is_parked else None,
        parked_step=_step_of(watched, seen) if is_parked else "",
        parked_reason=_why_parked(watched, decided, seen) if is_parked else "",
    )


def _why_parked(watched: Watched, decided: Decided, seen: Sequence[Seen]) -> str:
    first = machine_of(watched.context.saga).started
    last = max(reversed(seen), key=lambda one: one.seen_at).event_type if seen else first
    return f"Nothing was said after {last}, also not after {decided.redrives} redrives."


def _step_of(watched: Watched, seen: Sequence[Seen]) -> str:
    types = [one.event_type for one in seen]
    machine = machine_of(watched.context.saga)
    return machine.current_step(stage=watched.stage, event_types=types) or "its end"


def leave_alone(*, heard: Sequence[Event], now: datetime) -> None:
    """Steps of these sagas wait for decisions: in any order, any number of times.

    A saga that is not known here, or that has gone on since, is left as it is.
    """
    told = {event.saga_id: event for event in heard}
    with transaction.atomic(using=SERVICE):
        sagas = store.lock_watched(saga_ids=told)
        trails = store.of(saga_ids=[saga.saga_id for saga in sagas])
        waits = {
            saga.saga_id: wait
            for saga in sagas
            if (wait := _wait(saga, told[saga.saga_id], trails[saga.saga_id], now))
        }
        watch_at = {saga_id: _overdue_at(wait) for saga_id, wait in waits.items()}
        store.leave_alone(waits=waits, watch_at=watch_at)
        failpoints.reach("leaving_alone.before_commit")
    failpoints.reach("leaving_alone.after_commit")


def _wait(saga: Watched, event: Event, seen: Sequence[Seen], now: datetime) -> Wait | None:
    """What the notice says, where the saga still waits for it."""
    try:
        told = msgspec.convert(event.data.result, Noticed)
    except msgspec.ValidationError:
        return None
    known, types = saga.wait, {one.event_type for one in seen}
    is_same = known is not None and known.step == told.step
    waited = 0.0
    if known:
        before = _waited(saga, seen).total_seconds()
        waited = known.waited_seconds if is_same else before
    found = Wait(
        step=told.step,
        decided_by=told.decided_by,
        since=known.since if known and is_same else now,
        until=told.until,
        waited_seconds=waited,
    )
    is_open = event.saga == saga.context.saga and tracking.still_waits(
        wait=found, saga=event.saga, stage=saga.stage, event_types=types
    )
    return found if is_open else None


class Noticed(msgspec.Struct, frozen=True, kw_only=True):
    """What a notice tells of a step that waits."""

    step: str
    decided_by: str
    until: datetime


def take_note(*, heard: Sequence[Event], now: datetime) -> None:
    """Aborts the sagas, or parks them; in any order, any number of times.

    A saga that is not known here, or that has gone on since, is left as it is. Several reports of
    one saga are taken one after the other, as if they had come so.
    """
    with transaction.atomic(using=SERVICE):
        noted = [one for reports in _in_turn(heard) for one in _take_note(reports, now)]
        failpoints.reach("giving_up.before_commit")
    failpoints.reach("giving_up.after_commit")
    for event in noted:
        failure = _failure(event)
        log.error(
            "given up at %s: %s", failure.step, failure.detail, extra={"saga_id": event.saga_id}
        )


def _in_turn(heard: Sequence[Event]) -> Iterator[dict[str, Event]]:
    """By saga id, at most one report of each saga at a time; what came twice once."""
    known = {(event.saga, event.saga_id, str(event.data.result)): event for event in heard}
    left = list(known.values())
    while left:
        turn: dict[str, Event] = {}
        left = [event for event in left if turn.setdefault(event.saga_id, event) is not event]
        yield turn


def _take_note(reports: dict[str, Event], now: datetime) -> list[Event]:
    """One report a saga; returns those of sagas that wait for what was given up."""
    sagas = {
        one.saga_id: one
        for one in store.lock_watched(saga_ids=reports)
        if one.context.saga == reports[one.saga_id].saga
    }
    trails = store.of(saga_ids=sagas)
    seen = {saga_id: {entry.event_type for entry in entries} for saga_id, entries in trails.items()}
    waiting = [
        (one, reports[saga_id])
        for saga_id, one in sagas.items()
        if waits(event=reports[saga_id], stage=one.stage, seen=seen[saga_id])
        and not _is_told(reports[saga_id], trails[saga_id])
    ]
    asked, parked = [], []
    for saga, event in waiting:
        action = _action(saga, seen[saga.saga_id])
        if action:
            asked.append(_asked(saga, event, action))
        else:
            parked.append(_given_up(saga, event, now))
    if asked:
        tracking.ask(asked=asked, now=now)
    if parked:
        store.record(verdicts=parked)
    return [event for _, event in waiting]


def waits(*, event: Event, stage: Stage, seen: Collection[str]) -> bool:
    """Whether the saga still waits for what the service has given up.

    It does not once it has ended, or once anything was seen that follows from the message: then
    the service has handled it after all, or the message was a forged or damaged copy.
    """
    if stage in (Stage.COMPLETED, Stage.ENDED):
        return False
    service, cause = event.data.result.get("service"), event.data.result.get("event")
    rows = [
        reaction
        for reaction in projection.reactions(event.saga)
        if (reaction.service, reaction.event) == (service, cause)
    ]
    follows = {said for row in rows for said in (row.emits, row.emits_on_refusal)}
    # A pivot that has happened answers a block with nothing.
    follows |= {row.step.done for row in rows if row.direction is Direction.BLOCK}
    return bool(rows) and cause in seen and not follows & set(seen)


def _is_told(event: Event, entries: Sequence[Seen]) -> bool:
    """Whether the abort was asked for because of this very report, which has come again."""
    aborts = [entry for entry in entries if entry.event_type == SAGAS[event.saga].abort]
    told = _told(_failure(event))
    return any(one.data.failure and one.data.failure.detail == told for one in aborts)


def _action(saga: Watched, seen: Collection[str]) -> Action | None:
    """What turns the saga back; None: only a person can help."""
    decided = operations.decide_compensate(
        saga=saga.context.saga, stage=saga.stage, event_types=seen
    )
    if decided is Action.ABORT:
        return decided
    return operations.decide_late_return(saga=saga, event_types=seen)


def _asked(saga: Watched, event: Event, action: Action) -> Asked:
    failure = _failure(event)
    is_abort = action is Action.ABORT
    return Asked(
        context=saga.context,
        action=action,
        requested_by=str(event.data.result["service"]),
        reason=_told(failure),
        code=refusals.GIVEN_UP if is_abort else refusals.STOPPED,
    )


def _given_up(saga: Watched, event: Event, now: datetime) -> Verdict:
    failure = _failure(event)
    return Verdict(
        saga_id=saga.saga_id,
        redrives=saga.redrives,
        redriven_at=saga.redriven_at,
        parked_at=now,
        parked_step=saga.parked_step or failure.step,
        parked_reason=_reason(saga, failure),
    )


def _reason(saga: Watched, failure: Failure) -> str:
    """Also what was given up before this, if another step was."""
    told = _told(failure)
    if saga.parked_step in ("", failure.step):
        return failure.detail
    return saga.parked_reason if told in saga.parked_reason else f"{saga.parked_reason}; {told}"


def _told(failure: Failure) -> str:
    return f"{failure.step}: {failure.detail}"


def _failure(event: Event) -> Failure:
    return event.data.failure or Failure("unknown step", refusals.GIVEN_UP, "no reason was given")
