"""The problems of a service, read from its tables: also those that its worker can't report itself.

Every statement here uses an index or reads a table of a few rows, because /health is called every
second. The session's limits end a statement that waits for a locked table.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from contracts.states import Complaint, SagaSummary
from participant import sql

T = TypeVar("T")

WORKER_SILENT_SECONDS = 5
COMPLAINT_SECONDS = 5
"""A component's complaint of less time may end by retries: it is shown, but not as unavailable."""
UNSENT_SECONDS = 10
IDLE_IN_TRANSACTION_SECONDS = 10
OVERDUE_SECONDS = 60
"""For which a decision is overdue: longer than it takes to end ten thousand at once."""
MOST_NAMED = 10
"""Parked sagas and dead letters are counted; so many of them are named."""


class Findings(msgspec.Struct, kw_only=True):
    """The findings of a check.

    `fields`: of the answer. `stands`: problems that keep sagas from moving, so the service is
    unavailable. `waits`: problems that only wait for an operator.
    """

    fields: dict[str, Any] = {}
    stands: list[Complaint] = []
    waits: list[Complaint] = []

    def add(self, other: "Findings") -> None:
        self.fields |= other.fields
        self.stands += other.stands
        self.waits += other.waits


class Noted:
    """Since when this process has seen each of its present problems."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: dict[str, datetime] = {}

    def since(self, *, what: str) -> datetime:
        """When the problem was first seen; by default now."""
        with self._lock:
            return self._first.setdefault(what, datetime.now(UTC))

    def forget(self, *, what: str) -> None:
        """Forgets a problem that has ended."""
        with self._lock:
            self._first.pop(what, None)

    def keep(self, *, only: Sequence[str]) -> None:
        """Forgets the problems that have ended: those that none of these names begins with."""
        with self._lock:
            kept = [what for what in self._first if any(name.startswith(what) for name in only)]
            self._first = {what: self._first[what] for what in kept}


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The last sign of life of a worker process."""

    id: int
    pid: int
    host: str
    seen_at: datetime
    silent: float
    counters: dict[str, int | float]
    complaints: list[Complaint]

    @property
    def is_alive(self) -> bool:
        return self.silent <= WORKER_SILENT_SECONDS

    def seconds_since(self, time: datetime) -> float:
        """Seconds since `time`, by the database's clock."""
        return max(0.0, (self.seen_at - time).total_seconds() + self.silent)

    @property
    def name(self) -> str:
        return f"worker process {self.pid} on {self.host}"


def workers(*, service: str, noted: Noted) -> Findings:
    """Every worker process of the service: alive, standing still, or dead."""
    heartbeats = heartbeats_of(service=service)
    still = standing_still(service=service, heartbeats=heartbeats)
    found = Findings(fields={"worker": _newest(heartbeats)})
    found.fields["workers"] = [_worker(heartbeat, still) for heartbeat in heartbeats]
    found.stands += [_stands_still(heartbeat) for heartbeat in heartbeats if heartbeat.id in still]
    alive = [heartbeat for heartbeat in heartbeats if heartbeat.is_alive]
    if not alive and not found.stands:
        found.stands.append(_no_worker(service, heartbeats, noted))
    has_broker = all(heartbeat.counters.get("broker_up", True) for heartbeat in alive)
    if alive and "broker_up" in alive[0].counters:
        found.fields["broker"] = {"status": "up" if has_broker else "down"}
    found.add(_complaints(alive, grace=COMPLAINT_SECONDS if has_broker else 0))
    return found


def heartbeats_of(*, service: str) -> list[Heartbeat]:
    """The heartbeats of its worker processes, the newest first."""
    rows = sql.execute(
        service=service,
        sql=f"""
            SELECT id, pid, host, seen_at,
                   extract(epoch FROM clock_timestamp() - seen_at)::float8,
                   counters::text, complaints::text
            FROM {service}_workerheartbeat ORDER BY seen_at DESC LIMIT 20
            """,
    )
    return [
        Heartbeat(
            **dict(zip(("id", "pid", "host", "seen_at", "silent"), row[:5], strict=True)),
            counters=_typed(row[5], dict[str, int | float]),
            complaints=_typed(row[6], list[Complaint]),
        )
        for row in rows
    ]


def _typed(text: str, kind: type[T]) -> T:
    """The decoded column; empty if it was edited by hand: the next heartbeat repairs it."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError):
        return kind()


def standing_still(*, service: str, heartbeats: Sequence[Heartbeat]) -> set[int]:
    """The ids of workers that are silent, but whose processes exist."""
    return _with_session(
        service, [heartbeat.id for heartbeat in heartbeats if not heartbeat.is_alive]
    )


def _with_session(service: str, ids: Sequence[int]) -> set[int]:
    """The workers that hold their session's lock, so that their processes exist."""
    if not ids:
        return set()
    rows = sql.execute(
        service=service,
        sql="""
            SELECT objid::bigint FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND objsubid = 2
              AND classid::bigint = (hashtext(%s)::bigint & 4294967295)
              AND objid::bigint = ANY(%s)
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """,
        values=[f"{service}_workerheartbeat", list(ids)],
    )
    return {row[0] for row in rows}


def _newest(heartbeats: Sequence[Heartbeat]) -> dict[str, Any]:
    if not heartbeats:
        return {"status": "down", "error": "no worker of this service runs: start it"}
    heartbeat = heartbeats[0]
    found = {
        "pid": heartbeat.pid,
        "last_seen_seconds": round(heartbeat.silent, 1),
        "counters": {
            name: value
            for name, value in heartbeat.counters.items()
            if not name.startswith("dueto_")
        },
    }
    if heartbeat.is_alive:
        return {"status": "up", **found}
    return {"status": "down", **found, "error": f"silent for {heartbeat.silent:.0f} s"}


def _worker(heartbeat: Heartbeat, still: set[int]) -> dict[str, Any]:
    status = "up" if heartbeat.is_alive else "stands still" if heartbeat.id in still else "dead"
    seconds = round(heartbeat.silent, 1)
    return {
        "pid": heartbeat.pid,
        "host": heartbeat.host,
        "status": status,
        "last_seen_seconds": seconds,
    }


def _stands_still(heartbeat: Heartbeat) -> Complaint:
    return Complaint(
        what=f"{heartbeat.name} stands still",
        since=heartbeat.seen_at,
        do=f"continue it (kill -CONT {heartbeat.pid}) or end it (kill -KILL {heartbeat.pid})",
    )


def _no_worker(service: str, heartbeats: Sequence[Heartbeat], noted: Noted) -> Complaint:
    what = f"no worker of {service} lives"
    return Complaint(
        what=what,
        since=heartbeats[0].seen_at if heartbeats else noted.since(what=what),
        do=f"start it: DUETO_SERVICE={service} python manage.py worker",
    )


def _complaints(alive: Sequence[Heartbeat], *, grace: float) -> Findings:
    """The complaints of all processes, each once. `grace`: younger complaints do not count as
    unavailable.
    """
    found = Findings()
    by_text = {
        complaint.what: (heartbeat, complaint)
        for heartbeat in alive
        for complaint in heartbeat.complaints
    }
    for heartbeat, complaint in by_text.values():
        lasts = heartbeat.seconds_since(complaint.since) >= grace
        (found.stands if lasts and complaint.stops_sagas else found.waits).append(complaint)
    return found


def outbox(*, service: str) -> Findings:
    """The events that wait to be sent, and those that failed. The outbox itself is never down,
    because the broker or the worker is; but a relay that sends nothing is a problem."""
    ((unsent, first_id, oldest, seconds),) = sql.execute(
        service=service,
        sql=f"""
            SELECT count(*), min(id), min(created_at),
                   coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
            FROM {service}_outboxentry WHERE sent_at IS NULL AND next_attempt_at IS NULL
            """,
    )
    found = _failed_events(service)
    found.fields["outbox"] = {
        "status": "up",
        "unsent": unsent,
        "oldest_unsent_seconds": round(seconds, 1),
        **found.fields["outbox"],
    }
    if seconds > UNSENT_SECONDS and not _sends(service, first_id):
        found.stands.append(
            Complaint(
                what=f"{unsent} events of {service} wait to be sent, and none goes out",
                since=oldest,
                do="look at the worker and the broker above; the events go out by themselves then",
            )
        )
    return found


def _sends(service: str, first_unsent: int) -> bool:
    """Whether the event before the first unsent one was sent just now: then events only queue."""
    rows = sql.execute(
        service=service,
        sql=f"""
            SELECT sent_at > now() - make_interval(secs => %s) FROM {service}_outboxentry
            WHERE id < %s AND sent_at IS NOT NULL ORDER BY id DESC LIMIT 1
            """,
        values=[UNSENT_SECONDS, first_unsent],
    )
    return bool(rows and rows[0][0])


def _failed_events(service: str) -> Findings:
    rows = sql.execute(
        service=service,
        sql=f"""
            SELECT created_at, left(reason, 300), count(*) OVER () FROM {service}_outboxentry
            WHERE sent_at IS NULL AND next_attempt_at IS NOT NULL
            ORDER BY created_at LIMIT 1
            """,
    )
    found = Findings(fields={"outbox": {"failed": rows[0][2] if rows else 0}})
    for oldest, reason, count in rows:
        found.waits = [
            Complaint(
                what=f"{count} events of {service} have failed: the broker does not take them;"
                f" the first: {reason}",
                since=oldest,
                do=f"look at their reasons in the admin (Outbox entries of {service}), then retry"
                " or discard them; they are retried ever more rarely",
            )
        ]
    return found


def parked_messages(*, service: str) -> Findings:
    """Messages that wait for an operator."""
    rows = sql.execute(
        service=service,
        sql=f"""
            SELECT id, event_type, saga_id, reason, failed_at, count(*) OVER ()
            FROM {service}_failedmessage WHERE status = 'dead_lettered'
            ORDER BY failed_at LIMIT %s
            """,
        values=[MOST_NAMED],
    )
    names = ("id", "event_type", "saga_id", "reason", "since")
    oldest = [dict(zip(names, row[:-1], strict=True)) for row in rows]
    count = rows[0][-1] if rows else 0
    found = Findings(fields={"parked_messages": {"count": count, "oldest": oldest}})
    if rows:
        first = oldest[0]
        named = f"{first['event_type'] or 'unreadable'} of saga {first['saga_id'] or 'unknown'}"
        found.waits = [
            Complaint(
                what=f"dead-lettered messages of {service}: {count}, the first: {named}",
                since=first["since"],
                do=f"retry or discard them in the admin (Failed messages of {service})",
            )
        ]
    return found


def parked_sagas(*, service: str, look: Callable[..., tuple[int, list[SagaSummary]]]) -> Findings:
    """Sagas that wait for an operator. `look`: the coordinator's `parked_sagas`."""
    count, oldest = look(limit=MOST_NAMED)
    found = Findings(fields={"parked_sagas": {"count": count, "oldest": oldest}})
    if oldest and (parked := oldest[0].parked):
        named = [f"{saga.saga_id} at {saga.parked.step}" for saga in oldest if saga.parked]
        ends = ", ..." if count > len(named) else ""
        found.waits = [
            Complaint(
                what=f"{count} of {service}'s sagas wait for a person: {', '.join(named)}{ends}",
                since=parked.since or oldest[0].started_at,
                do=f"retry, skip or compensate each in the admin (Sagas of {service})",
            )
        ]
    return found


def pauses(*, service: str) -> Findings:
    """Sagas that an operator has paused at this service."""
    rows = sql.execute(
        service=service,
        sql=f"""
            SELECT saga, saga_pattern, paused_by, reason, paused_at FROM {service}_pause
            WHERE resumed_at IS NULL ORDER BY paused_at LIMIT %s
            """,
        values=[MOST_NAMED],
    )
    found = Findings(fields={"paused": [{"saga": row[0], "saga_pattern": row[1]} for row in rows]})
    for saga, pattern, by, reason, since in rows:
        what = f"{saga}, {pattern}," if pattern else saga
        option = f" --pattern {pattern}" if pattern else ""
        found.waits.append(
            Complaint(
                what=f"{what} is paused by {by}: {reason}",
                since=since,
                do=f"accept it again: manage.py resume {saga}{option} --reason ..., or in the admin"
                f" (Pauses of {service}); running sagas go on meanwhile",
            )
        )
    return found


def decisions(*, service: str) -> Findings:
    """Steps that wait for a decision: how many, and when the first is overdue. A decision that has
    been overdue for long is a problem: the worker should have ended it.
    """
    ((waiting, first, overdue, untold),) = sql.execute(
        service=service,
        sql=f"""
            SELECT count(*), min(until),
                   count(*) FILTER (WHERE until < now() - make_interval(secs => %s)),
                   (SELECT count(*) FROM {service}_decision
                    WHERE closed_at IS NOT NULL AND is_to_be_told)
            FROM {service}_decision WHERE closed_at IS NULL
            """,
        values=[OVERDUE_SECONDS],
    )
    fields = {"waiting": waiting, "first_until": first, "overdue": overdue, "untold": untold}
    found = Findings(fields={"decisions": fields})
    if overdue:
        what = f"{overdue} steps of {service} are overdue, and its worker does not end them"
        do = f"look at the worker of {service} above, and its log"
        found.stands = [Complaint(what=what, since=first, do=do)]
    return found


def open_transactions(*, service: str) -> Findings:
    """Sessions of any login that keep a transaction open without working: a forgotten psql, say."""
    rows = sql.execute(
        service=service,
        sql="""
            SELECT pid, program, since FROM dueto_open_transactions(%s) ORDER BY since LIMIT %s
            """,
        values=[IDLE_IN_TRANSACTION_SECONDS, MOST_NAMED],
    )
    return Findings(
        waits=[
            Complaint(
                what=f"session {pid} of the database ({program}) keeps a transaction open, with its"
                " locks",
                since=since,
                do=f"commit or quit there, or on the database's host: kill {pid}",
            )
            for pid, program, since in rows
        ]
    )
