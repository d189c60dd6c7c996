"""The runner: claims sagas that are due, and gives them to its conductor.

Sagas belong to a runner while its heart beats. One that has died, or was paused, loses them to
whoever looks next; should it wake up, the version of each saga fences it off.
"""

import heapq
import logging
import os
import socket
import threading
import time

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from messaging import doorbell
from saga_orchestrator import sagalog
from saga_orchestrator.conductor import Conductor
from saga_orchestrator.participants import Participants
from saga_orchestrator.sagalog import InFlight, Unreadable

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
SWEEP_SECONDS = 1.0
"""How often it looks without a ring: finds what a crash left, and what a dead runner had."""
MOST_IN_HAND = 1000
MOST_IN_A_CLAIM = 200
STOP_SECONDS = 8.0


class Runner:
    """A part of the orchestrator's worker. `urls`: where each service is, by name."""

    name = "runner"

    def __init__(self, *, participants: Participants) -> None:
        self._conductor = Conductor(participants=participants, put_down=self._put_down)
        self._rung = threading.Event()
        self._is_full = False
        self._lock = threading.Lock()
        self._due_at: list[float] = []
        self._to_release: list[str] = []
        self._parked = 0
        self._id: int | None = None

    def counters(self) -> dict[str, int]:
        return {**self._conductor.counters(), "sagas_waiting_for_a_person": self._parked}

    def run(self, stop: threading.Event) -> None:
        """Runs sagas until `stop` is set; then gives back those that have not ended."""
        heart = threading.Thread(target=self._beat_until, args=[stop], name="heart", daemon=True)
        with doorbell.answering(service=sagalog.ALIAS, channel=sagalog.CHANNEL) as self._rung:
            heart.start()
            while True:
                self._rung.clear()
                if stop.is_set():
                    break
                if not self._claim():
                    self._rung.wait(self._patience())
        self._conductor.close(seconds=STOP_SECONDS)
        heart.join()
        self._sign_off()

    def _claim(self) -> bool:
        """Claims once; returns whether there may be more at once."""
        limit = min(MOST_IN_A_CLAIM, MOST_IN_HAND - self._conductor.in_hand)
        self._is_full = limit <= 0
        if self._id is None or self._is_full:
            return False
        self._forget_what_is_due()
        try:
            claimed = sagalog.claim(runner_id=self._id, limit=limit)
            self._take_up(claimed)
        except (DatabaseError, InterfaceError) as error:
            log.warning("claim: %s; again at the next sweep", error)
            sagalog.close()
            return False
        return len(claimed) == limit

    def _take_up(self, claimed: list[InFlight | Unreadable]) -> None:
        now = time.monotonic()
        sagas = [one for one in claimed if isinstance(one, InFlight)]
        for saga in sagas:
            saga.deadline += now
        self._conductor.take_up(sagas=sagas)
        for one in claimed:
            if isinstance(one, Unreadable):
                log.error("parked: %s", one.reason, extra={"saga_id": one.saga_id})
                sagalog.park(unreadable=one)

    def _put_down(self, seconds: float | None) -> None:
        """Called by the conductor's threads."""
        if seconds is not None:
            with self._lock:
                heapq.heappush(self._due_at, time.monotonic() + seconds)
        if self._is_full or seconds is not None:
            self._rung.set()

    def _forget_what_is_due(self) -> None:
        """The claim that follows takes it."""
        with self._lock:
            while self._due_at and self._due_at[0] <= time.monotonic():
                heapq.heappop(self._due_at)

    def _patience(self) -> float:
        with self._lock:
            until_due = self._due_at[0] - time.monotonic() if self._due_at else SWEEP_SECONDS
        return min(SWEEP_SECONDS, max(0.0, until_due))

    def _beat_until(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._beat()
            except (DatabaseError, InterfaceError) as error:
                log.warning("heartbeat of the runner: %s", error)
                sagalog.close()
            stop.wait(HEARTBEAT_SECONDS)
        self._rung.set()
        sagalog.close()

    def _beat(self) -> None:
        is_new = self._id is None
        self._id, self._parked = sagalog.beat(
            runner_id=self._id, host=socket.gethostname(), pid=os.getpid()
        )
        if is_new:
            self._rung.set()
        self._to_release += self._conductor.dropped()
        if self._to_release:
            sagalog.release(runner_id=self._id, saga_ids=self._to_release)
            self._to_release = []

    def _sign_off(self) -> None:
        if self._id is not None:
            try:
                sagalog.release(runner_id=self._id)
                sagalog.forget_runner(runner_id=self._id)
            except (DatabaseError, InterfaceError) as error:
                log.warning("could not give sagas back, the next runner takes them: %s", error)
        sagalog.close()


def make() -> Runner:
    """The runner of this process, calling the services where the settings say they are."""
    urls = {
        "carrito": settings.CARRITO_URL,
        "inventario": settings.INVENTARIO_URL,
        "pagos": settings.PAGOS_URL,
    }
    return Runner(participants=Participants(urls=urls))
