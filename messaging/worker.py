"""A worker process: the parts of a service that run without being called, each in a thread."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, runtime_checkable

import msgspec
from django.db import DatabaseError, InterfaceError, connections

from contracts.states import Complaint as Complaint  # parts import it from here
from participant import sql

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
STOP_SECONDS = 10.0
PART_SILENT_SECONDS = 30.0
"""Longer than whatever a healthy part does in one go: a batch with confirms takes at most 15 s."""
FORGET_SECONDS = 900
"""The row of a worker that died stays so long: its counters belong to a measurement, perhaps."""


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


class Pulse(threading.Event):
    """The worker's `stop` as one part sees it: each look at it is a sign of the part's life."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop
        self._seen = time.monotonic()

    def is_set(self) -> bool:
        self._seen = time.monotonic()
        return self._stop.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        self._seen = time.monotonic()
        try:
            return self._stop.wait(timeout)
        finally:
            self._seen = time.monotonic()

    def set(self) -> None:
        self._stop.set()

    def silent_seconds(self) -> float:
        """Since the part looked at it last."""
        return time.monotonic() - self._seen


class Worker:
    """Runs the parts of one service until SIGTERM or SIGINT.

    A part that ends by itself is a bug: the whole process then ends with status 1, so that
    whoever supervises it starts it afresh, rather than limping on.
    """

    def __init__(self, *, service: str, parts: Sequence[Part]) -> None:
        self.service = service
        self.parts = parts
        self._stop = threading.Event()
        self._pulses = {part.name: Pulse(self._stop) for part in parts}
        self._heartbeat = Heartbeat(service=service)
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
        self._if_the_database_is_there(self._heartbeat.sign_off)
        log.info("worker of %s stopped", self.service)
        return 1 if self._failed else 0

    def complaints(self) -> list[Complaint]:
        """What its parts complain of, and which of them hang."""
        complaining = [part for part in self.parts if isinstance(part, Complaining)]
        told = [one for part in complaining for one in part.complaints()]
        return told + [
            _hangs(name, pulse.silent_seconds())
            for name, pulse in self._pulses.items()
            if pulse.silent_seconds() > PART_SILENT_SECONDS
        ]

    def _run_part(self, part: Part) -> None:
        try:
            part.run(self._pulses[part.name])
        except Exception:  # the outermost loop of a thread: without this it would die unseen
            log.exception("%s of %s ended unexpectedly", part.name, self.service)
        if not self._stop.is_set():
            self._failed = True
            self._stop.set()

    def _beat_until_stopped(self) -> None:
        while not self._stop.is_set():
            self._if_the_database_is_there(self._beat)
            self._stop.wait(HEARTBEAT_SECONDS)

    def _beat(self) -> None:
        counters: dict[str, int] = {}
        for part in self.parts:
            counters.update(part.counters())
        self._heartbeat.beat(counters=counters, complaints=self.complaints())

    def _if_the_database_is_there(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except (DatabaseError, InterfaceError) as error:
            log.warning("heartbeat of %s: %s", self.service, error)
            self._heartbeat.lose_session()


class Heartbeat:
    """The worker's row, once a second, and a session's lock that is there while the process is.

    The row without a fresh beat but with its lock is a process that stands still; without the
    lock it is of one that died (`httpapi.standing` reads both). Used by one thread.
    """

    def __init__(self, *, service: str) -> None:
        self._service = service
        self._table = f"{service}_workerheartbeat"
        self._id: int | None = None
        self._has_lock = False
        self._forget_at = 0.0
        self._ahead = timedelta()

    def beat(self, *, counters: dict[str, int], complaints: Sequence[Complaint]) -> None:
        """Raises DatabaseError or InterfaceError; `lose_session` has to follow then."""
        told = [sql.as_json(counters), sql.as_json([self._in_its_time(one) for one in complaints])]
        if self._id is None or not self._update(told):
            self._insert(told)
        if not self._has_lock:
            self._has_lock = self._lock()
        if time.monotonic() >= self._forget_at:
            self._forget_the_dead()
            self._forget_at = time.monotonic() + FORGET_SECONDS / 10

    def sign_off(self) -> None:
        """A clean stop leaves no row."""
        self._execute(f"DELETE FROM {self._table} WHERE id = %s", [self._id])
        self.lose_session()

    def lose_session(self) -> None:
        """The next beat has a new connection, and takes the lock on it."""
        self._has_lock = False
        connections[self._service].close()

    def _update(self, told: list[str]) -> bool:
        """False where the row is gone: this process stood still for so long."""
        rows = self._execute(
            f"UPDATE {self._table} SET seen_at = clock_timestamp(), counters = %s::jsonb,"
            " complaints = %s::jsonb WHERE id = %s RETURNING seen_at",
            [*told, self._id],
        )
        for (seen_at,) in rows:
            self._ahead = datetime.now(UTC) - seen_at
        return bool(rows)

    def _insert(self, told: list[str]) -> None:
        ((self._id,),) = self._execute(
            f"INSERT INTO {self._table} (host, pid, counters, complaints)"
            " VALUES (%s, %s, %s::jsonb, %s::jsonb) RETURNING id",
            [socket.gethostname(), os.getpid(), *told],
        )
        self._has_lock = False

    def _in_its_time(self, complaint: Complaint) -> Complaint:
        """Told in the database's time: how long it lasts is read there (`httpapi.standing`)."""
        return msgspec.structs.replace(complaint, since=complaint.since - self._ahead)

    def _lock(self) -> bool:
        """False while a session of ours that broke is still there for the server."""
        ((is_taken,),) = self._execute(
            "SELECT pg_try_advisory_lock(hashtext(%s), %s::int)", [self._table, self._id]
        )
        return bool(is_taken)

    def _forget_the_dead(self) -> None:
        self._execute(
            f"""
            DELETE FROM {self._table} AS worker
            WHERE seen_at < clock_timestamp() - make_interval(secs => %s) AND NOT EXISTS (
                SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
                   AND classid::bigint = (hashtext(%s)::bigint & 4294967295)
                   AND objid::bigint = worker.id)
            """,
            [FORGET_SECONDS, self._table],
        )

    def _execute(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return sql.execute(service=self._service, sql=statement, values=values)


def _hangs(name: str, seconds: float) -> Complaint:
    return Complaint(
        what=f"the {name} of worker process {os.getpid()} on {socket.gethostname()} hangs",
        since=datetime.now(UTC) - timedelta(seconds=seconds),
        do=f"kill -KILL {os.getpid()}; it is started again by what supervises it",
    )
