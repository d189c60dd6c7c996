"""Rules on a saga's definition: everything that it names exists, so that a misspelt name is found
before run time.

Not checked: the fields of a step's result (`needs={"amount": "create_bill.amount"}`), because no
operation declares its result; only that the step exists and comes earlier.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from catalogue.services import Role
from checker.protocol.description import DescribedSaga, Found, Rule
from contracts import projection
from contracts.saga import Command, Direction, Step, StepClass, Undo

_ENVELOPE = frozenset(Command.__struct_fields__)


def _undeclared(described: DescribedSaga) -> Iterator[Found]:
    """One finding per step: an operation that is missing has no undo either."""
    for step in described.saga.steps:
        missing = [
            direction
            for direction in Direction
            if step.can(direction) and (step.operation, direction) not in described.operations
        ]
        if missing:
            what = f"{step.name}: {step.service}/operations.py does not declare {missing[0]}"
            yield Found(step.name, f"{what} {step.operation}.")


def _other_commands(described: DescribedSaga) -> Iterator[Found]:
    for position, step in enumerate(described.saga.steps):
        wanted = described.commands.get(step.operation, Command)
        for direction in Direction:
            taken = described.operations.get((step.operation, direction))
            needed = wanted if direction is Direction.DO else Undo
            is_accepting = position == 0 and direction is Direction.DO  # what users send
            if taken and taken is not needed and not is_accepting:
                what = f"{direction} {step.operation} takes {taken.__name__}"
                yield Found(step.name, f"{what}, and is sent {needed.__name__}.")


def _not_to_be_had(described: DescribedSaga) -> Iterator[Found]:
    types: dict[str, tuple[str, object]] = {}
    for step in described.saga.steps[1:]:
        fields = {
            field.name: field.type
            for field in msgspec.structs.fields(described.commands.get(step.operation, Command))
            if field.name not in _ENVELOPE
        }
        for field, source in step.needs.items():
            yield from _wrong_need(described, step, field, source, fields)
        for field, type_ in fields.items():
            source = step.needs.get(field, field)
            user, other = types.setdefault(source, (step.name, type_))
            if other != type_:
                yield Found(step.name, f"{user} and {step.name} need {source} of different types.")


def _wrong_need(
    described: DescribedSaga, step: Step, field: str, source: str, fields: Iterable[str]
) -> Iterator[Found]:
    if field not in fields:
        has = ", ".join(fields) or "no fields"
        what = f"{step.name} needs {field}, and the command of {step.operation} has {has}"
        yield Found(step.name, f"{what}.")
    before, dot, _ = source.partition(".")
    names = [step.name for step in described.saga.steps]
    if dot and before not in names:
        yield Found(step.name, f"{step.name} needs {source}, and there is no step {before}.")
    elif dot and not 0 < names.index(before) < names.index(step.name):
        yield Found(step.name, f"{step.name} needs {source}, which is not known by then.")


def _unregistered(described: DescribedSaga) -> Iterator[Found]:
    for service in projection.services_of(described.saga):
        known = described.services.get(service)
        if known is None:
            yield Found(service, f"{service} is not in catalogue/services.py.")
            continue
        if not known.port or not known.url_variable:
            yield Found(service, f"{service} has no port, or no variable for its address.")
        yield from _without_process(described, service)


def _without_process(described: DescribedSaga, service: str) -> Iterator[Found]:
    if service not in described.databases:
        yield Found(service, f"{service} has no database.")
    if service in described.broken:
        yield Found(service, f"{service}'s worker can't be made: {described.broken[service]}.")
    elif service not in described.workers:
        yield Found(service, f"{service} has no worker that consumes messages.")


def _unaccepted(described: DescribedSaga) -> Iterator[Found]:
    first, last, owner = described.saga.steps[0], described.saga.steps[-1], described.saga.owner
    if first.operation != f"{owner}.accept":
        yield Found(first.name, f"its first step is {first.operation}, which accepts nothing.")
    if not described.has_door:
        yield Found(described.saga.door, f"{owner} has no path {described.saga.door}.")
    if last.service != owner:
        what = f"{last.name} is {last.service}'s"
        yield Found(last.name, f"{what}: {owner}, its owner, would not know that it ended.")


def _ambiguous(described: DescribedSaga) -> Iterator[Found]:
    saga = described.saga
    declared = [event for step in saga.steps for event in (step.done, step.refused, step.undone)]
    asked = [
        projection.request_of(step, direction)
        for step in saga.steps
        for direction in Direction
        if step.can(direction)
    ]
    for what, names in (
        ("step", [step.name for step in saga.steps]),
        ("event", [event for event in [*declared, saga.abort, saga.give_back] if event]),
        ("request", asked),
    ):
        for name, count in Counter(names).items():
            if count > 1:
                yield Found(name, f"{count} of its {what}s have the name {name}.")


def _pivots(described: DescribedSaga) -> Iterator[Found]:
    pivots = [step.name for step in described.saga.steps if step.step_class is StepClass.PIVOT]
    if len(pivots) != 1:
        found = " and ".join(pivots) or "none"
        yield Found(described.saga.name, f"its pivot: {found}; every saga has exactly one.")


def _undecidable(described: DescribedSaga) -> Iterator[Found]:
    for step in described.saga.steps:
        if not step.decided_by:
            continue
        who = f"{step.name} is decided by the {step.decided_by}"
        if step.step_class is StepClass.RETRIABLE or step is described.saga.steps[0]:
            yield Found(step.name, f"{who}, and must not be refused.")
        if step.decide_seconds <= 0:
            yield Found(
                step.name, f"{who}, and has no decide_seconds: it would be overdue at once."
            )
        if step.operation not in described.deciding:
            yield Found(step.name, f"{who}, and {step.operation} takes no decisions.")
        if step.service not in described.inboxes:
            yield Found(step.name, f"{who}, and {step.service} has no path /decisions.")


def _uncoordinated(described: DescribedSaga) -> Iterator[Found]:
    if described.saga.pattern not in described.patterns:
        yield Found(described.saga.name, f"there is no pattern {described.saga.pattern}.")
    for pattern in described.patterns.values():
        service = described.services.get(pattern.coordinator)
        if service is None or service.role is not Role.COORDINATOR:
            what = f"{pattern.name} is coordinated by {pattern.coordinator}"
            yield Found(pattern.name, f"{what}, which is no coordinator in catalogue/services.py.")
        else:
            yield from _without_process(described, pattern.coordinator)


RULES = (
    Rule(
        "declared",
        "every operation that the definition names is declared by its service",
        "correct the name in the definition, or declare the operation (`@does`, `@undoes`)",
        _undeclared,
    ),
    Rule(
        "command",
        "every operation takes the command that a saga sends it",
        "name the type that the operation declares in catalogue.commands.COMMANDS",
        _other_commands,
    ),
    Rule(
        "fields",
        "every field of a command is in the saga's data, or is an earlier step's result",
        "correct the step's `needs`",
        _not_to_be_had,
    ),
    Rule(
        "services",
        "every service of the saga is registered, with an address, a database and a worker",
        "add its row to catalogue/services.py, and `worker_components` to its apps.py",
        _unregistered,
    ),
    Rule(
        "ownership",
        "the owner accepts the saga at its path, and does its last step",
        "make the owner's `accept` the first step, and one of its steps the last",
        _unaccepted,
    ),
    Rule(
        "names",
        "steps, events and requests each have a unique name",
        "rename all but one of them",
        _ambiguous,
    ),
    Rule(
        "decided",
        "a step that a person decides has an inbox, can be refused, and has a deadline",
        "give the step decide_seconds, its operation a `decide`, its service the decisions' urls",
        _undecidable,
    ),
    Rule("pivot", "the saga has exactly one pivot", "choose the step that decides", _pivots),
    Rule(
        "coordinator",
        "the coordinator of each pattern is registered, and has a worker",
        "correct contracts/patterns.py, or catalogue/services.py",
        _uncoordinated,
    ),
)
