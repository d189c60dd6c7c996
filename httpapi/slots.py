"""How many requests a web process works on at once, and the database connections they use.

A web process has many threads (stack.services.WEB_THREADS), because some requests only wait, for a
saga to end or for another service. Only those that hold a slot work: so many threads at once make
the best of one interpreter, and so many connections to the database are enough. A slot keeps its
connections and lends them to whichever thread has taken it; those that wait hold neither.

What runs comes before what is new: the doors that sagas in flight need have slots of their own, and
so many other requests may be there at once, whatever they wait for. One more is told to come again.

One request finds out that connections must not be used again (`participant.stale_connections`), and
the others need not: each slot would fail a request before its own is replaced, and a coordinator
would turn a hand-over away eight times.
"""

import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.signals import got_request_exception
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from participant import stale_connections

WORKING = 8
STEPPING = 4
"""For the steps of sagas in flight: coordinators ask for whole lists of them."""
LOOKING = 2
"""For whoever asks for the health: a full house is no reason to call it ill."""
MOST = 152
"""Requests that may be there at once but for those: at work, waiting for an end (at most 64, see
httpapi.waiting), for a batch that takes them along, or for a slot. Each holds a thread, of which
those need some."""
SLOT_SECONDS = 5.0
"""Nobody waits longer for a step; a shopper is told to come again."""


class NoSlot(Exception):
    """All slots were taken for SLOT_SECONDS, or too many are there already."""


Lent = dict[str, BaseDatabaseWrapper]
"""A slot's connections, by alias."""


class _Place:
    """In a line. `lent`: None until it is one's turn."""

    def __init__(self) -> None:
        self.lent: Lent | None = None
        self._turn = threading.Lock()  # a bare lock waits in C
        self._turn.acquire()

    def lend(self, lent: Lent) -> None:
        self.lent = lent
        self._turn.release()

    def wait(self, *, seconds: float) -> None:
        """At most so long; -1: without an end."""
        self._turn.acquire(timeout=seconds)


class Slots:
    """So many slots; the one that was used last is taken first, and its connection is warm.

    `most`: how many requests may be there at once, with a slot or without. Those that go on come
    before those that have not begun.
    """

    def __init__(self, *, count: int, most: int = sys.maxsize) -> None:
        self._most = most
        self._there = 0
        self._lock = threading.Lock()
        self._idle: deque[Lent] = deque({} for _ in range(count))
        self._to_begin: deque[_Place] = deque()
        self._to_go_on: deque[_Place] = deque()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Works in a slot; waits for one where all are taken. Raises NoSlot after SLOT_SECONDS, or
        at once where too many are there.
        """
        with self._lock:
            if self._there >= self._most:
                raise NoSlot
            self._there += 1
        try:
            self._take(self._to_begin, seconds=SLOT_SECONDS)
            try:
                yield
            finally:
                self._give_back()
        finally:
            with self._lock:
                self._there -= 1

    @contextmanager
    def given_back(self) -> Iterator[None]:
        """Waits without the slot that this thread has taken, and takes one again after it: without
        a limit, as it has begun, and the others will end.
        """
        self._give_back()
        try:
            yield
        finally:
            self._take(self._to_go_on)

    def _take(self, line: deque[_Place], *, seconds: float = -1) -> None:
        place = _Place()
        with self._lock:
            if self._idle:
                place.lend(self._idle.pop())
            else:
                line.append(place)
        place.wait(seconds=seconds)
        with self._lock:
            if place.lent is None:
                line.remove(place)
                raise NoSlot
        for alias, connection in place.lent.items():
            connections[alias] = connection
        stale_connections.close(among=place.lent.values())
        _here.slots = self

    def _give_back(self) -> None:
        """Whatever happens: a slot that is lost is never there again."""
        _here.slots = None
        kept: Lent = {}
        try:
            for alias in connections:
                # By alias, which a connection does not tell for sure (monolith/ has one for all).
                if hasattr(connections._connections, alias):
                    kept[alias] = _lendable(connections[alias])
                    del connections[alias]
        finally:
            with self._lock:
                line = self._to_go_on or self._to_begin
                if line:
                    line.popleft().lend(kept)
                else:
                    self._idle.append(kept)


def _lendable(connection: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    if connection.in_atomic_block:
        connection.close()  # a bug left it so; nobody else may go on in its transaction
    if not connection.allow_thread_sharing:
        connection.inc_thread_sharing()  # one after the other, never at once
    return connection


class _Here(threading.local):
    slots: Slots | None = None


_here = _Here()
working = Slots(count=WORKING, most=MOST)
stepping = Slots(count=STEPPING)
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
    return any(connection.in_atomic_block for connection in connections.all(initialized_only=True))


def _mark_unanswered(**_: object) -> None:
    """Where no door of ours answers an error: a page of the admin, say."""
    stale_connections.mark(error=sys.exc_info()[1])


got_request_exception.connect(_mark_unanswered)
