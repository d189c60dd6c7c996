"""Releases expired reservations; a component of this service's worker.

A reservation that can't be released (its product's row is damaged, or locked) holds up no other:
after a fault they are released one by one, and one that fails is left for LEFT_SECONDS.
"""

import logging
import threading
import time
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError, connections

from contracts.states import Complaint
from inventario import operations, store
from participant import sql

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
LEFT_SECONDS = 30.0


class Expiry:
    name = "expiry"

    def __init__(self) -> None:
        self._expired = 0
        self._left: dict[str, float] = {}
        self._complaint: Complaint | None = None

    def counters(self) -> dict[str, int]:
        return {"reservations_expired": self._expired}

    def complaints(self) -> list[Complaint]:
        """The reservation that could not be released last, and since when some can't."""
        return [self._complaint] if self._complaint else []

    def run(self, stop: threading.Event) -> None:
        """Sweeps until `stop` is set."""
        while not stop.wait(SWEEP_SECONDS):
            try:
                self.sweep()
            except (DatabaseError, InterfaceError) as error:
                log.warning("expiry: %s; again at the next sweep", error)
                connections[operations.SERVICE].close()
        connections[operations.SERVICE].close()

    def sweep(self) -> None:
        """Releases what is due. Raises DatabaseError if the database is away."""
        now = time.monotonic()
        self._left = {saga_id: until for saga_id, until in self._left.items() if until > now}
        try:
            self._expired += operations.expire(but_not=list(self._left))
        except DatabaseError as error:
            if sql.is_outage(error):
                raise
            self._one_by_one()
        if not self._left:
            self._complaint = None

    def _one_by_one(self) -> None:
        due = store.due(limit=500, but_not=list(self._left))
        with sql.impatient(service=operations.SERVICE):
            for saga_id in due:
                self._expire_alone(saga_id)

    def _expire_alone(self, saga_id: str) -> None:
        try:
            self._expired += operations.expire(only=saga_id)
        except DatabaseError as error:
            if sql.is_outage(error):
                raise
            self._left[saga_id] = time.monotonic() + LEFT_SECONDS
            log.error("not released: %s", error, extra={"saga_id": saga_id})
            self._complaint = Complaint(
                what=f"the reservation of saga {saga_id} can't be released: {sql.category(error)}"[
                    :500
                ],
                since=self._complaint.since if self._complaint else datetime.now(UTC),
                do="Check its row and its products' rows; its release is retried by itself.",
            )


OVERDUE_SECONDS = 30
MOST_LOOKED_AT = 1000


def stalls(*, limit: int) -> list[Complaint]:
    """Reservations that expired OVERDUE_SECONDS ago and are not released."""
    rows = store.overdue(seconds=OVERDUE_SECONDS, limit=MOST_LOOKED_AT)
    if not rows:
        return []
    named = ", ".join(saga_id for saga_id, _ in rows[:limit])
    return [
        Complaint(
            what=f"{len(rows)} reservations are over and not released, of sagas: {named}",
            since=rows[0][1],
            do="see the worker of inventario; if it lives, what locks these rows",
        )
    ]
