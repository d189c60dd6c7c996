"""A worker process: the background components of a service, each in a thread.

Of several workers of a service one leads a task; the others wait to take over. Leadership is a
session's advisory lock in the service's own database: it ends with the connection. A leader that
stands still (a paused process, a frozen host) keeps its connection, so a follower ends that session
once it has issued no statement for LEAD_SECONDS. For a moment two may believe that they lead (after
a cut connection, or when the frozen leader continues), so their work must be idempotent; the next
statement of the old leader fails, and it has to take the lead again.
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
    """A component that reports the problems that keep it from its work."""

    def complaints(self) -> list[Complaint]:
        """The present problems; empty while all is well. Called from another thread."""


class Component(Protocol):
    """Something that runs until it is told to stop. It handles its own faults."""

    name: str

    def run(self, stop: threading.Event) -> None: ...

    def counters(self) -> dict[str, int]:
        """Counters since its start: for the cost of a run, and for /metrics."""


class Pulse(threading.Event):
    """The worker's `stop` as a component gets it: each check of it is a sign of life."""

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
        """Seconds since the component last checked it."""
        return time.monotonic() - self._seen


class Worker:
    """Runs the components of one service until SIGTERM or SIGINT.

    A component that ends by itself is a bug: the whole process then ends with status 1, so that
    its supervisor restarts it.
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
        """The complaints of its components, and about components that hang."""
        complaining = [
            component for component in self.components if isinstance(component, Complaining)
        ]
        found = [complaint for component in complaining for complaint in component.complaints()]
        return found + [_hangs(name, seconds) for name, seconds in self._hanging().items()]

    def _hanging(self) -> dict[str, float]:
        """The components that hang, and for how many seconds."""
        silent = {name: pulse.silent_seconds() for name, pulse in self._pulses.items()}
        return {
            name: seconds for name, seconds in silent.items() if seconds > COMPONENT_SILENT_SECONDS
        }

    def _run_component(self, component: Component) -> None:
        try:
            component.run(self._pulses[component.name])
        except Exception:  # the outermost loop of a thread: log its end
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
    """Updates the worker's row once a second, and holds a session's lock while the process lives.

    A row without a recent update but with its lock belongs to a process that stands still; without
    the lock, to a process that died (`httpapi.standing` reads both). Used by one thread.
    """

    def __init__(self, *, service: str) -> None:
        self._service = service
        self._table = f"{service}_workerheartbeat"
        self._id: int | None = None
        self._has_lock = False
        self._ahead = timedelta()

    def beat(self, *, counters: Mapping[str, float], complaints: Sequence[Complaint]) -> None:
        """Raises DatabaseError or InterfaceError; `lose_session` has to follow then."""
        values = [
            sql.as_json(counters),
            sql.as_json([self._in_its_time(complaint) for complaint in complaints]),
        ]
        if self._id is None or not self._update(values):
            self._insert(values)
        if not self._has_lock:
            self._has_lock = self._lock()

    def sign_off(self) -> None:
        """Deletes the row, at a clean stop."""
        self._execute(f"DELETE FROM {self._table} WHERE id = %s", [self._id])
        self.lose_session()

    def lose_session(self) -> None:
        """Closes the connection; the next beat opens another, and takes the lock on it."""
        self._has_lock = False
        connections[self._service].close()

    def _update(self, values: list[str]) -> bool:
        """False if the row was deleted, because this process stood still for long."""
        rows = self._execute(
            f"UPDATE {self._table} SET seen_at = clock_timestamp(), counters = %s::jsonb,"
            " complaints = %s::jsonb WHERE id = %s RETURNING seen_at",
            [*values, self._id],
        )
        for (seen_at,) in rows:
            self._ahead = datetime.now(UTC) - seen_at
        return bool(rows)

    def _insert(self, values: list[str]) -> None:
        ((self._id,),) = self._execute(
            f"INSERT INTO {self._table} (host, pid, counters, complaints)"
            " VALUES (%s, %s, %s::jsonb, %s::jsonb) RETURNING id",
            [socket.gethostname(), os.getpid(), *values],
        )
        self._has_lock = False

    def _in_its_time(self, complaint: Complaint) -> Complaint:
        """With `since` by the database's clock, by which readers calculate its duration."""
        return msgspec.structs.replace(complaint, since=complaint.since - self._ahead)

    def _lock(self) -> bool:
        """False while the server still has a broken session of ours, with the lock."""
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
        do=f"kill -KILL {os.getpid()}; its supervisor starts it again",
    )


RETRY_SECONDS = 1.0
LEAD_SECONDS = 20.0
"""A healthy leader issues a statement per second; at most it waits in between for 15 s of confirms
(a relay) or a call of 10 s (a hand-over), and a statement of 3 s."""


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
"""Trouble that ends within this time is taken for a restart."""


class Trouble(NamedTuple):
    """What keeps a loop from its work. `reason`: the first line of its last fault (a database shows
    the statement below it)."""

    reason: str
    since: datetime


class Backoff:
    """Pauses that double from `first` to `longest` seconds, until it has gone well again."""

    def __init__(self, *, first: float = 0.1, longest: float = 2.0) -> None:
        self._first, self._longest = first, longest
        self._next = first
        self._trouble: Trouble | None = None

    def pause(self, error: Exception | None = None) -> float:
        """Notes a fault; the seconds to wait after it."""
        now, self._next = self._next, min(self._next * 2, self._longest)
        since = self._trouble.since if self._trouble else datetime.now(UTC)
        reason = sql.category(error).partition("\n")[0] if error else "unknown reason"
        self._trouble = Trouble(reason, since)
        return now

    def went_well(self) -> None:
        """Resets the pause."""
        self._next = self._first
        self._trouble = None

    def complaints(self, what: str, do: str, *, stops_sagas: bool = True) -> list[Complaint]:
        """The complaint about lasting faults, if there are any: `what` fails, and what to `do`."""
        trouble = self._trouble
        if not trouble or datetime.now(UTC) - trouble.since <= PASSING:
            return []
        what = f"{what}: {trouble.reason}"[:500]
        return [Complaint(what=what, since=trouble.since, do=do, stops_sagas=stops_sagas)]
