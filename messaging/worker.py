"""A worker process: the components of a service that run without being called, each in a thread.

Of several workers of a service one leads in a thing; the others wait to take over. The lead is a
session's advisory lock in the service's own database: it is gone with the connection. A leader
that stands still (a paused process, a frozen host) keeps its connection, so a follower ends that
session once it has issued no statement for LEAD_SECONDS. For a moment two may believe that they
lead (after a cut connection, or when the one that stood still goes on), so what they do must be
idempotent; the next statement of the old one fails, and it has to ask for the lead again.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec
from django.db import DatabaseError, InterfaceError, connections

from contracts.states import Complaint
from participant import metrics, sql

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
STOP_SECONDS = 10.0
COMPONENT_SILENT_SECONDS = 30.0
"""Longer than a healthy component takes for anything: a batch with confirms at most 15 s."""
HEARTBEAT_FILE = "DUETO_HEARTBEAT_FILE"


@runtime_checkable
class Complaining(Protocol):
    """A component that can tell what keeps it from its work."""

    def complaints(self) -> list[Complaint]:
        """What stands now; empty while all is well. Called from another thread."""


class Component(Protocol):
    """Something that runs until it is told to stop. It answers its own faults."""

    name: str

    def run(self, stop: threading.Event) -> None: ...

    def counters(self) -> dict[str, int]:
        """What it has done since the start: for the cost of a run, and for /metrics."""


class Pulse(threading.Event):
    """The worker's `stop` as a component sees it: each look at it is a sign of life."""

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
        """Since the component looked at it last."""
        return time.monotonic() - self._seen


class Worker:
    """Runs the components of one service until SIGTERM or SIGINT.

    A component that ends by itself is a bug: the whole process then ends with status 1, so that
    its supervisor starts it afresh, rather than limping on.
    """

    def __init__(self, *, service: str, components: Sequence[Component]) -> None:
        self.service = service
        self.components = components
        self._stop = threading.Event()
        self._pulses = {component.name: Pulse(self._stop) for component in components}
        self._heartbeat = HeartbeatWriter(service=service)
        self._failed = False

    def run(self) -> int:
        """Returns the exit status."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self._stop.set())
        threads = [
            threading.Thread(
                target=self._run_component,
                args=[component],
                name=f"{self.service}.{component.name}",
            )
            for component in self.components
        ]
        for thread in threads:
            thread.daemon = True
            thread.start()
        log.info(
            "worker of %s: %s",
            self.service,
            ", ".join(component.name for component in self.components),
        )
        self._beat_until_stopped()
        for thread in threads:
            thread.join(STOP_SECONDS)
        self._if_the_database_is_there(self._heartbeat.sign_off)
        log.info("worker of %s stopped", self.service)
        return 1 if self._failed else 0

    def complaints(self) -> list[Complaint]:
        """What its components complain of, and which of them hang."""
        complaining = [
            component for component in self.components if isinstance(component, Complaining)
        ]
        told = [complaint for component in complaining for complaint in component.complaints()]
        return told + [_hangs(name, seconds) for name, seconds in self._hanging().items()]

    def _hanging(self) -> dict[str, float]:
        """For how long which components have been silent."""
        silent = {name: pulse.silent_seconds() for name, pulse in self._pulses.items()}
        return {
            name: seconds for name, seconds in silent.items() if seconds > COMPONENT_SILENT_SECONDS
        }

    def _run_component(self, component: Component) -> None:
        try:
            component.run(self._pulses[component.name])
        except Exception:  # the outermost loop of a thread: without this it would die unseen
            log.exception("%s of %s ended unexpectedly", component.name, self.service)
        if not self._stop.is_set():
            self._failed = True
            self._stop.set()

    def _beat_until_stopped(self) -> None:
        file = os.environ.get(HEARTBEAT_FILE)
        while not self._stop.is_set():
            if file and not self._hanging():
                Path(file).touch()
            self._if_the_database_is_there(self._beat)
            self._stop.wait(HEARTBEAT_SECONDS)

    def _beat(self) -> None:
        counters = metrics.told()
        for component in self.components:
            counters.update(component.counters())
        self._heartbeat.beat(counters=counters, complaints=self.complaints())

    def _if_the_database_is_there(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except (DatabaseError, InterfaceError) as error:
            log.warning("heartbeat of %s: %s", self.service, error)
            self._heartbeat.lose_session()


class HeartbeatWriter:
    """The worker's row, once a second, and a session's lock that is there while the process is.

    The row without a fresh beat but with its lock is a process that stands still; without the
    lock it is of one that died (`httpapi.standing` reads both). Used by one thread.
    """

    def __init__(self, *, service: str) -> None:
        self._service = service
        self._table = f"{service}_workerheartbeat"
        self._id: int | None = None
        self._has_lock = False
        self._ahead = timedelta()

    def beat(self, *, counters: Mapping[str, float], complaints: Sequence[Complaint]) -> None:
        """Raises DatabaseError or InterfaceError; `lose_session` has to follow then."""
        told = [
            sql.as_json(counters),
            sql.as_json([self._in_its_time(complaint) for complaint in complaints]),
        ]
        if self._id is None or not self._update(told):
            self._insert(told)
        if not self._has_lock:
            self._has_lock = self._lock()

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

    def _execute(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return sql.execute(service=self._service, sql=statement, values=values)


def _hangs(name: str, seconds: float) -> Complaint:
    return Complaint(
        what=f"the {name} of worker process {os.getpid()} on {socket.gethostname()} hangs",
        since=datetime.now(UTC) - timedelta(seconds=seconds),
        do=f"kill -KILL {os.getpid()}; it is started again by what supervises it",
    )


RETRY_SECONDS = 1.0
LEAD_SECONDS = 20.0
"""Healthy leaders issue a statement a second, and at the longest wait for 15 s of confirms (a
relay) or a call of 10 s (a hand-over) and a statement of 3 s in between."""


def wait_to_lead(*, service: str, task: str, stop: threading.Event) -> bool:
    """Waits until this thread's connection leads; False if `stop` was set first."""
    while not _try_lock(service, task):
        if stop.wait(RETRY_SECONDS):
            return False
        _depose_one_that_stands_still(service, task)
    return True


def _try_lock(service: str, task: str) -> bool:
    with connections[service].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [_key(service, task)])
        row = cursor.fetchone()
    return bool(row and row[0])


def _depose_one_that_stands_still(service: str, task: str) -> None:
    """A lock on one bigint is shown as its two halves."""
    with connections[service].cursor() as cursor:
        cursor.execute(
            """
            SELECT held.pid, pg_terminate_backend(held.pid)
            FROM (SELECT hashtext(%s)::bigint AS number) AS key
            JOIN pg_locks AS held ON held.locktype = 'advisory' AND held.granted
             AND held.objsubid = 1
             AND held.classid::bigint = ((key.number >> 32) & 4294967295)
             AND held.objid::bigint = (key.number & 4294967295)
            JOIN pg_stat_activity AS session
              ON session.pid = held.pid AND session.datid = held.database
            WHERE session.datname = current_database() AND session.pid <> pg_backend_pid()
              AND session.state_change < clock_timestamp() - make_interval(secs => %s)
            """,
            [_key(service, task), LEAD_SECONDS],
        )
        for pid, _ in cursor.fetchall():
            log.warning("%s of %s stood still: its session %s was ended", task, service, pid)


def _key(service: str, task: str) -> str:
    return f"dueto {service} {task}"


PASSING = timedelta(seconds=2)
"""What is over by then was no more than a restart."""


class Trouble(NamedTuple):
    """What keeps a loop from its work, in the words of its last fault (their first line: a
    database shows the statement below it)."""

    reason: str
    since: datetime


class Backoff:
    """Pauses that double from `first` to `longest` seconds, until it has gone well again."""

    def __init__(self, *, first: float = 0.1, longest: float = 2.0) -> None:
        self._first, self._longest = first, longest
        self._next = first
        self._trouble: Trouble | None = None

    def pause(self, error: Exception | None = None) -> float:
        """Seconds to wait after one more fault."""
        now, self._next = self._next, min(self._next * 2, self._longest)
        since = self._trouble.since if self._trouble else datetime.now(UTC)
        told = sql.category(error).partition("\n")[0] if error else "it is not told why"
        self._trouble = Trouble(told, since)
        return now

    def went_well(self) -> None:
        """The next pause is the first one again."""
        self._next = self._first
        self._trouble = None

    def complaints(self, what: str, do: str, *, stops_sagas: bool = True) -> list[Complaint]:
        """That it has gone wrong again and again, once that is more than passing: `what` is not
        done, and what to `do`.
        """
        trouble = self._trouble
        if not trouble or datetime.now(UTC) - trouble.since <= PASSING:
            return []
        told = f"{what}: {trouble.reason}"[:500]
        return [Complaint(what=told, since=trouble.since, do=do, stops_sagas=stops_sagas)]
