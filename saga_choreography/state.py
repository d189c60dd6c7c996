"""Where a saga stands, from the events seen of it: pure, whatever their order and number.

Everything is derived from the saga's page, so a new step, or a new saga, needs no change here.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

import msgspec

from contracts.catalogue import SAGAS
from contracts.events import Facts
from contracts.outcomes import Failure
from contracts.saga import Saga, Step
from contracts.states import StepState
from contracts.statuses import SagaStatus, StepStatus
from saga_choreography.store import Said, Seen, Stage

_STATUS_OF_STAGE = {
    Stage.RUNNING: SagaStatus.RUNNING,
    Stage.COMPENSATING: SagaStatus.COMPENSATING,
    Stage.COMPLETED: SagaStatus.COMPLETED,
    Stage.RETURNING: SagaStatus.COMPENSATING,
}


class SagaView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a saga stands. `current_step`: what is being done, or undone; None: it has ended."""

    stage: Stage
    status: SagaStatus
    current_step: str | None
    failure: Failure | None
    finished_at: datetime | None
    steps: Sequence[StepState]


@cache
def machine_of(saga: str) -> "StateMachine":
    """What the events of this saga mean. Raises KeyError where the catalogue has none such."""
    return StateMachine(SAGAS[saga])


class StateMachine:
    """A saga's page, read as what its events tell: made once for each saga.

    `pivot`: the step that decides whether the saga can still be turned back. `stage_after`: the
    stage that it has come to at least, once this event was seen; events not in it change none.
    """

    def __init__(self, saga: Saga) -> None:
        self.page = saga
        self.pivot: Step = saga.steps[saga.pivot]
        self.started, self.completed = saga.steps[0].done, saga.steps[-1].done
        self.undone = saga.steps[0].undone
        self._done = {step.done: at for at, step in enumerate(saga.steps)}
        self._back = {
            event: at
            for at, step in enumerate(saga.steps)
            for event in (step.refused, step.undone)
            if event
        }
        self._past_first_undo = saga.pivot + 1
        self.stage_after: Mapping[str, Stage] = {
            **dict.fromkeys(self._back, Stage.COMPENSATING),
            self.completed: Stage.COMPLETED,
            self.page.give_back: Stage.RETURNING,
            self.pivot.undone: Stage.RETURNING,
            self.undone: Stage.ENDED,
        }

    def fold(self, *, trail: Iterable[Seen]) -> SagaView:
        """The state that these events make, in any order and with any duplicates."""
        seen = _first_of_each(trail)
        stage = max(
            (self.stage_after.get(one, Stage.RUNNING) for one in seen), default=Stage.RUNNING
        )
        last = self._last(stage, seen)
        return SagaView(
            stage=stage,
            status=status_after(stage=stage, last=last.data if last else None),
            current_step=self.current_step(stage=stage, event_types=seen),
            failure=self._failure(stage, seen),
            finished_at=last.occurred_at if last else None,
            steps=[self._step(at, stage, seen) for at in range(len(self.page.steps))],
        )

    def current_step(self, *, stage: Stage, event_types: Iterable[str]) -> str | None:
        """The step that is being done, or undone, once these were seen; None once it has ended."""
        if stage in (Stage.COMPLETED, Stage.ENDED):
            return None
        steps, seen = self.page.steps, set(event_types)
        if stage is Stage.RUNNING:
            return steps[min(self._furthest(seen) + 1, len(steps) - 1)].name
        return steps[self._lowest(seen) - 1].name

    def last_events(self, *, stage: Stage, event_types: Iterable[str]) -> list[str]:
        """What has to be said again for a saga to go on that stands still after these events.

        Backward: the event furthest back; every undo before it has happened, or it would not be
        said. Forward: the event furthest on, and the abort if one was asked for, since the pivot
        decides between the two.
        """
        seen = set(event_types)
        if stage is Stage.RUNNING:
            forward = sorted(seen & self._done.keys(), key=lambda one: self._done[one])
            return forward[-1:] + sorted(seen & {self.page.abort})
        backward = self._back | {self.page.give_back: self._past_first_undo}
        return sorted(seen & backward.keys(), key=lambda one: (backward[one], one))[:1]

    def _last(self, stage: Stage, seen: Mapping[str, Seen]) -> Seen | None:
        if stage is Stage.ENDED:
            return seen[self.undone]
        return seen[self.completed] if stage is Stage.COMPLETED else None

    def _failure(self, stage: Stage, seen: Mapping[str, Seen]) -> Failure | None:
        if stage is Stage.ENDED:
            return seen[self.undone].data.failure
        reached = [one for one in seen.values() if self.stage_after.get(one.event_type) is stage]
        reasons = [one for one in reached if one.data.failure]
        first = min(reasons, key=lambda one: (one.seen_at, one.event_id), default=None)
        return first.data.failure if first else None

    def _furthest(self, seen: Iterable[str]) -> int:
        return max((self._done[one] for one in seen if one in self._done), default=0)

    def _lowest(self, seen: Iterable[str]) -> int:
        """How far back it has come: all undos of the steps from here on are done."""
        back = [self._back[one] for one in seen if one in self._back]
        return min(back, default=self._past_first_undo)

    def _step(self, at: int, stage: Stage, seen: Mapping[str, Seen]) -> StepState:
        step = self.page.steps[at]
        done, refused = seen.get(step.done), seen.get(step.refused)
        undone = seen.get(step.undone)
        acted, last = done or refused, undone or done or refused
        return StepState(
            step_name=step.name,
            status=self._step_status(at, stage, seen),
            started_at=acted.requested_at if acted else None,
            finished_at=last.occurred_at if last else None,
            error=_error(done, refused, undone),
            response_data=done.data.result if done else {},
        )

    def _step_status(self, at: int, stage: Stage, seen: Mapping[str, Seen]) -> StepStatus:
        """A step whose own event was lost on its way here is known by those that follow it."""
        step, furthest = self.page.steps[at], self._furthest(seen)
        done, undone = seen.get(step.done), seen.get(step.undone)
        if undone and "skipped" in undone.data.result:
            return StepStatus.COMPLETED
        if done and "skipped" in done.data.result:
            return StepStatus.SKIPPED
        if undone and not undone.data.result.get("nothing_to_undo"):
            return StepStatus.COMPENSATED
        if step.refused in seen:
            return StepStatus.FAILED
        if undone:
            return StepStatus.SKIPPED
        if at <= furthest:
            is_undone = _is_backward(stage) and at >= self._lowest(seen) and step.undone
            return StepStatus.COMPENSATED if is_undone else StepStatus.COMPLETED
        if _is_backward(stage):
            return StepStatus.SKIPPED
        return StepStatus.RUNNING if at == furthest + 1 else StepStatus.PENDING


def status_after(*, stage: Stage, last: Said | Facts | None) -> SagaStatus:
    """The word for a stage. `last`: what the event carried that ended the saga, if it has ended.

    A saga that was undone says in its last event whether anything had to be, as its owner recorded
    it: the two can't disagree.
    """
    if stage is not Stage.ENDED or last is None:
        return _STATUS_OF_STAGE[stage]
    if last.result.get("status") in (SagaStatus.FAILED, SagaStatus.COMPENSATED):
        return SagaStatus(last.result["status"])
    is_undone = last.failure is not None and last.failure.undone
    return SagaStatus.COMPENSATED if is_undone else SagaStatus.FAILED


def _first_of_each(trail: Iterable[Seen]) -> dict[str, Seen]:
    ordered = sorted(trail, key=lambda one: (one.seen_at, one.event_id), reverse=True)
    return {one.event_type: one for one in ordered}


def _error(done: Seen | None, refused: Seen | None, undone: Seen | None) -> str | None:
    for one, word in ((undone, "undo skipped"), (done, "skipped")):
        if one and "skipped" in one.data.result:
            return f"{word}: {one.data.result['skipped']}"
    failure = refused.data.failure if refused else None
    return f"{failure.code}: {failure.detail}" if failure else None


def _is_backward(stage: Stage) -> bool:
    return stage in (Stage.COMPENSATING, Stage.RETURNING, Stage.ENDED)
