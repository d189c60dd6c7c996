"""`Prefer: wait=N` (RFC 7240): answer when it has ended, or after N seconds as it stands then."""

import re
import threading
import time
from collections.abc import Callable, Sequence

from django.db import DatabaseError, connections

MOST_SECONDS = 30.0
POLL_SECONDS = 0.01


def seconds_of(*, prefer: str) -> float:
    """The N of a Prefer header; 0 where it has none, at most MOST_SECONDS."""
    found = re.search(r"\bwait\s*=\s*\"?(\d+)", prefer)
    return min(float(found.group(1)), MOST_SECONDS) if found else 0.0


class Waiters:
    """Requests that wait for rows to end; one thread asks for all of them in one query.

    At most `most` may wait at once, so that those who do not wait still find a free thread;
    one more is not made to wait (a preference may go unmet).
    """

    def __init__(
        self, *, service: str, ended: Callable[[Sequence[str]], set[str]], most: int
    ) -> None:
        self._service = service
        self._ended = ended
        self._most = most
        self._waiting: dict[str, threading.Event] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def wait(self, *, key: str, seconds: float) -> bool:
        """Whether it ended within that time."""
        flag = self._enter(key)
        if flag is None:
            return False
        try:
            return flag.wait(seconds)
        finally:
            with self._changed:
                self._waiting.pop(key, None)

    def _enter(self, key: str) -> threading.Event | None:
        with self._changed:
            if len(self._waiting) >= self._most and key not in self._waiting:
                return None
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="waiters", daemon=True)
                self._thread.start()
            flag = self._waiting.setdefault(key, threading.Event())
            self._changed.notify()
            return flag

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                keys = list(self._waiting)
            try:
                ended = self._ended(keys)
            except DatabaseError:
                connections[self._service].close()
                ended = set()
            with self._changed:
                for key in ended & self._waiting.keys():
                    self._waiting[key].set()
            time.sleep(POLL_SECONDS)
