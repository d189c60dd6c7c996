"""`sagas.barrier`'s table in memory: what its SQL does, row by row. The rules stay the real."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from checker.explorer.clock import Clock
from checker.explorer.store import Store
from contracts import refusals
from contracts.outcomes import Outcome, Refused
from sagas.models import BarrierStatus, Direction
from sagas.operations import Operation

_ABORTED = Refused(refusals.ABORTED, "This step was undone or blocked before it could happen.")


class Row(NamedTuple):
    """`outcome`: None only within the transaction that runs it."""

    outcome: Outcome | None
    decided_at: float | None


class BarrierRows:
    """A row is known by its own key instead of a number."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def take(
        self,
        operation: Operation,
        ids: list[str],
        direction: Direction,
        status: BarrierStatus | None = None,
    ) -> dict[str, Any]:
        store, taken = self._store, {}
        table = store.table("barrier." + operation.service)
        for saga_id in ids:
            key = (saga_id, operation.step, direction.value)
            row = Row(_ABORTED, self._clock.stamp()) if status else Row(None, None)
            if store.insert_if_free(table, key, row):
                taken[saga_id] = key
        return taken

    def stored(
        self, operation: Operation, ids: list[str], direction: Direction
    ) -> dict[str, Outcome]:
        table = self._store.table("barrier." + operation.service)
        found = {one: table.get((one, operation.step, direction.value)) for one in ids}
        return {saga_id: row.outcome for saga_id, row in found.items() if row}

    def record(self, *, operation: Operation, outcomes: Mapping[Any, Outcome]) -> None:
        table = self._store.table("barrier." + operation.service)
        for key, outcome in outcomes.items():
            self._store.write(table, key, Row(outcome, self._clock.stamp()))

    def forget(self, *, operation: Operation, saga_ids: Sequence[str]) -> None:
        table = self._store.table("barrier." + operation.service)
        for saga_id in saga_ids:
            self._store.delete(table, (saga_id, operation.step, operation.kind.value))
