"""Looking at sagas: each state as both coordinators answer it."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from django.db.models import QuerySet

from contracts.outcomes import Failure
from contracts.saga import SAGAS, Direction, Step
from contracts.states import (
    FINAL,
    Awaited,
    Complaint,
    OpenSagas,
    Parked,
    SagaState,
    SagaStatus,
    SagaSummary,
    StepState,
    StepStatus,
)
from participant import decisions, sql
from saga_orchestrator.models import Saga, SagaStep

STALL_SECONDS = 20
"""None moves for so long: more than a call and the taking over of a dead runner's sagas take."""
OVERTAKEN_SECONDS = 60
"""One does not move for so long, and others that were due later do."""
MOST_LOOKED_AT = 1000
"""As many as a runner has in flight: those that move are among the first that are due."""
_STALLS = f"""
    WITH due AS (
        SELECT saga_id, current_step, version, next_attempt_at, updated_at,
               greatest(next_attempt_at, updated_at) AS since
        FROM saga_orchestrator_saga WHERE next_attempt_at <= now()
        ORDER BY next_attempt_at LIMIT {MOST_LOOKED_AT}
    ), moving AS (
        SELECT max(next_attempt_at) AS until FROM due
        WHERE version > 0 AND updated_at >= now() - make_interval(secs => %s)
    )
    SELECT saga_id, since, current_step FROM due CROSS JOIN moving
    WHERE CASE WHEN next_attempt_at < until THEN since < now() - make_interval(secs => %s)
               WHEN until IS NULL THEN since < now() - make_interval(secs => %s) END
    ORDER BY since
"""
_NO_STEP = f"""
    WITH flying AS (
        SELECT saga_id, current_step, started_at,
               greatest(saga.started_at, (
                   SELECT max(greatest(step.finished_at, step.undone_at))
                   FROM saga_orchestrator_sagastep AS step WHERE step.saga_id = saga.saga_id
               )) AS moved_at
        FROM (SELECT saga_id, current_step, started_at FROM saga_orchestrator_saga
              WHERE next_attempt_at IS NOT NULL AND waiting_since IS NULL
              ORDER BY next_attempt_at LIMIT {MOST_LOOKED_AT}
        ) AS saga
    ), ended AS (
        SELECT max(finished_at) AS at FROM (
            SELECT finished_at FROM saga_orchestrator_saga
            ORDER BY started_at DESC, saga_id DESC LIMIT 200) AS newest
    )
    SELECT saga_id, moved_at, current_step FROM flying
    WHERE (SELECT max(moved_at) FROM flying) < now() - make_interval(secs => %s)
      AND coalesce((SELECT at FROM ended), '-infinity') < now() - make_interval(secs => %s)
    ORDER BY started_at
"""
_GOING_BACK = frozenset({SagaStatus.COMPENSATING, SagaStatus.COMPENSATED, SagaStatus.FAILED})


def saga(*, saga_id: str) -> Saga | None:
    """The saga with its steps."""
    found = Saga.objects.select_related("definition").prefetch_related("steps")
    return found.filter(pk=saga_id).first()


def state_of(saga_id: str) -> SagaState | None:
    """The whole of a saga, if it is known here."""
    found = saga(saga_id=saga_id)
    return state(found=found) if found else None


def summary_of(saga_id: str) -> SagaSummary | None:
    """A saga in short, if it is known here."""
    found = Saga.objects.defer("context").filter(pk=saga_id).first()
    return summary(found=found) if found else None


def summaries(found: Sequence[Saga]) -> list[SagaSummary]:
    """Each of these in short."""
    return [summary(found=saga) for saga in found]


def sagas(
    *,
    status: str | None = None,
    saga_pattern: str = "",
    saga: str = "",
    waiting: bool | None = None,
) -> QuerySet[Saga]:
    """All of them, newest first; of one status, pattern or name if that is given, and those that
    wait for a decision, or do not.
    """
    found = of_status(Saga.objects.defer("context"), status).order_by("-started_at", "-saga_id")
    wanted = {"status": status, "pattern": saga_pattern, "name": saga}
    if waiting is not None:
        found = found.filter(waiting_since__isnull=not waiting)
        found = found.filter(finished_at=None) if waiting else found
    return found.filter(**{name: value for name, value in wanted.items() if value})


def of_status(found: QuerySet[Saga], status: str | None) -> QuerySet[Saga]:
    """Those that may have that status, by what an index of few rows has."""
    is_open = status in set(SagaStatus) and status not in FINAL
    return found.filter(finished_at=None) if is_open else found


def summary(*, found: Saga) -> SagaSummary:
    """The short form."""
    return SagaSummary(
        saga=found.name,
        saga_id=found.saga_id,
        saga_pattern=found.pattern,
        status=SagaStatus(found.status),
        current_step=found.current_step or None,
        subject=found.subject,
        started_at=found.started_at,
        finished_at=found.finished_at,
        parked=_parked(found),
        waiting=_waiting(found),
    )


def parked(*, limit: int) -> tuple[int, list[Saga]]:
    """How many sagas wait for a person, and those that wait longest, at most `limit`."""
    found = Saga.objects.filter(parked_at__isnull=False)
    return found.count(), list(found.defer("context").order_by("parked_at")[:limit])


_OPEN = """
    SELECT name, pattern, CASE WHEN parked_at IS NOT NULL THEN 'parked'
                               WHEN waiting_since IS NOT NULL THEN 'waiting'
                               ELSE 'in_flight' END,
           count(*), extract(epoch FROM now() - min(started_at))::float8
    FROM saga_orchestrator_saga WHERE finished_at IS NULL GROUP BY 1, 2, 3
"""


def open_sagas() -> list[OpenSagas]:
    """Those that have not ended, of which an index has a few among millions."""
    return [OpenSagas(*row) for row in sql.execute(service="saga_orchestrator", sql=_OPEN)]


def state(*, found: Saga) -> SagaState:
    """The whole of it, with every step of its definition: reached, skipped or still to come."""
    known = {step.position: step for step in found.steps.all()}
    failure = Failure(
        found.failure_step, found.failure_code, found.failure_detail, found.failure_undone
    )
    return SagaState(
        saga=found.name,
        saga_id=found.saga_id,
        saga_pattern=found.pattern,
        status=SagaStatus(found.status),
        current_step=found.current_step or None,
        subject=found.subject,
        total_amount=_total(found),
        started_at=found.started_at,
        finished_at=found.finished_at,
        failure=failure if found.failure_code else None,
        steps=[
            _known(step, known[position]) if position in known else _unknown(found, step, position)
            for position, step in enumerate(_steps(found))
        ],
        parked=_parked(found),
        waiting=_waiting(found),
    )


def _steps(found: Saga) -> Sequence[Step]:
    """Of its definition; where a person has typed over that, as this version has them."""
    try:
        steps: Sequence[Step] = msgspec.convert(found.definition.steps, list[Step])
    except msgspec.ValidationError:
        steps = []
    return steps or (SAGAS[found.name].steps if found.name in SAGAS else ())


def _total(found: Saga) -> str | None:
    """None where it has none, or where a person has typed over its context."""
    context = found.context if isinstance(found.context, dict) else {}
    data = context.get("data")
    total = data.get("total_amount") if isinstance(data, dict) else None
    return None if total is None else str(total)


def _parked(found: Saga) -> Parked | None:
    if found.parked_at is None:
        return None
    return Parked(step=found.current_step, reason=found.parked_reason, since=found.parked_at)


def _waiting(found: Saga) -> Awaited | None:
    if found.waiting_since is None or found.waiting_until is None:
        return None
    return decisions.awaited(
        saga=found.name,
        saga_id=found.saga_id,
        step=found.current_step,
        decided_by=found.waiting_for,
        since=found.waiting_since,
        until=found.waiting_until,
    )


def _known(step: Step, known: SagaStep) -> StepState:
    retries = max(known.do_attempts - 1, 0) + max(known.undo_attempts - 1, 0)
    return StepState(
        step_name=step.name,
        status=StepStatus(known.status),
        retry_count=retries,
        started_at=known.started_at,
        finished_at=known.undone_at or known.finished_at,
        error=known.error or None,
        response_data=known.response_data,
    )


def _unknown(found: Saga, step: Step, position: int) -> StepState:
    """A step of which nothing is written: the acceptance, or one without an answer yet."""
    if position == 0:
        return StepState(
            step_name=step.name,
            status=StepStatus.COMPLETED,
            started_at=found.started_at,
            finished_at=found.started_at,
        )
    return StepState(step_name=step.name, status=_status_without_answer(found, position))


def _status_without_answer(found: Saga, position: int) -> StepStatus:
    is_back = found.status in _GOING_BACK or found.direction == Direction.UNDO
    if is_back:
        return StepStatus.SKIPPED
    return StepStatus.RUNNING if position == found.position else StepStatus.PENDING


def stalls(*, limit: int) -> list[Complaint]:
    """Sagas that should move and don't, told from their rows alone: the runner that should move
    them may be dead, deaf or sure that another does.

    A queue that is worked off in order is none, however long it is.
    """
    values = [STALL_SECONDS, OVERTAKEN_SECONDS, STALL_SECONDS]
    rows = sql.execute(service="saga_orchestrator", sql=_STALLS, values=values)
    if rows:
        what = "orchestrated sagas are due and no runner moves them"
        do = (
            "see the worker above; if it lives, restart it (its sagas are taken up anew), or use"
            " compensate on each"
        )
        return [_stall(rows, limit, what=what, since=rows[0][1], do=do)]
    values = [STALL_SECONDS, STALL_SECONDS]
    rows = sql.execute(service="saga_orchestrator", sql=_NO_STEP, values=values)
    if rows:
        what = "orchestrated sagas are in flight and none has ended a step"
        do = "see which service these steps need, and mend it; they go on by themselves then"
        return [_stall(rows, limit, what=what, since=max(row[1] for row in rows), do=do)]
    return []


def _stall(
    rows: Sequence[tuple[str, datetime, str]], limit: int, *, what: str, since: datetime, do: str
) -> Complaint:
    named = ", ".join(f"{saga_id} at {step}" for saga_id, _, step in rows[:limit])
    return Complaint(what=f"{len(rows)} {what}: {named}", since=since, do=do)
