"""The journeys of a saga: what took effect, in order, and how it ended, in every scenario.

And what the barrier promises on each, as a pure model: `participant.barrier` without a database.
A test holds the model to the real one, answer by answer.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from checker.protocol.description import Ending, may_be_refused
from contracts.saga import Direction, Saga


class Act(NamedTuple):
    """An effect: `do` or `undo` of a step."""

    direction: Direction
    step: str


class Journey(NamedTuple):
    """One way through. `ends`: the endings, in order; `way`: what was consumed, or called."""

    acts: tuple[Act, ...]
    ends: tuple[Ending, ...]
    way: tuple[str, ...] = ()

    @property
    def done(self) -> list[str]:
        """The steps that took effect, in order."""
        return [act.step for act in self.acts if act.direction is Direction.DO]

    @property
    def undone(self) -> list[str]:
        """The steps whose effect was taken back, in order."""
        return [act.step for act in self.acts if act.direction is Direction.UNDO]

    def __str__(self) -> str:
        return " > ".join(self.way) or "(nothing happens)"


class Course(NamedTuple):
    """What happens to it. `refused`: the step that answers no, if any.

    `is_turned_back`: at any moment a user, or its deadline, wants it undone; an orchestrator may
    also give up a step that is in doubt. `is_returned`: the same, once it has completed.
    """

    refused: str = ""
    is_turned_back: bool = False
    is_returned: bool = False

    def __str__(self) -> str:
        refused = f"{self.refused} is refused" if self.refused else "nothing is refused"
        turned = ", and it is turned back at any moment" if self.is_turned_back else ""
        return refused + turned + (", and it is returned afterwards" if self.is_returned else "")


Journeys = Mapping[Course, Sequence[Journey]]


class Walked(NamedTuple):
    """Every journey in every scenario. `states`: how many there were in all."""

    journeys: Journeys
    states: int


def scenarios(*, saga: Saga, can_turn_back: bool, can_return: bool) -> Iterable[Course]:
    """Every one that there is for these steps: a refusal at each that can be, or at none."""
    steps = ["", *(step.name for step in saga.steps[1:] if may_be_refused(step))]
    for refused in steps:
        yield Course(refused)
        if can_turn_back:
            yield Course(refused, is_turned_back=True)
    if can_return:
        yield Course(is_returned=True)


class BarrierEntryModel(NamedTuple):
    """A step in one direction (DO or UNDO) that was answered, and whether with done; or that waits
    for its decider.
    """

    direction: Direction
    step: str
    is_done: bool
    is_waiting: bool = False


Book = Set[BarrierEntryModel]


class BarrierAnswer(NamedTuple):
    """`is_fresh`: answered now, not before. `takes_effect`: something is there now, or is gone."""

    book: Book
    is_done: bool
    is_fresh: bool
    takes_effect: bool
    is_waiting: bool = False


def stored(book: Book, direction: Direction, step: str) -> bool | None:
    """The answer given before: done or not; None if there was none."""
    return next(
        (entry.is_done for entry in book if (entry.direction, entry.step) == (direction, step)),
        None,
    )


def waits(book: Book, step: str) -> bool:
    """Whether the step waits for its decider."""
    return _asking(step) in book


def execute(
    *, book: Book, direction: Direction, step: str, is_refused: bool = False, asks: bool = False
) -> BarrierAnswer:
    """What is answered, and the book after it. `is_refused`: what a fresh action would decide;
    `asks`: it leaves that to its decider.
    """
    if direction is not Direction.DO:
        book = _withdrawn(book, step, direction)
    if direction is Direction.UNDO:
        return _undo(book, step)
    known = stored(book, Direction.DO, step)
    if known is not None:
        is_waiting = waits(book, step)
        return BarrierAnswer(book, known, is_fresh=False, takes_effect=False, is_waiting=is_waiting)
    if asks and direction is Direction.DO:
        asked = book | {_asking(step)}
        return BarrierAnswer(
            asked, is_done=False, is_fresh=True, takes_effect=False, is_waiting=True
        )
    is_done = direction is Direction.DO and not is_refused
    written = book | {BarrierEntryModel(Direction.DO, step, is_done)}
    return BarrierAnswer(written, is_done, is_fresh=True, takes_effect=is_done)


def _undo(book: Book, step: str) -> BarrierAnswer:
    if stored(book, Direction.UNDO, step) is not None:
        return BarrierAnswer(book, is_done=True, is_fresh=False, takes_effect=False)
    happened = stored(book, Direction.DO, step)
    written = book | {BarrierEntryModel(Direction.UNDO, step, is_done=True)}
    if happened is None:
        written |= {BarrierEntryModel(Direction.DO, step, is_done=False)}
    return BarrierAnswer(written, is_done=True, is_fresh=True, takes_effect=bool(happened))


def decide(*, book: Book, step: str, is_refused: bool) -> BarrierAnswer:
    """What becomes of a step that waits: a yes; or a no, or its time is over."""
    left = book - {_asking(step)}
    return execute(book=left, direction=Direction.DO, step=step, is_refused=is_refused)


def _asking(step: str) -> BarrierEntryModel:
    return BarrierEntryModel(Direction.DO, step, is_done=False, is_waiting=True)


def _withdrawn(book: Book, step: str, direction: Direction) -> Book:
    """What is undone, or blocked, is decided no more: it is refused, and by a block that is
    answered now.
    """
    if not waits(book, step):
        return book
    left = book - {_asking(step)}
    if direction is Direction.BLOCK:
        return left
    return left | {BarrierEntryModel(Direction.DO, step, is_done=False)}
