"""What is seen of a soak from outside: how far the sagas are, memory, and what shoppers were told.

The last is what a soak alone knows, held against what the owner's table has; everything else about
the sagas is the audit's.
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
"""Gives the rows of a statement in a service's database: `read(service, statement)`."""
Answers = Mapping[str, Sequence[str]]
"""By idempotency key: each different final answer that the shopper got."""

LOOK_SECONDS = 1.0
_LOOKS_A_WEIGHING = 5


@dataclass(kw_only=True)
class MemoryUse:
    """Megabytes of a process with those below it: at the beginning, at most, at the end."""

    begin: float
    most: float
    end: float


class Watch:
    """Looks every second, on a thread of its own, between `start` and `finish`.

    While the database is down or paused, `progress` is what was seen last.
    """

    def __init__(
        self, *, read: Read, saga: Saga, processes: Callable[[], Mapping[str, int]]
    ) -> None:
        """`saga`: whose owner's table is looked at."""
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
        """As it is now. Raises psycopg.Error."""
        self.progress = progress_of(owner=self._owner, read=self._read)
        return self.progress

    def weigh(self) -> None:
        """Notes the memory of every process that runs now."""
        for name, pid in self._processes().items():
            with contextlib.suppress(psutil.Error):  # it was killed meanwhile
                now = megabytes(pid=pid)
                known = self.memory.setdefault(name, MemoryUse(begin=now, most=now, end=now))
                known.most, known.end = max(known.most, now), now

    def _run(self) -> None:
        looks = 0
        while not self._stop.wait(LOOK_SECONDS):
            with contextlib.suppress(psycopg.Error):  # the database is away: one of the faults
                self.look()
            looks += 1
            if looks % _LOOKS_A_WEIGHING == 0:
                self.weigh()


def megabytes(*, pid: int) -> float:
    """Of a process and those below it; what they share is counted once (PSS, see proc(5)).

    Raises psutil.NoSuchProcess where it has ended.
    """
    root = psutil.Process(pid)
    total = root.memory_full_info().pss
    for child in root.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += child.memory_full_info().pss
    return float(total) / 1e6


class WatchedSaga(NamedTuple):
    """A saga, as its owner has it. Times in seconds since 1970."""

    saga_id: str
    key: str
    status: str
    accepted_at: float
    ended_at: float | None


def read_accepted(*, read: Read, saga: Saga) -> list[WatchedSaga]:
    """All of them, as they are now."""
    keys = apps.get_model(saga.owner, "IdempotencyKey")._meta.db_table
    statement = f"""
        SELECT saga_id,
               coalesce((SELECT min(key) FROM {keys} AS held
                         WHERE held.saga_id = accepted.saga_id), ''),
               status,
               extract(epoch FROM accepted_at)::float8, extract(epoch FROM ended_at)::float8
        FROM {accepted_table(service=saga.owner)} AS accepted WHERE saga = '{saga.name}'
    """
    return [WatchedSaga._make(row) for row in read(saga.owner, statement)]


def reader(*, databases: Mapping[str, str]) -> Read:
    """Reads each statement on a connection of its own. What it gives raises psycopg.Error."""

    def read(service: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(databases[service], connect_timeout=5) as connection:
            return connection.execute(statement).fetchall()

    return read


def breaches(*, accepted: Sequence[WatchedSaga], answers: Answers) -> Iterator[str]:
    """What is wrong with what shoppers were told, a sentence each: each was told of one saga, and
    finds it under the key; and no saga is there that was not asked for.

    That a key has one saga is the audit's to say.
    """
    keys = {saga.saga_id: saga.key for saga in accepted}
    for key, told in answers.items():
        if not told:
            yield f"what was asked for under key {key} was never accepted"
        elif len(told) > 1:
            yield f"the shopper under key {key} was given several answers: {', '.join(told)}"
        elif told[0] not in keys:
            yield f"the shopper under key {key} was answered {told[0]}, which no table has"
        elif keys[told[0]] != key:
            yield f"saga {told[0]} was told under key {key}, and is kept under {keys[told[0]]}"
    for key, count in Counter(keys.values()).items():
        if key not in answers:
            yield f"{count} sagas are under key {key!r}, which no shopper used"
