"""Interventions in choreographed sagas: abort, return, retry (redrive), and skip a step.

Each is recorded with who requested it and when. All run in the caller's transaction; `act` opens
one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction

from contracts import patterns, projection, refusals
from contracts.events import Event, Facts
from contracts.outcomes import SKIPPED, Failure, Refused
from contracts.projection import ReactionRow
from contracts.saga import SAGAS, Context, Direction, stand_in
from contracts.states import SagaStatus
from coordination.acceptance import first_event
from coordination.store import UnknownSaga, unreadable
from messaging import outbox
from participant import failpoints, trail
from saga_choreography import store, tracking
from saga_choreography.models import Action, Intervention, Saga
from saga_choreography.store import SERVICE, SagaPhase, TrackedEvent, WatchedSaga
from saga_choreography.tracking import Asked, machine_of, next_look, status_after


def act(operation: Callable[..., Action | Refused | None], **asked: Any) -> Refused | None:
    """Runs an operation of this module in a transaction, by the database's clock.

    Raises UnknownSaga.
    """
    with transaction.atomic(using=SERVICE):
        outcome = operation(**asked, now=store.now())
        failpoints.reach("asking.before_commit")
    failpoints.reach("asking.before_reply")
    return outcome if isinstance(outcome, Refused) else None


def get_to_know(*, contexts: Sequence[Context]) -> None:
    """Tracks sagas that their owners accepted some time ago and whose events were lost on their way
    here. The services may have lost the events, too: the watchdog repeats the first event, and
    they publish theirs again.
    """
    now = store.now()
    known = store.names(saga_ids=[context.saga_id for context in contexts])
    unknown = [context for context in contexts if context.saga_id not in known]
    if unknown:
        tracking.track(
            received=[first_event(context=context, now=now) for context in unknown], now=now
        )


def compensate(
    *,
    saga_id: str,
    requested_by: str,
    reason: str,
    now: datetime,
    is_completed: bool = False,
    may_return: bool = True,
) -> Action | Refused | None:
    """Requests the abort of a running saga, or the return of a completed saga; returns which.
    `may_return`: whether the caller may ask for a return. `is_completed`: its owner says so.

    None: an abort was requested already. Refused: past_pivot, already_undone, needs_operator,
    unreadable. Raises UnknownSaga. A saga whose rows can't be read is returned: the barriers know
    which steps have happened.
    An abort may come too late: the service of the pivot decides. Tracking then returns the saga
    once it has completed, so a saga is undone in any case unless this refuses.
    """
    try:
        saga, seen = _lock(saga_id)
    except store.UnreadableSaga as error:
        if not may_return:
            return unreadable(error)
        return _undo_all(error, saga_id, requested_by, reason, now)
    decided = decide_compensate(
        saga=saga.context.saga,
        phase=saga.phase,
        event_types=types_of(seen),
        is_parked=saga.status is SagaStatus.PARKED,
        is_completed=is_completed,
    )
    if not may_return and (decided is Action.RETURN or is_completed):
        detail = "It is past its pivot: only an operator gives it back."
        return Refused(refusals.NEEDS_OPERATOR, detail)
    if isinstance(decided, Refused):
        return decided
    asked = Asked(
        context=saga.context,
        action=decided or Action.ABORT,
        requested_by=requested_by,
        reason=reason,
    )
    if decided:
        tracking.ask(asked=[asked], now=now)
    if decided is not Action.RETURN and not saga.is_stopped:
        store.stop(saga_ids=[saga_id], at=now)
        if decided is None:  # the watchdog's abort is on its way; a person wants it, too
            _note(saga_id, asked.action, requested_by, reason, now)
    return decided


def retry(*, saga_id: str, requested_by: str, reason: str, now: datetime) -> Refused | None:
    """Redrives a saga now, parked or not, and resets its count of redrives.

    Refused: nothing_to_retry (it has ended), unreadable. Raises UnknownSaga.
    """
    try:
        saga, seen = _lock(saga_id)
    except store.UnreadableSaga as error:
        return unreadable(error)
    if saga.phase in (SagaPhase.COMPLETED, SagaPhase.ENDED):
        return Refused(refusals.NOTHING_TO_RETRY, f"The saga has ended: {saga.status}.")
    again = redrives(phase=saga.phase, seen=seen, context=saga.context, now=now)
    outbox.add(service=SERVICE, events=again)
    _unpark(saga, now)
    _note(saga_id, Action.RETRY, requested_by, reason, now, step=saga.parked_step)
    return None


def skip(*, saga_id: str, requested_by: str, reason: str, now: datetime) -> Refused | None:
    """Goes on without the step that a parked saga waits for: an operator has seen to it otherwise.

    Asks the step's service, which records the skip and emits what the step would have emitted, so
    that the chain goes on. Refused: nothing_to_retry, unreadable. Raises UnknownSaga.
    """
    try:
        saga, seen = _lock(saga_id)
    except store.UnreadableSaga as error:
        return unreadable(error)
    decided = decide_skip(
        saga=saga.context.saga, status=saga.status, phase=saga.phase, event_types=types_of(seen)
    )
    if isinstance(decided, Refused):
        return decided
    outbox.add(service=SERVICE, events=[_skip(saga, seen, decided, reason, now)])
    _unpark(saga, now)
    _note(saga_id, Action.SKIP, requested_by, reason, now, step=decided.step.name)
    return None


def decide_skip(
    *, saga: str, status: SagaStatus, phase: SagaPhase, event_types: Collection[str]
) -> ReactionRow | Refused:
    """The reaction whose step is to be skipped; refused while the pivot is open."""
    if status is not SagaStatus.PARKED:
        return Refused(refusals.NOTHING_TO_RETRY, f"This saga is {status}, not parked.")
    machine = machine_of(saga)
    if phase is SagaPhase.RUNNING and machine.pivot.done not in event_types:
        return Refused(
            refusals.NOTHING_TO_RETRY,
            f"Only {machine.pivot.service} can tell whether the pivot has happened: retry, or mend"
            " it there.",
        )
    wanted = machine.last_events(phase=phase, event_types=event_types)
    waiting = (
        reaction
        for reaction in projection.reactions(saga)
        if reaction.event in wanted and reaction.direction is not Direction.BLOCK
    )
    return next(waiting, Refused(refusals.NOTHING_TO_RETRY, "No step of it is open."))


def redrives(
    *, phase: SagaPhase, seen: Sequence[TrackedEvent], context: Context, now: datetime
) -> list[Event]:
    """The events that set a stalled saga going again: each asks the service that published the
    saga's last event to publish it again. Our own last events, abort and return, are repeated here.
    """
    machine = machine_of(context.saga)
    wanted = machine.last_events(phase=phase, event_types=[event.event_type for event in seen])
    by_type = {event.event_type: event for event in seen}
    own = (machine.definition.abort, machine.definition.give_back)
    return [
        _again(by_type[event_type], context)
        if event_type in own
        else _redrive(by_type[event_type], context, now)
        for event_type in wanted
    ]


def decide_compensate(
    *,
    saga: str,
    phase: SagaPhase,
    event_types: Collection[str],
    is_parked: bool = False,
    is_completed: bool = False,
) -> Action | Refused | None:
    """Abort or return; None if an abort was requested already. `is_parked`: a saga past its pivot
    that can't go on may be returned. `is_completed`: only its last event was not seen here yet.
    """
    machine = machine_of(saga)
    is_past_pivot = machine.pivot.done in event_types
    if phase is SagaPhase.COMPLETED:
        return Action.RETURN
    if phase is not SagaPhase.RUNNING:
        detail = "undone" if phase is SagaPhase.ENDED else "being undone"
        return Refused(refusals.ALREADY_UNDONE, f"This saga is {detail} already.")
    if is_past_pivot and is_parked:
        return Action.RETURN
    if machine.definition.abort in event_types:
        return None
    if is_past_pivot and not is_completed:
        return Refused(
            refusals.PAST_PIVOT,
            "It is past its pivot and only goes forward: once completed, it can be returned.",
        )
    return Action.ABORT


def decide_late_return(*, saga: WatchedSaga, event_types: Collection[str]) -> Action | None:
    """A return if this stalled saga has passed its pivot although a person had stopped it."""
    if not saga.is_stopped:
        return None
    decided = decide_compensate(
        saga=saga.context.saga, phase=saga.phase, event_types=event_types, is_parked=True
    )
    return decided if decided is Action.RETURN else None


def _lock(saga_id: str) -> tuple[WatchedSaga, Sequence[TrackedEvent]]:
    """The saga, its row locked, and its trail. Raises UnknownSaga, UnreadableSaga."""
    found = store.lock_watched(saga_ids=[saga_id])
    if not found:
        raise UnknownSaga(saga_id)
    return found[0], store.of(saga_ids=[saga_id])[saga_id]


def _note(
    saga_id: str, action: Action, requested_by: str, reason: str, now: datetime, *, step: str = ""
) -> None:
    Intervention.objects.create(
        saga_id=saga_id,
        action=action,
        step=step,
        requested_by=requested_by,
        reason=reason,
        requested_at=now,
        **trail.told(),
    )


def types_of(seen: Sequence[TrackedEvent]) -> set[str]:
    """The types of these events."""
    return {event.event_type for event in seen}


def _unpark(saga: WatchedSaga, now: datetime) -> None:
    """Lets the saga go on, its count of redrives reset."""
    Saga.objects.filter(pk=saga.saga_id).update(
        status=status_after(phase=saga.phase, last=None),
        parked_at=None,
        parked_step="",
        parked_reason="",
        redrives=0,
        redriven_at=now,
        watch_at=next_look(now=now),
    )


def _again(seen: TrackedEvent, context: Context) -> Event:
    """Our own event as a redrive: a service that has handled it publishes its outcome again."""
    return Event(
        id=seen.event_id,
        type=seen.event_type,
        saga_id=seen.saga_id,
        saga=context.saga,
        occurred_at=seen.occurred_at,
        data=Facts(
            context=tracking.as_raw(context=_as_of(context, [seen])),
            result=seen.data.result,
            failure=seen.data.failure,
            requested_at=seen.requested_at,
        ),
        cause_id=seen.cause_id,
        traceparent=context.traceparent,
        redrive=True,
    )


def _redrive(seen: TrackedEvent, context: Context, now: datetime) -> Event:
    """Asks the service whose event this is to publish it again."""
    return _appeal(
        projection.REDRIVE_REQUESTED,
        f"{seen.event_type} {now}",
        context=_as_of(context, [seen]),
        result={"event": seen.event_type},
        failure=seen.data.failure,
        now=now,
    )


def _skip(
    saga: WatchedSaga,
    seen: Sequence[TrackedEvent],
    skipped: ReactionRow,
    reason: str,
    now: datetime,
) -> Event:
    """Tells the step's service that an operator has seen to the step otherwise (`reason`)."""
    return _appeal(
        projection.SKIP_REQUESTED,
        f"{skipped.direction} {skipped.step.name}",
        context=_as_of(saga.context, seen),
        result={"reaction": f"{skipped.direction} {skipped.step.name}", SKIPPED: reason},
        failure=saga.failure,
        now=now,
    )


def _appeal(
    event_type: str,
    what: str,
    *,
    context: Context,
    result: Mapping[str, str],
    failure: Failure | None,
    now: datetime,
) -> Event:
    """A request to a saga's services; the service that it concerns answers with a redrive."""
    event = tracking.new_event(
        context=context,
        event_type=event_type,
        step=what,
        direction=event_type,
        facts=Facts(context=tracking.as_raw(context=context), result=result, failure=failure),
        now=now,
    )
    return msgspec.structs.replace(event, redrive=True)


def _as_of(context: Context, seen: Sequence[TrackedEvent]) -> Context:
    """The context with the steps' results that these events carried."""
    results = {step: found for event in seen for step, found in event.data.results.items()}
    return msgspec.structs.replace(context, results=results)


def _undo_all(
    error: store.UnreadableSaga, saga_id: str, requested_by: str, reason: str, now: datetime
) -> Action | Refused:
    """Starts the trail of an unreadable saga afresh, with the requested return."""
    row = Saga.objects.only("saga", "subject", "status").get(pk=saga_id)
    if row.status in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
        return Refused(refusals.ALREADY_UNDONE, f"This saga is {row.status} already.")
    if row.saga not in SAGAS:
        return Refused(refusals.UNREADABLE, f"{error}. Mend that first.")
    context = stand_in(
        saga=row.saga, saga_id=saga_id, pattern=patterns.CHOREOGRAPHED, subject=row.subject
    )
    store.begin_anew(context=context, watch_at=next_look(now=now))
    asked = Asked(context=context, action=Action.RETURN, requested_by=requested_by, reason=reason)
    tracking.ask(asked=[asked], now=now)
    return Action.RETURN
