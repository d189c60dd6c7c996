"""The engine: from the answer to a call to the next transition. Pure functions: no clock, no
randomness, no I/O.

    forward    DO each step; after the last step the saga is completed
    backward   UNDO, in reverse, every step that happened or is in doubt, down to the acceptance
    the pivot  once it has happened there is no way back; if it is in doubt, its service is asked to
               BLOCK it, and the answer decides the direction

A refusal is final. A fault is retried under the same key, with growing delays. After the last try a
compensable step is undone as if it had happened, the pivot is blocked, and any other call is
parked: an operator decides.

A step that waits for a decision (`Waiting`) costs no try: the saga rests until its service reports
the decision, or until the decision is overdue, and then the step is called again.
"""

from collections.abc import Sequence

import msgspec

from contracts import refusals
from contracts.outcomes import Done, Failure, Outcome, Refused, Waiting, had_effect
from contracts.saga import Direction, Step, StepClass, pivot_of
from contracts.states import SagaStatus, StepStatus

TRIES = 5
"""Calls of one step, in one direction, before the engine gives it up or parks the saga."""
FIRST_DELAY = 0.3
LONGEST_DELAY = 30.0


class Fault(msgspec.Struct, frozen=True):
    """No answer that tells what happened: the step is in doubt."""

    reason: str


class Postponed(msgspec.Struct, frozen=True):
    """Not called: the service is known to be down. `seconds`: until the next try."""

    seconds: float


CallResult = Outcome | Fault | Postponed


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A saga's state: the call that is due. `faults`: of that call so far.

    `reached`: the position of the last step that may have been called, if a process that died may
    have gone further than the stored state.
    """

    steps: Sequence[Step]
    position: int
    direction: Direction = Direction.DO
    faults: int = 0
    failure: Failure | None = None
    reached: int = 0

    @property
    def step(self) -> Step:
        return self.steps[self.position]


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What to store of a step. `status`: None leaves it unchanged. `do`, `undo`: 1 for a call in
    that direction.
    """

    position: int
    status: StepStatus | None
    do: int = 0
    undo: int = 0
    error: str = ""
    result: Done | None = None


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """What to store before the next call, and which call is due then.

    No call is due in a final status, or if the saga is parked (`reason` says why). `seconds`: delay
    of the call. `is_released`: due at once, for any runner that claims the saga. `waits`: due once
    its service reports a decision, or the decision is overdue. `record`: of the step that was
    called.
    """

    progress: Progress
    status: SagaStatus
    seconds: float = 0.0
    is_released: bool = False
    waits: Waiting | None = None
    record: StepRecord | None = None
    reason: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether the process that makes this transition can make the next call at once."""
        return self.is_on_its_way and not (self.seconds or self.is_released or self.waits)

    @property
    def is_on_its_way(self) -> bool:
        """Whether a call is due, now or later."""
        return self.status in _MOVING


_MOVING = frozenset({SagaStatus.RUNNING, SagaStatus.COMPENSATING})


def after(*, progress: Progress, answer: CallResult, draw: float) -> Transition:
    """The transition that follows from the answer to the call that was due.

    `draw`: a random number in [0, 1), so that postponed sagas do not all come back at once.
    """
    if isinstance(answer, Done):
        return _after_done(progress, answer)
    if isinstance(answer, Refused):
        return _after_refusal(progress, answer)
    if isinstance(answer, Postponed):
        return Transition(progress=progress, status=_status(progress), seconds=answer.seconds)
    if isinstance(answer, Waiting):
        return wait(progress=progress, waiting=answer)
    return _after_fault(progress, answer, draw)


def interrupt(*, progress: Progress, code: str, detail: str) -> Transition | None:
    """The transition that turns a saga back before the call that is due (a stop, the deadline).

    None if the saga is past its pivot, or goes backward already. Whether the step was called before
    a crash is unknown, so it counts as in doubt: the undo of a step that never happened blocks it.
    """
    if not _can_turn_back(progress):
        return None
    failure = Failure(progress.step.name, code, detail)
    return _give_up(progress, failure, calls=0)


STOPPED = "A stop was asked for."


def turned_back(*, progress: Progress, is_stopped: bool, is_late: bool) -> Transition | None:
    """The transition that turns a saga back before the call that is due, if a stop was asked for or
    its deadline has passed; None if it can't turn back.
    """
    if is_stopped:
        return interrupt(progress=progress, code=refusals.STOPPED, detail=STOPPED)
    if is_late:
        return interrupt(progress=progress, code=refusals.DEADLINE, detail="It took too long.")
    return None


def after_a_stop(*, transition: Transition) -> Transition:
    """The transition after a stop was asked for before the pivot. A stop that came too late becomes
    a return, because its caller was told that the saga will be undone.
    """
    if transition.status is not SagaStatus.COMPLETED:
        return transition
    return give_back(
        progress=transition.progress,
        code=refusals.STOPPED,
        detail=STOPPED,
        record=transition.record,
    )


def wait(*, progress: Progress, waiting: Waiting) -> Transition:
    """The transition that lets a saga rest until the step that is due is decided. An undo or a
    block must not wait for a decision: its service has a bug, so the saga is parked.
    """
    if progress.direction is not Direction.DO or waiting.until is None:
        return _park(progress, f"its {progress.direction} must not wait for {waiting.decided_by}")
    return Transition(
        progress=msgspec.structs.replace(progress, faults=0),
        status=SagaStatus.RUNNING,
        waits=waiting,
        record=StepRecord(position=progress.position, status=StepStatus.WAITING),
    )


def give_back(
    *, progress: Progress, code: str, detail: str, record: StepRecord | None = None
) -> Transition:
    """The transition that undoes a saga from its current step, the pivot too: a return.

    `record`: of the step that was called last.
    """
    failure = Failure(progress.step.name, code, detail)
    return _backward(progress, to=_furthest(progress), failure=failure, record=record)


def can_be_written_later(*, before: Progress, transition: Transition) -> bool:
    """Whether the next call may be made before the transition from `before` is stored.

    Forward only, and never for the pivot. A process that later finds the stored state repeats the
    same calls, whose outcomes the barriers have; and a process that turns the saga back undoes all
    steps that may have been called since (`in_doubt`). Whether the pivot may have been called must
    be stored: only a return undoes it.
    """
    there = transition.progress
    is_forward = (before.direction, there.direction) == (Direction.DO, Direction.DO)
    is_next = is_forward and there.position == before.position + 1
    return transition.goes_on and is_next and there.step.step_class is not StepClass.PIVOT


def in_doubt(*, progress: Progress) -> Progress:
    """The progress of a saga that another process had, which may have called any step before the
    pivot: the undo of a step that never happened blocks it.
    """
    last = pivot_of(progress.steps) - 1
    if progress.direction is not Direction.DO or progress.position >= last:
        return progress
    return msgspec.structs.replace(progress, reached=last)


def _furthest(progress: Progress) -> int:
    return max(progress.position, progress.reached)


def retry(*, progress: Progress) -> Transition:
    """The transition that retries a parked call, with all its tries."""
    fresh = msgspec.structs.replace(progress, faults=0)
    return Transition(progress=fresh, status=_status(fresh))


def skip(*, progress: Progress, reason: str) -> Transition | None:
    """The transition that goes on without the call. None while it is unknown whether the pivot has
    happened, because that decides the direction.
    """
    if progress.direction is Direction.BLOCK:
        return None
    if progress.direction is Direction.UNDO:
        kept = StepRecord(position=progress.position, status=None, error=f"undo skipped: {reason}")
        return _past_an_undo(progress, kept, had_effect=True)  # an operator has seen to it
    skipped = StepRecord(
        position=progress.position, status=StepStatus.SKIPPED, error=f"skipped: {reason}"
    )
    return _forward(progress, skipped)


def delay(*, faults: int, draw: float) -> float:
    """Seconds before the next try: doubled by each fault; half of it is random."""
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (faults - 1))
    return longest * (0.5 + 0.5 * draw)


def _after_done(progress: Progress, done: Done) -> Transition:
    if progress.direction is Direction.UNDO:
        return _after_undo(progress, done)
    happened = StepRecord(
        position=progress.position,
        status=StepStatus.COMPLETED,
        do=int(progress.direction is Direction.DO),
        result=done,
    )
    return _forward(progress, happened)


def _after_undo(progress: Progress, done: Done) -> Transition:
    """A step that never happened keeps its status; after the acceptance's undo the saga ends."""
    is_undone = had_effect(done)
    status = StepStatus.COMPENSATED if is_undone else None
    record = StepRecord(position=progress.position, status=status, undo=1)
    return _past_an_undo(progress, record, had_effect=is_undone)


def _past_an_undo(progress: Progress, record: StepRecord, *, had_effect: bool) -> Transition:
    failure = progress.failure
    if had_effect and failure and progress.position:
        failure = msgspec.structs.replace(failure, undone=True)
    return _backward(progress, to=progress.position - 1, failure=failure, record=record)


def _after_refusal(progress: Progress, refused: Refused) -> Transition:
    why = f"{refused.code}: {refused.detail}"
    if progress.direction is Direction.UNDO or progress.step.step_class is StepClass.RETRIABLE:
        return _park(progress, f"must not be refused, but was: {why}")
    failure = Failure(progress.step.name, refused.code, refused.detail)
    if progress.direction is Direction.BLOCK and refused.code == refusals.ABORTED:
        failure = progress.failure or failure
        why = f"{failure.code}: {failure.detail}"
    failed = StepRecord(
        position=progress.position,
        status=StepStatus.FAILED,
        do=int(progress.direction is Direction.DO),
        error=why,
    )
    return _backward(progress, to=progress.position - 1, failure=failure, record=failed)


def _after_fault(progress: Progress, fault: Fault, draw: float) -> Transition:
    faults = progress.faults + 1
    again = msgspec.structs.replace(progress, faults=faults)
    if faults < TRIES:
        return Transition(
            progress=again,
            status=_status(again),
            seconds=delay(faults=faults, draw=draw),
            record=_faulted(again, fault.reason),
        )
    if _can_turn_back(progress):
        failure = Failure(progress.step.name, refusals.GIVEN_UP, fault.reason)
        return _give_up(again, failure, calls=1)
    return _park(again, fault.reason)


def _can_turn_back(progress: Progress) -> bool:
    """Whether it goes forward and is not past the pivot, which its service can block."""
    is_past = progress.position > pivot_of(progress.steps)
    return progress.direction is Direction.DO and not is_past


def _give_up(progress: Progress, failure: Failure, *, calls: int) -> Transition:
    """Turns the saga back at a step that is in doubt."""
    if progress.step.step_class is StepClass.PIVOT:
        return _block(progress, failure, calls=calls)
    failed = StepRecord(
        position=progress.position,
        status=StepStatus.FAILED,
        do=calls,
        error=f"{failure.code}: {failure.detail}",
    )
    return _backward(progress, to=_furthest(progress), failure=failure, record=failed)


def _block(progress: Progress, failure: Failure, *, calls: int) -> Transition:
    open_ = StepRecord(
        position=progress.position,
        status=StepStatus.RUNNING,
        do=calls,
        error=f"{failure.code}: {failure.detail}",
    )
    blocking = msgspec.structs.replace(
        progress, direction=Direction.BLOCK, faults=0, failure=failure
    )
    return Transition(progress=blocking, status=SagaStatus.RUNNING, record=open_)


def _forward(progress: Progress, record: StepRecord) -> Transition:
    position = progress.position + 1
    if position == len(progress.steps):
        ended = msgspec.structs.replace(progress, failure=None, faults=0)
        return Transition(progress=ended, status=SagaStatus.COMPLETED, record=record)
    ahead = Progress(steps=progress.steps, position=position, reached=progress.reached)
    return Transition(progress=ahead, status=SagaStatus.RUNNING, record=record)


def _backward(
    progress: Progress, *, to: int, failure: Failure | None, record: StepRecord | None
) -> Transition:
    """Undoes from position `to` downwards; skips steps that have no undo."""
    position = to
    while position >= 0 and not progress.steps[position].can(Direction.UNDO):
        position -= 1
    behind = Progress(
        steps=progress.steps, position=max(position, 0), direction=Direction.UNDO, failure=failure
    )
    if position < 0:
        return Transition(progress=behind, status=_ending(behind), record=record)
    return Transition(progress=behind, status=SagaStatus.COMPENSATING, record=record)


def _park(progress: Progress, reason: str) -> Transition:
    return Transition(
        progress=progress,
        status=SagaStatus.PARKED,
        record=_faulted(progress, reason),
        reason=reason,
    )


def _faulted(progress: Progress, reason: str) -> StepRecord:
    return StepRecord(
        position=progress.position,
        status=StepStatus.RUNNING if progress.direction is Direction.DO else None,
        do=int(progress.direction is Direction.DO),
        undo=int(progress.direction is Direction.UNDO),
        error=reason,
    )


def _ending(progress: Progress) -> SagaStatus:
    """Failed if no undo had an effect."""
    is_undone = progress.failure is not None and progress.failure.undone
    return SagaStatus.COMPENSATED if is_undone else SagaStatus.FAILED


def _status(progress: Progress) -> SagaStatus:
    is_undo = progress.direction is Direction.UNDO
    return SagaStatus.COMPENSATING if is_undo else SagaStatus.RUNNING
