"""Tables in memory with what the shop asks of PostgreSQL: transactions, row locks, unique keys.

A transaction runs from its beginning to its end, unless it is `suspended`: then its writes are
out of sight, as at READ COMMITTED, and a transaction that touches a row it holds would have to
wait. Rows are immutable; a write replaces the row and remembers the old one, for the rollback.
"""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

_MISSING = object()


class WouldWait(BaseException):
    """The row is held by a transaction that is still open. No fault, so nothing may catch it."""


class Table(dict[Any, Any]):
    """Rows by key. Hashed by identity, so that a row anywhere is (table, key)."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class _Open:
    """A transaction that is open: what it has overwritten, and which rows it only holds."""

    def __init__(self) -> None:
        self.overwritten: list[tuple[Table, Hashable, Any]] = []
        self.held: set[tuple[Table, Hashable]] = set()

    def swap(self) -> None:
        """Puts the old rows in place and keeps the new ones instead; again: the other way."""
        self.overwritten.reverse()
        for place, (table, key, kept) in enumerate(self.overwritten):
            self.overwritten[place] = (table, key, table.get(key, _MISSING))
            _put(table, key, kept)


class MemoryStore:
    """All tables of all services."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self._open: _Open | None = None
        self._suspended: list[_Open] = []
        self._ids = 0

    def table(self, name: str) -> Table:
        """The table of that name, for good: emptied by `clear`, never replaced."""
        return self.tables.setdefault(name, Table())

    def clear(self) -> None:
        """Empties all tables; forgets what is open."""
        for table in self.tables.values():
            table.clear()
        self._open, self._suspended, self._ids = None, [], 0

    def next_id(self) -> int:
        """Like a sequence: never given back."""
        self._ids += 1
        return self._ids

    @contextmanager
    def atomic(self, *, using: str) -> Iterator[None]:
        """In place of django.db.transaction.atomic; not to be nested."""
        if self._open is not None:
            raise AssertionError("a transaction is open already; no door of the shop nests them")
        self._open = mine = _Open()
        try:
            yield
        except BaseException:
            mine.swap()
            raise
        finally:
            self._open = None

    def write(self, table: Table, key: Hashable, row: Any) -> None:
        """Adds or replaces a row; without a transaction it is committed at once."""
        if self._suspended:
            self._wait_for(table, key)
        if self._open is not None:
            self._open.overwritten.append((table, key, table.get(key, _MISSING)))
        table[key] = row

    def insert_if_free(self, table: Table, key: Hashable, row: Any) -> bool:
        """As ON CONFLICT DO NOTHING: whether the row was added."""
        if self._suspended:
            self._wait_for(table, key)
        if key in table:
            return False
        self.write(table, key, row)
        return True

    def delete(self, table: Table, key: Hashable) -> None:
        """Takes the row out, if it is there."""
        if key in table:
            self.write(table, key, None)
            del table[key]

    def lock(self, table: Table, key: Hashable) -> None:
        """As FOR NO KEY UPDATE."""
        if self._suspended:
            self._wait_for(table, key)
        if self._open is not None:
            self._open.held.add((table, key))

    def is_held(self, table: Table, key: Hashable) -> bool:
        """Whether a suspended transaction holds the row: SKIP LOCKED leaves it out."""
        return any((table, key) in transaction.held for transaction in self._suspended)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Within the block the open transaction is suspended: others go on beside it."""
        mine = self._open
        if mine is None:
            yield
            return
        mine.held.update((table, key) for table, key, _ in mine.overwritten)
        mine.swap()
        self._suspended.append(mine)
        self._open = None
        try:
            yield
        finally:
            self._suspended.remove(mine)
            mine.swap()
            self._open = mine

    def _wait_for(self, table: Table, key: Hashable) -> None:
        if self.is_held(table, key):
            raise WouldWait


def _put(table: Table, key: Hashable, row: Any) -> None:
    if row is _MISSING:
        table.pop(key, None)
    else:
        table[key] = row
