"""A protocol as plain data: events, their publishers and consumers; and what a rule is.

Nothing here runs.
"""

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
    """On the event `on`, `service` does (undoes, blocks) `step`, and emits what came of it.

    `emits`: it is done, or undone; `emits_on_refusal`: it is refused, or blocked. An empty name:
    nothing is emitted. Where an orchestrator calls, `on` is the call, and replies are emitted.
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
    """Published about a saga, not in it, as that a service has given up. Nothing follows of it."""

    published_by: tuple[str, ...]
    received_by: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Choreography:
    """There is no orchestrator: each service reacts to the events of the others.

    `asked`: what is published from outside the chain, and by whom: the start, and what people or a
    watchdog may ask for. `start`, `abort`, `giving_back`: which of these; the last two may be "".
    `declared`: all names of events that there are, if there is such a list.
    `watched`: the events that the watcher writes down; None: there is no watcher.
    `notices`: what is published about a saga, by its name.
    `cycles`: the sets of events that may go round in a circle, on purpose.
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
    """What the orchestrator sends for a step in one direction: a path over HTTP, or a message."""

    message: str
    service: str
    direction: Direction
    step: str


@dataclass(frozen=True, kw_only=True)
class Orchestration:
    """One orchestrator calls the services, step by step, and takes the answer.

    `reactions`: what is really done on each call. `replies`: the messages that the orchestrator
    consumes; None: a reply comes back on the call itself, and can't go astray. `notices`: what is
    published about a saga beside them, by its name.
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
    """A saga's page, and what there is to do it with.

    `operations`: what each declared one takes, by its name (`inventario.reserve`) and direction;
    `commands`: what the contracts say that it takes. `deciding`: those that take decisions;
    `inboxes`: the services where decisions can be given. `workers`: the services whose worker
    consumes messages; `broken`: those whose worker can't be made, and why.
    `databases`, `services`, `patterns`: what is registered. `has_door`: whether the saga's door
    leads somewhere at its owner.
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
    """The step after which the saga only goes forward, if it has one."""
    pivots = [step for step in saga.steps if step.step_class is StepClass.PIVOT]
    return pivots[0] if pivots else None


def may_be_refused(step: Step) -> bool:
    """A retriable step must succeed in the end; any other may answer no."""
    return step.step_class is not StepClass.RETRIABLE


class Found(NamedTuple):
    """Where a rule does not hold, and how."""

    where: str
    what: str


class Rule(NamedTuple):
    """`promise`: what holds when `find` finds nothing. `mend`: what to do when it does.

    `find` takes what the rules of its group look at: a protocol, or its journeys.
    """

    name: str
    promise: str
    mend: str
    find: Callable[[Any], Iterable[Found]]
