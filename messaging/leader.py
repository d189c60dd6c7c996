"""One of several workers of a service does a thing; the others wait to take over.

A session's advisory lock in the service's own database: it is gone with the connection. For a
moment two may believe that they lead (after a cut connection), so what they do must be idempotent.
"""

import threading

from django.db import connections

RETRY_SECONDS = 1.0


def wait_to_lead(*, service: str, task: str, stop: threading.Event) -> bool:
    """Waits until this thread's connection leads; False if `stop` was set first."""
    while not _try_lock(service, task):
        if stop.wait(RETRY_SECONDS):
            return False
    return True


def _try_lock(service: str, task: str) -> bool:
    with connections[service].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [f"dueto {service} {task}"])
        row = cursor.fetchone()
    return bool(row and row[0])
