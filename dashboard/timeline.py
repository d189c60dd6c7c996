"""A saga's time line across the services. Addresses, cards and names of people are removed from
every payload.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace as Record
from typing import Any, NamedTuple

import msgspec

from contracts.patterns import STARTING_THEMSELVES
from contracts.saga import Saga
from contracts.states import TrailEntry

_PRIVATE = re.compile(
    r"address|destination|street|city|province|postal|zip|phone|e?mail|card|iban|cvv|token|secret"
    r"|payment_method|holder|(^|_)name$",
    re.IGNORECASE,
)
_CARD_NUMBER = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
HIDDEN = "(not shown)"
LONGEST = 20_000
_LEAST_WIDTH = 0.4


class Entry(NamedTuple):
    """An entry of the time line. `kind`: wait, call, transaction, event, decision or person.
    `after`: milliseconds since the first entry; `x`, `width`: of its bar, in percent of the whole.
    """

    at: datetime
    until: datetime | None
    service: str
    what: str
    kind: str
    note: str = ""
    data: str = ""
    after: float = 0.0
    x: float = 0.0
    width: float = _LEAST_WIDTH

    @property
    def milliseconds(self) -> float | None:
        return (self.until - self.at) / timedelta(milliseconds=1) if self.until else None


def redacted(value: Any) -> Any:
    """The value without private data: fields are hidden by their names, card numbers anywhere."""
    if isinstance(value, dict):
        return {
            name: HIDDEN if _PRIVATE.search(str(name)) and field else redacted(field)
            for name, field in value.items()
        }
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if isinstance(value, str):
        return _CARD_NUMBER.sub(HIDDEN, value)
    return value


def as_text(value: Any) -> str:
    """A payload (or its JSON) as indented JSON, redacted; empty for an empty payload."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return "(can't be read)"
    if not value:
        return ""
    return msgspec.json.format(msgspec.json.encode(redacted(value)), indent=2).decode()[:LONGEST]


def timeline(
    saga: Saga,
    *,
    accepted: Record | None,
    events: Sequence[TrailEntry],
    calls: Sequence[Record],
    noted: Sequence[Record],
    asked: Sequence[Record],
    interventions: Sequence[Record],
) -> list[Entry]:
    """All entries in order of time, each with its place on the line."""
    entries = [
        *_of_owner(saga, accepted),
        *_of_orchestrator(saga, calls),
        *map(_event, events),
        *_of_services(saga, events, noted, asked),
        *_of_people(saga, asked, interventions),
    ]
    if not entries:
        return []
    entries.sort(key=lambda entry: entry.at)
    begin = entries[0].at
    whole = max(entry.until or entry.at for entry in entries) - begin
    return [_placed(entry, begin, whole or timedelta(microseconds=1)) for entry in entries]


def _placed(entry: Entry, begin: datetime, whole: timedelta) -> Entry:
    x = (entry.at - begin) / whole * 100
    width = ((entry.until or entry.at) - entry.at) / whole * 100
    return entry._replace(
        after=(entry.at - begin) / timedelta(milliseconds=1),
        x=round(min(x, 100 - _LEAST_WIDTH), 2),
        width=round(min(max(width, _LEAST_WIDTH), 100 - x + _LEAST_WIDTH), 2),
    )


def _of_owner(saga: Saga, row: Record | None) -> Iterator[Entry]:
    if row is None:
        return
    owner, at = saga.owner, row.accepted_at
    yield Entry(at, None, owner, "accepted", "event", data=as_text(row.context))
    if row.handed_over_at and row.saga_pattern not in STARTING_THEMSELVES:
        what = "hand-over to the coordinator"
        yield Entry(at, row.handed_over_at, owner, what, "wait", row.dead_letter_reason)
    if row.ended_at:
        yield Entry(row.ended_at, None, owner, f"ended: {row.status}", "event", row.failure_code)


def _of_orchestrator(saga: Saga, calls: Sequence[Record]) -> Iterator[Entry]:
    services = {step.name: step.service for step in saga.steps}
    for call in calls:
        if (
            call.started_at and call.name != saga.steps[0].name
        ):  # the first step is only ever undone
            what = f"{call.name} asked of {services.get(call.name, 'its service')}"
            note = str(redacted(call.error)) or ("" if call.finished_at else call.status)
            yield Entry(
                call.started_at,
                call.finished_at,
                call.service,
                what + _tries(call.do_attempts),
                "call",
                note,
                as_text(call.response_data),
            )
        if call.undone_at:
            what = f"{call.name} is undone{_tries(call.undo_attempts)}"
            yield Entry(call.undone_at, None, call.service, what, "call")


def _tries(number: int) -> str:
    return f", {number} tries" if number > 1 else ""


def _event(event: TrailEntry) -> Entry:
    what = f"{event.type}, until it was seen"
    data = as_text(dict(event.data))
    return Entry(event.occurred_at, event.seen_at, "saga_choreography", what, "event", data=data)


def _of_services(
    saga: Saga, events: Sequence[TrailEntry], noted: Sequence[Record], asked: Sequence[Record]
) -> Iterator[Entry]:
    times = {event.type: event.occurred_at for event in events}
    opened = {decision.step: decision.opened_at for decision in asked}
    for row in noted:
        cause, at = _cause(saga, row, times), row.entered_at
        if cause and times[cause] < at:
            yield Entry(times[cause], at, row.service, f"{cause} on its way", "wait")
        is_do = row.direction == "do"
        until = opened[row.step] if is_do and row.step in opened else row.decided_at
        what = row.step if is_do else f"undo {row.step}"
        code = f"{row.code}: {row.detail}" if row.code else row.status or "under way"
        note, data = str(redacted(code)), as_text(row.data)
        yield Entry(at, until, row.service, what, "transaction", note, data)


def _cause(saga: Saga, row: Record, times: Mapping[str, datetime]) -> str:
    """The seen event on which a service did or undid this step; empty if none was seen."""
    position = next((at for at, step in enumerate(saga.steps) if step.name == row.step), 0)
    if row.direction == "do":
        names = [saga.steps[position - 1].done] if position else []
    else:
        later = saga.steps[position + 1 : position + 2]
        names = [name for step in later for name in (step.undone, step.refused)]
        names += [saga.give_back, saga.abort]
    return next((name for name in names if name in times), "")


def _of_people(
    saga: Saga, asked: Sequence[Record], interventions: Sequence[Record]
) -> Iterator[Entry]:
    people = {step.name: step.decided_by for step in saga.steps}
    for row in asked:
        by = f" by {row.by}" if row.by else ""
        note = f"{row.verdict}{by} {row.reason}".strip() or f"until {row.until:%Y-%m-%d %H:%M}"
        # Once a person has said yes, the row names the system that decides after them.
        who = people.get(row.step) or row.decided_by
        what = f"{row.step} waits for the {who}"
        until = row.decided_at or row.closed_at
        yield Entry(row.opened_at, until, row.service, what, "decision", note)
    for done in interventions:
        what = f"{done.action} asked by {done.requested_by}"
        yield Entry(done.requested_at, None, "operator", what, "person", done.reason)
