"""The journeys of a saga in every scenario: its effects, in order, and its end.

Also a pure model of the barrier: `participant.barrier` without a database. A test compares the
model with the real barrier, answer by answer.
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
    """One way through. `ends`: the endings, in order; `way`: the events consumed, or the calls."""

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
    """What happens to the saga. `refused`: the step that is refused, if any.

    `is_turned_back`: at any moment a user, or the deadline, requests that it be undone; an
    orchestrator may also give up a step in doubt. `is_returned`: the same, after its completion.
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
    """Every journey in every scenario. `states`: the number of states in all."""

    journeys: Journeys
    states: int


def scenarios(*, saga: Saga, can_turn_back: bool, can_return: bool) -> Iterable[Course]:
    """All scenarios for these steps: a refusal at each step that can be refused, or none."""
    steps = ["", *(step.name for step in saga.steps[1:] if may_be_refused(step))]
    for refused in steps:
        yield Course(refused)
        if can_turn_back:
            yield Course(refused, is_turned_back=True)
    if can_return:
        yield Course(is_returned=True)


class BarrierEntryModel(NamedTuple):
    """A step in one direction (DO or UNDO): whether it was answered with done, or waits for its
    decider.
    """

    direction: Direction
    step: str
    is_done: bool
    is_waiting: bool = False


Book = Set[BarrierEntryModel]


class BarrierAnswer(NamedTuple):
    """`is_fresh`: answered now, not before. `takes_effect`: an effect was made, or undone."""

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
    """The answer, and the book after it. `is_refused`: the decision of a fresh action; `asks`: it
    leaves the decision to its decider.
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
    """Ends the wait of a step: with a yes; or with a no, or by its deadline."""
    left = book - {_asking(step)}
    return execute(book=left, direction=Direction.DO, step=step, is_refused=is_refused)


def _asking(step: str) -> BarrierEntryModel:
    return BarrierEntryModel(Direction.DO, step, is_done=False, is_waiting=True)


def _withdrawn(book: Book, step: str, direction: Direction) -> Book:
    """A waiting step that is undone counts as refused; for one that is blocked, the block's answer
    is the refusal.
    """
    if not waits(book, step):
        return book
    left = book - {_asking(step)}
    if direction is Direction.BLOCK:
        return left
    return left | {BarrierEntryModel(Direction.DO, step, is_done=False)}
