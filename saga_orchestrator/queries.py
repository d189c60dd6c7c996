"""Looking at sagas: each state as both coordinators answer it."""

from collections.abc import Mapping, Sequence

import msgspec
from django.db.models import QuerySet

from contracts.outcomes import Failure
from contracts.sagas import Step
from contracts.states import Parked, SagaState, SagaSummary, StepState
from contracts.statuses import SagaStatus, StepStatus
from saga_orchestrator.models import Saga, SagaStep
from saga_orchestrator.moves import Direction

_GOING_BACK = frozenset({SagaStatus.COMPENSATING, SagaStatus.COMPENSATED, SagaStatus.FAILED})


def saga(*, saga_id: str) -> Saga | None:
    """The saga with its steps."""
    found = Saga.objects.select_related("definition").prefetch_related("steps")
    return found.filter(pk=saga_id).first()


def sagas(*, status: str = "", saga_pattern: str = "") -> QuerySet[Saga]:
    """All of them, newest first; of one status or one pattern if that is given."""
    found = Saga.objects.defer("context").order_by("-started_at", "-saga_id")
    wanted = {"status": status, "pattern": saga_pattern}
    return found.filter(**{name: value for name, value in wanted.items() if value})


def summary(*, found: Saga) -> SagaSummary:
    """The short form."""
    return SagaSummary(
        saga_id=found.saga_id,
        saga_pattern=found.pattern,
        status=SagaStatus(found.status),
        current_step=found.current_step or None,
        cart_id=found.cart_id,
        started_at=found.started_at,
        finished_at=found.finished_at,
        parked=_parked(found),
    )


def parked(*, limit: int) -> tuple[int, list[Saga]]:
    """How many sagas wait for a person, and those that wait longest, at most `limit`."""
    found = Saga.objects.filter(parked_at__isnull=False)
    return found.count(), list(found.defer("context").order_by("parked_at")[:limit])


def state(*, found: Saga) -> SagaState:
    """The whole of it, with every step of its definition: reached, skipped or still to come."""
    steps = msgspec.convert(found.definition.steps, list[Step])
    known = {one.position: one for one in found.steps.all()}
    failure = Failure(
        found.failure_step, found.failure_code, found.failure_detail, found.failure_undone
    )
    return SagaState(
        saga_id=found.saga_id,
        saga_pattern=found.pattern,
        status=SagaStatus(found.status),
        current_step=found.current_step or None,
        cart_id=found.cart_id,
        total_amount=str(found.context["total_amount"]),
        started_at=found.started_at,
        finished_at=found.finished_at,
        failure=failure if found.failure_code else None,
        steps=step_states(found=found, steps=steps, known=known),
        parked=_parked(found),
    )


def step_states(
    *, found: Saga, steps: Sequence[Step], known: Mapping[int, SagaStep]
) -> list[StepState]:
    """A state for each step. `known`: what is written of them, by position."""
    return [
        _known(step, known[position]) if position in known else _unknown(found, step, position)
        for position, step in enumerate(steps)
    ]


def _parked(found: Saga) -> Parked | None:
    if found.parked_at is None:
        return None
    return Parked(step=found.current_step, reason=found.parked_reason, since=found.parked_at)


def _known(step: Step, one: SagaStep) -> StepState:
    retries = max(one.do_attempts - 1, 0) + max(one.undo_attempts - 1, 0)
    return StepState(
        step_name=step.name,
        status=StepStatus(one.status),
        retry_count=retries,
        started_at=one.started_at,
        finished_at=one.undone_at or one.finished_at,
        error=one.error or None,
        response_data=one.response_data,
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
