"""What may be asked of a saga that runs by itself: to be aborted, returned, nudged, or to go on
without a step.

Each is recorded with who asked and when. All run in the caller's transaction.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from contracts import events, refusals
from contracts.commands import stand_in
from contracts.events import Event
from contracts.outcomes import Failure, Refused
from contracts.statuses import Pattern, SagaStatus
from messaging import outbox
from saga_choreography import facts, state, tracking, trail
from saga_choreography.checkout import LISTENS, SERVICE, next_look
from saga_choreography.entries import Seen, Stage, Watched
from saga_choreography.models import Action, Intervention, Saga
from saga_choreography.tracking import Asked
from sagas.operations import Kind


class _Held(NamedTuple):
    """A saga whose row is locked, with all that is stored of it."""

    saga: Saga
    stage: Stage
    seen: Sequence[Seen]
    context: msgspec.Raw

    @property
    def types(self) -> set[str]:
        return {one.event_type for one in self.seen}


def compensate(
    *, saga_id: str, requested_by: str, reason: str, now: datetime, is_sold: bool = False
) -> Action | Refused | None:
    """Asks for an abort of a running saga, or a return of one that was sold; which of the two.

    None: an abort is asked for already. Refused: past_pivot, already_undone. Raises
    Saga.DoesNotExist. One whose rows can't be read is returned as a whole: the barriers know what
    of it has happened.
    An abort may come too late: the pivot decides, at inventario. The saga is then returned once
    its completion is seen here (`tracking`): what is not refused now will be undone.
    `is_sold`: it is known from elsewhere to be completed.
    """
    try:
        held = _lock(saga_id)
    except trail.Unreadable:
        return _undo_all(saga_id, requested_by, reason, now)
    decided = decide_compensate(
        stage=held.stage,
        event_types=held.types,
        is_parked=held.saga.status == SagaStatus.PARKED,
        is_sold=is_sold,
    )
    if isinstance(decided, Refused):
        return decided
    asked = Asked(
        saga_id=saga_id,
        context=held.context,
        action=decided or Action.ABORT,
        requested_by=requested_by,
        reason=reason,
    )
    if decided:
        tracking.ask(asked=[asked], now=now)
    if decided is not Action.RETURN and not held.saga.stop_requested_at:
        trail.stop(saga_ids=[saga_id], at=now)
        if decided is None:  # the watchdog's abort is on its way; now a person's is, too
            Intervention.objects.bulk_create([tracking.record_of(asked=asked, now=now)])
    return decided


def retry(*, saga_id: str, requested_by: str, reason: str, now: datetime) -> Refused | None:
    """Nudges a saga now, parked or not, and gives it all its nudges again.

    Refused: nothing_to_retry, it has ended, or can't be read. Raises Saga.DoesNotExist.
    """
    try:
        held = _lock(saga_id)
    except trail.Unreadable as error:
        return _unreadable(error)
    saga = held.saga
    if held.stage in (Stage.COMPLETED, Stage.ENDED):
        return Refused(refusals.NOTHING_TO_RETRY, f"The saga has ended: {saga.status}.")
    said = nudges(stage=held.stage, seen=held.seen, context=held.context)
    outbox.add(service=SERVICE, said=said)
    saga.status = state.status_after(stage=held.stage, last=None)
    saga.parked_at, saga.parked_step, saga.parked_reason = None, "", ""
    saga.nudges, saga.nudged_at, saga.watch_at = 0, now, next_look(now=now)
    saga.save(
        update_fields=[
            "status",
            "parked_at",
            "parked_step",
            "parked_reason",
            "nudges",
            "nudged_at",
            "watch_at",
        ]
    )
    Intervention.objects.create(
        saga=saga, action=Action.RETRY, requested_by=requested_by, reason=reason, requested_at=now
    )
    return None


def skip(*, saga_id: str, requested_by: str, reason: str, now: datetime) -> Refused | None:
    """Goes on without what a parked saga waits for: somebody has seen to it otherwise.

    Says on the step's behalf what would have been said, so that the chain goes on from there.
    Refused: nothing_to_retry, also where it can't be read. Raises Saga.DoesNotExist.
    """
    try:
        held = _lock(saga_id)
    except trail.Unreadable as error:
        return _unreadable(error)
    saga = held.saga
    decided = decide_skip(status=SagaStatus(saga.status), stage=held.stage, event_types=held.types)
    if isinstance(decided, Refused):
        return decided
    failure = Failure(
        saga.failure_step,
        saga.failure_code,
        saga.failure_detail,
        undone=decided in state.UNDONE,  # a person has seen to it
    )
    event = facts.skipped(
        event_type=decided,
        saga_id=saga_id,
        context=held.context,
        failure=failure if saga.failure_code else None,
        reason=reason,
        now=now,
    )
    tracking.track(heard=[event], now=now)
    outbox.add(service=SERVICE, said=[event])
    Intervention.objects.create(
        saga=saga, action=Action.SKIP, requested_by=requested_by, reason=reason, requested_at=now
    )
    return None


def decide_skip(*, status: SagaStatus, stage: Stage, event_types: Collection[str]) -> str | Refused:
    """The event to be said instead of the parked step; refused while the pivot is open."""
    if status is not SagaStatus.PARKED:
        return Refused(refusals.NOTHING_TO_RETRY, f"This saga is {status}, not parked.")
    if stage is Stage.RUNNING and events.INVENTORY_COMMITTED not in event_types:
        return Refused(
            refusals.NOTHING_TO_RETRY,
            "Only inventario can tell whether the pivot has happened: retry, or mend it there.",
        )
    wanted = state.last_facts(stage=stage, event_types=event_types)
    says = (one.says for one in LISTENS if one.event in wanted and one.kind is not Kind.BLOCK)
    return next(says, Refused(refusals.NOTHING_TO_RETRY, "No step of it is open."))


def nudges(*, stage: Stage, seen: Sequence[Seen], context: msgspec.Raw) -> list[Event]:
    """The facts that set a saga going again that stands still after these."""
    wanted = state.last_facts(stage=stage, event_types=[one.event_type for one in seen])
    by_type = {one.event_type: one for one in seen}
    return [facts.again(seen=by_type[one], context=context) for one in wanted]


def decide_compensate(
    *,
    stage: Stage,
    event_types: Collection[str],
    is_parked: bool = False,
    is_sold: bool = False,
) -> Action | Refused | None:
    """Abort, return, or neither. `is_parked`: what was sold and can't go on may be returned.
    `is_sold`: it has ended well, and only its last event was not seen here yet.
    """
    if stage is Stage.COMPLETED:
        return Action.RETURN
    if stage is not Stage.RUNNING:
        detail = "undone" if stage is Stage.ENDED else "being undone"
        return Refused(refusals.ALREADY_UNDONE, f"This saga is {detail} already.")
    if events.INVENTORY_COMMITTED in event_types and is_parked:
        return Action.RETURN
    if events.CHECKOUT_ABORT_REQUESTED in event_types:
        return None
    if events.INVENTORY_COMMITTED in event_types and not is_sold:
        return Refused(
            refusals.PAST_PIVOT,
            "The sale is committed and only goes forward: once completed, it can be returned.",
        )
    return Action.ABORT


def decide_late_return(*, saga: Watched, event_types: Collection[str]) -> Action | None:
    """A return where this saga, which nothing moves, was sold although a person had stopped it."""
    if not saga.is_stopped:
        return None
    decided = decide_compensate(stage=saga.stage, event_types=event_types, is_parked=True)
    return decided if decided is Action.RETURN else None


def _lock(saga_id: str) -> _Held:
    """Raises Saga.DoesNotExist, trail.Unreadable."""
    saga = Saga.objects.select_for_update(no_key=True).get(pk=saga_id)
    context = msgspec.Raw(msgspec.json.encode(saga.context))
    trail.check(saga_id=saga_id, stage=saga.stage, context=context)
    seen = trail.of(saga_ids=[saga_id])[saga_id]
    return _Held(saga=saga, stage=Stage(saga.stage), seen=seen, context=context)


def _unreadable(error: trail.Unreadable) -> Refused:
    detail = f"{error}. Undo it (compensate), or mend what is stored and retry."
    return Refused(refusals.UNREADABLE, detail)


def _undo_all(saga_id: str, requested_by: str, reason: str, now: datetime) -> Action | Refused:
    """Begins its trail anew, with the return that is asked for."""
    row = Saga.objects.values("cart_id", "status").get(pk=saga_id)
    if row["status"] in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
        return Refused(refusals.ALREADY_UNDONE, f"This saga is {row['status']} already.")
    checkout = stand_in(saga_id=saga_id, cart_id=row["cart_id"], saga_pattern=Pattern.CHOREOGRAPHED)
    context = msgspec.json.encode(checkout)
    trail.begin_anew(saga_id=saga_id, context=context, watch_at=next_look(now=now))
    asked = Asked(
        saga_id=saga_id,
        context=msgspec.Raw(context),
        action=Action.RETURN,
        requested_by=requested_by,
        reason=reason,
    )
    tracking.ask(asked=[asked], now=now)
    return Action.RETURN
