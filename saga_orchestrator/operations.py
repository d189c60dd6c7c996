"""What a person can do to a saga. Each is written down: what, who, when and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from contracts import refusals
from contracts.outcomes import Refused
from contracts.saga import SAGAS, Context, Direction, stand_in
from contracts.states import FINAL, SagaStatus
from coordination.store import UnknownSaga, unreadable
from messaging import wakeups
from participant import failpoints, tracing
from saga_orchestrator import engine, store
from saga_orchestrator.engine import Transition
from saga_orchestrator.in_flight import ClaimedSaga
from saga_orchestrator.models import Intervention, InterventionAction, Saga

SERVICE = store.ALIAS


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be done to a saga. `transition`: None asks its runner to turn it back."""

    action: InterventionAction
    transition: Transition | None


def start(*, contexts: Sequence[Context]) -> None:
    """Writes a saga for each of these that is not known yet, and wakes a runner.

    Each is started for certain then, now or before. Notifies after its own commit, so it must not
    be called within a transaction.
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
    """Has the sagas go on that rest at these steps (saga id and step): they are decided by now."""
    failpoints.reach("orchestration.before_decided")
    woken = store.decided(steps=steps)
    failpoints.reach("orchestration.decided")
    if woken:
        _notify()


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
    """Goes on without the call of a parked saga: a person has seen to it otherwise.

    Refused: nothing_to_retry. Raises UnknownSaga.
    """
    return _intervene(saga_id, requested_by, reason, lambda saga: decide_skip(saga, reason))


def decide_compensate(saga: ClaimedSaga, reason: str) -> Decision | Refused:
    """A running saga is its runner's, which is asked; one that rests is moved here."""
    progress = saga.progress
    if saga.status is SagaStatus.COMPLETED:
        transition = engine.give_back(progress=progress, code=refusals.STOPPED, detail=reason)
        return Decision(action=InterventionAction.RETURN, transition=transition)
    if saga.status in FINAL or progress.direction is Direction.UNDO:
        return Refused(refusals.ALREADY_UNDONE, f"This saga is {saga.status} already.")
    if saga.status is SagaStatus.PARKED and progress.direction is Direction.DO:
        transition = engine.give_back(progress=progress, code=refusals.STOPPED, detail=reason)
        return Decision(action=InterventionAction.UNDO, transition=transition)
    if progress.position > engine.pivot(steps=progress.steps):
        return Refused(
            refusals.PAST_PIVOT, "It can only go forward now; once it is completed, return it."
        )
    if saga.status is SagaStatus.PARKED:
        return Refused(
            refusals.PAST_PIVOT, "It is open whether its pivot has happened: retry that first."
        )
    return Decision(action=InterventionAction.STOP, transition=None)


def decide_retry(saga: ClaimedSaga) -> Decision | Refused:
    """The same call, with all its tries again."""
    if saga.status is not SagaStatus.PARKED:
        return _not_parked(saga)
    return Decision(
        action=InterventionAction.RETRY, transition=engine.retry(progress=saga.progress)
    )


def decide_skip(saga: ClaimedSaga, reason: str) -> Decision | Refused:
    """The next call instead, unless it is open what the skipped one would have told."""
    if saga.status is not SagaStatus.PARKED:
        return _not_parked(saga)
    transition = engine.skip(progress=saga.progress, reason=reason)
    if transition is None:
        return Refused(
            refusals.NOTHING_TO_RETRY,
            "Only the service can tell whether the pivot has happened: retry, or mend it there.",
        )
    return Decision(action=InterventionAction.SKIP, transition=transition)


def _not_parked(saga: ClaimedSaga) -> Refused:
    return Refused(refusals.NOTHING_TO_RETRY, f"This saga is {saga.status}, not parked.")


def _intervene(
    saga_id: str,
    requested_by: str,
    reason: str,
    decide: Callable[[ClaimedSaga], Decision | Refused],
    *,
    undoes_unreadable: bool = False,
) -> Refused | None:
    """Lock, decide, write; the runner is woken once it is committed."""
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
    saga: ClaimedSaga, decided: Decision | Refused, requested_by: str, reason: str
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
        saga_id=saga_id, action=action, step=step, requested_by=requested_by, reason=reason
    )


def _wake() -> None:
    failpoints.reach("intervention.committed")
    _notify()


def _notify() -> None:
    wakeups.notify(service=SERVICE, channel=store.CHANNEL)
