"""A soak seen from outside: the progress of the sagas, memory, and the answers to shoppers.

The answers, which only the soak knows, are compared with the owner's table; everything else about
the sagas is checked by the audit.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psutil
import psycopg
from django.apps import apps

from contracts.saga import Saga
from loadtests.measuring.outcomes import OwnerProgress, progress_of
from loadtests.shop import accepted_table

Read = Callable[[str, str], list[tuple[Any, ...]]]
"""Returns the rows of a statement in a service's database: `read(service, statement)`."""
Answers = Mapping[str, Sequence[str]]
"""By idempotency key: each different final answer that the shopper got."""

LOOK_SECONDS = 1.0
_LOOKS_A_WEIGHING = 5


@dataclass(kw_only=True)
class MemoryUse:
    """Megabytes of a process and its children: at the beginning, at most, at the end."""

    begin: float
    most: float
    end: float


class Watch:
    """Looks every second, on its own thread, between `start` and `finish`.

    While the database is down or paused, `progress` is that of the last look.
    """

    def __init__(
        self, *, read: Read, saga: Saga, processes: Callable[[], Mapping[str, int]]
    ) -> None:
        """`saga`: its owner's table is read."""
        self.progress = OwnerProgress(accepted=0, ended=0, oldest=0.0)
        self.memory: dict[str, MemoryUse] = {}
        self._read, self._processes = read, processes
        self._owner = saga.owner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self.weigh()
        self._thread.start()

    def finish(self) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> OwnerProgress:
        """The progress now. Raises psycopg.Error."""
        self.progress = progress_of(owner=self._owner, read=self._read)
        return self.progress

    def weigh(self) -> None:
        """Records the memory of every running process."""
        for name, pid in self._processes().items():
            with contextlib.suppress(psutil.Error):  # it was killed meanwhile
                now = megabytes(pid=pid)
                known = self.memory.setdefault(name, MemoryUse(begin=now, most=now, end=now))
                known.most, known.end = max(known.most, now), now

    def _run(self) -> None:
        looks = 0
        while not self._stop.wait(LOOK_SECONDS):
            with contextlib.suppress(psycopg.Error):  # the database is down: one of the faults
                self.look()
            looks += 1
            if looks % _LOOKS_A_WEIGHING == 0:
                self.weigh()


def megabytes(*, pid: int) -> float:
    """Of a process and its children; shared memory is counted once (PSS, see proc(5)).

    Raises psutil.NoSuchProcess if it has ended.
    """
    root = psutil.Process(pid)
    total = root.memory_full_info().pss
    for child in root.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += child.memory_full_info().pss
    return float(total) / 1e6


class AcceptedRow(NamedTuple):
    """A saga's row at its owner. Times in seconds since 1970."""

    saga_id: str
    key: str
    status: str
    accepted_at: float
    ended_at: float | None


def read_accepted(*, read: Read, saga: Saga) -> list[AcceptedRow]:
    """All accepted sagas of that name."""
    keys = apps.get_model(saga.owner, "IdempotencyKey")._meta.db_table
    statement = f"""
        SELECT saga_id,
               coalesce((SELECT min(key) FROM {keys} AS held
                         WHERE held.saga_id = accepted.saga_id), ''),
               status,
               extract(epoch FROM accepted_at)::float8, extract(epoch FROM ended_at)::float8
        FROM {accepted_table(service=saga.owner)} AS accepted WHERE saga = '{saga.name}'
    """
    return [AcceptedRow._make(row) for row in read(saga.owner, statement)]


def reader(*, databases: Mapping[str, str]) -> Read:
    """Reads each statement on a new connection. The result raises psycopg.Error."""

    def read(service: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(databases[service], connect_timeout=5) as connection:
            return connection.execute(statement).fetchall()

    return read


def breaches(*, accepted: Sequence[AcceptedRow], answers: Answers) -> Iterator[str]:
    """Breaches, a sentence each: a shopper got no answer, several, or a wrong one; or there is a
    saga that was not requested.

    That a key has only one saga is checked by the audit.
    """
    keys = {saga.saga_id: saga.key for saga in accepted}
    for key, found in answers.items():
        if not found:
            yield f"the request under key {key} was never accepted"
        elif len(found) > 1:
            yield f"the shopper under key {key} got several answers: {', '.join(found)}"
        elif found[0] not in keys:
            yield f"the shopper under key {key} was answered {found[0]}, which no table has"
        elif keys[found[0]] != key:
            yield f"saga {found[0]} was returned under key {key}, and stored under {keys[found[0]]}"
    for key, count in Counter(keys.values()).items():
        if key not in answers:
            yield f"{count} sagas are under key {key!r}, which no shopper used"
