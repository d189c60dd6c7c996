"""What a participant stores, in memory: `participant.barrier`, `messaging.outbox` and
`messaging.parked` as their SQL does it, row by row, and the ledger of effects.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from checker.explorer.clock import Clock
from checker.explorer.sagas.participants import Effect
from checker.explorer.store import Store, Table
from contracts import events, refusals
from contracts.commands import Command
from contracts.events import Event
from contracts.outcomes import Outcome, Refused
from contracts.saga import Direction
from messaging.outbox import Unsent
from messaging.parked import Aside, Due
from participant.barrier import Key, key_of
from participant.models import BarrierStatus
from participant.operations import Operation

_ABORTED = Refused(refusals.ABORTED, "This step was undone or blocked before it could happen.")
_UNITS = "units"


class BarrierRow(NamedTuple):
    """`outcome`: None only within the transaction that runs it."""

    outcome: Outcome | None


class Barrier:
    """A row is known by its own key instead of a number. The rules stay the real ones."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(
        self,
        operation: Operation,
        sagas: Mapping[Key, str],
        direction: Direction,
        status: BarrierStatus | None = None,
    ) -> dict[Key, Any]:
        taken, table = {}, self._table(operation)
        for key in sorted(sagas):
            row = BarrierRow(_ABORTED if status else None)
            if self._store.insert_if_free(table, (key, direction), row):
                taken[key] = (key, direction)
        return taken

    def stored(
        self, operation: Operation, keys: Collection[Key], direction: Direction
    ) -> dict[Key, Outcome]:
        table = self._table(operation)
        found = {key: table.get((key, direction)) for key in sorted(keys)}
        return {key: row.outcome for key, row in found.items() if row}

    def record(self, *, operation: Operation, outcomes: Mapping[Any, Outcome]) -> None:
        table = self._table(operation)
        for row_id, outcome in outcomes.items():
            self._store.write(table, row_id, BarrierRow(outcome))

    def forget(self, *, operation: Operation, commands: Sequence[Command]) -> None:
        table = self._table(operation)
        for one in commands:
            self._store.delete(table, (key_of(operation, one), operation.direction))

    def _table(self, operation: Operation) -> Table:
        return self._store.table("barrier." + operation.service)


class Ledger:
    """A `participants.Ledger`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._effects = store.table("ledger")
        self._units = store.table(_UNITS)

    def lock_units(self, *, service: str) -> int:
        if service in self._units:
            self._store.lock(self._units, service)
        free: int = self._units.get(service, 0)
        self._store.tell("after reading")
        return free

    def set_units(self, *, service: str, units: int) -> None:
        self._store.write(self._units, service, units)

    def add(self, *, service: str, effects: Sequence[Effect]) -> None:
        for one in effects:
            times = (*self._effects.get(one, ()), self._clock.stamp())
            self._store.write(self._effects, one, times)

    def effects(self) -> Mapping[Effect, Sequence[float]]:
        return self._effects

    def units(self, *, service: str) -> int:
        units: int = self._units[service]
        return units


class Outbox:
    """Rows that are sent are deleted: nobody looks at them again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, *, service: str, said: Sequence[Event]) -> None:
        table = self._store.table("outbox." + service)
        for event in said:
            row_id = self._store.next_id()
            row = Unsent(
                id=row_id, event_id=event.id, event_type=event.route, body=events.encode(event)
            )
            self._store.write(table, row_id, row)

    def unsent(self, *, service: str, limit: int) -> list[Unsent]:
        return list(self._store.table("outbox." + service).values())[:limit]

    def mark_sent(self, *, service: str, ids: Sequence[int], at: datetime) -> list[int]:
        table = self._store.table("outbox." + service)
        for row_id in ids:
            self._store.delete(table, row_id)
        return list(ids)


class Parked:
    """Messages that no handler could handle, with the reason: here that is a bug, so none is tried
    again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.table = store.table("parked")

    def add(self, *, service: str, aside: Aside, is_again: bool = True) -> None:
        what = f"{service} set {aside.message.type} of {aside.saga_id} aside: {aside.reason}"
        self._store.write(self.table, self._store.next_id(), what)

    def revive(self, *, service: str, aside: Aside) -> bool:
        return False

    def claim_due(self, *, service: str, limit: int) -> list[Due]:
        return []

    def retrying(self, *, service: str, event_ids: Sequence[str]) -> set[str]:
        return set()

    def close(self, *, service: str, event_ids: Sequence[str]) -> None:
        pass
