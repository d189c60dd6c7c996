"""Interventions of people in an orchestrated saga: pure decisions on what to do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from contracts import refusals
from contracts.outcomes import Refused
from contracts.saga import Direction, pivot_of
from contracts.states import FINAL, SagaStatus
from coordination import engine
from coordination.engine import Progress, Transition


class InterventionAction(StrEnum):
    STOP = "stop"
    RETURN = "return"
    UNDO = "undo"
    RETRY = "retry"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True)
class PlannedIntervention:
    """What to do with a saga. `transition`: None asks the runner that has it to turn it back."""

    action: InterventionAction
    transition: Transition | None


class Standing(Protocol):
    """A saga with its state."""

    @property
    def status(self) -> SagaStatus: ...

    @property
    def progress(self) -> Progress: ...


def decide_compensate(
    saga: Standing, reason: str, *, may_return: bool = True
) -> PlannedIntervention | Refused:
    """Asks the runner of a running saga to turn it back; moves a saga that rests at once."""
    progress = saga.progress
    is_past_pivot = progress.position > pivot_of(progress.steps)
    is_parked_there = saga.status is SagaStatus.PARKED and is_past_pivot
    if not may_return and (saga.status is SagaStatus.COMPLETED or is_parked_there):
        detail = "It is past its pivot: only an operator can return it."
        return Refused(refusals.NEEDS_OPERATOR, detail)
    if saga.status is SagaStatus.COMPLETED:
        transition = engine.give_back(progress=progress, code=refusals.STOPPED, detail=reason)
        return PlannedIntervention(action=InterventionAction.RETURN, transition=transition)
    if saga.status in FINAL or progress.direction is Direction.UNDO:
        return Refused(refusals.ALREADY_UNDONE, f"This saga is {saga.status} already.")
    if saga.status is SagaStatus.PARKED and progress.direction is Direction.DO:
        transition = engine.give_back(progress=progress, code=refusals.STOPPED, detail=reason)
        return PlannedIntervention(action=InterventionAction.UNDO, transition=transition)
    if is_past_pivot:
        return Refused(
            refusals.PAST_PIVOT, "It can only go forward now; once it is completed, return it."
        )
    if saga.status is SagaStatus.PARKED:
        return Refused(
            refusals.PAST_PIVOT, "It is unknown whether its pivot has happened: retry that first."
        )
    return PlannedIntervention(action=InterventionAction.STOP, transition=None)


def decide_retry(saga: Standing) -> PlannedIntervention | Refused:
    """Repeats the parked call, with all its tries."""
    if saga.status is not SagaStatus.PARKED:
        return _not_parked(saga)
    return PlannedIntervention(
        action=InterventionAction.RETRY, transition=engine.retry(progress=saga.progress)
    )


def decide_skip(saga: Standing, reason: str) -> PlannedIntervention | Refused:
    """Goes on to the next call, unless the skipped one decides the direction."""
    if saga.status is not SagaStatus.PARKED:
        return _not_parked(saga)
    transition = engine.skip(progress=saga.progress, reason=reason)
    if transition is None:
        return Refused(
            refusals.NOTHING_TO_RETRY,
            "Only the service knows whether the pivot has happened: retry, or fix it there.",
        )
    return PlannedIntervention(action=InterventionAction.SKIP, transition=transition)


def _not_parked(saga: Standing) -> Refused:
    return Refused(refusals.NOTHING_TO_RETRY, f"This saga is {saga.status}, not parked.")
