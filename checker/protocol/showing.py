"""Everything that is derived from a saga's definition, in tables that fit a terminal."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec

from catalogue.commands import COMMANDS
from contracts import projection
from contracts.saga import Command, Saga, Step

WIDTH = 100
_GAP = 2
Row = Sequence[str]


def as_text(*, saga: Saga) -> str:
    """Steps, events, each service's reactions, calls and requests, and the data that is sent."""
    parts = [
        textwrap.fill(
            f"{saga.name}: {saga.owner} accepts it at POST {saga.door}, about a {saga.subject};"
            f" {saga.pattern} by default; undone if it has not passed its pivot after"
            f" {saga.seconds:g} s. {saga.abort} aborts it, {saga.give_back} returns it.",
            WIDTH,
        ),
        _table("Steps", *_shown_steps(saga)),
        _table(
            "Events of each step", ("step", "done", "refused", "undone"), _events(saga), empty="-"
        ),
        *_reactions(saga),
        _table(
            "Calls and messages of an orchestrator (each request's reply: <request>.replied)",
            ("does", "at", "path", "request"),
            _calls(saga),
        ),
        _table("Data that is sent", ("field", "type", "for"), _data(saga)),
    ]
    return "\n\n".join(parts) + "\n"


def _shown_steps(saga: Saga) -> tuple[Row, list[Row]]:
    """With a column for decisions, if a step needs one."""
    header, rows = ("step", "operation", "class", "seconds", "needs", "decided"), list(_steps(saga))
    if any(step.decided_by for step in saga.steps):
        return header, rows
    return header[:-1], [row[:-1] for row in rows]


def _decided(step: Step) -> str:
    if not step.decided_by:
        return ""
    return f"by the {step.decided_by} within {duration(step.decide_seconds)}"


def duration(seconds: float) -> str:
    """In the largest unit that divides it: `15 min`, `24 h`."""
    for name, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size and not seconds % size:
            return f"{seconds / size:g} {name}"
    return f"{seconds:g} s"


def _steps(saga: Saga) -> Iterator[Row]:
    for step in saga.steps:
        needs = ", ".join(f"{field}={source}" for field, source in step.needs.items())
        yield step.name, step.operation, step.step_class, f"{step.seconds:g}", needs, _decided(step)


def _events(saga: Saga) -> Iterator[Row]:
    for step in saga.steps:
        yield step.name, step.done, step.refused, step.undone


def _reactions(saga: Saga) -> Iterator[str]:
    for service in projection.services_of(saga):
        rows = [
            (
                reaction.event,
                f"{reaction.direction} {reaction.step.name}",
                reaction.emits,
                reaction.emits_on_refusal,
            )
            for reaction in projection.reactions(saga.name)
            if reaction.service == service
        ]
        header = ("on", "does", "then emits", "or, refused")
        yield _table(f"Reactions of {service}", header, rows, empty="-")


def _calls(saga: Saga) -> Iterator[Row]:
    for call in projection.calls(saga.name):
        path = projection.path_of(call.step, call.direction)
        yield f"{call.direction} {call.step.name}", call.step.service, path, call.request


def _data(saga: Saga) -> Iterator[Row]:
    """`subject` is always sent; a result once its step has returned it."""
    users: dict[str, list[str]] = {}
    types = {
        field.name: field.type for field in msgspec.structs.fields(projection.data_type(saga.name))
    }
    for step in saga.steps[1:]:
        for field in COMMANDS.get(step.operation, Command).__struct_fields__:
            source = step.needs.get(field, field)
            if source in types or "." in source or source == "subject":
                users.setdefault(source, []).append(step.name)
    for source, steps in users.items():
        what = "a result" if "." in source else type_name(types.get(source, str))
        yield source, what, ", ".join(steps)


def type_name(kind: Any) -> str:
    """A field's type in words: `list of Item(product_id, quantity)`."""
    if get_origin(kind) is Annotated:
        return type_name(get_args(kind)[0])
    if get_origin(kind) is list:
        return f"list of {type_name(get_args(kind)[0])}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"{kind.__name__}({', '.join(kind.__struct_fields__)})"
    return getattr(kind, "__name__", str(kind))


def _table(title: str, header: Row, rows: Sequence[Row] | Iterator[Row], empty: str = "") -> str:
    cells = [header, *([cell or empty for cell in row] for row in rows)]
    widths = _widths(cells)
    lines = [title, *(line for row in cells for line in _lines(row, widths))]
    lines.insert(2, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _widths(cells: Sequence[Row]) -> list[int]:
    """The width of the text; if the sum exceeds WIDTH, the widest columns are narrowed."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    while sum(widths) + _GAP * (len(widths) - 1) > WIDTH:
        widths[widths.index(max(widths))] -= 1
    return widths


def _lines(row: Row, widths: Sequence[int]) -> Iterator[str]:
    wrapped = [textwrap.wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, wrapped))):
        cells = [lines[number] if number < len(lines) else "" for lines in wrapped]
        yield (" " * _GAP).join(map(str.ljust, cells, widths)).rstrip()
