"""Starts sagas, and intervenes in them. Each intervention is recorded: what, who, when and why."""

from collections.abc import Callable, Sequence

from django.conf import settings
from django.db import transaction

from contracts import refusals
from contracts.outcomes import Refused
from contracts.saga import SAGAS, Context, stand_in
from coordination import interventions
from coordination.interventions import InterventionAction, PlannedIntervention
from coordination.store import UnknownSaga, unreadable
from messaging import wakeups
from participant import failpoints, tracing, trail
from saga_orchestrator import store
from saga_orchestrator.in_flight import ClaimedSaga
from saga_orchestrator.models import Intervention, Saga

SERVICE = store.ALIAS


def start(*, contexts: Sequence[Context]) -> None:
    """Writes a saga for each context that has none yet, and wakes a runner.

    All these sagas are stored when it returns. It notifies after its own commit, so it must not be
    called within a transaction.
    """
    failpoints.reach("orchestration.before_start")
    started: list[str] = []
    with tracing.continued("start", contexts, kind="server") as (given, _):
        for name in dict.fromkeys(context.saga for context in given):
            saga = SAGAS[name]
            started += store.start(
                saga=saga,
                contexts=[context for context in given if context.saga == name],
                seconds=getattr(settings, "SAGA_SECONDS", 0) or saga.seconds,
            )
    failpoints.reach("orchestration.started")
    if started:
        _notify()


def decided(*, steps: Sequence[tuple[str, str]]) -> None:
    """Wakes the sagas that wait at these steps (saga id, step), which are decided now."""
    failpoints.reach("orchestration.before_decided")
    woken = store.decided(steps=steps)
    failpoints.reach("orchestration.decided")
    if woken:
        _notify()


def compensate(
    *, saga_id: str, requested_by: str, reason: str = "", may_return: bool = True
) -> Refused | None:
    """Stops and undoes a saga that has not passed its pivot; returns a completed saga.

    `may_return`: whether the caller may ask for a return. None: requested. Refused: already_undone,
    past_pivot, needs_operator. Raises UnknownSaga.
    A saga whose row can't be read is undone from its last step: the barriers know which steps have
    happened.
    """
    return _intervene(
        saga_id,
        requested_by,
        reason,
        lambda saga: interventions.decide_compensate(saga, reason, may_return=may_return),
        undoes_unreadable=may_return,
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
    decide: Callable[[ClaimedSaga], PlannedIntervention | Refused],
    *,
    undoes_unreadable: bool = False,
) -> Refused | None:
    """Locks, decides and writes; wakes a runner after the commit."""
    with transaction.atomic(using=SERVICE):
        found = store.lock(saga_ids=[saga_id])
        if not found:
            raise UnknownSaga(saga_id)
        (saga,) = found
        if isinstance(saga, ClaimedSaga):
            refused = _decided(saga, decide(saga), requested_by, reason)
        elif undoes_unreadable:
            refused = _undo_all(saga_id, requested_by, reason)
        else:
            refused = unreadable(saga.reason)
        if refused:
            return refused
        transaction.on_commit(_wake, using=SERVICE)
        failpoints.reach("intervention.before_commit")
    failpoints.reach("intervention.before_reply")
    return None


def _undo_all(saga_id: str, requested_by: str, reason: str) -> Refused | None:
    row = Saga.objects.values("name", "subject", "pattern").get(pk=saga_id)
    saga = SAGAS.get(row["name"])
    if saga is None:
        detail = f"There is no saga {row['name']!r} in the catalogue: its steps are unknown."
        return Refused(refusals.UNREADABLE, detail)
    context = stand_in(
        saga=saga.name, saga_id=saga_id, pattern=row["pattern"], subject=row["subject"]
    )
    if not store.undo_all(saga=saga, context=context, detail=reason):
        return Refused(refusals.ALREADY_UNDONE, "This saga is undone already.")
    _note(saga_id, InterventionAction.UNDO, "", requested_by, reason)
    return None


def _decided(
    saga: ClaimedSaga, decided: PlannedIntervention | Refused, requested_by: str, reason: str
) -> Refused | None:
    if isinstance(decided, Refused):
        return decided
    if decided.transition is None:
        store.request_stop(saga_id=saga.saga_id)
    else:
        store.record(transitions=[(saga, decided.transition)])
    _note(saga.saga_id, decided.action, saga.progress.step.name, requested_by, reason)
    return None


def _note(saga_id: str, action: str, step: str, requested_by: str, reason: str) -> None:
    Intervention.objects.create(
        saga_id=saga_id,
        action=action,
        step=step,
        requested_by=requested_by,
        reason=reason,
        **trail.told(),
    )


def _wake() -> None:
    failpoints.reach("intervention.committed")
    _notify()


def _notify() -> None:
    wakeups.notify(service=SERVICE, channel=store.CHANNEL)
