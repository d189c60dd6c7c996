"""The worker components of a service with decisions: one ends overdue decisions, one tells the
coordinator which decisions are made.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import Error, connections

from contracts.patterns import PATTERNS
from contracts.states import Complaint
from coordination.decisions import CHANNEL, decide, deciding
from coordination.sweeping import Retries
from httpapi.client import Client, Unreachable
from messaging import wakeups
from messaging.worker import Backoff, Component, wait_to_lead
from participant import decisions, failpoints, sql
from participant.decisions import GivenVerdict, RequestedDecision
from participant.operations import OVERDUE

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
RESTS = 3.0
"""Times the duration of a full batch: the compensations that it causes cost more than the batch."""
TIMEOUT_SECONDS = 5.0
MOST_TOLD = 200
LONGEST_PAUSE = 5.0


def components(*, service: str) -> list[Component]:
    """The worker's components for a service's decisions; none if it has no decisions."""
    return [Overdue(service=service), Teller(service=service)] if deciding(service) else []


class Overdue:
    """Ends the steps whose decision is overdue, a hundred at a time, with a pause between batches:
    each ended step starts a compensation, and other sagas should not be delayed.
    """

    name = "overdue"

    def __init__(self, *, service: str) -> None:
        self._service = service
        self._ended = 0
        self._backoff = Backoff(longest=LONGEST_PAUSE)
        self._retries = Retries()
        self._complaint: Complaint | None = None

    def counters(self) -> dict[str, int]:
        return {"decisions_overdue": self._ended}

    def complaints(self) -> list[Complaint]:
        """That overdue steps can't be ended."""
        return [self._complaint] if self._complaint else []

    def run(self, stop: threading.Event) -> None:
        """Runs until `stop` is set; waits for a database that is down."""
        while not stop.is_set():
            try:
                if wait_to_lead(service=self._service, task=self.name, stop=stop):
                    self._lead(stop)
            except Exception as error:  # noqa: BLE001 -- the outermost loop: no fault ends it
                pause = self._backoff.pause(error)
                log.warning("overdue decisions: %r; again in %.1f s", error, pause)
                connections[self._service].close()
                stop.wait(pause)
        connections[self._service].close()

    def _lead(self, stop: threading.Event) -> None:
        while not stop.is_set():
            begun = time.monotonic()
            number = self.sweep_once()
            self._backoff.went_well()
            is_full = number == decisions.MOST_DUE
            stop.wait(RESTS * (time.monotonic() - begun) if is_full else SWEEP_SECONDS)

    def sweep_once(self) -> int:
        """Ends at most MOST_DUE decisions; returns how many were due."""
        due = decisions.overdue(service=self._service, but_not=self._retries.resting())
        for action, group in _by_action(due):
            self._end(action, group)
        if not self._retries.resting():
            self._complaint = None
        return len(due)

    def _end(self, action: str, group: Sequence[GivenVerdict]) -> None:
        """A decision that can't be ended delays no other."""
        try:
            self._decide(action, group)
        except Exception as error:  # find the decision that fails, and end the others
            if sql.is_outage(error):
                raise
            log.warning("%d overdue decisions, now one by one: %r", len(group), error)
            with sql.impatient(service=self._service):
                for verdict in group:
                    self._end_alone(action, verdict)

    def _end_alone(self, action: str, given: GivenVerdict) -> None:
        try:
            self._decide(action, [given])
        except Exception as error:  # as above; it is tried again later
            if sql.is_outage(error):
                raise
            self._retries.failed(saga_id=given.saga_id, counts=False)
            if not sql.is_busy(error):
                log.exception("overdue, and can't be ended", extra={"saga_id": given.saga_id})
                self._complaint = Complaint(
                    what=f"{given.step} of {given.saga_id} is overdue and can't be ended:"
                    f" {sql.category(error)}",
                    since=self._complaint.since if self._complaint else datetime.now(UTC),
                    do="Fix the problem in the log; it is retried by itself.",
                )

    def _decide(self, action: str, group: Sequence[GivenVerdict]) -> None:
        decided = decide(service=self._service, action=action, given=group)
        self._ended += sum(decision.fresh for decision in decided)


def _by_action(due: Sequence[RequestedDecision]) -> Iterator[tuple[str, list[GivenVerdict]]]:
    for action in dict.fromkeys(decision.action for decision in due):
        yield (
            action,
            [
                GivenVerdict(saga_id=decision.saga_id, step=decision.step, word=OVERDUE)
                for decision in due
                if decision.action == action
            ],
        )


class Teller:
    """Tells the coordinator which steps are decided that it was answered "waiting" for, until it
    has acknowledged them: it then calls each step again, and gets the outcome.
    """

    name = "teller"

    def __init__(self, *, service: str) -> None:
        conducting = [pattern for pattern in PATTERNS.values() if not pattern.starts_itself]
        clients = {
            f"{pattern.hand_over}/decided": Client(pattern.coordinator, timeout=TIMEOUT_SECONDS)
            for pattern in {pattern.coordinator: pattern for pattern in conducting}.values()
        }
        self.clients = clients
        """By the path at which the coordinator is told."""
        self._service = service
        self._told = 0
        self._backoff = Backoff(longest=LONGEST_PAUSE)
        self._complaint: Complaint | None = None

    def counters(self) -> dict[str, int]:
        calls = sum(client.calls for client in self.clients.values())
        return {f"http_calls.{self.name}": calls, "decisions_told": self._told}

    def complaints(self) -> list[Complaint]:
        """That the coordinator can't be told."""
        return [self._complaint] if self._complaint else []

    def run(self, stop: threading.Event) -> None:
        """Runs until `stop` is set; waits for a coordinator that is down."""
        with wakeups.listening(
            service=self._service, channel=CHANNEL, flag=threading.Event()
        ) as woken:
            while not stop.is_set():
                woken.clear()
                try:
                    if not self.tell_once():
                        woken.wait(SWEEP_SECONDS)
                    self._backoff.went_well()
                    self._complaint = None
                except (Unreachable, Error) as error:
                    self._complain(error)
                    stop.wait(self._backoff.pause(error))
        connections[self._service].close()

    def tell_once(self) -> int:
        """Tells of at most MOST_TOLD decisions; returns their number. It does not know which
        coordinator has a saga: all are told, and ignore sagas that they do not have. Raises
        Unreachable once all reachable coordinators were told.
        """
        keys = decisions.untold(service=self._service, limit=MOST_TOLD)
        if keys:
            body = [{"saga_id": saga_id, "step": step} for saga_id, step in keys]
            away = [error for path in self.clients if (error := self._tell(path, body))]
            if away:
                raise away[0]
            failpoints.reach("decisions.before_mark")
            decisions.mark_told(service=self._service, keys=keys)
            failpoints.reach("decisions.marked")
            self._told += len(keys)
        return len(keys)

    def _tell(self, path: str, body: Sequence[Any]) -> Unreachable | None:
        try:
            given = self.clients[path].post(path=path, body=body)
        except Unreachable as error:
            return error
        if given.status != 200:
            return Unreachable(f"{path} answered {given.status}", status=given.status)
        return None

    def _complain(self, error: Exception) -> None:
        log.warning("decisions are not told: %s", error)
        if isinstance(error, Error):
            connections[self._service].close()
        self._complaint = Complaint(
            what=f"the coordinator can't be told of decisions: {sql.category(error)}"[:500],
            since=self._complaint.since if self._complaint else datetime.now(UTC),
            do="Look at the coordinator that it names; it asks by itself once they are overdue.",
        )
