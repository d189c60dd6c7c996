"""What follows where a person asks something of a saga that is conducted: pure decisions."""

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
    """What is to be done to a saga. `transition`: None asks who runs it to turn it back."""

    action: InterventionAction
    transition: Transition | None


class Standing(Protocol):
    """A saga, and where it stands."""

    @property
    def status(self) -> SagaStatus: ...

    @property
    def progress(self) -> Progress: ...


def decide_compensate(
    saga: Standing, reason: str, *, may_return: bool = True
) -> PlannedIntervention | Refused:
    """A running saga is its runner's, which is asked; one that rests is moved at once."""
    progress = saga.progress
    is_past_pivot = progress.position > pivot_of(progress.steps)
    is_parked_there = saga.status is SagaStatus.PARKED and is_past_pivot
    if not may_return and (saga.status is SagaStatus.COMPLETED or is_parked_there):
        detail = "It is past its pivot: only an operator gives it back."
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
            refusals.PAST_PIVOT, "It is open whether its pivot has happened: retry that first."
        )
    return PlannedIntervention(action=InterventionAction.STOP, transition=None)


def decide_retry(saga: Standing) -> PlannedIntervention | Refused:
    """The same call, with all its tries again."""
    if saga.status is not SagaStatus.PARKED:
        return _not_parked(saga)
    return PlannedIntervention(
        action=InterventionAction.RETRY, transition=engine.retry(progress=saga.progress)
    )


def decide_skip(saga: Standing, reason: str) -> PlannedIntervention | Refused:
    """The next call instead, unless it is open what the skipped one would have told."""
    if saga.status is not SagaStatus.PARKED:
        return _not_parked(saga)
    transition = engine.skip(progress=saga.progress, reason=reason)
    if transition is None:
        return Refused(
            refusals.NOTHING_TO_RETRY,
            "Only the service can tell whether the pivot has happened: retry, or mend it there.",
        )
    return PlannedIntervention(action=InterventionAction.SKIP, transition=transition)


def _not_parked(saga: Standing) -> Refused:
    return Refused(refusals.NOTHING_TO_RETRY, f"This saga is {saga.status}, not parked.")
