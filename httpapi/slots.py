"""How many requests a web process works on at once, and the database connections they use.

A web process has many threads (stack.services.WEB_THREADS), because some requests only wait, for a
saga to end or for another service. Only those that hold a slot work: so many threads at once make
the best of one interpreter, and so many connections to the database are enough. A slot keeps its
connections and lends them to whichever thread has taken it; those that wait hold neither.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

WORKING = 8
LOOKING = 2
"""Slots of their own for whoever asks for the health: a full house is no reason to call it ill."""


SLOT_SECONDS = 5.0
"""Nobody waits longer for a step; a shopper is told to come again."""


class NoSlot(Exception):
    """All slots were taken for SLOT_SECONDS."""


class Slots:
    """So many slots; the one that was used last is taken first, and its connection is warm."""

    def __init__(self, *, count: int) -> None:
        self._idle: deque[dict[str, BaseDatabaseWrapper]] = deque({} for _ in range(count))
        # A queue and no semaphore: it waits in C.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Works in a slot; waits for one where all are taken. Raises NoSlot after SLOT_SECONDS."""
        try:
            self._take(seconds=SLOT_SECONDS)
        except Empty as error:
            raise NoSlot from error
        try:
            yield
        finally:
            self._give_back()

    @contextmanager
    def given_back(self) -> Iterator[None]:
        """Waits without the slot that this thread has taken, and takes one again after it."""
        self._give_back()
        try:
            yield
        finally:
            self._take()

    def _take(self, *, seconds: float | None = None) -> None:
        """Without a limit for whoever was given back: it has begun, and the others will end."""
        self._free.get(timeout=seconds)
        for alias, connection in self._idle.pop().items():
            connections[alias] = connection
        _here.slots = self

    def _give_back(self) -> None:
        _here.slots = None
        kept = {}
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                connection.close()  # a bug left it so; nobody else may go on in its transaction
            if not connection.allow_thread_sharing:
                connection.inc_thread_sharing()  # one after the other, never at once
            kept[connection.alias] = connection
            del connections[connection.alias]
        self._idle.append(kept)
        self._free.put(None)


class _Here(threading.local):
    slots: Slots | None = None


_here = _Here()
working = Slots(count=WORKING)
looking = Slots(count=LOOKING)


@contextmanager
def given_back(*, if_wanted: bool = True) -> Iterator[None]:
    """Waits without a slot. Whoever holds none (a thread of a test), or is in the middle of a
    transaction, which needs its connection, just waits."""
    slots = _here.slots
    if slots is None or not if_wanted or _is_in_transaction():
        yield
        return
    with slots.given_back():
        yield


def _is_in_transaction() -> bool:
    return any(one.in_atomic_block for one in connections.all(initialized_only=True))
