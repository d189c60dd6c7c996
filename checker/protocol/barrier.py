"""What the barrier promises, as a pure model: `participant.barrier` without a database.

A test holds the model to the real one, answer by answer.
"""

from collections.abc import Set
from typing import NamedTuple

from contracts.saga import Direction


class Entry(NamedTuple):
    """A step in one direction (DO or UNDO) that was answered, and whether with done."""

    direction: Direction
    step: str
    is_done: bool


Book = Set[Entry]


class Answer(NamedTuple):
    """`is_fresh`: answered now, not before. `takes_effect`: something is there now, or is gone."""

    book: Book
    is_done: bool
    is_fresh: bool
    takes_effect: bool


def stored(book: Book, direction: Direction, step: str) -> bool | None:
    """The answer given before: done or not; None if there was none."""
    return next((one.is_done for one in book if one[:2] == (direction, step)), None)


def perform(*, book: Book, direction: Direction, step: str, is_refused: bool = False) -> Answer:
    """What is answered, and the book after it. `is_refused`: what a fresh action would decide."""
    if direction is Direction.UNDO:
        return _undo(book, step)
    known = stored(book, Direction.DO, step)
    if known is not None:
        return Answer(book, known, is_fresh=False, takes_effect=False)
    is_done = direction is Direction.DO and not is_refused
    written = book | {Entry(Direction.DO, step, is_done)}
    return Answer(written, is_done, is_fresh=True, takes_effect=is_done)


def _undo(book: Book, step: str) -> Answer:
    if stored(book, Direction.UNDO, step) is not None:
        return Answer(book, is_done=True, is_fresh=False, takes_effect=False)
    happened = stored(book, Direction.DO, step)
    written = book | {Entry(Direction.UNDO, step, is_done=True)}
    if happened is None:
        written |= {Entry(Direction.DO, step, is_done=False)}
    return Answer(written, is_done=True, is_fresh=True, takes_effect=bool(happened))
