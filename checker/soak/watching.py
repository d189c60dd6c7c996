"""What is seen of a soak from outside while it runs: how far the sagas are, and memory."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil
import psycopg

from checker.soak.answers import Read
from contracts.saga import Saga
from loadtests.shop import accepted_table

LOOK_SECONDS = 1.0
_LOOKS_A_WEIGHING = 5
_PROGRESS = """
    SELECT count(*), count(ended_at), coalesce(extract(epoch FROM
           clock_timestamp() - min(accepted_at) FILTER (WHERE ended_at IS NULL)), 0)::float8
    FROM {table}
"""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`oldest`: seconds since the acceptance of the oldest that has not ended."""

    accepted: int
    ended: int
    oldest: float


@dataclass(kw_only=True)
class Memory:
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
        self.progress = Progress(accepted=0, ended=0, oldest=0.0)
        self.memory: dict[str, Memory] = {}
        self._read, self._processes = read, processes
        self._owner = saga.owner
        self._progress = _PROGRESS.format(table=accepted_table(service=saga.owner))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self.weigh()
        self._thread.start()

    def finish(self) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> Progress:
        """As it is now. Raises psycopg.Error."""
        ((accepted, ended, oldest),) = self._read(self._owner, self._progress)
        self.progress = Progress(accepted=accepted, ended=ended, oldest=oldest)
        return self.progress

    def weigh(self) -> None:
        """Notes the memory of every process that runs now."""
        for name, pid in self._processes().items():
            with contextlib.suppress(psutil.Error):  # it was killed meanwhile
                now = megabytes(pid=pid)
                known = self.memory.setdefault(name, Memory(begin=now, most=now, end=now))
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
    for one in root.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += one.memory_full_info().pss
    return float(total) / 1e6
