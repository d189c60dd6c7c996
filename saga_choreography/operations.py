"""What may be asked of a saga that runs by itself: to be aborted, returned, nudged, or to go on
without a step.

Each is recorded with who asked and when. All run in the caller's transaction.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from contracts import events, refusals, sagas
from contracts.events import Event
from contracts.outcomes import Failure, Refused
from contracts.statuses import SagaStatus
from messaging import outbox
from saga_choreography import facts, state, tracking, trail
from saga_choreography.checkout import LISTENS, SERVICE, next_look
from saga_choreography.entries import Seen, Stage
from saga_choreography.models import Action, Intervention, Saga
from sagas.operations import Kind

ASKS = {
    Action.ABORT: events.CHECKOUT_ABORT_REQUESTED,
    Action.RETURN: events.CHECKOUT_RETURN_REQUESTED,
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asks for an abort or a return. `code`: the failure's, if the saga goes backward."""

    saga_id: str
    context: msgspec.Raw
    action: Action
    requested_by: str
    reason: str
    code: str = refusals.STOPPED


def ask(*, asked: Sequence[Asked], now: datetime) -> None:
    """Says and records it, for locked sagas. A second time says nothing new."""
    said = [
        facts.requested(
            event_type=ASKS[one.action],
            saga_id=one.saga_id,
            context=one.context,
            # The pivot is the step that then does not happen. An abort names no earlier one:
            # what is refused at the first step is told apart by carrito.
            failure=Failure(sagas.COMMIT, one.code, one.reason or f"Asked by {one.requested_by}."),
            now=now,
        )
        for one in asked
    ]
    trail.add_seen(
        seen=[facts.as_seen(event=event, now=now) for event in said], watch_at=next_look(now=now)
    )
    returns = [event for event in said if event.type in state.STAGE_AFTER]
    if returns:
        trail.settle(settled=[tracking.settled(event=event, now=now) for event in returns])
    outbox.add(service=SERVICE, said=said)
    Intervention.objects.bulk_create(
        [
            Intervention(
                saga_id=one.saga_id,
                action=one.action,
                requested_by=one.requested_by,
                reason=one.reason,
                requested_at=now,
            )
            for one in asked
        ]
    )


def compensate(
    *, saga_id: str, requested_by: str, reason: str, now: datetime
) -> Action | Refused | None:
    """Asks for an abort of a running saga, or a return of one that was sold; which of the two.

    None: an abort is asked for already. Refused: past_pivot, already_undone.
    Raises Saga.DoesNotExist. An abort may come too late: the pivot decides, at inventario.
    """
    saga = Saga.objects.select_for_update(no_key=True).get(pk=saga_id)
    seen = trail.of(saga_ids=[saga_id])[saga_id]
    decided = decide_compensate(
        stage=Stage(saga.stage),
        event_types={one.event_type for one in seen},
        is_parked=saga.status == SagaStatus.PARKED,
    )
    if isinstance(decided, Action):
        asked = Asked(
            saga_id=saga_id,
            context=_context(saga),
            action=decided,
            requested_by=requested_by,
            reason=reason,
        )
        ask(asked=[asked], now=now)
    return decided


def retry(*, saga_id: str, requested_by: str, reason: str, now: datetime) -> Refused | None:
    """Nudges a saga now, parked or not, and gives it all its nudges again.

    Refused: nothing_to_retry, it has ended. Raises Saga.DoesNotExist.
    """
    saga = Saga.objects.select_for_update(no_key=True).get(pk=saga_id)
    stage = Stage(saga.stage)
    if stage in (Stage.COMPLETED, Stage.ENDED):
        return Refused(refusals.NOTHING_TO_RETRY, f"The saga has ended: {saga.status}.")
    seen = trail.of(saga_ids=[saga_id])[saga_id]
    outbox.add(service=SERVICE, said=nudges(stage=stage, seen=seen, context=_context(saga)))
    saga.status = state.status_after(stage=stage, last=None)
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
    Refused: nothing_to_retry. Raises Saga.DoesNotExist.
    """
    saga = Saga.objects.select_for_update(no_key=True).get(pk=saga_id)
    seen = trail.of(saga_ids=[saga_id])[saga_id]
    decided = decide_skip(
        status=SagaStatus(saga.status),
        stage=Stage(saga.stage),
        event_types={one.event_type for one in seen},
    )
    if isinstance(decided, Refused):
        return decided
    failure = Failure(saga.failure_step, saga.failure_code, saga.failure_detail)
    event = facts.skipped(
        event_type=decided,
        saga_id=saga_id,
        context=_context(saga),
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
    return next(one.says for one in LISTENS if one.event in wanted and one.kind is not Kind.BLOCK)


def nudges(*, stage: Stage, seen: Sequence[Seen], context: msgspec.Raw) -> list[Event]:
    """The facts that set a saga going again that stands still after these."""
    wanted = state.last_facts(stage=stage, event_types=[one.event_type for one in seen])
    by_type = {one.event_type: one for one in seen}
    return [facts.again(seen=by_type[one], context=context) for one in wanted]


def decide_compensate(
    *, stage: Stage, event_types: Collection[str], is_parked: bool = False
) -> Action | Refused | None:
    """Abort, return, or neither. `is_parked`: what was sold and can't go on may be returned."""
    if stage is Stage.COMPLETED:
        return Action.RETURN
    if stage is not Stage.RUNNING:
        detail = "undone" if stage is Stage.ENDED else "being undone"
        return Refused(refusals.ALREADY_UNDONE, f"This saga is {detail} already.")
    if events.INVENTORY_COMMITTED in event_types and is_parked:
        return Action.RETURN
    if events.CHECKOUT_ABORT_REQUESTED in event_types:
        return None
    if events.INVENTORY_COMMITTED in event_types:
        return Refused(
            refusals.PAST_PIVOT,
            "The sale is committed and only goes forward: once completed, it can be returned.",
        )
    return Action.ABORT


def _context(saga: Saga) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(saga.context))
