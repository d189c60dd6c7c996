"""The sweep of an owner's worker: hands over accepted sagas that the process which accepted them
has not handed over (`coordination.handover`).

There is one sweep per coordinator, so that one that is down delays no other. Nor does one saga
delay another: a list that fails is handed over in halves, down to the saga that fails; that saga is
retried with increasing delays, and then dead-lettered for an operator. A saga that can't be read is
dead-lettered at once.
"""

import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from django.db import connections

from contracts.saga import Context
from contracts.states import Complaint
from coordination.acceptance import Owner
from coordination.handover import BATCH, ROUTES, Handover, Route, WhyEnded
from coordination.store import UnreadableRow
from httpapi.client import Unreachable
from messaging.worker import Backoff, wait_to_lead
from participant import failpoints, sql

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
LONGEST_PAUSE = 5.0
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Before the second, third, ... try of a saga that fails alone; then it is dead-lettered."""
SENT_SECONDS = 2.0
"""Younger sagas are left to the process that has accepted them."""
KNOWN_SECONDS = 5.0
"""After this time the coordinator has a saga that starts by itself from its events. Each is handed
over once all the same, ended or not, so that a saga whose events were lost becomes known."""


class Retries:
    """The sagas that failed alone, and the times of their retries; kept in memory only."""

    def __init__(self) -> None:
        self._failed: dict[str, int] = {}
        self._due_at: dict[str, float] = {}

    def resting(self) -> list[str]:
        """The sagas whose retry is not due yet."""
        now = time.monotonic()
        self._due_at = {saga_id: at for saga_id, at in self._due_at.items() if at > now}
        return list(self._due_at)

    def failed(self, *, saga_id: str, counts: bool) -> bool:
        """Notes a failure; whether that was the last try. `counts`: false if the saga only has to
        wait, for a lock, say.
        """
        tries = self._failed.get(saga_id, 0)
        if tries == len(RETRY_SECONDS):
            del self._failed[saga_id]
            return True
        self._due_at[saga_id] = time.monotonic() + RETRY_SECONDS[tries]
        self._failed[saga_id] = tries + counts
        return False

    def forget(self, *, saga_ids: Sequence[str]) -> None:
        """Forgets sagas that were handed over."""
        for saga_id in self._failed.keys() & set(saga_ids):
            del self._failed[saga_id]


class Sweep(Handover):
    """The sweep for one owner and one coordinator: a component of the owner's worker."""

    def __init__(self, *, owner: Owner, route: Route) -> None:
        super().__init__(owner=owner, route=route)
        self._route = route
        self._age = KNOWN_SECONDS if route.starts_itself else SENT_SECONDS
        self._handed_over = 0
        self._backoff = Backoff(longest=LONGEST_PAUSE)
        self._retries = Retries()
        self._complaint: Complaint | None = None

    def complaints(self) -> list[Complaint]:
        """That the coordinator takes no sagas, and since when."""
        return [self._complaint] if self._complaint else []

    def counters(self) -> dict[str, int]:
        return {
            f"http_calls.{self.name}": self.client.calls,
            f"sagas.{self.name}": self._handed_over,
        }

    def run(self, stop: threading.Event) -> None:
        """Hands over until `stop` is set; waits for a coordinator that is down."""
        while not stop.is_set():
            try:
                self._lead(stop)
            except Exception as error:  # noqa: BLE001 -- the outermost loop: no fault ends the hand-over
                pause = self._backoff.pause()
                log.warning("%s: %r; again in about %.1f s", self.name, error, pause)
                self._complain(error)
                connections[self._owner.service].close()
                stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter, not a secret
        connections[self._owner.service].close()

    def _lead(self, stop: threading.Event) -> None:
        if not wait_to_lead(service=self._owner.service, task=self.name, stop=stop):
            return
        while not stop.is_set():
            handed_over = self.hand_over_once(older_than_seconds=self._age)
            self._backoff.went_well()
            self._complaint = None
            if not handed_over:
                stop.wait(SWEEP_SECONDS)

    def hand_over_once(self, *, older_than_seconds: float = 0.0) -> int:
        """Hands one batch over; returns the size of the batch.

        Raises Unreachable if the coordinator takes no saga: the whole batch is in doubt.
        """
        found = self._sagas.not_handed_over(
            patterns=self._route.patterns,
            limit=BATCH,
            older_than_seconds=older_than_seconds,
            but_not=self._retries.resting(),
        )
        self._dead_letter(
            {saga.saga_id: saga.reason for saga in found if isinstance(saga, UnreadableRow)}
        )
        waiting = [context for context in found if isinstance(context, Context)]
        if waiting:
            self._hand_over_all(waiting)
        return len(found)

    def _hand_over_all(self, contexts: list[Context]) -> None:
        try:
            self.hand_over(contexts)
        except Exception as error:  # noqa: BLE001 -- any fault: find the saga that fails
            _raise_if_outage(error)
            log.warning("%s: %d sagas, now in pieces: %r", self.name, len(contexts), error)
            with sql.impatient(service=self._owner.service):
                failed = self._hand_over_pieces(contexts, error)
            self._after_failures(failed, of=len(contexts))

    def _hand_over_pieces(self, contexts: list[Context], error: Exception) -> dict[str, Exception]:
        """Hands over in halves, recursively; the errors of sagas that fail alone, by saga id."""
        if len(contexts) == 1:
            return {contexts[0].saga_id: error}
        half = len(contexts) // 2
        failed: dict[str, Exception] = {}
        for piece in (contexts[:half], contexts[half:]):
            try:
                self.hand_over(piece)
            except Exception as found:  # noqa: BLE001 -- as above
                _raise_if_outage(found)
                failed |= self._hand_over_pieces(piece, found)
        return failed

    def hand_over(self, contexts: list[Context]) -> None:
        """Hands these over together. Raises any error of the call or the database."""
        self.mark(self.tell(contexts))

    def mark(self, saga_ids: list[str]) -> None:
        """Marks these sagas as handed over."""
        super().mark(saga_ids)
        self._handed_over += len(saga_ids)
        self._retries.forget(saga_ids=saga_ids)

    def end_refused(self, why: WhyEnded) -> None:
        """Ends refused sagas, unless they start by themselves: those run, and are retried."""
        if not self._route.starts_itself:
            super().end_refused(why)
            return
        for saga_id, (_, code, detail) in why.items():
            log.warning("not known: %s: %s", code, detail, extra={"saga_id": saga_id})
            self._retries.failed(saga_id=saga_id, counts=False)

    def _after_failures(self, failed: Mapping[str, Exception], *, of: int) -> None:
        """Dead-letters sagas after their last try. If all of several failed, the fault is not
        theirs: raises Unreachable.
        """
        if len(failed) == of > 1:
            why = sql.category(next(iter(failed.values())))
            raise Unreachable(f"{self.path} takes none of {of}: {why}")
        self._dead_letter(
            {
                saga_id: f"{self.path} does not take it: {sql.category(error)}"
                for saga_id, error in failed.items()
                if self._retries.failed(saga_id=saga_id, counts=not sql.is_busy(error))
            }
        )

    def _dead_letter(self, reasons: Mapping[str, str]) -> None:
        if not reasons:
            return
        failpoints.reach("handover.before_dead_letter")
        self._sagas.dead_letter(reasons=reasons)
        failpoints.reach("handover.dead_letter")
        for saga_id, reason in reasons.items():
            log.error("dead-lettered for an operator: %s", reason, extra={"saga_id": saga_id})

    def _complain(self, error: Exception) -> None:
        self._complaint = Complaint(
            what=f"sagas are not handed over to {self.client.url}{self.path}:"
            f" {sql.category(error)}"[:500],
            since=self._complaint.since if self._complaint else datetime.now(UTC),
            do=f"Look at the coordinator at {self.client.url}; the hand-over retries by itself.",
        )


def _raise_if_outage(error: Exception) -> None:
    """Raises the error again if the coordinator, or this service's database, is down."""
    if isinstance(error, Unreachable) and error.is_outage:
        raise error
    if sql.is_outage(error):
        raise error


def sweeps(*, owner: Owner) -> list[Sweep]:
    """One sweep for each route: components of the owner's worker."""
    return [Sweep(owner=owner, route=route) for route in ROUTES]
