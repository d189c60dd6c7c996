"""A service has set a saga's message aside for a person, after all its tries.

Before the pivot the saga is then aborted, as the orchestrator undoes a step that it gives up; the
pivot decides, as for any abort. A saga that can't be turned back (an undo that keeps failing, a
step after the pivot) is parked, with its step and the service's own reason; one that has passed its
pivot although a person had stopped it is returned.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from django.db import transaction

from contracts import projection, refusals
from contracts.catalogue import SAGAS
from contracts.events import Event
from contracts.outcomes import Failure
from contracts.saga import Direction
from participant import points
from saga_choreography import operations, store, tracking
from saga_choreography.models import Action
from saga_choreography.store import SERVICE, Seen, Stage, Verdict, Watched
from saga_choreography.tracking import Asked

log = logging.getLogger(__name__)


def take_note(*, heard: Sequence[Event], now: datetime) -> None:
    """Aborts the sagas, or parks them; in any order, any number of times.

    A saga that is not known here, or that has gone on since, is left as it is. Several reports of
    one saga are taken one after the other, as if they had come so.
    """
    with transaction.atomic(using=SERVICE):
        noted = [one for reports in _in_turn(heard) for one in _take_note(reports, now)]
        points.reach("giving_up.before_commit")
    points.reach("giving_up.after_commit")
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
    seen = {saga_id: {one.event_type for one in entries} for saga_id, entries in trails.items()}
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
            asked.append(_ask(saga, event, action))
        else:
            parked.append(_park(saga, event, now))
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
        one
        for one in projection.reactions(event.saga)
        if (one.service, one.event) == (service, cause)
    ]
    follows = {said for one in rows for said in (one.says, one.says_if_refused)}
    # A pivot that has happened answers a block with nothing.
    follows |= {one.step.done for one in rows if one.direction is Direction.BLOCK}
    return bool(rows) and cause in seen and not follows & set(seen)


def _is_told(event: Event, entries: Sequence[Seen]) -> bool:
    """Whether the abort was asked for because of this very report, which has come again."""
    aborts = [one for one in entries if one.event_type == SAGAS[event.saga].abort]
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


def _ask(saga: Watched, event: Event, action: Action) -> Asked:
    failure = _failure(event)
    is_abort = action is Action.ABORT
    return Asked(
        context=saga.context,
        action=action,
        requested_by=str(event.data.result["service"]),
        reason=_told(failure),
        code=refusals.GIVEN_UP if is_abort else refusals.STOPPED,
    )


def _park(saga: Watched, event: Event, now: datetime) -> Verdict:
    failure = _failure(event)
    return Verdict(
        saga_id=saga.saga_id,
        watch_at=None,
        nudges=saga.nudges,
        nudged_at=saga.nudged_at,
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
