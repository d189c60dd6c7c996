"""Slots: how many requests a web process works on at once, and their database connections.

A web process has many threads (stack.services.WEB_THREADS), because some requests only wait, for a
saga's end or for another service. Only requests that hold a slot work: the number of slots is best
for one interpreter, and limits the connections to the database. A slot keeps its connections and
lends them to the thread that has taken it; waiting requests hold neither.

Running sagas come before new ones: the doors that they need have slots of their own. Of all other
requests only MOST may be there at once; further ones are refused (503).

Stale connections (`participant.stale_connections`) are found by one request for all slots:
otherwise each slot would fail a request before its connection is replaced, and a coordinator would
refuse a hand-over eight times.
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
"""For the steps of sagas in flight, which coordinators send in lists."""
LOOKING = 2
"""For health checks, so that a busy service does not appear unhealthy."""
MOST = 152
"""All other requests that may be there at once: at work, waiting for a saga's end (at most 64, see
httpapi.waiting), for a batch, or for a slot. Each holds a thread, and STEPPING and LOOKING need
threads, too."""
SLOT_SECONDS = 5.0
"""The timeout of a step's call; a shopper's request is refused (503) after it."""


class NoSlot(Exception):
    """All slots were taken for SLOT_SECONDS, or too many are there already."""


Lent = dict[str, BaseDatabaseWrapper]
"""A slot's connections, by alias."""


class _Place:
    """A place in a queue. `lent`: None until its turn comes."""

    def __init__(self) -> None:
        self.lent: Lent | None = None
        self._turn = threading.Lock()  # a bare lock waits in C
        self._turn.acquire()

    def lend(self, lent: Lent) -> None:
        self.lent = lent
        self._turn.release()

    def wait(self, *, seconds: float) -> None:
        """Waits at most `seconds`; -1: without a limit."""
        self._turn.acquire(timeout=seconds)


class Slots:
    """`count` slots; the slot used last is taken first, because its connection is warm.

    `most`: how many requests may be there at once, with a slot or without. Requests that continue
    come before requests that start.
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
        """Takes a slot for the block; waits for one if all are taken. Raises NoSlot after
        SLOT_SECONDS, or at once if there are too many requests.
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
        """Gives this thread's slot back for the block, and takes one again after it, without a time
        limit: the request has begun, and others will end.
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
        """Gives the slot back even after an error: a lost slot would never come back."""
        _here.slots = None
        kept: Lent = {}
        try:
            for alias in connections:
                # By this alias, not the connection's own (monolith/ has one for all aliases).
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
        connection.close()  # a bug; no other thread may continue its transaction
    if not connection.allow_thread_sharing:
        connection.inc_thread_sharing()  # threads use it one after the other, never at once
    return connection


class _Here(threading.local):
    slots: Slots | None = None


_here = _Here()
working = Slots(count=WORKING, most=MOST)
stepping = Slots(count=STEPPING)
looking = Slots(count=LOOKING)


@contextmanager
def given_back(*, if_wanted: bool = True) -> Iterator[None]:
    """Gives this thread's slot back for the block. A thread without a slot (of a test), or inside
    a transaction, which needs its connection, gives none back."""
    slots = _here.slots
    if slots is None or not if_wanted or _is_in_transaction():
        yield
        return
    with slots.given_back():
        yield


def _is_in_transaction() -> bool:
    return any(connection.in_atomic_block for connection in connections.all(initialized_only=True))


def _mark_unanswered(**_: object) -> None:
    """For errors that no door of ours answers: on a page of the admin, say."""
    stale_connections.mark(error=sys.exc_info()[1])


got_request_exception.connect(_mark_unanswered)
