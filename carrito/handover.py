"""Hands accepted checkouts over to their coordinators, until each is answered for.

Parts of this service's worker, one a pattern, so that a coordinator that is down holds up no
other. Idempotent by saga id: a hand-over whose answer was lost is simply made again.

One checkout holds up no other. A list that fails is handed over in halves, down to the one whose
fault it is; that one is tried again at growing distances, and then set aside for a person
(`POST /checkouts/{saga_id}/retry` or `/discard`). One that can't even be read is set aside at once.
"""

import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from django.db import connections

from carrito import operations, records
from carrito.checkout import COORDINATORS, channel
from carrito.records import Unreadable
from contracts import sagas
from contracts.commands import Checkout, Unlock
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.statuses import Pattern
from httpapi.client import Client, Unreachable
from messaging import doorbell
from messaging.backoff import Backoff
from messaging.leader import wait_to_lead
from messaging.worker import Complaint
from sagas import faults, points, sql
from sagas.performing import perform

log = logging.getLogger(__name__)

BATCH = 200
SWEEP_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0
LONGEST_PAUSE = 5.0
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Before the second, third, ... try of a checkout that fails alone; then it is set aside."""
SIGNS_OF_OUTAGE = (None, 408, 429, 502, 503, 504)
"""No answer at all, or a server that says that it can't: no checkout's fault."""


class Retries:
    """The checkouts that failed alone, and when each is tried again. Forgotten with the process."""

    def __init__(self) -> None:
        self._failed: dict[str, int] = {}
        self._due_at: dict[str, float] = {}

    def resting(self) -> list[str]:
        """Those whose time has not come."""
        now = time.monotonic()
        self._due_at = {saga_id: at for saga_id, at in self._due_at.items() if at > now}
        return list(self._due_at)

    def failed(self, *, saga_id: str, counts: bool) -> bool:
        """Whether that was the last try. `counts`: false where it only has to wait for somebody."""
        tries = self._failed.get(saga_id, 0)
        if tries == len(RETRY_SECONDS):
            del self._failed[saga_id]
            return True
        self._due_at[saga_id] = time.monotonic() + RETRY_SECONDS[tries]
        self._failed[saga_id] = tries + counts
        return False

    def forget(self, *, saga_ids: Sequence[str]) -> None:
        """They went well."""
        for saga_id in self._failed.keys() & set(saga_ids):
            del self._failed[saga_id]


class Handover:
    """The hand-over to one pattern's coordinator."""

    def __init__(self, *, pattern: Pattern, url: str, path: str) -> None:
        self.pattern = pattern
        self.name = channel(pattern=pattern)
        self.path = path
        self.client = Client(url=url, timeout=TIMEOUT_SECONDS)
        self._handed_over = 0
        self._backoff = Backoff(longest=LONGEST_PAUSE)
        self._retries = Retries()
        self._complaint: Complaint | None = None

    def complaints(self) -> list[Complaint]:
        """That the coordinator takes none, and since when."""
        return [self._complaint] if self._complaint else []

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
            except Exception as error:  # noqa: BLE001 -- the outermost loop: no fault ends the hand-over
                pause = self._backoff.pause()
                log.warning("%s: %r; again in about %.1f s", self.name, error, pause)
                self._complain(error)
                connections[operations.SERVICE].close()
                stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter, not a secret
        connections[operations.SERVICE].close()

    def hand_over_once(self) -> int:
        """Hands one batch over; returns how many there were to be.

        Raises Unreachable where the coordinator takes none: all of it is in doubt.
        """
        found = records.not_handed_over(
            pattern=self.pattern.value, limit=BATCH, but_not=self._retries.resting()
        )
        self._set_aside({one.saga_id: one.reason for one in found if isinstance(one, Unreadable)})
        waiting = [one for one in found if isinstance(one, Checkout)]
        if waiting:
            self._hand_over_all(waiting)
        return len(found)

    def _lead(self, stop: threading.Event) -> None:
        if not wait_to_lead(service=operations.SERVICE, task=self.name, stop=stop):
            return
        rung = threading.Event()
        with doorbell.answering(service=operations.SERVICE, channel=self.name, flag=rung):
            while not stop.is_set():
                rung.clear()
                handed_over = self.hand_over_once()
                self._backoff.went_well()
                self._complaint = None
                if not handed_over:
                    rung.wait(SWEEP_SECONDS)

    def _hand_over_all(self, checkouts: list[Checkout]) -> None:
        try:
            self._hand_over(checkouts)
        except Exception as error:  # noqa: BLE001 -- whatever it was: find whose fault it is
            _raise_if_outage(error)
            log.warning("%s: %d checkouts, now in pieces: %r", self.name, len(checkouts), error)
            failed: dict[str, Exception] = {}
            with sql.impatient(service=operations.SERVICE):
                self._hand_over_pieces(checkouts, failed, error)
            self._after_failures(failed, of=len(checkouts))

    def _hand_over_pieces(
        self, checkouts: list[Checkout], failed: dict[str, Exception], error: Exception
    ) -> None:
        """In halves, and those in halves, down to each that fails alone (`failed`, by saga id)."""
        if len(checkouts) == 1:
            failed[checkouts[0].saga_id] = error
            return
        half = len(checkouts) // 2
        for piece in (checkouts[:half], checkouts[half:]):
            try:
                self._hand_over(piece)
            except Exception as found:  # noqa: BLE001 -- as above
                _raise_if_outage(found)
                self._hand_over_pieces(piece, failed, found)

    def _hand_over(self, checkouts: list[Checkout]) -> None:
        if not checkouts:
            return
        outcomes = self._post(checkouts)
        self._refuse(checkouts, outcomes)
        started = [
            checkout.saga_id
            for checkout, outcome in zip(checkouts, outcomes, strict=True)
            if isinstance(outcome, Done)
        ]
        points.reach("handover.before_mark")
        records.mark_handed_over(saga_ids=started)
        points.reach("handover.marked")
        self._handed_over += len(started)
        self._retries.forget(saga_ids=started)

    def _after_failures(self, failed: Mapping[str, Exception], *, of: int) -> None:
        """Several, and none that went well: no fault of theirs. Raises Unreachable then."""
        if len(failed) == of > 1:
            raise Unreachable(f"{self.path} takes none of {of}: {next(iter(failed.values()))!r}")
        self._set_aside(
            {
                saga_id: f"{self.path} does not take it: {error}"
                for saga_id, error in failed.items()
                if self._retries.failed(saga_id=saga_id, counts=not faults.is_busy(error))
            }
        )

    def _set_aside(self, reasons: Mapping[str, str]) -> None:
        if not reasons:
            return
        points.reach("handover.before_set_aside")
        records.set_aside(reasons=reasons)
        points.reach("handover.set_aside")
        for saga_id, reason in reasons.items():
            log.error("set aside, for a person: %s", reason, extra={"saga_id": saga_id})

    def _complain(self, error: Exception) -> None:
        self._complaint = Complaint(
            what=f"checkouts are not handed over to {self.client.url}{self.path}: {error}"[:500],
            since=self._complaint.since if self._complaint else datetime.now(UTC),
            do=f"Look at the coordinator at {self.client.url}; they go on by themselves.",
        )

    def _post(self, checkouts: list[Checkout]) -> list[Outcome]:
        answer = self.client.post(path=self.path, body=checkouts)
        if answer.status != 207:
            detail = f"{self.path} answered {answer.status}: {answer.body[:200]!r}"
            raise Unreachable(detail, status=answer.status)
        outcomes: list[Outcome] = answer.decode(type=list[Outcome])
        if len(outcomes) != len(checkouts):
            detail = f"{self.path}: {len(outcomes)} outcomes of {len(checkouts)}"
            raise Unreachable(detail, status=answer.status)
        return outcomes

    def _refuse(self, checkouts: list[Checkout], outcomes: list[Outcome]) -> None:
        unlocks = [
            Unlock(
                saga_id=checkout.saga_id,
                failure=Failure(sagas.ACCEPT, outcome.code, outcome.detail),
            )
            for checkout, outcome in zip(checkouts, outcomes, strict=True)
            if isinstance(outcome, Refused)
        ]
        if unlocks:
            perform(operation=operations.unlock, commands=unlocks)


def _raise_if_outage(error: Exception) -> None:
    """The coordinator, or this service's database, is away for all of them."""
    if isinstance(error, Unreachable) and error.status in SIGNS_OF_OUTAGE:
        raise error
    if faults.is_outage(error):
        raise error


def handovers() -> list[Handover]:
    """One for each pattern that there is."""
    return [
        Handover(pattern=pattern, url=one.url, path=one.path)
        for pattern, one in COORDINATORS.items()
    ]
