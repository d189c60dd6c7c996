"""Tables in memory with the features of PostgreSQL that the shop uses: transactions, row locks,
unique keys.

A transaction runs from its beginning to its end, unless it is `suspended`: then its writes are
invisible, as at READ COMMITTED, and another transaction that touches a row it holds would have to
wait. Rows are immutable; a write replaces the row and remembers the old one, for the rollback.
"""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

_MISSING = object()


class WouldWait(BaseException):
    """The row is held by an open transaction. A BaseException, so that no handler catches it."""


class Table(dict[Any, Any]):
    """Rows by key. Hashed by identity, so that (table, key) identifies a row."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class _Open:
    """An open transaction: the rows it has overwritten, and the rows it only holds."""

    def __init__(self) -> None:
        self.overwritten: list[tuple[Table, Hashable, Any]] = []
        self.held: set[tuple[Table, Hashable]] = set()

    def swap(self) -> None:
        """Exchanges the new rows with the old ones; a second call exchanges them back."""
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
        """The table of that name: `clear` empties it, but never replaces it."""
        return self.tables.setdefault(name, Table())

    def clear(self) -> None:
        """Empties all tables; forgets open transactions."""
        for table in self.tables.values():
            table.clear()
        self._open, self._suspended, self._ids = None, [], 0

    def next_id(self) -> int:
        """Like a sequence: not rolled back."""
        self._ids += 1
        return self._ids

    @contextmanager
    def atomic(self, *, using: str) -> Iterator[None]:
        """Replaces django.db.transaction.atomic; not to be nested."""
        if self._open is not None:
            raise AssertionError("a transaction is open already; the shop never nests them")
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
        """ON CONFLICT DO NOTHING: whether the row was added."""
        if self._suspended:
            self._wait_for(table, key)
        if key in table:
            return False
        self.write(table, key, row)
        return True

    def delete(self, table: Table, key: Hashable) -> None:
        """Deletes the row, if it exists."""
        if key in table:
            self.write(table, key, None)
            del table[key]

    def lock(self, table: Table, key: Hashable) -> None:
        """FOR NO KEY UPDATE."""
        if self._suspended:
            self._wait_for(table, key)
        if self._open is not None:
            self._open.held.add((table, key))

    def is_held(self, table: Table, key: Hashable) -> bool:
        """Whether a suspended transaction holds the row, so that SKIP LOCKED skips it."""
        return any((table, key) in transaction.held for transaction in self._suspended)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Within the block the open transaction is suspended, and others may run."""
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
