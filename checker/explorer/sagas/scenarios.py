"""What is run in an environment: few sagas of a page, so that they get in each other's way; and how
often what may go wrong with them does.

A scenario scripts what their participants answer, and what they compete for; everything else about
them is projected from the page, as always.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from catalogue.commands import COMMANDS
from contracts import projection
from contracts.saga import Command, Context, Saga, Step, StepClass

SLACK_SECONDS = 0.1
"""What is due so soon after another comes due with it, as it would by the time that takes."""
MOST = {
    "double": 2,
    "lose": 2,
    "crash": 3,
    "overlap": 2,
    "early redrive": 2,
    "deadline": 1,
    "call": 3,
    "outage": 1,
    "stale": 2,
    "overdue": 2,
    "late verdict": 2,
    "lost card": 2,
}
"""How often each of what may go wrong does in one schedule: so that every schedule ends."""


class Scenario(NamedTuple):
    """`data`: what each saga is about. `refused`: the step that it is refused at, by its id.
    `units`: of what the step `scarce` takes one of, for each saga. `completing`: how many may
    complete without interference.
    """

    name: str
    saga: Saga
    saga_ids: tuple[str, ...]
    data: Mapping[str, Any]
    refused: Mapping[str, str]
    scarce: str
    units: int
    completing: frozenset[int]


def scenarios_of(saga: Saga) -> tuple[Scenario, ...]:
    """Those of a page: one saga, one that is refused at its pivot, two for one unit, and two of
    which the first is refused in the middle, where what it gives back may go to the other, or come
    too late for it.
    """
    refusable = [step.name for step in saga.steps[1:] if step.step_class is not StepClass.RETRIABLE]
    first, middle, last = refusable[0], refusable[len(refusable) // 2], refusable[-1]

    data = made_up(saga)

    def make(name: str, number: int, refused: Mapping[str, str], *completing: int) -> Scenario:
        ids = tuple(f"saga-{n}" for n in range(1, number + 1))
        return Scenario(name, saga, ids, data, refused, first, 1, frozenset(completing))

    return (
        make("one", 1, {}, 1),
        make("refused", 1, {"saga-1": last}, 0),
        make("race", 2, {}, 1),
        make("freed", 2, {"saga-1": middle}, 0, 1),
    )


def made_up(saga: Saga) -> dict[str, Any]:
    """What a saga is about, of the types that its commands want."""
    fields = msgspec.structs.fields(projection.data_type(saga.name))
    return {field.name: example(field.type) for field in fields}


def context_of(*, scenario: Scenario, saga_id: str, pattern: str) -> Context:
    """A saga of the scenario."""
    return Context(
        saga=scenario.saga.name,
        saga_id=saga_id,
        pattern=pattern,
        subject=saga_id,
        user_id="user",
        data=dict(scenario.data),
    )


def results_of(*, saga: Saga, step: Step) -> dict[str, Any]:
    """What a step answers, made up: what later ones need of it."""
    found = {}
    for later in saga.steps:
        types = {
            field.name: field.type
            for field in msgspec.structs.fields(COMMANDS.get(later.operation, Command))
        }
        for field, source in later.needs.items():
            before, _, name = source.partition(".")
            if before == step.name and field in types:
                found[name] = example(types[field])
    return found


def example(kind: Any) -> Any:
    """Any value of that type, as it travels. Raises TypeError for a type it has no example of."""
    return _example(msgspec.inspect.type_info(kind))


def _example(info: msgspec.inspect.Type) -> Any:
    if type(info) in _PLAIN:
        return _PLAIN[type(info)]
    match info:
        case msgspec.inspect.ListType():
            return [_example(info.item_type)]
        case msgspec.inspect.DictType():
            return {_example(info.key_type): _example(info.value_type)}
        case msgspec.inspect.StructType() | msgspec.inspect.TypedDictType():
            return {
                field.encode_name: _example(field.type) for field in info.fields if field.required
            }
        case msgspec.inspect.UnionType():
            return _example(next(kind for kind in info.types if kind != msgspec.inspect.NoneType()))
    raise TypeError(f"no example is known of {info}")


_PLAIN: Mapping[type[msgspec.inspect.Type], Any] = {
    msgspec.inspect.StrType: "1",
    msgspec.inspect.DecimalType: "10.00",
    msgspec.inspect.IntType: 1,
    msgspec.inspect.FloatType: 1.0,
    msgspec.inspect.BoolType: True,
    msgspec.inspect.AnyType: "1",
}


class Limits:
    """What is left of each. `is_interfered`: a user or the time has stopped a saga, so that it
    is open how many complete. `may_return`: a user was told that a saga will be undone, and
    so a completed one may be returned. `promised`: those sagas.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.left = dict(MOST)
        self.is_interfered = False
        self.may_return = False
        self.promised: set[str] = set()

    def promise(self, saga_id: str) -> None:
        """A user was told that it will be undone."""
        self.may_return = True
        self.promised.add(saga_id)

    def spend(self, kind: str) -> None:
        self.left[kind] -= 1

    def spent(self, *kinds: str) -> int:
        """How often they were made."""
        return sum(MOST[kind] - self.left[kind] for kind in kinds)
