"""Releases reservations whose time is over; a part of this service's worker."""

import logging
import threading

from django.db import DatabaseError, InterfaceError, connections

from inventario import operations

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0


class Expiry:
    name = "expiry"

    def __init__(self) -> None:
        self._expired = 0

    def counters(self) -> dict[str, int]:
        return {"reservations_expired": self._expired}

    def run(self, stop: threading.Event) -> None:
        """Sweeps until `stop` is set."""
        while not stop.wait(SWEEP_SECONDS):
            try:
                self._expired += operations.expire()
            except (DatabaseError, InterfaceError) as error:
                log.warning("expiry: %s; again at the next sweep", error)
                connections[operations.SERVICE].close()
        connections[operations.SERVICE].close()
