"""What a saga is: a page of rows, and what its steps are asked. All there is to know of a saga
stands in its page, and everything else is projected from that (`projection`).

The pages are the business's own: its catalogue registers them here, with what its operations take.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from contracts.bounds import MOST_ID, IdRead, Reason, SagaPattern, Traceparent, UserId
from contracts.outcomes import Failure


class StepClass(StrEnum):
    """Garcia-Molina and Salem, Sagas (1987); Richardson, Microservices Patterns (2018), ch. 4."""

    COMPENSABLE = "compensable"
    PIVOT = "pivot"
    RETRIABLE = "retriable"


COMPENSABLE, PIVOT, RETRIABLE = StepClass
CUSTOMER = "customer"
"""Of `Step.decided_by`: the user whose saga it is, and nobody says yes for them."""


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


def pivot_of(steps: Sequence[Step]) -> int:
    """The position of the pivot, of which a page has exactly one; else past the end."""
    found = (at for at, step in enumerate(steps) if step.step_class is StepClass.PIVOT)
    return next(found, len(steps))


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
        return pivot_of(self.steps)

    def position(self, step: str) -> int:
        """Raises KeyError where it has no such step."""
        for position, known in enumerate(self.steps):
            if known.name == step:
                return position
        raise KeyError(step)

    def step(self, name: str) -> Step:
        """Raises KeyError where it has no such step."""
        return self.steps[self.position(name)]


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`subject`: the cart, order or booking that it is about. `user_id`: whose saga it is; who
    takes part writes it beside what it makes for it. `data`: what its steps need, and nothing else
    (`projection.select`). `results`: of earlier steps, what later ones need, by step.
    """

    saga: IdRead
    saga_id: IdRead
    pattern: SagaPattern
    subject: IdRead
    user_id: UserId = ""
    traceparent: Traceparent = ""
    data: dict[str, Any] = {}
    results: dict[str, dict[str, Any]] = {}


def stand_in(*, saga: str, saga_id: str, pattern: str, subject: str) -> Context:
    """In the place of a context that can't be read any more: enough to undo all of it, because an
    undo needs only to know whose step it is.
    """
    return Context(
        saga=saga or "unknown",
        saga_id=saga_id,
        pattern=pattern or "unknown",
        subject=subject or "unknown",
    )


def is_sampled(traceparent: str | UnsetType) -> bool:
    """Whether this trace is recorded: the lowest bit of its flags (W3C Trace Context)."""
    return isinstance(traceparent, str) and traceparent[-1:] in _SAMPLED


_SAMPLED = frozenset("13579bdf")


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that is asked of a step. `step`: which one of its saga; empty: the operation's own
    name. `saga`: the saga's name; empty: it is no saga's, but somebody's who calls by hand.
    `traceparent`: of what asks for it; only where the trace is recorded.
    """

    saga_id: IdRead
    step: Annotated[str, msgspec.Meta(max_length=MOST_ID)] = ""
    saga: Annotated[str, msgspec.Meta(max_length=MOST_ID)] = ""
    traceparent: Traceparent | UnsetType = UNSET


class Undo(Command, frozen=True, kw_only=True):
    """Reverse a step, or block it. `reason`: shown to who looks at the row later. `failure`: why
    the saga goes backward, for the undo of the acceptance, which ends it.
    """

    reason: Reason = ""
    failure: Failure | None = None


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation tells of itself. `done`, `undone`: a type of the outcome's data, as events,
    replies and steps carry it. `refuses`: its codes, beside those that any step may meet.
    `statuses`: of HTTP, by code, where an acceptance is refused with another one than 409.
    """

    done: Any = dict[str, Any]
    undone: Any = dict[str, Any]
    refuses: tuple[str, ...] = ()
    statuses: Mapping[str, int] = {}


_sagas: dict[str, Saga] = {}
_commands: dict[str, type[Command]] = {}
_answers: dict[str, Answers] = {}
_examples: dict[str, Any] = {}
SAGAS: Mapping[str, Saga] = MappingProxyType(_sagas)
"""Every saga of the business, by its name."""
COMMANDS: Mapping[str, type[Command]] = MappingProxyType(_commands)
"""What each operation takes; one that is not here needs only to know whose step it is."""
ANSWERS: Mapping[str, Answers] = MappingProxyType(_answers)
"""What each operation tells; of one that is not here nothing is promised."""
EXAMPLES: Mapping[str, Any] = MappingProxyType(_examples)
"""By the name of a field, a value as it is usual in this business: for documents."""


def register(
    *,
    sagas: Iterable[Saga],
    commands: Mapping[str, type[Command]],
    answers: Mapping[str, Answers] = MappingProxyType({}),
    examples: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Tells the kit what the business does: once, in a module that the settings import.

    `commands`, `answers`: by operation (`inventario.reserve`); `examples`: by field. Raises
    ValueError where two pages have a name.
    """
    for saga in sagas:
        if _sagas.setdefault(saga.name, saga) is not saga:
            raise ValueError(f"two pages have a saga {saga.name!r}")
    _commands.update(commands)
    _answers.update(answers)
    _examples.update(examples)
