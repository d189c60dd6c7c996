"""What a saga is: a page of rows. All there is to know of one stands in its page (`catalogue`), and
everything else is projected from that (`projection`).
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class StepClass(StrEnum):
    """Garcia-Molina and Salem, Sagas (1987); Richardson, Microservices Patterns (2018), ch. 4."""

    COMPENSABLE = "compensable"
    PIVOT = "pivot"
    RETRIABLE = "retriable"


COMPENSABLE, PIVOT, RETRIABLE = StepClass


class Direction(StrEnum):
    """DO takes effect once. UNDO blocks DO, then reverses it once. BLOCK only blocks DO."""

    DO = "do"
    UNDO = "undo"
    BLOCK = "block"


class Step(msgspec.Struct, frozen=True):
    """One row: who does what, and which events may follow.

    `operation`: `inventario.reserve`; its undo and its block are the operation's own.
    `done`, `refused`, `undone`: what is said of it. Without `undone` it is never undone; a
    retriable step is never refused. `undo`: what undoing it is called where it is asked for by
    message (`release`); else `undo`.
    `needs`: fields of the command that have another name in the context, or that come from an
    earlier step's result: `{"amount": "create_bill.amount"}`.
    `seconds`: of one call; after it the step is in doubt, and tried again.
    `decided_by`: who decides, where a person does (`manager`); within `decide_seconds`.
    """

    name: str
    operation: str
    step_class: StepClass
    done: str
    refused: str = ""
    undone: str = ""
    undo: str = ""
    needs: Mapping[str, str] = {}
    seconds: float = 5.0
    decided_by: str = ""
    decide_seconds: float = 0.0

    @property
    def service(self) -> str:
        return self.operation.partition(".")[0]

    def can(self, direction: Direction) -> bool:
        """Whether it can be done, undone or blocked at all."""
        if direction is Direction.UNDO:
            return bool(self.undone)
        return direction is Direction.DO or self.step_class is StepClass.PIVOT


class Saga(msgspec.Struct, frozen=True, kw_only=True):
    """A saga: who accepts it, its steps in order, and how long it may take.

    Step 0 is the acceptance, done before it starts; who accepts it owns it. `subject`: what it is
    about, as its users call that (`cart_id`). `abort`, `give_back`: the events that ask for its end
    before the pivot and for a return after it. `seconds`: one that has not passed its pivot by then
    is undone. `door`: its owner's path that starts one; `pattern`: the one that is taken where
    nobody names one.
    """

    name: str
    subject: str
    steps: tuple[Step, ...]
    abort: str
    give_back: str
    door: str
    seconds: float = 120.0
    pattern: str = "orchestrated"

    @property
    def owner(self) -> str:
        return self.steps[0].service

    @property
    def pivot(self) -> int:
        """The position of the pivot, of which a page has exactly one; else past the end."""
        classes = [step.step_class for step in self.steps]
        return classes.index(StepClass.PIVOT) if StepClass.PIVOT in classes else len(classes)

    def position(self, step: str) -> int:
        """Raises KeyError where it has no such step."""
        for position, one in enumerate(self.steps):
            if one.name == step:
                return position
        raise KeyError(step)

    def step(self, name: str) -> Step:
        """Raises KeyError where it has no such step."""
        return self.steps[self.position(name)]
