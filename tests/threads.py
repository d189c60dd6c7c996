"""Calls made at the same moment, and what waits for whom in the database."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections


def at_once(calls: Sequence[Callable[[], Any]], *, service: str) -> list[Any]:
    """What each call gave, in order, all started together; an exception is given as its value."""
    start = threading.Barrier(len(calls))
    got: list[Any] = [None] * len(calls)

    def run(i: int, call: Callable[[], Any]) -> None:
        start.wait()
        try:
            got[i] = call()
        except Exception as error:  # noqa: BLE001 -- a result like any other here
            got[i] = error
        finally:
            connections[service].close()

    threads = [threading.Thread(target=run, args=one) for one in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


class InThread:
    """A call in a thread of its own; `result()` joins it, and raises what it raised."""

    def __init__(self, call: Callable[[], Any], *, service: str) -> None:
        self._call = call
        self._service = service
        self._error: BaseException | None = None
        self._result: Any = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def result(self) -> Any:
        self._thread.join(30)
        if self._error:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._call()
        except Exception as error:  # noqa: BLE001 -- raised again in the test's own thread
            self._error = error
        finally:
            connections[self._service].close()


def wait_until_blocked(*, service: str, count: int) -> None:
    """Returns once so many of the service's connections wait for a lock."""
    deadline = time.monotonic() + 10
    while True:
        with connections[service].cursor() as cursor:
            # Within a transaction the first look would be answered again and again.
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
