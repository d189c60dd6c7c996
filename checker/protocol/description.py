"""A protocol as plain data: events, their publishers and consumers; and the type of a rule."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from catalogue.services import Service
from contracts.patterns import Pattern
from contracts.saga import Command, Direction, Saga, Step, StepClass


class Ending(StrEnum):
    """How a saga may end: with every effect, or with none left."""

    COMPLETED = "completed"
    UNDONE = "undone"


class DescribedReaction(NamedTuple):
    """On the event `on`, `service` does (undoes, blocks) `step`, and emits an event.

    `emits`: once it is done, or undone; `emits_on_refusal`: if it is refused, or blocked. An empty
    name: nothing is emitted. In an orchestration `on` is the call, and replies are emitted.
    """

    on: str
    service: str
    direction: Direction
    step: str
    emits: str = ""
    emits_on_refusal: str = ""

    def __str__(self) -> str:
        return f"{self.service} (on {self.on}: {self.direction} {self.step})"


class Notice(NamedTuple):
    """An event about a saga that is no part of it, such as "a service has given up"."""

    published_by: tuple[str, ...]
    received_by: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Choreography:
    """There is no orchestrator: each service reacts to the events of the others.

    `asked`: the events from outside the chain, with their publishers: the start, and requests of
    people or a watchdog. `start`, `abort`, `giving_back`: which of these; the last two may be "".
    `declared`: the names of all events, if there is such a list.
    `watched`: the events that the watcher records; None: there is no watcher.
    `notices`: by event name.
    `cycles`: sets of events that may form a cycle, on purpose.
    """

    name: str
    saga: Saga
    reactions: Sequence[DescribedReaction]
    asked: Mapping[str, str]
    start: str
    ends: Mapping[str, Ending]
    abort: str = ""
    giving_back: str = ""
    declared: Collection[str] = ()
    watched: Collection[str] | None = None
    notices: Mapping[str, Notice] = field(default_factory=dict)
    cycles: Collection[frozenset[str]] = ()


class Call(NamedTuple):
    """The orchestrator's request for a step in one direction: a path over HTTP, or a message."""

    message: str
    service: str
    direction: Direction
    step: str


@dataclass(frozen=True, kw_only=True)
class Orchestration:
    """One orchestrator calls the services, step by step.

    `reactions`: what the services do on each call. `replies`: the messages that the orchestrator
    consumes; None: replies come back on the call itself. `notices`: by event name.
    """

    name: str
    saga: Saga
    orchestrator: str
    calls: Sequence[Call]
    reactions: Sequence[DescribedReaction]
    replies: Collection[str] | None = None
    notices: Mapping[str, Notice] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DescribedSaga:
    """A saga's definition, and what the services have registered for it.

    `operations`: the command type that each declared operation takes, by its name
    (`inventario.reserve`) and direction; `commands`: the type that the catalogue names for it.
    `deciding`: operations that take decisions; `inboxes`: services with a path for decisions.
    `workers`: services whose worker consumes messages; `broken`: services whose worker can't be
    made, with the reason. `has_door`: whether the saga's path exists at its owner.
    """

    name: str
    saga: Saga
    operations: Mapping[tuple[str, Direction], type[Command]]
    commands: Mapping[str, type[Command]]
    services: Mapping[str, Service]
    databases: Collection[str]
    workers: Collection[str]
    broken: Mapping[str, str]
    patterns: Mapping[str, Pattern]
    has_door: bool
    deciding: Collection[str] = ()
    inboxes: Collection[str] = ()


Protocol = Choreography | Orchestration | DescribedSaga


def pivot_of(saga: Saga) -> Step | None:
    """The step after which the saga only goes forward, if there is one."""
    pivots = [step for step in saga.steps if step.step_class is StepClass.PIVOT]
    return pivots[0] if pivots else None


def may_be_refused(step: Step) -> bool:
    """A retriable step must succeed in the end; any other may be refused."""
    return step.step_class is not StepClass.RETRIABLE


class Found(NamedTuple):
    """Where a rule does not hold, and how."""

    where: str
    what: str


class Rule(NamedTuple):
    """`promise`: what holds if `find` finds nothing. `mend`: what to do otherwise.

    `find` takes the evidence of its group of rules: a protocol, or its journeys.
    """

    name: str
    promise: str
    mend: str
    find: Callable[[Any], Iterable[Found]]
