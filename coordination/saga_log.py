"""The sagas of an orchestrator: started, forgotten, and queried.

States are in the form that all coordinators answer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from django.apps import apps
from django.db.models import Manager, QuerySet

from contracts.outcomes import Failure
from contracts.saga import SAGAS, Context, Direction, Step
from contracts.saga import Saga as SagaDefinition
from contracts.states import (
    FINAL,
    GOING_BACK,
    Awaited,
    OpenSagas,
    Parked,
    SagaState,
    SagaStatus,
    SagaSummary,
    StepState,
    StepStatus,
)
from coordination.conducted import Saga, SagaStep
from participant import decisions, sql
from participant.models import owned_by

_OPEN = """
    SELECT name, pattern, CASE WHEN parked_at IS NOT NULL THEN 'parked'
                               WHEN waiting_since IS NOT NULL THEN 'waiting'
                               ELSE 'in_flight' END,
           count(*), extract(epoch FROM now() - min(started_at))::float8
    FROM {}_saga WHERE finished_at IS NULL GROUP BY 1, 2, 3
"""

_START = """
    WITH defined AS (
        INSERT INTO {service}_definition (digest, name, steps)
        VALUES (%s, %s, %s::jsonb) ON CONFLICT (digest) DO NOTHING
    )
    INSERT INTO {service}_saga
           (saga_id, name, definition_id, current_step, deadline_at, status, pattern, subject,
            user_id, context)
    SELECT context ->> 'saga_id', %s, %s, %s, now() + make_interval(secs => %s), 'pending',
           context ->> 'pattern', context ->> 'subject', coalesce(context ->> 'user_id', ''),
           context
    FROM jsonb_array_elements(%s::jsonb) AS context
    ORDER BY 1
    ON CONFLICT (saga_id) DO NOTHING
    RETURNING saga_id
"""

_FORGET = """
    WITH gone AS (
        DELETE FROM {service}_saga WHERE saga_id IN (
            SELECT saga_id FROM {service}_saga AS saga
            WHERE saga_id = ANY(%s) AND status = ANY(%s)
              AND finished_at < now() - make_interval(secs => %s)
              AND NOT EXISTS (SELECT FROM {service}_intervention AS asked
                              WHERE asked.saga_id = saga.saga_id AND action = 'skip')
            FOR UPDATE SKIP LOCKED)
        RETURNING saga_id
    )
    DELETE FROM {service}_sagastep WHERE saga_id IN (SELECT saga_id FROM gone)
"""


def start(
    *, service: str, saga: SagaDefinition, contexts: Sequence[Context], seconds: float
) -> list[str]:
    """Inserts the sagas that are new; their ids. `seconds`: after this time a saga that has not
    passed its pivot is undone.
    """
    if not contexts:
        return []
    digest = digest_of(saga)
    defined = [digest, saga.name, sql.as_json(saga.steps)]
    values = [*defined, saga.name, digest, saga.steps[1].name, seconds, sql.as_json(contexts)]
    made = sql.execute(service=service, sql=_START.format(service=service), values=values)
    return [row[0] for row in made]


def forget_sagas(*, service: str, saga_ids: Sequence[str], seconds: float) -> set[str]:
    """Deletes the sagas that ended longer ago than `seconds`, with their steps; returns those that
    are left. A saga with a step that an operator has skipped is kept, as evidence.
    """
    values = [list(saga_ids), list(FINAL), seconds]
    sql.execute(service=service, sql=_FORGET.format(service=service), values=values)
    left = f"SELECT saga_id FROM {service}_saga WHERE saga_id = ANY(%s)"
    return {row[0] for row in sql.execute(service=service, sql=left, values=[list(saga_ids)])}


def digest_of(saga: SagaDefinition) -> str:
    """The digest of the definition's steps."""
    if SAGAS.get(saga.name) is saga:
        return _digest_of(saga.name)
    return _hashed(saga)


@cache
def _digest_of(name: str) -> str:
    return _hashed(SAGAS[name])


def _hashed(saga: SagaDefinition) -> str:
    return hashlib.sha256(sql.as_json(saga.steps).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class SagaLog:
    """The sagas of one service, in tables made from `coordination.conducted`."""

    service: str

    def _sagas(self) -> Manager[Any]:
        sagas: Manager[Any] = apps.get_model(self.service, "Saga")._default_manager
        return sagas

    def saga(self, *, saga_id: str, user_id: str | None = None) -> Saga | None:
        """The saga with its steps. `user_id`: the user who must own it."""
        found = self._sagas().select_related("definition").prefetch_related("steps")
        return found.filter(owned_by(user_id), pk=saga_id).first()

    def state_of(self, saga_id: str, *, user_id: str | None = None) -> SagaState | None:
        """A saga's state, if it is known here."""
        found = self.saga(saga_id=saga_id, user_id=user_id)
        return self.state(found=found) if found else None

    def summary_of(self, saga_id: str, *, user_id: str | None = None) -> SagaSummary | None:
        """A saga's summary, if it is known here."""
        found = self._sagas().defer("context").filter(owned_by(user_id), pk=saga_id).first()
        return self.summary(found=found) if found else None

    def summaries(self, found: Sequence[Saga]) -> list[SagaSummary]:
        """The summaries of these sagas."""
        return [self.summary(found=saga) for saga in found]

    def sagas(
        self,
        *,
        status: str | None = None,
        saga_pattern: str = "",
        saga: str = "",
        waiting: bool | None = None,
    ) -> QuerySet[Saga]:
        """All sagas, newest first; with the given status, pattern and name, and only those that
        wait for a decision, or do not.
        """
        found = self.of_status(self._sagas().defer("context"), status).order_by(
            "-started_at", "-saga_id"
        )
        wanted = {"status": status, "pattern": saga_pattern, "name": saga}
        if waiting is not None:
            found = found.filter(waiting_since__isnull=not waiting)
            found = found.filter(finished_at=None) if waiting else found
        return found.filter(**{name: value for name, value in wanted.items() if value})

    def parked(self, *, limit: int) -> tuple[int, list[Saga]]:
        """The number of parked sagas, and those parked longest, at most `limit`."""
        found = self._sagas().filter(parked_at__isnull=False)
        return found.count(), list(found.defer("context").order_by("parked_at")[:limit])

    def open_sagas(self) -> list[OpenSagas]:
        """The sagas that have not ended, by an index that has only these."""
        return [
            OpenSagas(*row)
            for row in sql.execute(service=self.service, sql=_OPEN.format(self.service))
        ]

    @staticmethod
    def of_status(found: QuerySet[Saga], status: str | None) -> QuerySet[Saga]:
        """The rows that may have that status; for open sagas only those in the index of them."""
        is_open = status in set(SagaStatus) and status not in FINAL
        return found.filter(finished_at=None) if is_open else found

    @staticmethod
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

    @staticmethod
    def state(*, found: Any) -> SagaState:
        """The saga's state, with every step of its definition: reached, skipped or to come."""
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
                _known(step, known[position])
                if position in known
                else _unknown(found, step, position)
                for position, step in enumerate(_steps(found))
            ],
            parked=_parked(found),
            waiting=_waiting(found),
        )


def _steps(found: Saga) -> Sequence[Step]:
    """The steps of its definition; if that row was edited by hand, those of this version."""
    try:
        steps: Sequence[Step] = msgspec.convert(found.definition.steps, list[Step])
    except msgspec.ValidationError:
        steps = []
    return steps or (SAGAS[found.name].steps if found.name in SAGAS else ())


def _total(found: Saga) -> str | None:
    """The saga's total amount; None if it has none, or its context was edited by hand."""
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
    """A step without a row: the acceptance, or a step without an answer yet."""
    if position == 0:
        return StepState(
            step_name=step.name,
            status=StepStatus.COMPLETED,
            started_at=found.started_at,
            finished_at=found.started_at,
        )
    return StepState(step_name=step.name, status=_status_without_answer(found, position))


def _status_without_answer(found: Saga, position: int) -> StepStatus:
    is_back = found.status in GOING_BACK or found.direction == Direction.UNDO
    if is_back:
        return StepStatus.SKIPPED
    return StepStatus.RUNNING if position == found.position else StepStatus.PENDING
