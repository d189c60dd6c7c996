"""Looking at sagas: each state as both coordinators answer it."""

from collections.abc import Mapping, Sequence

import msgspec
from django.db.models import QuerySet

from contracts.outcomes import Failure
from contracts.sagas import Step
from contracts.states import SagaState, SagaSummary, StepState
from contracts.statuses import SagaStatus, StepStatus
from saga_orchestrator.models import Saga, SagaStep
from saga_orchestrator.moves import Direction

_GOING_BACK = frozenset({SagaStatus.COMPENSATING, SagaStatus.COMPENSATED, SagaStatus.FAILED})


def saga(*, saga_id: str) -> Saga | None:
    """The saga with its steps."""
    found = Saga.objects.select_related("definition").prefetch_related("steps")
    return found.filter(pk=saga_id).first()


def sagas(*, status: str = "") -> QuerySet[Saga]:
    """All of them, newest first; of one status if one is given."""
    found = Saga.objects.defer("context").order_by("-started_at", "-saga_id")
    return found.filter(status=status) if status else found


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
    )


def state(*, found: Saga) -> SagaState:
    """The whole of it, with every step of its definition: reached, skipped or still to come."""
    steps = msgspec.convert(found.definition.steps, list[Step])
    known = {one.position: one for one in found.steps.all()}
    failure = Failure(found.failure_step, found.failure_code, found.failure_detail)
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
    )


def step_states(
    *, found: Saga, steps: Sequence[Step], known: Mapping[int, SagaStep]
) -> list[StepState]:
    """A state for each step. `known`: what is written of them, by position."""
    return [
        _known(step, known[position]) if position in known else _unknown(found, step, position)
        for position, step in enumerate(steps)
    ]


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
