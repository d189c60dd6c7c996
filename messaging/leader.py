"""One of several workers of a service does a thing; the others wait to take over.

A session's advisory lock in the service's own database: it is gone with the connection. A leader
that stands still (a paused process, a frozen host) keeps its connection, so a follower ends that
session once it has issued no statement for LEAD_SECONDS. For a moment two may believe that they
lead (after a cut connection, or when the one that stood still goes on), so what they do must be
idempotent; the next statement of the old one fails, and it has to ask for the lead again.
"""

import logging
import threading

from django.db import connections

log = logging.getLogger(__name__)

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
