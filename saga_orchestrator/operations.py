"""What a person can do to a saga. Each is written down: what, who, when and why."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction

from contracts import refusals, sagas
from contracts.commands import stand_in
from contracts.outcomes import Refused
from contracts.statuses import FINAL, SagaStatus
from messaging import doorbell
from saga_orchestrator import engine, sagalog
from saga_orchestrator.models import Intervention, InterventionAction, Saga
from saga_orchestrator.moves import Direction, Move
from saga_orchestrator.sagalog import InFlight, Unreadable
from sagas import points

SERVICE = sagalog.ALIAS


class UnknownSaga(Exception):
    """There is no such saga here."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be done to a saga. `move`: None asks its runner to turn it back."""

    action: InterventionAction
    move: Move | None


def compensate(*, saga_id: str, requested_by: str, reason: str = "") -> Refused | None:
    """Stops a saga that has not passed its pivot and undoes it; undoes a completed one, a return.

    None: it is on its way. Refused: already_undone, past_pivot. Raises UnknownSaga.
    One whose row can't be read is undone as a whole: the barriers know what of it has happened.
    """
    return _intervene(
        saga_id,
        requested_by,
        reason,
        lambda saga: decide_compensate(saga, reason),
        undoes_unreadable=True,
    )


def retry(*, saga_id: str, requested_by: str, reason: str = "") -> Refused | None:
    """Tries the call of a parked saga again. Refused: nothing_to_retry. Raises UnknownSaga."""
    return _intervene(saga_id, requested_by, reason, decide_retry)


def skip(*, saga_id: str, requested_by: str, reason: str) -> Refused | None:
    """Goes on without the call of a parked saga: somebody has seen to it otherwise.

    Refused: nothing_to_retry. Raises UnknownSaga.
    """
    return _intervene(saga_id, requested_by, reason, lambda saga: decide_skip(saga, reason))


def decide_compensate(saga: InFlight, reason: str) -> Decision | Refused:
    """A running saga is in its runner's hands, and is asked for; one that rests is moved here."""
    progress = saga.progress
    if saga.status is SagaStatus.COMPLETED:
        move = engine.give_back(progress=progress, code=refusals.STOPPED, detail=reason)
        return Decision(action=InterventionAction.RETURN, move=move)
    if saga.status in FINAL or progress.direction is Direction.UNDO:
        return Refused(refusals.ALREADY_UNDONE, f"This saga is {saga.status} already.")
    if saga.status is SagaStatus.PARKED and progress.direction is Direction.DO:
        move = engine.give_back(progress=progress, code=refusals.STOPPED, detail=reason)
        return Decision(action=InterventionAction.UNDO, move=move)
    if progress.position > engine.pivot(steps=progress.steps):
        return Refused(
            refusals.PAST_PIVOT, "It can only go forward now; once it is completed, return it."
        )
    if saga.status is SagaStatus.PARKED:
        return Refused(
            refusals.PAST_PIVOT, "It is open whether its pivot has happened: retry that first."
        )
    return Decision(action=InterventionAction.STOP, move=None)


def decide_retry(saga: InFlight) -> Decision | Refused:
    """The same call, with all its tries again."""
    if saga.status is not SagaStatus.PARKED:
        return _not_parked(saga)
    return Decision(action=InterventionAction.RETRY, move=engine.retry(progress=saga.progress))


def decide_skip(saga: InFlight, reason: str) -> Decision | Refused:
    """The next call instead, unless it is open what the skipped one would have told."""
    if saga.status is not SagaStatus.PARKED:
        return _not_parked(saga)
    move = engine.skip(progress=saga.progress, reason=reason)
    if move is None:
        return Refused(
            refusals.NOTHING_TO_RETRY,
            "Only the service can tell whether the pivot has happened: retry, or mend it there.",
        )
    return Decision(action=InterventionAction.SKIP, move=move)


def _not_parked(saga: InFlight) -> Refused:
    return Refused(refusals.NOTHING_TO_RETRY, f"This saga is {saga.status}, not parked.")


def _intervene(
    saga_id: str,
    requested_by: str,
    reason: str,
    decide: Callable[[InFlight], Decision | Refused],
    *,
    undoes_unreadable: bool = False,
) -> Refused | None:
    """Lock, decide, write; the runner is woken once it is committed."""
    with transaction.atomic(using=SERVICE):
        found = sagalog.lock(saga_ids=[saga_id])
        if not found:
            raise UnknownSaga(saga_id)
        (saga,) = found
        if isinstance(saga, InFlight):
            refused = _decided(saga, decide(saga), requested_by, reason)
        elif undoes_unreadable:
            refused = _undo_all(saga_id, requested_by, reason)
        else:
            refused = _unreadable(saga)
        if refused:
            return refused
        transaction.on_commit(_wake, using=SERVICE)
        points.reach("intervention.before_commit")
    points.reach("intervention.before_reply")
    return None


def _unreadable(saga: Unreadable) -> Refused:
    detail = f"{saga.reason}. Undo it (compensate), or mend what is stored and retry."
    return Refused(refusals.UNREADABLE, detail)


def _undo_all(saga_id: str, requested_by: str, reason: str) -> Refused | None:
    row = Saga.objects.values("cart_id", "pattern").get(pk=saga_id)
    checkout = stand_in(saga_id=saga_id, cart_id=row["cart_id"], saga_pattern=row["pattern"])
    if not sagalog.undo_all(saga=sagas.CHECKOUT, checkout=checkout, detail=reason):
        return Refused(refusals.ALREADY_UNDONE, "This saga is undone already.")
    _note(saga_id, InterventionAction.UNDO, "", requested_by, reason)
    return None


def _decided(
    saga: InFlight, decided: Decision | Refused, requested_by: str, reason: str
) -> Refused | None:
    if isinstance(decided, Refused):
        return decided
    _write(saga, decided, requested_by, reason)
    return None


def _write(saga: InFlight, decision: Decision, requested_by: str, reason: str) -> None:
    if decision.move is None:
        sagalog.request_stop(saga_id=saga.saga_id)
    else:
        sagalog.record(moves=[(saga, decision.move)])
    _note(saga.saga_id, decision.action, saga.progress.step.name, requested_by, reason)


def _note(saga_id: str, action: str, step: str, requested_by: str, reason: str) -> None:
    Intervention.objects.create(
        saga_id=saga_id, action=action, step=step, requested_by=requested_by, reason=reason
    )


def _wake() -> None:
    points.reach("intervention.committed")
    doorbell.ring(service=SERVICE, channel=sagalog.CHANNEL)
