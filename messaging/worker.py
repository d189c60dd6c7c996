"""A worker process: the parts of a service that run without being called, each in a thread."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec
from django.db import DatabaseError, InterfaceError, connections

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
STOP_SECONDS = 10.0


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a process, since when, and what to do: /health, status and admin show it."""

    what: str
    since: datetime
    do: str


@runtime_checkable
class Complaining(Protocol):
    """A part that can tell what keeps it from its work."""

    def complaints(self) -> list[Complaint]:
        """What stands now; empty while all is well. Called from another thread."""


class Part(Protocol):
    """Something that runs until it is told to stop. It answers its own faults."""

    name: str

    def run(self, stop: threading.Event) -> None: ...

    def counters(self) -> dict[str, int]:
        """What it has done since the start, for the cost of a run."""


class Worker:
    """Runs the parts of one service until SIGTERM or SIGINT.

    A part that ends by itself is a bug: the whole process then ends with status 1, so that
    whoever supervises it starts it afresh, rather than limping on.
    """

    def __init__(self, *, service: str, parts: Sequence[Part]) -> None:
        self.service = service
        self.parts = parts
        self._stop = threading.Event()
        self._failed = False

    def run(self) -> int:
        """Returns the exit status."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self._stop.set())
        threads = [
            threading.Thread(target=self._run_part, args=[part], name=f"{self.service}.{part.name}")
            for part in self.parts
        ]
        for thread in threads:
            thread.daemon = True
            thread.start()
        log.info("worker of %s: %s", self.service, ", ".join(part.name for part in self.parts))
        self._beat_until_stopped()
        for thread in threads:
            thread.join(STOP_SECONDS)
        log.info("worker of %s stopped", self.service)
        return 1 if self._failed else 0

    def _run_part(self, part: Part) -> None:
        try:
            part.run(self._stop)
        except Exception:  # the outermost loop of a thread: without this it would die unseen
            log.exception("%s of %s ended unexpectedly", part.name, self.service)
        if not self._stop.is_set():
            self._failed = True
            self._stop.set()

    def _beat_until_stopped(self) -> None:
        beat_id = None
        while not self._stop.is_set():
            try:
                beat_id = self._beat(beat_id)
            except (DatabaseError, InterfaceError) as error:
                log.warning("heartbeat of %s: %s", self.service, error)
                connections[self.service].close()
            self._stop.wait(HEARTBEAT_SECONDS)

    def _beat(self, beat_id: int | None) -> int:
        counters = {}
        for part in self.parts:
            counters.update(part.counters())
        encoded = msgspec.json.encode(counters).decode()
        table = f"{self.service}_workerheartbeat"
        with connections[self.service].cursor() as cursor:
            if beat_id is None:
                cursor.execute(
                    f"INSERT INTO {table} (host, pid, counters) VALUES (%s, %s, %s) RETURNING id",
                    [socket.gethostname(), os.getpid(), encoded],
                )
                return int(cursor.fetchone()[0])
            cursor.execute(
                f"UPDATE {table} SET seen_at = clock_timestamp(), counters = %s::jsonb"
                " WHERE id = %s",
                [encoded, beat_id],
            )
        return beat_id
