"""What has happened to a saga, on one time line across the services, fit to be shown to people:
addresses, cards and who somebody is are left out of every payload.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from contracts.saga import Saga, Step
from contracts.states import SagaState, TrailEntry
from dashboard.store import Accepted, Asked, Noted

_PRIVATE = re.compile(
    r"address|destination|street|city|province|postal|zip|phone|e?mail|card|iban|cvv|token|secret"
    r"|payment_method|holder|(^|_)name$",
    re.IGNORECASE,
)
_CARD_NUMBER = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
HIDDEN = "(not shown)"
LONGEST = 20_000
_LEAST_WIDTH = 0.4


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. `kind`: wait, call, transaction, event, decision or person.
    `x`, `width`: of its bar, in percent of the whole."""

    at: datetime
    until: datetime | None
    service: str
    what: str
    kind: str
    told: str = ""
    data: str = ""
    x: float = 0.0
    width: float = _LEAST_WIDTH
    after: float = 0.0

    @property
    def milliseconds(self) -> float | None:
        return (self.until - self.at) / timedelta(milliseconds=1) if self.until else None


def redacted(value: Any) -> Any:
    """The value without what is private in it: by the names of its fields, and numbers of cards
    wherever they stand."""
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
    """A payload (or its JSON) for people; empty where it has nothing."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return "(can't be read)"
    if not value:
        return ""
    return msgspec.json.format(msgspec.json.encode(redacted(value)), indent=2).decode()[:LONGEST]


def timeline(
    page: Saga,
    *,
    accepted: Accepted | None,
    state: SagaState | None,
    noted: Sequence[Noted],
    asked: Sequence[Asked],
    interventions: Sequence[tuple[datetime, str, str, str]],
) -> list[Entry]:
    """All of it, the first first, each with its place on the line."""
    entries = [
        *_of_owner(page, accepted),
        *_of_coordinator(page, state),
        *_of_services(page, state, noted, asked),
        *_of_people(asked, interventions),
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
    return msgspec.structs.replace(
        entry,
        x=round(min(x, 100 - _LEAST_WIDTH), 2),
        width=round(min(max(width, _LEAST_WIDTH), 100 - x + _LEAST_WIDTH), 2),
        after=(entry.at - begin) / timedelta(milliseconds=1),
    )


def _of_owner(page: Saga, accepted: Accepted | None) -> Iterator[Entry]:
    if accepted is None:
        return
    yield Entry(
        at=accepted.accepted_at,
        until=None,
        service=page.owner,
        what="accepted",
        kind="event",
        data=as_text(accepted.context),
    )
    if accepted.handed_over_at:
        yield Entry(
            at=accepted.accepted_at,
            until=accepted.handed_over_at,
            service=page.owner,
            what="hand-over to the coordinator",
            kind="wait",
            told=accepted.set_aside_reason,
        )
    if accepted.ended_at:
        yield Entry(
            at=accepted.ended_at,
            until=None,
            service=page.owner,
            what=f"ended: {accepted.status}",
            kind="event",
            told=accepted.failure_code,
        )


def _of_coordinator(page: Saga, state: SagaState | None) -> Iterator[Entry]:
    """The orchestrator's calls; the events that were seen of a choreographed saga."""
    if state is None:
        return
    services = {step.name: step.service for step in page.steps}
    if isinstance(state.events, list):
        yield from map(_event, state.events)
        return
    for step in state.steps[1:]:
        if step.started_at and step.step_name in services:
            retries = f", {step.retry_count} more tries" if step.retry_count else ""
            yield Entry(
                at=step.started_at,
                until=step.finished_at,
                service="saga_orchestrator",
                what=f"{step.step_name} asked of {services[step.step_name]}{retries}",
                kind="call",
                told=str(redacted(step.error or "")) or str(step.status),
                data=as_text(dict(step.response_data)),
            )


def _event(event: TrailEntry) -> Entry:
    return Entry(
        at=event.occurred_at,
        until=event.seen_at,
        service="saga_choreography",
        what=f"{event.type}, until it was seen",
        kind="event",
        data=as_text(dict(event.data)),
    )


def _of_services(
    page: Saga, state: SagaState | None, noted: Sequence[Noted], asked: Sequence[Asked]
) -> Iterator[Entry]:
    said = state.events if state and isinstance(state.events, list) else []
    times = {event.type: event.occurred_at for event in said}
    opened = {one.step: one.opened_at for one in asked}
    for row in noted:
        cause = _cause(page, row, times)
        if cause and times[cause] < row.entered_at:
            yield Entry(
                at=times[cause],
                until=row.entered_at,
                service=row.service,
                what=f"{cause} on its way",
                kind="wait",
            )
        code = f"{row.code}: {row.detail}" if row.code else ""
        is_do = row.direction == "do"
        yield Entry(
            at=row.entered_at,
            until=opened[row.step] if is_do and row.step in opened else row.decided_at,
            service=row.service,
            what=row.step if is_do else f"undo {row.step}",
            kind="transaction",
            told=str(redacted(code)) or row.status or "under way",
            data=as_text(row.data),
        )


def _cause(page: Saga, row: Noted, times: dict[str, datetime]) -> str:
    """The event on which a service has done this, where one has been seen."""
    positions = {step.name: position for position, step in enumerate(page.steps)}
    position = positions.get(row.step)
    if position is None or (position == 0 and row.direction == "do"):
        return ""
    names: Sequence[str]
    if row.direction == "do":
        names = [page.steps[position - 1].done]
    else:
        later: Sequence[Step] = page.steps[position + 1 : position + 2]
        names = [name for step in later for name in (step.undone, step.refused)]
        names = [*names, page.give_back, page.abort]
    return next((name for name in names if name in times), "")


def _of_people(
    asked: Sequence[Asked], interventions: Sequence[tuple[datetime, str, str, str]]
) -> Iterator[Entry]:
    for one in asked:
        by = f" by {one.by}" if one.by else ""
        yield Entry(
            at=one.opened_at,
            until=one.decided_at or one.closed_at,
            service=one.service,
            what=f"{one.step} waits for the {one.decided_by}",
            kind="decision",
            told=f"{one.verdict}{by} {one.reason}".strip() or f"until {one.until:%Y-%m-%d %H:%M}",
        )
    for at, action, by, reason in interventions:
        yield Entry(
            at=at,
            until=None,
            service="operator",
            what=f"{action} asked by {by}",
            kind="person",
            told=reason,
        )
