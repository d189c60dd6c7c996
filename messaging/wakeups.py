"""Wake-ups: a transaction that leaves work for a worker wakes it after the commit.

In the same process a flag is set; another process gets PostgreSQL's NOTIFY, in a transaction of its
own after the commit, because NOTIFY inside a business transaction would take a lock that all
committing transactions of the database share. A lost wake-up costs a sweep interval, never work.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from django.db import DatabaseError, InterfaceError, connections, transaction

from participant import sql, stale_connections

log = logging.getLogger(__name__)

_here: dict[tuple[str, str], "Flag"] = {}
_waited_for: dict[tuple[str, str], "Wake"] = {}
_notifiers: dict[str, "_Notifier"] = {}
_lock = threading.Lock()


def notify(*, service: str, channel: str) -> None:
    """Wakes the listener of this channel of the service, here or in another process."""
    flag = _here.get((service, channel))
    if flag:
        flag.set()
    else:
        _notifier(service).notify(channel)


def notify_all(*, service: str, channel: str) -> None:
    """Wakes the listeners of this channel in all processes."""
    flag = _here.get((service, channel))
    if flag:
        flag.set()
    _notifier(service).notify(channel)


def notify_at_once(*, service: str, channel: str) -> None:
    """Wakes the listeners in other processes, on this thread's own connection."""
    sql.execute(
        service=service, sql="SELECT pg_notify(%s, %s)", values=[_channel(service), channel]
    )


def tell(*, service: str, channel: str, keys: Sequence[str]) -> None:
    """Wakes threads that wait for one of these keys, once the open transaction is committed.

    Other processes are notified only if threads of this one do not wait for all of the keys.
    """
    transaction.on_commit(lambda: _tell(service, channel, keys), using=service)


def _tell(service: str, channel: str, keys: Sequence[str]) -> None:
    wake = _waited_for.get((service, channel))
    if keys and not (wake and wake(keys)):
        _notifier(service).notify(channel)


def close() -> None:
    """Ends this process's notifiers and their connections; a later wake-up starts new ones."""
    with _lock:
        for notifier in _notifiers.values():
            notifier.stop()
        _notifiers.clear()


class Flag(Protocol):
    """Is set by a wake-up: a threading.Event, say."""

    def set(self) -> None: ...


F = TypeVar("F", bound=Flag)
Wake = Callable[[Sequence[str]], bool]
"""Wakes threads of this process that wait for these keys; whether there was one for each key."""


def wake_by(*, service: str, channel: str, wake: Wake) -> None:
    """Registers how `tell` wakes the waiting threads of this process."""
    _waited_for[service, channel] = wake


@contextmanager
def listening(*, service: str, channel: str, flag: F) -> Iterator[F]:
    """Within the block, wake-ups in this process set the flag."""
    _here[service, channel] = flag
    try:
        yield flag
    finally:
        _here.pop((service, channel), None)


class Listener:
    """Passes on the wake-ups of other processes; a component of every worker."""

    name = "listener"

    def __init__(self, *, service: str) -> None:
        self.service = service

    def run(self, stop: threading.Event) -> None:
        """Listens until `stop` is set; reconnects after a loss."""
        while not stop.is_set():
            try:
                self._listen(stop)
            except (DatabaseError, InterfaceError, OSError) as error:
                log.warning("listener of %s: %s; listening again", self.service, error)
                connections[self.service].close()
                stop.wait(1)
        connections[self.service].close()

    def counters(self) -> dict[str, int]:
        return {}

    def _listen(self, stop: threading.Event) -> None:
        listen(service=self.service)
        while not stop.is_set():
            for channel in notified(service=self.service, seconds=0.5):
                flag = _here.get((self.service, channel))
                if flag:
                    flag.set()


def listen(*, service: str) -> None:
    """Makes this thread's connection receive the wake-ups of other processes."""
    sql.execute(service=service, sql=f"LISTEN {_channel(service)}")


def notified(*, service: str, seconds: float) -> list[str]:
    """The channel of the next wake-up on this thread's connection, or none within `seconds`."""
    connection = connections[service]
    stale_connections.refuse(connection)
    with connection.wrap_database_errors:
        found = connection.connection.notifies(timeout=seconds, stop_after=1)
        return [notification.payload for notification in found]


class _Notifier:
    """One thread per process and service; wake-ups that come while it notifies become one."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._waiting: set[str] = set()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"{service}.notifier", daemon=True)
        self._thread.start()

    def notify(self, channel: str) -> None:
        with self._changed:
            self._waiting.add(channel)
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                channels, self._waiting = self._waiting, set()
            if self._stopped:
                connections[self.service].close()
                return
            try:
                self._notify(channels)
            except (DatabaseError, InterfaceError) as error:
                log.warning("could not wake the worker of %s: %s", self.service, error)
                connections[self.service].close()

    def _notify(self, channels: set[str]) -> None:
        connection = connections[self.service]
        fresh = connection.connection is None
        with connection.cursor() as cursor:
            if fresh:
                # A lost wake-up costs nothing, so it need not wait for the disk.
                cursor.execute("SET synchronous_commit = off")
            for channel in channels:
                cursor.execute("SELECT pg_notify(%s, %s)", [_channel(self.service), channel])


def _notifier(service: str) -> _Notifier:
    with _lock:
        if service not in _notifiers:
            _notifiers[service] = _Notifier(service)
        return _notifiers[service]


def _channel(service: str) -> str:
    return f"dueto_{service}"
