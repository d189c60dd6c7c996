"""What a saga is: its definition is a row per step, and everything else follows from those rows
(`projection`).

The definitions belong to the business: its catalogue registers them here, with the commands that
its operations take.
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
"""A value of `Step.decided_by`: the user whose saga it is; only they can say yes."""


class Direction(StrEnum):
    """DO takes effect once. UNDO blocks DO, then reverses it once. BLOCK only blocks DO."""

    DO = "do"
    UNDO = "undo"
    BLOCK = "block"


class Step(msgspec.Struct, frozen=True):
    """One row: the service and operation that do the step, and the events that may follow.

    `operation`: `inventario.reserve`; its undo and its block belong to the same operation.
    `done`, `refused`, `undone`: the events that its service publishes. Without `undone` the step
    is never undone; a retriable step is never refused. `undo`: the verb of the request to undo it,
    where requests are messages (`release`); `undo` by default.
    `needs`: fields of the command that have another name in the context, or that come from an
    earlier step's result: `{"amount": "create_bill.amount"}`.
    `seconds`: timeout of one call; after it the step is in doubt, and is retried.
    `decided_by`: who decides the step, if it waits for a decision (`manager`), within
    `decide_seconds`.
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
        """Whether the step has this direction at all."""
        if direction is Direction.UNDO:
            return bool(self.undone)
        return direction is Direction.DO or self.step_class is StepClass.PIVOT


def pivot_of(steps: Sequence[Step]) -> int:
    """The position of the pivot; a definition has exactly one. Without it, past the end."""
    found = (at for at, step in enumerate(steps) if step.step_class is StepClass.PIVOT)
    return next(found, len(steps))


class Saga(msgspec.Struct, frozen=True, kw_only=True):
    """A saga's definition: its steps in order, and how long it may take.

    Step 0 is the acceptance, done before the saga starts; its service owns the saga. `subject`: the
    users' name for what the saga is about (`cart_id`). `abort`, `give_back`: the events that
    request its end before the pivot, and its return after it. `seconds`: a saga that has not passed
    its pivot by then is undone. `door`: the owner's path that starts a saga; `pattern`: the default
    of a request that names none.
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
        """Raises KeyError for an unknown step."""
        for position, known in enumerate(self.steps):
            if known.name == step:
                return position
        raise KeyError(step)

    def step(self, name: str) -> Step:
        """Raises KeyError for an unknown step."""
        return self.steps[self.position(name)]


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What travels with a saga. `subject`: the id of its cart, order or booking. `user_id`: whose
    saga it is; participants store it with the rows that they write for the saga. `data`: what the
    steps need, and nothing else (`projection.select`). `results`: by step, the part of its result
    that later steps need.
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
    """Replaces a context that can't be read any more. It is enough to undo the whole saga: an undo
    needs only the saga's id and the step.
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
    """Any request to a step. `step`: its name in the saga; empty: the operation's name. `saga`: the
    saga's name; empty: the command was sent by hand and belongs to no saga. `traceparent`: the
    sender's; present only if the trace is recorded.
    """

    saga_id: IdRead
    step: Annotated[str, msgspec.Meta(max_length=MOST_ID)] = ""
    saga: Annotated[str, msgspec.Meta(max_length=MOST_ID)] = ""
    traceparent: Traceparent | UnsetType = UNSET


class Undo(Command, frozen=True, kw_only=True):
    """Reverse a step, or block it. `reason`: stored in the row, for operators. `failure`: why the
    saga goes backward; the undo of the acceptance, which ends the saga, stores it.
    """

    reason: Reason = ""
    failure: Failure | None = None


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes of an operation. `done`, `undone`: types of the outcome's data, as in events,
    replies and step answers. `refuses`: its codes, beside those of every step. `statuses`: by code,
    the HTTP status of a refused acceptance, if it is not 409.
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
"""The command of each operation; an operation that is not listed takes a bare `Command`."""
ANSWERS: Mapping[str, Answers] = MappingProxyType(_answers)
"""The outcomes of each operation; an operation that is not listed promises nothing."""
EXAMPLES: Mapping[str, Any] = MappingProxyType(_examples)
"""By field name, a usual value of this business: for documents."""


def find_step(saga: str, step: str) -> Step | None:
    """The step of this name; None if no definition (of this version) has it."""
    steps = SAGAS[saga].steps if saga in SAGAS else ()
    return next((known for known in steps if known.name == step), None)


def register(
    *,
    sagas: Iterable[Saga],
    commands: Mapping[str, type[Command]],
    answers: Mapping[str, Answers] = MappingProxyType({}),
    examples: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Registers the business with the kit: once, in a module that the settings import.

    `commands`, `answers`: by operation (`inventario.reserve`); `examples`: by field. Raises
    ValueError for two sagas with one name.
    """
    for saga in sagas:
        if _sagas.setdefault(saga.name, saga) is not saga:
            raise ValueError(f"two definitions of a saga {saga.name!r}")
    _commands.update(commands)
    _answers.update(answers)
    _examples.update(examples)
