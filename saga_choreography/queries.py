"""Reads sagas: their states, in the form of all coordinators, and stalled sagas."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from django.db.models import Q, QuerySet

from contracts.outcomes import Failure
from contracts.patterns import CHOREOGRAPHED
from contracts.saga import SAGAS
from contracts.states import (
    Awaited,
    Complaint,
    OpenSagas,
    Parked,
    SagaState,
    SagaStatus,
    SagaSummary,
    StepState,
    StepStatus,
    TrailEntry,
)
from participant import decisions, sql
from participant.models import owned_by
from saga_choreography import store
from saga_choreography.models import Saga
from saga_choreography.store import SERVICE, SagaPhase, TrackedEvent
from saga_choreography.tracking import TrackedSaga, machine_of, still_waits

STALL_SECONDS = 20
"""No saga moves for so long: more than a step and a redrive take."""
UNWATCHED_SECONDS = 60
"""A saga is due for the watchdog, and has not moved, for so long."""
MOST_LOOKED_AT = 500
_LAST_SEEN = """
    greatest(saga.started_at, (SELECT max(event.seen_at) FROM saga_choreography_sagaevent AS event
                               WHERE event.saga_id = saga.saga_id))
"""
_SILENT = f"""
    WITH flying AS (
        SELECT saga_id, {_LAST_SEEN} AS moved_at FROM (
            SELECT saga_id, started_at FROM saga_choreography_saga WHERE watch_at IS NOT NULL
            ORDER BY watch_at LIMIT {MOST_LOOKED_AT}) AS saga
    ), newest AS (
        SELECT max({_LAST_SEEN}) AS moved_at FROM (
            SELECT saga_id, started_at FROM saga_choreography_saga
            ORDER BY started_at DESC, saga_id DESC LIMIT 100) AS saga
    )
    SELECT saga_id, moved_at FROM flying
    WHERE greatest((SELECT max(moved_at) FROM flying), (SELECT moved_at FROM newest))
          < now() - make_interval(secs => %s)
    ORDER BY moved_at
"""
_UNWATCHED = f"""
    SELECT saga_id, greatest(watch_at, moved_at) FROM (
        SELECT saga_id, watch_at, {_LAST_SEEN} AS moved_at FROM (
            SELECT saga_id, watch_at, started_at FROM saga_choreography_saga
            WHERE watch_at < now() - make_interval(secs => %s)
            ORDER BY watch_at LIMIT {MOST_LOOKED_AT}) AS saga) AS overdue
    WHERE moved_at < now() - make_interval(secs => %s)
    ORDER BY 2
"""


def state_of(saga_id: str, *, user_id: str | None = None) -> SagaState | None:
    """The whole state of a saga; None if it is not known here, or not of this user."""
    found = Saga.objects.filter(owned_by(user_id), pk=saga_id).first()
    return state(found=found) if found else None


def summary_of(saga_id: str, *, user_id: str | None = None) -> SagaSummary | None:
    """The short form of `state_of`."""
    found = summaries(Saga.objects.defer("context").filter(owned_by(user_id), pk=saga_id))
    return found[0] if found else None


def sagas(
    *,
    status: SagaStatus | None = None,
    saga_pattern: str = "",
    saga: str = "",
    waiting: bool | None = None,
) -> QuerySet[Saga]:
    """The sagas, newest first, of this status and this name of a saga, if given. `waiting`: only
    running sagas of which a step has waited for a decision; False: only the others.
    `saga_pattern`: not used, all are choreographed.
    """
    found = Saga.objects.defer("context").order_by("-started_at", "-saga_id")
    wanted = {"status": status, "saga": saga}
    if status in (SagaStatus.RUNNING, SagaStatus.COMPENSATING):
        found = found.filter(watch_at__isnull=False)  # a partial index has these few rows
    if waiting is not None:
        at_decision = Q(phase=SagaPhase.RUNNING) & ~Q(waiting_step="")
        found = found.filter(at_decision if waiting else ~at_decision)
    return found.filter(**{field: value for field, value in wanted.items() if value})


def summaries(found: Iterable[Saga]) -> list[SagaSummary]:
    """The short form of each saga, also if its trail can't be read."""
    found = list(found)
    types = store.types_of(saga_ids=[saga.saga_id for saga in found])
    return [
        SagaSummary(
            saga=saga.saga,
            saga_id=saga.saga_id,
            saga_pattern=CHOREOGRAPHED,
            status=SagaStatus(saga.status),
            current_step=_current_step(saga, types[saga.saga_id]),
            subject=saga.subject,
            started_at=saga.started_at,
            finished_at=saga.finished_at,
            parked=_parked(saga),
            waiting=_waiting(saga, types[saga.saga_id]),
        )
        for saga in found
    ]


def parked(*, limit: int) -> tuple[int, list[Saga]]:
    """How many sagas are parked, and the longest parked of them, at most `limit`."""
    found = Saga.objects.filter(status=SagaStatus.PARKED.value)
    return found.count(), list(found.defer("context").order_by("parked_at")[:limit])


# The watchdog leaves a waiting saga alone until its decision must be overdue: hence `watch_at`.
_OPEN = """
    SELECT saga, %s, state, count(*), extract(epoch FROM now() - min(started_at))::float8
    FROM (
        SELECT saga, started_at, CASE WHEN phase = 0 AND waiting_step <> ''
                                       AND watch_at >= waiting_until
                                      THEN 'waiting' ELSE 'in_flight' END AS state
        FROM saga_choreography_saga WHERE watch_at IS NOT NULL AND finished_at IS NULL
        UNION ALL
        SELECT saga, started_at, 'parked' FROM saga_choreography_saga WHERE status = 'parked'
    ) AS found GROUP BY 1, 3
"""


def open_sagas() -> list[OpenSagas]:
    """Counts of the sagas that have not ended; two partial indexes find them among millions."""
    rows = sql.execute(service=SERVICE, sql=_OPEN, values=[CHOREOGRAPHED])
    return [OpenSagas(*row) for row in rows]


def state(*, found: Saga) -> SagaState:
    """The whole state: every step, and the trail in the order in which the events occurred.

    Of a saga that can't be read: no steps, and the error as the reason why it is parked.
    """
    try:
        seen = store.of(saga_ids=[found.saga_id])[found.saga_id]
        if found.saga not in SAGAS:
            raise store.UnreadableSaga(found.saga_id, f"there is no saga {found.saga!r}")
    except store.UnreadableSaga as error:
        return _unreadable(found, error)
    folded = machine_of(found.saga).fold(trail=seen)
    is_parked = found.status == SagaStatus.PARKED
    waiting = _waiting(found, [event.event_type for event in seen])
    return SagaState(
        saga=found.saga,
        saga_id=found.saga_id,
        saga_pattern=CHOREOGRAPHED,
        status=SagaStatus.PARKED if is_parked else folded.status,
        current_step=folded.current_step,
        subject=found.subject,
        total_amount=_total_amount(found),
        # The row's time is when it was first seen here; the watchdog goes by that.
        started_at=min([found.started_at, *(event.occurred_at for event in seen)]),
        finished_at=folded.finished_at,
        failure=_failure(found, folded),
        steps=_shown_steps(found, folded.steps, waiting),
        parked=_parked(found),
        waiting=waiting,
        events=[_entry(event) for event in seen],
    )


def _unreadable(found: Saga, error: store.UnreadableSaga) -> SagaState:
    return SagaState(
        saga=found.saga,
        saga_id=found.saga_id,
        saga_pattern=CHOREOGRAPHED,
        status=SagaStatus(found.status),
        current_step=None,
        subject=found.subject,
        total_amount=_total_amount(found),
        started_at=found.started_at,
        finished_at=found.finished_at,
        failure=None,
        steps=[],
        parked=Parked(step="unknown", reason=str(error), since=found.parked_at),
        events=[],
    )


def _current_step(found: Saga, event_types: Sequence[str]) -> str | None:
    if found.phase not in set(SagaPhase) or found.saga not in SAGAS:
        return None
    return machine_of(found.saga).current_step(
        phase=SagaPhase(found.phase), event_types=event_types
    )


def _total_amount(found: Saga) -> str | None:
    """The payload's total, if it has one; the stored context may be damaged."""
    data = found.context.get("data") if isinstance(found.context, dict) else None
    amount = data.get("total_amount") if isinstance(data, dict) else None
    return None if amount is None else str(amount)


def _failure(found: Saga, folded: TrackedSaga) -> Failure | None:
    if folded.failure or not found.failure_code:
        return folded.failure
    return Failure(found.failure_step, found.failure_code, found.failure_detail)


def _parked(found: Saga) -> Parked | None:
    if found.status != SagaStatus.PARKED:
        return None
    return Parked(step=found.parked_step, reason=found.parked_reason, since=found.parked_at)


def _waiting(found: Saga, event_types: Sequence[str]) -> Awaited | None:
    if not found.waiting_since or not found.waiting_until or found.phase not in set(SagaPhase):
        return None
    wait = store.Wait(
        step=found.waiting_step,
        decided_by=found.waiting_for,
        since=found.waiting_since,
        until=found.waiting_until,
    )
    phase = SagaPhase(found.phase)
    if not still_waits(wait=wait, saga=found.saga, phase=phase, event_types=event_types):
        return None
    return decisions.awaited(
        saga=found.saga,
        saga_id=found.saga_id,
        step=wait.step,
        decided_by=wait.decided_by,
        since=wait.since,
        until=wait.until,
    )


def _shown_steps(
    found: Saga, steps: Sequence[StepState], waiting: Awaited | None
) -> list[StepState]:
    """The steps, with the reason at a parked step, and the status of a waiting step."""
    shown = []
    for step in steps:
        if found.status == SagaStatus.PARKED and step.step_name == found.parked_step:
            step = msgspec.structs.replace(step, error=found.parked_reason)
        if waiting and step.step_name == waiting.step:
            step = msgspec.structs.replace(step, status=StepStatus.WAITING)
        shown.append(step)
    return shown


def _entry(seen: TrackedEvent) -> TrailEntry:
    return TrailEntry(
        type=seen.event_type,
        event_id=seen.event_id,
        cause_id=seen.cause_id,
        requested_at=seen.requested_at,
        occurred_at=seen.occurred_at,
        seen_at=seen.seen_at,
        data={"result": seen.data.result, "failure": seen.data.failure},
    )


def stalls(*, limit: int) -> list[Complaint]:
    """Sagas that should move and don't, found from their rows alone."""
    rows = sql.execute(service=SERVICE, sql=_SILENT, values=[STALL_SECONDS])
    if rows:
        what = "choreographed sagas are in flight, and none has had an event"
        do = "see the workers of all services and the broker; the sagas then go on by themselves"
        return [_stall(rows, limit, what=what, since=max(row[1] for row in rows), do=do)]
    rows = sql.execute(
        service=SERVICE, sql=_UNWATCHED, values=[UNWATCHED_SECONDS, UNWATCHED_SECONDS]
    )
    if rows:
        what = "choreographed sagas stand still, and the watchdog does not check them"
        do = "restart the worker of saga_choreography"
        return [_stall(rows, limit, what=what, since=rows[0][1], do=do)]
    return []


def _stall(
    rows: Sequence[tuple[str, datetime]], limit: int, *, what: str, since: datetime, do: str
) -> Complaint:
    named = ", ".join(row[0] for row in rows[:limit])
    return Complaint(what=f"{len(rows)} {what}: {named}", since=since, do=do)
