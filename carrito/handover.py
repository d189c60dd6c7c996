"""Hands accepted checkouts over to their coordinators, until each is answered for.

Parts of this service's worker, one a pattern, so that a coordinator that is down holds up no
other. Idempotent by saga id: a hand-over whose answer was lost is simply made again.
"""

import logging
import random
import threading

from django.db import DatabaseError, InterfaceError, connections

from carrito import operations, records
from carrito.checkout import COORDINATORS, channel
from contracts import sagas
from contracts.commands import Checkout, Unlock
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.statuses import Pattern
from httpapi.client import Client, Unreachable
from messaging import doorbell
from messaging.backoff import Backoff
from messaging.leader import wait_to_lead
from sagas import points
from sagas.performing import perform

log = logging.getLogger(__name__)

BATCH = 200
SWEEP_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0
LONGEST_PAUSE = 5.0


class Handover:
    """The hand-over to one pattern's coordinator."""

    def __init__(self, *, pattern: Pattern, url: str, path: str) -> None:
        self.pattern = pattern
        self.name = channel(pattern=pattern)
        self.path = path
        self.client = Client(url=url, timeout=TIMEOUT_SECONDS)
        self._handed_over = 0
        self._backoff = Backoff(longest=LONGEST_PAUSE)

    def counters(self) -> dict[str, int]:
        return {
            f"http_calls.{self.name}": self.client.calls,
            f"checkouts.{self.name}": self._handed_over,
        }

    def run(self, stop: threading.Event) -> None:
        """Hands over until `stop` is set; a coordinator that is away is waited for."""
        while not stop.is_set():
            try:
                self._lead(stop)
            except (Unreachable, DatabaseError, InterfaceError) as error:
                pause = self._backoff.pause()
                log.warning("%s: %s; again in about %.1f s", self.name, error, pause)
                connections[operations.SERVICE].close()
                stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter, not a secret
        connections[operations.SERVICE].close()

    def hand_over_once(self) -> int:
        """Hands one batch over; returns how many. Raises Unreachable: all of it is in doubt."""
        waiting = records.not_handed_over(pattern=self.pattern.value, limit=BATCH)
        if not waiting:
            return 0
        outcomes = self._post(waiting)
        self._refuse(waiting, outcomes)
        started = [
            checkout.saga_id
            for checkout, outcome in zip(waiting, outcomes, strict=True)
            if isinstance(outcome, Done)
        ]
        points.reach("handover.before_mark")
        records.mark_handed_over(saga_ids=started)
        points.reach("handover.marked")
        self._handed_over += len(started)
        return len(waiting)

    def _lead(self, stop: threading.Event) -> None:
        if not wait_to_lead(service=operations.SERVICE, task=self.name, stop=stop):
            return
        rung = threading.Event()
        with doorbell.answering(service=operations.SERVICE, channel=self.name, flag=rung):
            while not stop.is_set():
                rung.clear()
                handed_over = self.hand_over_once()
                self._backoff.went_well()
                if not handed_over:
                    rung.wait(SWEEP_SECONDS)

    def _post(self, checkouts: list[Checkout]) -> list[Outcome]:
        answer = self.client.post(path=self.path, body=checkouts)
        if answer.status != 207:
            raise Unreachable(f"{self.path} answered {answer.status}: {answer.body[:200]!r}")
        outcomes: list[Outcome] = answer.decode(type=list[Outcome])
        if len(outcomes) != len(checkouts):
            raise Unreachable(f"{self.path}: {len(outcomes)} outcomes of {len(checkouts)}")
        return outcomes

    def _refuse(self, checkouts: list[Checkout], outcomes: list[Outcome]) -> None:
        unlocks = [
            Unlock(
                saga_id=checkout.saga_id,
                failure=Failure(sagas.RESERVE, outcome.code, outcome.detail),
            )
            for checkout, outcome in zip(checkouts, outcomes, strict=True)
            if isinstance(outcome, Refused)
        ]
        if unlocks:
            perform(operation=operations.unlock, commands=unlocks)


def handovers() -> list[Handover]:
    """One for each pattern that there is."""
    return [
        Handover(pattern=pattern, url=one.url, path=one.path)
        for pattern, one in COORDINATORS.items()
    ]
