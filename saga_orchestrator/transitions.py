"""A saga on its way: where it stands, what it may hear, and what follows."""

from collections.abc import Sequence

import msgspec

from contracts.outcomes import Done, Failure, Outcome
from contracts.saga import Direction, Step
from contracts.states import SagaStatus, StepStatus


class Fault(msgspec.Struct, frozen=True):
    """No answer that says what happened: the step is in doubt."""

    reason: str


class Held(msgspec.Struct, frozen=True):
    """Not called: the service is known to be down. `seconds`: when to come again."""

    seconds: float


Answer = Outcome | Fault | Held


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a saga stands: the call that is due. `faults`: how often that call has faulted."""

    steps: Sequence[Step]
    position: int
    direction: Direction = Direction.DO
    faults: int = 0
    failure: Failure | None = None

    @property
    def step(self) -> Step:
        return self.steps[self.position]


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be remembered of a step. `status`: None leaves it as it is.

    `do`, `undo`: 1 for a call in that direction.
    """

    position: int
    status: StepStatus | None
    do: int = 0
    undo: int = 0
    error: str = ""
    result: Done | None = None


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What to write before anything else happens, and the call that is due then.

    Nothing is due in a final status, nor when it is parked (`reason` says why).
    `seconds`: not before then. `is_laid_down`: due at once, but to whoever claims it next.
    `record`: what is known now of the step that was called.
    """

    progress: Progress
    status: SagaStatus
    seconds: float = 0.0
    is_laid_down: bool = False
    record: StepRecord | None = None
    reason: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether the next call can be made at once, by whoever makes this move."""
        return self.is_on_its_way and not (self.seconds or self.is_laid_down)

    @property
    def is_on_its_way(self) -> bool:
        """Whether a call is due, now or later."""
        return self.status in _MOVING


_MOVING = frozenset({SagaStatus.RUNNING, SagaStatus.COMPENSATING})
