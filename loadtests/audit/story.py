"""The history of one saga for a reader, oldest first, and the rows of the services' tables.

Interventions are read here with their author, time and reason, which no rule needs.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from catalogue.services import COORDINATORS, WITH_WORKER
from contracts.patterns import CONDUCTORS
from loadtests.audit.evidence import (
    AcceptedRow,
    CoordinatorRow,
    EntryRow,
    Evidence,
    RequestsRow,
    money,
)
from loadtests.audit.reading import rows

_INTERVENTIONS = """
    SELECT extract(epoch FROM requested_at)::float8, action, step, requested_by, reason
    FROM {service}_intervention WHERE saga_id = %s ORDER BY id
"""
# A call that was answered at once is shown by its barrier entry.
_CALLS = """
    SELECT extract(epoch FROM started_at)::float8, name, do_attempts, undo_attempts, error
    FROM {service}_sagastep
    WHERE saga_id = %s AND (error <> '' OR do_attempts > 1 OR undo_attempts > 1)
"""
_DEAD_LETTERED = """
    SELECT extract(epoch FROM failed_at)::float8, event_type, status, attempts, reason
    FROM {service}_failedmessage WHERE saga_id = %s
"""
_CENTS = frozenset({"amount", "refunded", "invoiced", "credited", "total", "priced", "order_total"})
"""Fields of the services' rows that are money."""


class Moment(NamedTuple):
    """An event of the history; `at`: in seconds since 1970."""

    at: float
    service: str
    what: str


class InterventionEntry(NamedTuple):
    """An intervention of a person. `step`: if the coordinator stores it."""

    at: float
    action: str
    step: str
    by: str
    reason: str


def interventions(saga: Evidence) -> Iterator[tuple[str, InterventionEntry]]:
    """The interventions, each with its coordinator."""
    for service in COORDINATORS:
        statement = _INTERVENTIONS.format(service=service)
        for row in rows(service=service, statement=statement, values=[saga.saga_id]):
            yield service, InterventionEntry._make(row)


def skipped(saga: Evidence) -> Iterator[str]:
    """Each step that an operator skipped, with its amount of money."""
    for _, asked in interventions(saga):
        if asked.action == "skip":
            why = f": {asked.reason}" if asked.reason else ""
            yield f"{asked.by} skipped {asked.step or 'a step'}{_amount(saga, asked.step)}{why}"


def _amount(saga: Evidence, step: str) -> str:
    every = [row for found in saga.rows.values() for row in found]
    amounts = {
        money(row.amount)
        for row in every
        if step in (getattr(row, "step", None), getattr(row, "taken_by", None))
        if getattr(row, "amount", None) is not None
    }
    return f" ({', '.join(sorted(amounts))})" if step and amounts else ""


def story(saga: Evidence) -> list[str]:
    """A line for each moment, then a line for each row of the services' own tables."""
    moments = sorted(_moments(saga))
    start = (
        saga.accepted.accepted_at
        if saga.accepted
        else min((moment.at for moment in moments), default=0.0)
    )
    lines = [
        f"{_iso(moment.at)} {moment.at - start:+10.3f} s  {moment.service:<17}  {moment.what}"
        for moment in moments
    ]
    shown = (AcceptedRow, RequestsRow, EntryRow, CoordinatorRow)
    lines += [_row(row) for kind, found in saga.rows.items() if kind not in shown for row in found]
    return lines


def _moments(saga: Evidence) -> Iterator[Moment]:
    accepted = saga.accepted
    if accepted:
        what = f"accepts {accepted.saga} {accepted.saga_id}, {accepted.pattern}"
        yield Moment(accepted.accepted_at, accepted.service, what)
        if accepted.handed_over_at:
            yield Moment(accepted.handed_over_at, accepted.service, "has handed it over")
        if accepted.ended_at:
            yield Moment(accepted.ended_at, accepted.service, f"has it {accepted.status}")
    for run in saga.runs:
        if run.finished_at:
            yield Moment(run.finished_at, run.service, f"has it {run.status}")
    for entry in saga.of(EntryRow):
        nothing = " (nothing to undo)" if entry.is_nothing else ""
        what = f"{entry.direction:<5} {entry.step}: {entry.status or 'undecided'} {entry.code}"
        yield Moment(entry.decided_at or 0.0, entry.service, what.rstrip() + nothing)
    for service, asked in interventions(saga):
        why = f": {asked.reason}" if asked.reason else ""
        yield Moment(asked.at, service, f"{asked.by} asked to {asked.action} {asked.step}{why}")
    yield from _faults(saga)


def _faults(saga: Evidence) -> Iterator[Moment]:
    """Calls that were made more than once, or failed, and messages that failed."""
    for service in sorted(CONDUCTORS):
        for at, name, done, undone, error in rows(
            service=service, statement=_CALLS.format(service=service), values=[saga.saga_id]
        ):
            again = f"called {done} times, its undo {undone} times"
            yield Moment(at or 0.0, service, f"begins {name}, {again}: {error}".rstrip(": "))
    for service in WITH_WORKER:
        for at, event, status, attempts, reason in rows(
            service=service, statement=_DEAD_LETTERED.format(service=service), values=[saga.saga_id]
        ):
            yield Moment(at, service, f"{event} failed: {status} after {attempts}: {reason}")


def _row(row: Any) -> str:
    fields = ", ".join(
        f"{name} {_shown(name, value)}"
        for name, value in row._asdict().items()
        if name != "saga_id" and value not in (None, "")
    )
    return f"{type(row).__name__.removesuffix('Row')}: {fields}"


def _shown(name: str, value: Any) -> str:
    if name in _CENTS:  # a sum is a Decimal
        return money(value)
    if name.endswith("_at") and isinstance(value, float):
        return _iso(value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _iso(at: float) -> str:
    moment = datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="milliseconds")
    return moment.removesuffix("+00:00") + "Z"
