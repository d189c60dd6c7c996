"""`messaging.outbox` and `messaging.parked` in memory."""

from collections.abc import Sequence
from datetime import datetime

from checker.explorer.store import Store
from contracts import events
from contracts.events import Event
from messaging.outbox import Unsent
from messaging.parked import Aside, Due


class Outbox:
    """Rows that are sent are deleted: nobody looks at them again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, *, service: str, said: Sequence[Event]) -> None:
        table = self._store.table("outbox." + service)
        for event in said:
            row_id = self._store.next_id()
            row = Unsent(
                id=row_id, event_id=event.id, event_type=event.type, body=events.encode(event)
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
