"""What follows from a saga's definition for each participant: nothing is written by hand beside it.

Forward    on `done` of step i-1 do step i
Backward   on `refused` or `undone` of step i undo step i-1
The pivot  on the abort event block it, on the return event undo it

Each service gets only its own rows: no orchestrator reads them. This is endpoint projection, as in
choreographic programming (Carbone, Honda and Yoshida 2012; Montesi 2023) and in multiparty session
types (Honda, Yoshida and Carbone 2008): the whole is written once, each service's part is derived.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import msgspec

from contracts import bounds
from contracts.outcomes import Done, Failure, Outcome
from contracts.saga import (
    COMMANDS,
    SAGAS,
    Command,
    Context,
    Direction,
    Saga,
    Step,
    Undo,
    is_sampled,
)

STEP_PARKED = "step.parked"
"""Published for any saga: a service could not handle a message and left it to an operator."""
STEP_WAITING = "step.waiting"
"""Published for any saga: one of its steps waits for a decision, until a named time."""
NOTICES = (STEP_PARKED, STEP_WAITING)
REDRIVE_REQUESTED = "step.redrive.requested"
"""The watchdog asks a saga's services to publish the outcome of a step again."""
SKIP_REQUESTED = "step.skip.requested"
"""An operator has skipped a step: its service is asked to record and publish that."""
APPEALS = (REDRIVE_REQUESTED, SKIP_REQUESTED)
_ENVELOPE = frozenset({"saga_id", "step", "saga", "traceparent"})
_OF_THE_CONTEXT = ("subject", "user_id", "saga_id", "pattern")


class ReactionRow(NamedTuple):
    """On `event` of this saga the step's service does, undoes or blocks the step; then it
    publishes `emits`, or `emits_on_refusal`. An empty name: it publishes nothing.
    """

    saga: str
    event: str
    direction: Direction
    step: Step
    emits: str
    emits_on_refusal: str = ""

    @property
    def service(self) -> str:
        return self.step.service


class StepCall(NamedTuple):
    """An orchestrator's call of a step in one direction. `request`: its name as a message."""

    saga: str
    request: str
    direction: Direction
    step: Step


@cache
def reactions(name: str) -> tuple[ReactionRow, ...]:
    """All reactions in a saga: forward, backward, and to requests from outside."""
    saga = SAGAS[name]
    rows = [
        ReactionRow(name, before.done, Direction.DO, step, step.done, step.refused)
        for before, step in zip(saga.steps, saga.steps[1:], strict=False)
    ]
    rows += [
        ReactionRow(name, event, Direction.UNDO, before, before.undone)
        for before, step in zip(saga.steps, saga.steps[1:], strict=False)
        for event in (step.refused, step.undone)
        if event
    ]
    for pivot in saga.steps[saga.pivot :][:1]:
        rows.append(ReactionRow(name, saga.abort, Direction.BLOCK, pivot, "", pivot.refused))
        rows.append(ReactionRow(name, saga.give_back, Direction.UNDO, pivot, pivot.undone))
    return tuple(rows)


@cache
def calls(name: str) -> tuple[StepCall, ...]:
    """All calls that an orchestrator may make in a saga. The acceptance is only ever undone."""
    saga = SAGAS[name]
    return tuple(
        StepCall(name, request_of(step, direction), direction, step)
        for step in saga.steps
        for direction in Direction
        if step.can(direction) and not (step is saga.steps[0] and direction is Direction.DO)
    )


def request_of(step: Step, direction: Direction) -> str:
    """The name of a request message: `inventory.reserve` for the step reserve_inventory."""
    verb, _, noun = step.name.partition("_")
    subject = noun.replace("_", ".") or verb
    if direction is Direction.UNDO and step.undo:
        return f"{subject}.{step.undo}"
    return f"{subject}.{verb}" + ("" if direction is Direction.DO else f".{direction}")


def reply_to(request: str) -> str:
    """The name of the reply to a request, whether it was done or refused."""
    return f"{request}.replied"


def path_of(step: Step, direction: Direction) -> str:
    """The path of a step at its service."""
    return f"/steps/{step.operation}" + ("" if direction is Direction.DO else f"/{direction}")


@cache
def events(name: str) -> tuple[str, ...]:
    """All events of a saga, in the order of its definition."""
    saga = SAGAS[name]
    declared = [event for step in saga.steps for event in (step.done, step.refused, step.undone)]
    return tuple(event for event in [*declared, saga.abort, saga.give_back] if event)


@cache
def requests() -> frozenset[tuple[str, str]]:
    """Every request, with its saga."""
    return frozenset((name, call.request) for name in SAGAS for call in calls(name))


@cache
def replies() -> frozenset[tuple[str, str]]:
    """Every reply, with its saga."""
    return frozenset((saga, reply_to(request)) for saga, request in requests())


def of_service(service: str) -> Iterator[ReactionRow]:
    """A service's reactions, in all sagas."""
    for name in SAGAS:
        yield from (reaction for reaction in reactions(name) if reaction.service == service)


def asked_of(service: str) -> Iterator[StepCall]:
    """The requests that a service receives by message, in all sagas."""
    for name in SAGAS:
        yield from (call for call in calls(name) if call.step.service == service)


def owners() -> frozenset[str]:
    """Of all sagas."""
    return frozenset(saga.owner for saga in SAGAS.values())


def owners_with(service: str) -> frozenset[str]:
    """The other owners of the sagas in which the service takes part."""
    sagas = [saga for saga in SAGAS.values() if service in services_of(saga)]
    return frozenset(saga.owner for saga in sagas) - {service}


def participants() -> frozenset[str]:
    """Of all sagas."""
    return frozenset(service for saga in SAGAS.values() for service in services_of(saga))


def services_of(saga: Saga) -> tuple[str, ...]:
    """The participants, the owner first."""
    return tuple(dict.fromkeys(step.service for step in saga.steps))


def command(
    *, step: Step, direction: Direction, context: Context, failure: Failure | None = None
) -> Command:
    """The command for the step's service. Raises msgspec.ValidationError if the context lacks a
    field that the command needs; an undo and a block need none.
    """
    traceparent = context.traceparent if is_sampled(context.traceparent) else msgspec.UNSET
    if direction is not Direction.DO:
        return Undo(
            saga_id=context.saga_id,
            step=step.name,
            saga=context.saga,
            traceparent=traceparent,
            reason=failure.code if failure else "",
            failure=failure,
        )
    kind = COMMANDS.get(step.operation, Command)
    fields = {
        field: value
        for field, source in _sources(step.operation, tuple(step.needs.items()))
        if (value := _value(context, source)) is not None
    }
    whose = {"saga_id": context.saga_id, "step": step.name, "saga": context.saga}
    if traceparent:
        whose["traceparent"] = traceparent
    return msgspec.convert({**fields, **whose}, kind)


@cache
def _sources(operation: str, needs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Each field of an operation's command, with its source in the context."""
    kind, named = COMMANDS.get(operation, Command), dict(needs)
    fields = [field for field in kind.__struct_fields__ if field not in _ENVELOPE]
    return tuple((field, named.get(field, field)) for field in fields)


def _value(context: Context, source: str) -> Any:
    step, dot, field = source.partition(".")
    if dot:
        return context.results.get(step, {}).get(field)
    return getattr(context, source) if source in _OF_THE_CONTEXT else context.data.get(source)


@cache
def data_type(name: str) -> type[msgspec.Struct]:
    """The type of a saga's data: what its commands need and no earlier step returns."""
    fields: dict[str, Any] = {}
    for step in SAGAS[name].steps[1:]:
        kind = COMMANDS.get(step.operation, Command)
        types = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for field, source in _sources(step.operation, tuple(step.needs.items())):
            if "." not in source and source not in _OF_THE_CONTEXT:
                fields[source] = types[field]
    own = {"__post_init__": _check_money}
    kinds = list(fields.items())
    return msgspec.defstruct(f"{name}_data", kinds, namespace=own, frozen=True, kw_only=True)


def _check_money(data: msgspec.Struct) -> None:
    """Raises ValueError for an amount that no table can hold, so that no saga starts with one.
    A command that has such an amount is refused by its operation instead.
    """
    for field in data.__struct_fields__:
        value = getattr(data, field)
        if isinstance(value, Decimal):
            bounds.require_money(field, value, most=bounds.MOST_MONEY)


def select(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `given` that the saga's steps need, in JSON's types; all others (a billing
    address that no step needs) do not travel. Raises msgspec.ValidationError.
    """
    decoded = msgspec.convert(given, data_type(name), from_attributes=True)
    found: dict[str, Any] = msgspec.to_builtins(decoded, str_keys=True)
    return found


def with_result(*, context: Context, steps: Sequence[Step], step: str, outcome: Outcome) -> Context:
    """The context for later steps: with those fields of this step's result that they need.
    `steps`: of the definition with which the saga started.
    """
    prefix = f"{step}."
    sources = [source for later in steps for source in later.needs.values()]
    needed = [source.removeprefix(prefix) for source in sources if source.startswith(prefix)]
    if not needed or not isinstance(outcome, Done):
        return context
    result = {field: outcome.data[field] for field in needed if field in outcome.data}
    if not result:
        return context
    return msgspec.structs.replace(context, results={**context.results, step: result})
