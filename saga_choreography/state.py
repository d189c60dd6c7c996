"""Where a saga stands, from the events seen of it: pure, whatever their order and number.

Everything is derived from `checkout.LISTENS` and the list of steps, so a new step needs no change
here.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from contracts import events, sagas
from contracts.outcomes import Failure
from contracts.sagas import CHECKOUT, StepClass
from contracts.states import StepState
from contracts.statuses import SagaStatus, StepStatus
from saga_choreography.checkout import LISTENS
from saga_choreography.entries import Seen, Stage
from sagas.operations import Kind

STEPS = [step.name for step in CHECKOUT.steps]
INDEX = {name: index for index, name in enumerate(STEPS)}
PIVOT = next(one.name for one in CHECKOUT.steps if one.step_class is StepClass.PIVOT)
UNDOABLE = frozenset(one.name for one in CHECKOUT.steps if one.undo)

DONE = {events.CHECKOUT_INITIATED: sagas.ACCEPT} | {
    one.says: one.step for one in LISTENS if one.kind is Kind.DO
}
REFUSED = {one.says_if_refused: one.step for one in LISTENS if one.says_if_refused}
UNDONE = {one.says: one.step for one in LISTENS if one.kind is Kind.UNDO}
EVENT_TYPES = sorted({one.event for one in LISTENS} | DONE.keys() | REFUSED.keys() | UNDONE.keys())

_DONE_OF = {step: event for event, step in DONE.items()}
_REFUSED_OF = {step: event for event, step in REFUSED.items()}
_UNDONE_OF = {step: event for event, step in UNDONE.items()}
_PAST_ITS_FIRST_UNDO = INDEX[PIVOT] + 1

STAGE_AFTER: Mapping[str, Stage] = {
    **dict.fromkeys([*REFUSED, *UNDONE], Stage.COMPENSATING),
    events.CHECKOUT_COMPLETED: Stage.COMPLETED,
    events.CHECKOUT_RETURN_REQUESTED: Stage.RETURNING,
    _UNDONE_OF[PIVOT]: Stage.RETURNING,
    events.CHECKOUT_FAILED: Stage.ENDED,
}
"""The stage that a saga has come to at least, once this event was seen; others change none."""

_STATUS_OF_STAGE = {
    Stage.RUNNING: SagaStatus.RUNNING,
    Stage.COMPENSATING: SagaStatus.COMPENSATING,
    Stage.COMPLETED: SagaStatus.COMPLETED,
    Stage.RETURNING: SagaStatus.COMPENSATING,
}


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """Where a saga stands. `current_step`: what is being done, or undone; None: it has ended."""

    stage: Stage
    status: SagaStatus
    current_step: str | None
    failure: Failure | None
    finished_at: datetime | None
    steps: Sequence[StepState]


def fold(*, trail: Iterable[Seen]) -> Folded:
    """The state that these events make, in any order and with any duplicates."""
    seen = _first_of_each(trail)
    stage = max((STAGE_AFTER.get(one, Stage.RUNNING) for one in seen), default=Stage.RUNNING)
    last = _last(stage, seen)
    return Folded(
        stage=stage,
        status=status_after(stage=stage, last=last),
        current_step=current_step(stage=stage, event_types=seen),
        failure=_failure(stage, seen),
        finished_at=last.occurred_at if last else None,
        steps=[_step(name, stage, seen) for name in STEPS],
    )


def status_after(*, stage: Stage, last: Seen | None) -> SagaStatus:
    """The word for a stage. `last`: the event that ended the saga, if it has ended.

    A saga that ended without a sale says in its last event whether anything had to be undone, as
    carrito recorded it: the two can't disagree.
    """
    if stage is not Stage.ENDED or last is None:
        return _STATUS_OF_STAGE[stage]
    if last.data.result.get("status") in (SagaStatus.FAILED, SagaStatus.COMPENSATED):
        return SagaStatus(last.data.result["status"])
    is_undone = last.data.failure is not None and last.data.failure.undone
    return SagaStatus.COMPENSATED if is_undone else SagaStatus.FAILED


def current_step(*, stage: Stage, event_types: Iterable[str]) -> str | None:
    """The step that is being done, or undone, once these were seen; None once it has ended."""
    if stage in (Stage.COMPLETED, Stage.ENDED):
        return None
    seen = set(event_types)
    if stage is Stage.RUNNING:
        return STEPS[min(_furthest(seen) + 1, len(STEPS) - 1)]
    return STEPS[_lowest(seen) - 1]


def last_facts(*, stage: Stage, event_types: Iterable[str]) -> list[str]:
    """What has to be said again for a saga to go on that stands still after these events.

    Backward: the fact furthest back; every undo before it has happened, or it would not be said.
    Forward: the fact furthest on, and the abort if one was asked for, since the pivot decides
    between the two.
    """
    seen = set(event_types)
    if stage is Stage.RUNNING:
        forward = [one for one in seen if one in DONE]
        abort = seen & {events.CHECKOUT_ABORT_REQUESTED}
        return sorted(forward, key=lambda one: INDEX[DONE[one]])[-1:] + sorted(abort)
    backward = {events.CHECKOUT_RETURN_REQUESTED: _PAST_ITS_FIRST_UNDO}
    backward |= {one: INDEX[step] for one, step in (REFUSED | UNDONE).items()}
    back = [one for one in seen if one in backward]
    return sorted(back, key=lambda one: (backward[one], one))[:1]


def _first_of_each(trail: Iterable[Seen]) -> dict[str, Seen]:
    ordered = sorted(trail, key=lambda one: (one.seen_at, one.event_id), reverse=True)
    return {one.event_type: one for one in ordered}


def _last(stage: Stage, seen: Mapping[str, Seen]) -> Seen | None:
    if stage is Stage.ENDED:
        return seen[events.CHECKOUT_FAILED]
    return seen[events.CHECKOUT_COMPLETED] if stage is Stage.COMPLETED else None


def _failure(stage: Stage, seen: Mapping[str, Seen]) -> Failure | None:
    if stage is Stage.ENDED:
        return seen[events.CHECKOUT_FAILED].data.failure
    reached = [one for one in seen.values() if STAGE_AFTER.get(one.event_type) is stage]
    reasons = [one for one in reached if one.data.failure]
    first = min(reasons, key=lambda one: (one.seen_at, one.event_id), default=None)
    return first.data.failure if first else None


def _furthest(seen: Iterable[str]) -> int:
    return max((INDEX[DONE[one]] for one in seen if one in DONE), default=0)


def _lowest(seen: Iterable[str]) -> int:
    """How far back it has come: all undos of the steps from here on are done."""
    back = [INDEX[(REFUSED | UNDONE)[one]] for one in seen if one in REFUSED or one in UNDONE]
    return min(back, default=_PAST_ITS_FIRST_UNDO)


def _step(name: str, stage: Stage, seen: Mapping[str, Seen]) -> StepState:
    done = seen.get(_DONE_OF.get(name, ""))
    refused = seen.get(_REFUSED_OF.get(name, ""))
    undone = seen.get(_UNDONE_OF.get(name, ""))
    acted, last = done or refused, undone or done or refused
    return StepState(
        step_name=name,
        status=_step_status(name, stage, seen),
        started_at=acted.requested_at if acted else None,
        finished_at=last.occurred_at if last else None,
        error=_error(done, refused, undone),
        response_data=done.data.result if done else {},
    )


def _error(done: Seen | None, refused: Seen | None, undone: Seen | None) -> str | None:
    for one, word in ((undone, "undo skipped"), (done, "skipped")):
        if one and "skipped" in one.data.result:
            return f"{word}: {one.data.result['skipped']}"
    failure = refused.data.failure if refused else None
    return f"{failure.code}: {failure.detail}" if failure else None


def _step_status(name: str, stage: Stage, seen: Mapping[str, Seen]) -> StepStatus:
    """A step whose own event was lost on its way here is known by those that can only follow."""
    index, furthest = INDEX[name], _furthest(seen)
    undone = seen.get(_UNDONE_OF.get(name, ""))
    is_refused = _REFUSED_OF.get(name, "") in seen
    done = seen.get(_DONE_OF.get(name, ""))
    if undone and "skipped" in undone.data.result:
        return StepStatus.COMPLETED
    if done and "skipped" in done.data.result:
        return StepStatus.SKIPPED
    if undone and not undone.data.result.get("nothing_to_undo"):
        return StepStatus.COMPENSATED
    if is_refused:
        return StepStatus.FAILED
    if undone:
        return StepStatus.SKIPPED
    if index <= furthest:
        is_undone = _is_backward(stage) and index >= _lowest(seen) and name in UNDOABLE
        return StepStatus.COMPENSATED if is_undone else StepStatus.COMPLETED
    if _is_backward(stage):
        return StepStatus.SKIPPED
    return StepStatus.RUNNING if index == furthest + 1 else StepStatus.PENDING


def _is_backward(stage: Stage) -> bool:
    return stage in (Stage.COMPENSATING, Stage.RETURNING, Stage.ENDED)
