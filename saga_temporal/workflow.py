"""The workflow: a saga's page, run on Temporal. It reads no clock, no chance and no table but by
Temporal, so that what it did can be done again from its history, by any worker.

    the call that is due -> what follows (coordination.engine) -> the next call, or a wait

A saga goes by the rows that it was begun with, whatever the catalogue says since. Each call takes
with it what is to be written of the saga before it (`activities`). It waits for a decision, or a
person, as long as that takes: a signal ends the wait. One that goes on for very long begins anew
from where it stands (continue-as-new), so that its history does not grow without end.
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
"""For a statement, its limits, and a new connection."""
HEARTBEAT_SECONDS = 5.0
"""An activity of which nothing is heard for so long is given to a worker anew."""
OVERDUE_SECONDS = 5.0
"""A service ends its overdue steps by itself; one that it has not told of by then is asked."""
AGAIN = RetryPolicy(
    initial_interval=timedelta(seconds=0.2), maximum_interval=timedelta(seconds=3.0)
)
"""Of an activity that could not write, or whose worker died: without an end. What a participant
answers, or that it does not, is no failure of the activity: the engine decides on it."""


class Asked(msgspec.Struct, frozen=True):
    """What a person asks. `version`: of the saga as they saw it."""

    id: int
    action: str
    reason: str = ""
    version: int = 0


class State(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All there is to know of a saga to go on with it. `seconds`: until it is turned back, without
    the time that it waits. `asked`: what was asked of it that nobody has looked at yet.
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
    asked: list[Asked] = []
    known: list[int] = []


class DueCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a worker needs to know for a call. `row`: what is written first."""

    context: Context
    step: Step
    direction: Direction
    failure: Failure | None = None
    row: dict[str, Any] | None = None


class Answered(msgspec.Struct, omit_defaults=True):
    """What came of a call: one of these."""

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
        self._asked: deque[Asked] = deque()
        self._known: set[int] = set()
        self._is_stopped = False
        self._records: list[dict[str, Any]] = []
        self._written: SagaStatus | None = None

    @workflow.signal
    def decided(self, step: str) -> None:
        """A step of it is decided by now: who was answered that it waits asks again."""
        self._decided.add(step)

    @workflow.signal
    def asked(self, given: dict[str, Any]) -> None:
        """A person asks something of it. Told twice, it counts once."""
        self._hear(msgspec.convert(given, Asked))

    def _hear(self, asked: Asked) -> None:
        if asked.id in self._known:
            return
        self._known.add(asked.id)
        if asked.action == "stop":
            self._is_stopped = True
        else:
            self._asked.append(asked)

    @workflow.run
    async def run(self, given: dict[str, Any]) -> str:
        """Its status in the end. `given`: a State."""
        state = msgspec.convert(given, State)
        self._context, self._version = state.context, state.version
        self._deadline = workflow.now() + timedelta(seconds=state.seconds)
        self._entered = workflow.now()
        self._decided |= set(state.decided)
        self._known |= set(state.known)
        self._is_stopped |= state.is_stopped
        for asked in state.asked:
            self._hear(asked)
        progress = Progress(
            steps=state.steps,
            position=state.position,
            direction=state.direction,
            faults=state.faults,
            failure=state.failure,
        )
        begun = _again(progress)
        move = self._next_asked(begun) or begun
        while True:
            self._note(move)
            is_long = workflow.info().is_continue_as_new_suggested()
            if is_long and move.is_on_its_way and not self._records:
                self._begin_anew(move.progress)
            following = await self._after(move)
            if following is None:
                return move.status
            move = following

    async def _after(self, move: Transition) -> Transition | None:
        """The next transition; None at its end."""
        if move.status in FINAL:
            await self._write(move)
            return self._not_the_end(move)
        if move.status is SagaStatus.PARKED:
            await self._write(move)
            return await self._person(move)
        if move.waits:
            await self._write(move)
            await self._decision(move)
            return _again(move.progress)
        if move.seconds:
            if self._records or move.status is not self._written:
                await self._write(move)
            await self._wait(lambda: bool(self._turned_back(move.progress)), move.seconds)
            return _again(move.progress)
        return self._turned_back(move.progress) or await self._call(move)

    def _note(self, move: Transition) -> None:
        """Of the step that was called: to be written with what comes next."""
        record, now = move.record, workflow.now()
        if record:
            step = move.progress.steps[record.position]
            fields = msgspec.structs.asdict(record)
            result = fields.pop("result")
            data = dict(result.data) if result else None
            times = {"entered": self._entered.timestamp(), "ended": now.timestamp()}
            self._records.append({**fields, "name": step.name, "data": data, **times})
            if result:
                self._context = projection.with_result(
                    context=self._context,
                    steps=move.progress.steps,
                    step=step.name,
                    outcome=result,
                )
        self._entered = now

    async def _call(self, move: Transition) -> Transition:
        progress, step = move.progress, move.progress.step
        due = DueCall(
            context=self._context,
            step=step,
            direction=progress.direction,
            failure=progress.failure,
            row=self._row(move),
        )
        found = await workflow.execute_activity(
            CALL,
            msgspec.to_builtins(due),
            start_to_close_timeout=timedelta(seconds=step.seconds + WRITE_SECONDS),
            heartbeat_timeout=timedelta(seconds=HEARTBEAT_SECONDS),
            retry_policy=AGAIN,
            summary=f"{progress.direction} {step.name}",
        )
        self._is_written(move)
        answer = msgspec.convert(found, Answered).result
        draw = workflow.random().random()
        following = engine.after(progress=progress, answer=answer, draw=draw)
        return engine.after_a_stop(transition=following) if self._is_stopped else following

    async def _write(self, move: Transition) -> None:
        await workflow.execute_activity(
            WRITE,
            self._row(move),
            start_to_close_timeout=timedelta(seconds=WRITE_SECONDS),
            heartbeat_timeout=timedelta(seconds=HEARTBEAT_SECONDS),
            retry_policy=AGAIN,
            summary=str(move.status),
        )
        self._is_written(move)

    def _is_written(self, move: Transition) -> None:
        self._version += 1
        self._records, self._written = [], move.status

    def _row(self, move: Transition) -> dict[str, Any]:
        """What is known of the saga now, as JSON; what is left out is null there."""
        there, ended = move.progress, move.status in FINAL
        row: dict[str, Any] = {
            "saga_id": self._context.saga_id,
            "version": self._version + 1,
            "status": move.status,
            "position": there.position,
            "current_step": "" if ended else there.step.name,
            "direction": there.direction,
            "ended": ended,
            "parked": move.status is SagaStatus.PARKED,
            "reason": move.reason,
            "steps": self._records,
            "results": self._context.results,
        }
        if move.waits:
            row |= {"decided_by": move.waits.decided_by, "until": move.waits.until}
        if there.failure:
            failure = msgspec.structs.asdict(there.failure)
            row |= {f"failure_{name}": value for name, value in failure.items()}
        found: dict[str, Any] = msgspec.to_builtins(row)
        return found

    def _turned_back(self, progress: Progress) -> Transition | None:
        return engine.turned_back(
            progress=progress,
            is_stopped=self._is_stopped,
            is_late=workflow.now() >= self._deadline,
        )

    async def _decision(self, move: Transition) -> None:
        """Until its service tells of the decision, it must be overdue, or a stop is asked for."""
        until, step = move.waits and move.waits.until, move.progress.step
        since = workflow.now()
        left = (until - since).total_seconds() if isinstance(until, datetime) else 0.0
        await self._wait(
            lambda: step.name in self._decided or self._is_stopped, max(left, 0) + OVERDUE_SECONDS
        )
        self._decided.discard(step.name)
        self._deadline += workflow.now() - since

    async def _person(self, move: Transition) -> Transition:
        while True:
            await workflow.wait_condition(lambda: bool(self._asked))
            if following := self._next_asked(move):
                return following

    def _next_asked(self, move: Transition) -> Transition | None:
        """What follows from what was asked first; None where that was said of another standing."""
        if not self._asked:
            return None
        asked, progress = self._asked.popleft(), move.progress
        if asked.version != self._version:
            return None
        match asked.action:
            case "retry":
                return engine.retry(progress=progress)
            case "skip":
                return engine.skip(progress=progress, reason=asked.reason)
            case _:
                return engine.give_back(progress=progress, code=STOPPED, detail=asked.reason)

    def _not_the_end(self, move: Transition) -> Transition | None:
        """What follows where a stop came too late, or a return was asked for already."""
        if move.status is not SagaStatus.COMPLETED:
            return None
        if self._is_stopped:
            return engine.after_a_stop(transition=msgspec.structs.replace(move, record=None))
        return self._next_asked(move)

    async def _wait(self, condition: Any, seconds: float) -> None:
        try:
            await workflow.wait_condition(condition, timeout=timedelta(seconds=seconds))
        except TimeoutError:
            return

    def _begin_anew(self, progress: Progress) -> None:
        """Raises: this run ends, and the next one goes on from here."""
        state = State(
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
    """The call that is due, to be made now."""
    is_back = progress.direction is Direction.UNDO
    status = SagaStatus.COMPENSATING if is_back else SagaStatus.RUNNING
    return Transition(progress=progress, status=status)
