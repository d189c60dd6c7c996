"""Calls made at the same moment, and waits for locks in the database."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections


def at_once(calls: Sequence[Callable[[], Any]], *, service: str) -> list[Any]:
    """The result of each call, in order, all started together; an exception is returned as its
    value.
    """
    start = threading.Barrier(len(calls))

    def together(call: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: (start.wait(), call())[1]

    threads = [InThread(together(call), service=service) for call in calls]
    return [thread.ended_with() for thread in threads]


class InThread:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any], *, service: str) -> None:
        self._call = call
        self._service = service
        self._result: Any = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def ended_with(self) -> Any:
        """Waits for its end; its result, or its exception."""
        self._thread.join(30)
        assert not self._thread.is_alive(), "still running after 30 seconds"
        return self._result

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def result(self) -> Any:
        """Waits for its end; its result. Raises its exception."""
        if isinstance(self.ended_with(), Exception):
            raise self._result
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._call()
        except Exception as error:  # noqa: BLE001 -- a result like any other here
            self._result = error
        finally:
            connections[self._service].close()


class Hurried(threading.Event):
    """A stop event whose waits end at once; `pauses`: their timeouts, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return self.is_set()


def wait_until_blocked(*, service: str, count: int) -> None:
    """Returns once that many of the service's connections wait for a lock."""
    deadline = time.monotonic() + 10
    while True:
        with connections[service].cursor() as cursor:
            # Within a transaction PostgreSQL would show the first snapshot again and again.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            (blocked,) = cursor.fetchone()
        if blocked >= count:
            return
        assert time.monotonic() < deadline, f"{blocked} of {count} connections wait for a lock"
        threading.Event().wait(0.01)
