"""The operations of the doors: each writes rows, which the courier sends to Temporal."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from contracts.outcomes import Refused
from contracts.saga import SAGAS, Context, Direction, Step
from contracts.states import FINAL, SagaStatus
from coordination import interventions
from coordination.engine import Progress
from coordination.interventions import PlannedIntervention
from coordination.store import UnknownSaga
from messaging import wakeups
from participant import failpoints, trail
from saga_temporal import store
from saga_temporal.models import Intervention, Saga

SERVICE = store.SERVICE


class SagaStanding(NamedTuple):
    """Where a saga stands, by its row."""

    status: SagaStatus
    progress: Progress


def start(*, contexts: Sequence[Context]) -> None:
    """Writes a saga for each context that has none yet; the courier begins it, now or later.

    Notifies after its own commit, so it must not be called within a transaction.
    """
    failpoints.reach("temporal.before_start")
    started: list[str] = []
    for name in dict.fromkeys(context.saga for context in contexts):
        saga = SAGAS[name]
        started += store.start(
            saga=saga,
            contexts=[context for context in contexts if context.saga == name],
            seconds=getattr(settings, "SAGA_SECONDS", 0) or saga.seconds,
        )
    failpoints.reach("temporal.started")
    if started:
        _notify()


def decided(*, steps: Sequence[tuple[str, str]]) -> None:
    """Wakes the sagas that wait at these steps (saga id, step), which are decided now."""
    failpoints.reach("temporal.before_decided")
    found = store.decided(steps=steps)
    failpoints.reach("temporal.decided")
    if found:
        _notify()


def compensate(
    *, saga_id: str, requested_by: str, reason: str = "", may_return: bool = True
) -> Refused | None:
    """Stops and undoes a saga that has not passed its pivot; returns a completed saga.

    `may_return`: whether the caller may ask for a return. None: requested. Refused: already_undone,
    past_pivot, needs_operator. Raises UnknownSaga.
    """
    return _intervene(
        saga_id,
        requested_by,
        reason,
        lambda saga: interventions.decide_compensate(saga, reason, may_return=may_return),
    )


def retry(*, saga_id: str, requested_by: str, reason: str = "") -> Refused | None:
    """Tries the call of a parked saga again. Refused: nothing_to_retry. Raises UnknownSaga."""
    return _intervene(saga_id, requested_by, reason, interventions.decide_retry)


def skip(*, saga_id: str, requested_by: str, reason: str) -> Refused | None:
    """Goes on without the call of a parked saga: an operator has seen to it otherwise.

    Refused: nothing_to_retry. Raises UnknownSaga.
    """
    return _intervene(
        saga_id, requested_by, reason, lambda saga: interventions.decide_skip(saga, reason)
    )


def _intervene(
    saga_id: str,
    requested_by: str,
    reason: str,
    decide: Callable[[SagaStanding], PlannedIntervention | Refused],
) -> Refused | None:
    """Locks, decides and writes; wakes the courier after the commit. Un-parks a parked saga at
    once, so that no second intervention is accepted meanwhile.
    """
    with transaction.atomic(using=SERVICE):
        row = (
            Saga.objects.select_for_update(no_key=True, of=["self"])
            .select_related("definition")
            .filter(pk=saga_id)
            .first()
        )
        if row is None:
            raise UnknownSaga(saga_id)
        standing = _standing(row)
        planned = decide(standing)
        if isinstance(planned, Refused):
            return planned
        _apply(row, planned)
        Intervention.objects.create(
            saga_id=saga_id,
            action=planned.action,
            step=standing.progress.step.name,
            requested_by=requested_by,
            reason=reason,
            version=row.version,
            **trail.told(),
        )
        transaction.on_commit(_wake, using=SERVICE)
        failpoints.reach("temporal.before_commit")
    failpoints.reach("temporal.before_reply")
    return None


def _standing(row: Saga) -> SagaStanding:
    steps = msgspec.convert(row.definition.steps, tuple[Step, ...])
    progress = Progress(steps=steps, position=row.position, direction=Direction(row.direction))
    return SagaStanding(SagaStatus(row.status), progress)


def _apply(row: Saga, planned: PlannedIntervention) -> None:
    """Updates the row until the workflow writes where the saga stands then."""
    if planned.transition is None:
        Saga.objects.filter(pk=row.saga_id).update(stop_requested_at=Now())
        return
    status = planned.transition.status
    progress = planned.transition.progress
    Saga.objects.filter(pk=row.saga_id).update(
        status=SagaStatus.COMPENSATING if status in FINAL else status,
        direction=Direction.UNDO if progress.direction is Direction.UNDO else row.direction,
        parked_at=None,
        parked_reason="",
        finished_at=None,
        updated_at=Now(),
    )


def _wake() -> None:
    failpoints.reach("temporal.committed")
    _notify()


def _notify() -> None:
    wakeups.notify(service=SERVICE, channel=store.CHANNEL)
