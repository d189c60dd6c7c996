"""`Prefer: wait=N` (RFC 7240): answers at the saga's end, or with its state after N seconds.

A request that waits holds a thread of the web process, and no slot (httpapi.slots): any number of
waiting shoppers does not delay steps, hand-overs and health checks.
"""

import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Protocol, TypeVar

from django.db import Error, connections

from httpapi import problems, slots
from httpapi.client import Client, Unreachable

T = TypeVar("T")

MOST_SECONDS = 30.0
MOST_WAITING = 64
"""Requests of one process, of all doors. A further request does not wait: a preference need not be
met. stack.services.WEB_THREADS has threads for them."""
POLL_SECONDS, KEPT_SECONDS = 0.01, 1.0


def seconds_of(*, prefer: str) -> float:
    """The N of a Prefer header, at most MOST_SECONDS; 0 without one."""
    found = re.search(r"(?:^|[\s,;])wait\s*=\s*\"?([0-9]+)", prefer)
    return min(float(found.group(1)), MOST_SECONDS) if found else 0.0


class Places:
    """Limits the number of waiting requests; all are answered at once when the process stops."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._taken = 0
        self._lock = threading.Lock()
        self.is_closed = threading.Event()

    @contextmanager
    def one(self) -> Iterator[bool]:
        """Takes a place for the block, if there is one; whether there was."""
        with self._lock:
            has_place = self._taken < self._most and not self.is_closed.is_set()
            self._taken += has_place
        try:
            yield has_place
        finally:
            with self._lock:
                self._taken -= has_place


places = Places(most=MOST_WAITING)


@contextmanager
def for_an_answer() -> Iterator[None]:
    """For a call of another service: gives the slot back, if there is a place to wait, so that
    steps that are called here do not wait for that service."""
    with places.one() as has_place, slots.given_back(if_wanted=has_place):
        yield


def answer_of(*, service: str, client: Client, path: str, kind: type[T]) -> T:
    """Another service's answer. Raises Problem (503) if there is none."""
    try:
        with for_an_answer():
            found: T = client.get(path=path).decode(type=kind)
    except Unreachable as error:
        raise problems.unavailable(service) from error
    return found


_all_waiters: list["Waiters"] = []


class News(Protocol):
    """Wake-ups for the thread that queries for ended rows."""

    def begin(self) -> None:
        """Starts listening: no wake-up is missed from now on."""

    def wait(self) -> None:
        """Waits until rows may have ended, or for a limited time."""


class Polling:
    """Queries at intervals, without wake-ups."""

    def begin(self) -> None:
        """Does nothing."""

    def wait(self) -> None:
        time.sleep(POLL_SECONDS)


class Waiters:
    """Requests that wait for rows to end. They are woken by their keys (`wake`), or by one thread,
    which queries for all of them at once after a wake-up.
    """

    def __init__(
        self,
        *,
        service: str,
        ended: Callable[[Sequence[str]], set[str]],
        news: News | None = None,
    ) -> None:
        self._service = service
        self._ended = ended
        self._news = news or Polling()
        self._waiting: dict[str, list[threading.Event]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        _all_waiters.append(self)

    def wait(self, *, key: str, seconds: float) -> bool:
        """Whether the row ended within that time; false at once if too many requests wait."""
        with places.one() as has_place:
            return has_place and self.wait_in_place(key=key, seconds=seconds)

    def wait_in_place(self, *, key: str, seconds: float) -> bool:
        """As `wait`, for a request that has a place."""
        flag = threading.Event()
        self._enter(key, flag)
        try:
            with slots.given_back():
                flag.wait(seconds)
        finally:
            has_ended = self._leave(key, flag)
        return has_ended

    def send_home(self) -> None:
        """Wakes all requests, whether their rows have ended or not."""
        with self._changed:
            for flags in self._waiting.values():
                for flag in flags:
                    flag.set()

    def _enter(self, key: str, flag: threading.Event) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="waiters", daemon=True)
                self._thread.start()
            self._waiting.setdefault(key, []).append(flag)
            if places.is_closed.is_set():
                flag.set()
            self._changed.notify()

    def _leave(self, key: str, flag: threading.Event) -> bool:
        """Removes this request's flag; whether the row had ended, which removes its key."""
        with self._changed:
            flags = self._waiting.get(key, [])
            if flag not in flags:
                return True
            flags.remove(flag)
            if not flags:
                del self._waiting[key]
            return False

    def wake(self, keys: Sequence[str]) -> bool:
        """Wakes requests whose rows have ended; whether there was a request for each key."""
        with self._changed:
            flags = [self._waiting.pop(key, []) for key in keys]
            for flag in chain(*flags):
                flag.set()
        return all(flags)

    def _watch(self) -> None:
        while True:
            keys = self._keys()
            try:
                if connections[self._service].connection is None:
                    self._news.begin()
                self.wake(list(self._ended(keys)))
                self._news.wait()
            except Error:
                connections[self._service].close()
                time.sleep(POLL_SECONDS)

    def _keys(self) -> list[str]:
        """Waits for keys; closes the connection if there are none for KEPT_SECONDS."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, timeout=KEPT_SECONDS):
                connections[self._service].close()
                self._changed.wait_for(lambda: self._waiting)
            return list(self._waiting)


def stop() -> None:
    """Ends the waiting of all requests of this process; no request waits from now on."""
    places.is_closed.set()
    for waiters in _all_waiters:
        waiters.send_home()


def stop_on_signal(*, drains: signal.Signals) -> None:
    """Calls `stop` at SIGTERM or SIGINT, whatever handlers they have, or earlier at `drains`. To be
    called by the main thread.

    Granian sets its own handlers after it has loaded the application, stops accepting, and waits
    for running requests: requests that wait here could take 30 seconds, and it grants five. Python
    writes each signal's number to the wake-up descriptor, whatever its handler.
    """
    signal.signal(drains, _just_wake)
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    numbers = {signal.SIGTERM, signal.SIGINT, drains}
    arguments = (reader, writer, numbers)
    threading.Thread(target=_listen, args=arguments, name="stopping", daemon=True).start()


def _listen(
    reader: socket.socket, writer: socket.socket, numbers: Collection[signal.Signals]
) -> None:
    """Holds `writer` open: the interpreter has only its descriptor."""
    while writer.fileno() >= 0:
        if any(number in numbers for number in reader.recv(64)):
            stop()


def _just_wake(*_: object) -> None:
    """Does nothing: the signal's number has gone to the wake-up descriptor."""
