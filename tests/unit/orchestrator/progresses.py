"""Sagas that are run in memory: the real list of steps, with an answerer in place of services."""

from collections.abc import Callable

import msgspec

from catalogue import SAGAS
from contracts.outcomes import Done, Refused
from contracts.saga import Direction, StepClass, pivot_of
from contracts.states import FINAL, SagaStatus
from coordination import engine
from coordination.engine import CallResult, Fault, Postponed, Progress, Transition

STEPS = tuple(SAGAS["checkout"].steps)
LAST = len(STEPS) - 1
PIVOT = pivot_of(STEPS)


def at(name: str, direction: Direction = Direction.DO, **fields) -> Progress:
    """A saga whose call of this step is due."""
    names = [step.name for step in STEPS]
    return Progress(steps=STEPS, position=names.index(name), direction=direction, **fields)


def after(progress: Progress, answer: CallResult) -> Transition:
    return engine.after(progress=progress, answer=answer, draw=0.5)


class ReplyHandler(msgspec.Struct, frozen=True):
    """A call that was made, and how it was answered."""

    position: int
    direction: Direction
    answer: CallResult


class World:
    """Answers like services: `answers` decides each call, and a barrier keeps it consistent.

    `effects`: what has really happened, in order, as (direction, position).
    """

    def __init__(self, answers: Callable[[Progress], str]) -> None:
        self._answers = answers
        self.effects: list[tuple[Direction, int]] = [(Direction.DO, 0)]
        self.blocked: set[int] = set()
        self.refused: set[int] = set()

    def call(self, progress: Progress) -> CallResult:
        """One of: done, refused, lost (done without an answer), fault (not done), held."""
        wish = self._answers(progress)
        if wish == "held":
            return Postponed(1.0)
        if wish == "fault":
            return Fault("no answer")
        answer = self._take_effect(progress, wish)
        return Fault("lost") if wish == "lost" else answer

    def _take_effect(self, progress: Progress, wish: str) -> CallResult:
        position, direction = progress.position, progress.direction
        done = (Direction.DO, position) in self.effects
        if direction is Direction.UNDO:
            self.blocked.add(position)
            if done and (Direction.UNDO, position) not in self.effects:
                self.effects.append((Direction.UNDO, position))
            return Done({})
        if done:
            return Done({})
        if direction is Direction.BLOCK or position in self.blocked:
            self.blocked.add(position)
            return Refused("aborted", "blocked")
        can_refuse = progress.step.step_class is not StepClass.RETRIABLE
        if position in self.refused or (wish == "refused" and can_refuse):
            self.refused.add(position)
            return Refused("no", "because")
        self.effects.append((Direction.DO, position))
        return Done({})


def run(
    world: World, progress: Progress, *, most: int = 500
) -> tuple[Transition, list[ReplyHandler]]:
    """Runs the saga until it has ended or is parked."""
    replies: list[ReplyHandler] = []
    for _ in range(most):
        answer = world.call(progress)
        replies.append(ReplyHandler(progress.position, progress.direction, answer))
        transition = after(progress, answer)
        if transition.status in FINAL or transition.status is SagaStatus.PARKED:
            return transition, replies
        progress = transition.progress
    raise AssertionError(f"it has neither ended nor parked after {most} calls")
