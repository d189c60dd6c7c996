"""The sagas of an environment, few, so that they interfere with each other; and the limits of
faults.

A scenario scripts refusals, and a scarce resource; everything else is derived from the saga's
definition, as always.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from catalogue.commands import COMMANDS
from contracts import projection
from contracts.saga import Command, Context, Saga, Step, StepClass

SLACK_SECONDS = 0.1
"""Items that come due within this time come due together."""
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
"""The most faults of each kind in a schedule, so that every schedule ends."""


class Scenario(NamedTuple):
    """`data`: of each saga. `refused`: the step that is refused, by the saga's id. `units`: of the
    resource of which the step `scarce` takes one for each saga. `completing`: how many may complete
    without interference.
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
    """One saga; one that is refused at its pivot; two for one unit; and two of which the first is
    refused in the middle, so that its unit may go to the other, or be freed too late for it.
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
    """A saga's data, of the types that its commands need."""
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
    """A made-up result of a step: the fields that later steps need."""
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
    """Any value of that type, as JSON. Raises TypeError for a type without an example."""
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
    """How many faults of each kind are left. `is_interfered`: a user or a deadline has stopped a
    saga, so that any number may complete. `may_return`: the undoing of a saga was confirmed to a
    user, so a completed one may be returned. `promised`: the sagas with such a confirmation.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.left = dict(MOST)
        self.is_interfered = False
        self.may_return = False
        self.promised: set[str] = set()

    def promise(self, saga_id: str) -> None:
        """The undoing of the saga was confirmed to a user."""
        self.may_return = True
        self.promised.add(saga_id)

    def spend(self, kind: str) -> None:
        self.left[kind] -= 1

    def spent(self, *kinds: str) -> int:
        """The number of faults of these kinds so far."""
        return sum(MOST[kind] - self.left[kind] for kind in kinds)
