"""The workflow: runs a saga's definition on Temporal. It takes time and randomness from Temporal
only, and reads no table, so any worker can replay it from its history.

    the call that is due -> its transition (coordination.engine) -> the next call, or a wait

A saga goes by the steps that it was begun with, whatever the catalogue has since. Each call carries
the row that is written before it (`activities`). The workflow waits for a decision or an operator
as long as that takes: a signal ends the wait. A very long workflow begins anew from where it stands
(continue-as-new), so that its history stays bounded.
"""

from collections import deque
from datetime import datetime, timedelta
from typing import Any

import msgspec
from temporalio import workflow
from temporalio.common import RetryPolicy

from contracts import projection
from contracts.outcomes import Failure, Outcome
from contracts.refusals import STOPPED
from contracts.saga import Context, Direction, Step
from contracts.states import FINAL, SagaStatus
from coordination import engine
from coordination.engine import CallResult, Fault, Postponed, Progress, Transition

NAME, QUEUE = "saga", "dueto-sagas"
CALL, WRITE = "call", "write"
WRITE_SECONDS = 10.0
"""For a statement within its time limits, and a new connection."""
HEARTBEAT_SECONDS = 5.0
"""An activity without a heartbeat for so long is given to another worker."""
OVERDUE_SECONDS = 5.0
"""A service ends its overdue steps by itself; after so long without its outcome it is called."""
AGAIN = RetryPolicy(
    initial_interval=timedelta(seconds=0.2), maximum_interval=timedelta(seconds=3.0)
)
"""Retries of an activity that could not write, or whose worker died: without end. A participant's
refusal or fault is no failure of the activity: the engine decides on it."""


class RequestedIntervention(msgspec.Struct, frozen=True):
    """An intervention. `version`: of the saga as its requester saw it."""

    id: int
    action: str
    reason: str = ""
    version: int = 0


class WorkflowState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All that a workflow needs to go on with a saga. `seconds`: until it is turned back, without
    the time that it waits. `asked`: interventions that are not handled yet; `known`: ids of all
    others.
    """

    context: Context
    steps: tuple[Step, ...]
    seconds: float
    version: int = 0
    position: int = 1
    direction: Direction = Direction.DO
    faults: int = 0
    failure: Failure | None = None
    is_stopped: bool = False
    decided: list[str] = []
    asked: list[RequestedIntervention] = []
    known: list[int] = []


class DueCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The input of a call's activity. `row`: is written first."""

    context: Context
    step: Step
    direction: Direction
    failure: Failure | None = None
    row: dict[str, Any] | None = None


class Answered(msgspec.Struct, omit_defaults=True):
    """The result of a call: one of these."""

    outcome: Outcome | None = None
    fault: str | None = None
    postponed: float = 0.0

    @property
    def result(self) -> CallResult:
        if self.outcome is not None:
            return self.outcome
        return Postponed(self.postponed) if self.fault is None else Fault(self.fault)


@workflow.defn(name=NAME)
class SagaWorkflow:
    def __init__(self) -> None:
        self._decided: set[str] = set()
        self._asked: deque[RequestedIntervention] = deque()
        self._known: set[int] = set()
        self._is_stopped = False
        self._records: list[dict[str, Any]] = []
        self._written: SagaStatus | None = None

    @workflow.signal
    def decided(self, step: str) -> None:
        """The step is decided now: a workflow that waits for it calls it again."""
        self._decided.add(step)

    @workflow.signal
    def asked(self, given: dict[str, Any]) -> None:
        """An intervention. Sent twice, it counts once."""
        self._take(msgspec.convert(given, RequestedIntervention))

    def _take(self, asked: RequestedIntervention) -> None:
        if asked.id in self._known:
            return
        self._known.add(asked.id)
        if asked.action == "stop":
            self._is_stopped = True
        else:
            self._asked.append(asked)

    @workflow.run
    async def run(self, given: dict[str, Any]) -> str:
        """Runs the saga; returns its final status. `given`: a WorkflowState."""
        state = msgspec.convert(given, WorkflowState)
        self._context, self._version = state.context, state.version
        self._deadline = workflow.now() + timedelta(seconds=state.seconds)
        self._entered = workflow.now()
        self._decided |= set(state.decided)
        self._known |= set(state.known)
        self._is_stopped |= state.is_stopped
        for asked in state.asked:
            self._take(asked)
        progress = Progress(
            steps=state.steps,
            position=state.position,
            direction=state.direction,
            faults=state.faults,
            failure=state.failure,
        )
        begun = _again(progress)
        transition = self._next_asked(begun) or begun
        while True:
            self._note(transition)
            is_long = workflow.info().is_continue_as_new_suggested()
            if is_long and transition.is_on_its_way and not self._records:
                self._begin_anew(transition.progress)
            following = await self._after(transition)
            if following is None:
                return transition.status
            transition = following

    async def _after(self, transition: Transition) -> Transition | None:
        """The next transition; None at its end."""
        if transition.status in FINAL:
            await self._write(transition)
            return self._not_the_end(transition)
        if transition.status is SagaStatus.PARKED:
            await self._write(transition)
            return await self._person(transition)
        if transition.waits:
            await self._write(transition)
            await self._decision(transition)
            return _again(transition.progress)
        if transition.seconds:
            if self._records or transition.status is not self._written:
                await self._write(transition)
            await self._wait(
                lambda: bool(self._turned_back(transition.progress)), transition.seconds
            )
            return _again(transition.progress)
        return self._turned_back(transition.progress) or await self._call(transition)

    def _note(self, transition: Transition) -> None:
        """Keeps the record of the step that was called, to be written with the next row."""
        record, now = transition.record, workflow.now()
        if record:
            step = transition.progress.steps[record.position]
            fields = msgspec.structs.asdict(record)
            result = fields.pop("result")
            data = dict(result.data) if result else None
            times = {"entered": self._entered.timestamp(), "ended": now.timestamp()}
            self._records.append({**fields, "name": step.name, "data": data, **times})
            if result:
                self._context = projection.with_result(
                    context=self._context,
                    steps=transition.progress.steps,
                    step=step.name,
                    outcome=result,
                )
        self._entered = now

    async def _call(self, transition: Transition) -> Transition:
        progress, step = transition.progress, transition.progress.step
        due = DueCall(
            context=self._context,
            step=step,
            direction=progress.direction,
            failure=progress.failure,
            row=self._row(transition),
        )
        found = await workflow.execute_activity(
            CALL,
            msgspec.to_builtins(due),
            start_to_close_timeout=timedelta(seconds=step.seconds + WRITE_SECONDS),
            heartbeat_timeout=timedelta(seconds=HEARTBEAT_SECONDS),
            retry_policy=AGAIN,
            summary=f"{progress.direction} {step.name}",
        )
        self._is_written(transition)
        answer = msgspec.convert(found, Answered).result
        draw = workflow.random().random()
        following = engine.after(progress=progress, answer=answer, draw=draw)
        return engine.after_a_stop(transition=following) if self._is_stopped else following

    async def _write(self, transition: Transition) -> None:
        await workflow.execute_activity(
            WRITE,
            self._row(transition),
            start_to_close_timeout=timedelta(seconds=WRITE_SECONDS),
            heartbeat_timeout=timedelta(seconds=HEARTBEAT_SECONDS),
            retry_policy=AGAIN,
            summary=str(transition.status),
        )
        self._is_written(transition)

    def _is_written(self, transition: Transition) -> None:
        self._version += 1
        self._records, self._written = [], transition.status

    def _row(self, transition: Transition) -> dict[str, Any]:
        """The saga's row as JSON; fields that are left out are null in SQL."""
        progress, ended = transition.progress, transition.status in FINAL
        row: dict[str, Any] = {
            "saga_id": self._context.saga_id,
            "version": self._version + 1,
            "status": transition.status,
            "position": progress.position,
            "current_step": "" if ended else progress.step.name,
            "direction": progress.direction,
            "ended": ended,
            "parked": transition.status is SagaStatus.PARKED,
            "reason": transition.reason,
            "steps": self._records,
            "results": self._context.results,
        }
        if transition.waits:
            row |= {"decided_by": transition.waits.decided_by, "until": transition.waits.until}
        if progress.failure:
            failure = msgspec.structs.asdict(progress.failure)
            row |= {f"failure_{name}": value for name, value in failure.items()}
        found: dict[str, Any] = msgspec.to_builtins(row)
        return found

    def _turned_back(self, progress: Progress) -> Transition | None:
        return engine.turned_back(
            progress=progress,
            is_stopped=self._is_stopped,
            is_late=workflow.now() >= self._deadline,
        )

    async def _decision(self, transition: Transition) -> None:
        """Waits until the step is decided, must be overdue, or a stop is requested."""
        until, step = transition.waits and transition.waits.until, transition.progress.step
        since = workflow.now()
        left = (until - since).total_seconds() if isinstance(until, datetime) else 0.0
        await self._wait(
            lambda: step.name in self._decided or self._is_stopped, max(left, 0) + OVERDUE_SECONDS
        )
        self._decided.discard(step.name)
        self._deadline += workflow.now() - since

    async def _person(self, transition: Transition) -> Transition:
        while True:
            await workflow.wait_condition(lambda: bool(self._asked))
            if following := self._next_asked(transition):
                return following

    def _next_asked(self, transition: Transition) -> Transition | None:
        """The transition of the first intervention; None if it was requested at another version."""
        if not self._asked:
            return None
        asked, progress = self._asked.popleft(), transition.progress
        if asked.version != self._version:
            return None
        match asked.action:
            case "retry":
                return engine.retry(progress=progress)
            case "skip":
                return engine.skip(progress=progress, reason=asked.reason)
            case _:
                return engine.give_back(progress=progress, code=STOPPED, detail=asked.reason)

    def _not_the_end(self, transition: Transition) -> Transition | None:
        """The transition after a stop that came too late, or a return; None at the end."""
        if transition.status is not SagaStatus.COMPLETED:
            return None
        if self._is_stopped:
            return engine.after_a_stop(transition=msgspec.structs.replace(transition, record=None))
        return self._next_asked(transition)

    async def _wait(self, condition: Any, seconds: float) -> None:
        try:
            await workflow.wait_condition(condition, timeout=timedelta(seconds=seconds))
        except TimeoutError:
            return

    def _begin_anew(self, progress: Progress) -> None:
        """Ends this run by raising; the next run goes on from here."""
        state = WorkflowState(
            context=self._context,
            steps=tuple(progress.steps),
            seconds=(self._deadline - workflow.now()).total_seconds(),
            version=self._version,
            position=progress.position,
            direction=progress.direction,
            faults=progress.faults,
            failure=progress.failure,
            is_stopped=self._is_stopped,
            decided=sorted(self._decided),
            asked=list(self._asked),
            known=sorted(self._known - {asked.id for asked in self._asked}),
        )
        workflow.continue_as_new(msgspec.to_builtins(state))


def _again(progress: Progress) -> Transition:
    """The transition that makes the call that is due now."""
    is_back = progress.direction is Direction.UNDO
    status = SagaStatus.COMPENSATING if is_back else SagaStatus.RUNNING
    return Transition(progress=progress, status=status)
