"""A service's table of decisions in memory, with the functions of `participant.decisions`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from checker.explorer.injection import Clock
from checker.explorer.store import MemoryStore, Table
from contracts.outcomes import Outcome, Waiting
from participant.barrier import Key
from participant.decisions import MOST_DUE, GivenVerdict, RequestedDecision
from participant.operations import WITHDRAWN, Operation


class DecisionRow(NamedTuple):
    """As in `participant.models.Decision`."""

    saga_id: str
    step: str
    saga: str
    action: str
    decided_by: str
    opened_at: datetime
    until: datetime
    command: str
    cause: str
    verdict: str = ""
    by: str = ""
    reason: str = ""
    closed_at: datetime | None = None
    is_to_be_told: bool = False


class Decisions:
    """The functions of `participant.decisions` that are SQL."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def now(self, *, service: str) -> datetime:
        """Replaces `participant.sql.now`."""
        return self._clock.now()

    def ask(
        self,
        *,
        operation: Operation,
        commands: Mapping[Key, Any],
        outcomes: Mapping[Key, Outcome],
        cause: Mapping[Key, str],
    ) -> None:
        for key, outcome in outcomes.items():
            if isinstance(outcome, Waiting) and outcome.until:
                row = DecisionRow(
                    *key,
                    saga=commands[key].saga,
                    action=operation.action,
                    decided_by=outcome.decided_by,
                    opened_at=self._clock.now(),
                    until=outcome.until,
                    command=msgspec.json.encode(commands[key]).decode(),
                    cause=cause.get(key, ""),
                )
                self._store.write(self.table(operation.service), key, row)

    def read(self, operation: Operation, keys: Collection[Key]) -> dict[Key, RequestedDecision]:
        table = self.table(operation.service)
        return {key: self._asked(table[key]) for key in sorted(keys) if key in table}

    def close(
        self,
        operation: Operation,
        outcomes: Mapping[Key, Outcome],
        given: Mapping[Key, GivenVerdict],
    ) -> None:
        table, now = self.table(operation.service), self._clock.now()
        for key, outcome in outcomes.items():
            if key in table:
                self._store.write(table, key, _closed(table[key], outcome, given[key], now))

    def find(self, *, service: str, saga_id: str, step: str) -> RequestedDecision | None:
        row = self.table(service).get((saga_id, step))
        return self._asked(row) if row else None

    def overdue(self, *, service: str, but_not: Sequence[str] = ()) -> list[RequestedDecision]:
        asked = [self._asked(row) for row in self._rows(service) if row.closed_at is None]
        due = [
            decision for decision in asked if decision.is_over and decision.saga_id not in but_not
        ]
        return sorted(due, key=lambda decision: decision.until)[:MOST_DUE]

    def untold(self, *, service: str, limit: int) -> list[Key]:
        rows = [row for row in self._rows(service) if row.is_to_be_told and row.closed_at]
        rows.sort(key=lambda row: (row.closed_at, row.saga_id))
        return [(row.saga_id, row.step) for row in rows[:limit]]

    def mark_told(self, *, service: str, keys: Collection[Key]) -> None:
        table = self.table(service)
        for key in keys:
            self._store.write(table, key, table[key]._replace(is_to_be_told=False))

    def promise(self, *, service: str, keys: Collection[Key]) -> None:
        table = self.table(service)
        for key in keys:
            row = table.get(key)
            if row and row.saga and not row.is_to_be_told and row.verdict != WITHDRAWN:
                self._store.write(table, key, row._replace(is_to_be_told=True))

    def table(self, service: str) -> Table:
        return self._store.table("decision." + service)

    def _rows(self, service: str) -> Iterator[DecisionRow]:
        return iter(self.table(service).values())

    def _asked(self, row: DecisionRow) -> RequestedDecision:
        stored = {name: getattr(row, name) for name in RequestedDecision.__struct_fields__[:-1]}
        return RequestedDecision(**stored, is_over=row.until <= self._clock.now())


def _closed(row: DecisionRow, outcome: Outcome, given: GivenVerdict, now: datetime) -> DecisionRow:
    """The first verdict counts; a row that now waits for another decider stays open."""
    if not row.verdict:
        row = row._replace(verdict=given.word, by=given.by, reason=given.reason)
    if isinstance(outcome, Waiting) and outcome.until:
        return row._replace(decided_by=outcome.decided_by, until=outcome.until)
    is_told = row.is_to_be_told and given.word != WITHDRAWN
    return row._replace(closed_at=now, is_to_be_told=is_told)
