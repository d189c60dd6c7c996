"""The relay: sends the rows of a service's outbox, in order, and marks them once confirmed."""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError, connections

from messaging import outbox
from messaging.brokers import Broker, BrokerUnavailable, Message, Rejected, Unroutable
from messaging.outbox import Arrivals, Unsent
from messaging.worker import Backoff, Complaint, wait_to_lead
from participant import failpoints, metrics, sql

log = logging.getLogger(__name__)

BATCH = 500
MARK_SECONDS = 0.1
"""After the first of those that are marked together."""
SWEEP_SECONDS = 1.0
"""How often the table is looked at without a wake-up: finds what a crash left."""
_UNROUTABLE = "no queue is bound to this type of event"
_DO_ABOUT_BROKER = (
    "start or continue the broker, or free its memory or disk; where it refuses, give its user the"
    " permission back, or remove what has taken the name; events wait in the outbox meanwhile"
)


class Relay:
    """One relay of a service leads, so that order is kept; others of it wait to take over.

    What the broker does not take, or has no queue for yet, is postponed in the table and tried
    again, ever more rarely; all the rest flows.
    """

    name = "relay"

    def __init__(self, *, service: str, broker: Broker) -> None:
        self.service = service
        self.broker = broker
        self._counters: Counter[str] = Counter()
        self._backoff = Backoff()
        # Confirmed, and to be marked in a moment, or when no other session has locked them: not
        # sent again. By id, when they were given to the broker.
        self._unmarked: dict[int, datetime] = {}
        self._mark_at = math.inf

    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    def complaints(self) -> list[Complaint]:
        """That nothing can be sent. What is postponed, /health reads from the table."""
        trouble = self._backoff.trouble()
        if not trouble:
            return []
        what = f"{self.service} sends no event: {trouble.reason}"
        return [Complaint(what=what, since=trouble.since, do=_DO_ABOUT_BROKER)]

    def run(self, stop: threading.Event) -> None:
        """Relays until `stop` is set; an unreachable broker or database is waited for."""
        while not stop.is_set():
            try:
                self._lead(stop)
            except (DatabaseError, InterfaceError, BrokerUnavailable) as error:
                pause = self._backoff.pause(error)
                log.warning("relay of %s: %s; again in %.1f s", self.service, error, pause)
                connections[self.service].close()
                stop.wait(pause)
        connections[self.service].close()

    def relay_once(self) -> int:
        """Sends one batch of what waits in the table; returns for how many that is settled.

        Raises BrokerUnavailable, and leaves the rows unsent, if not all were confirmed.
        """
        settled = self._send_waiting()
        self._mark()
        return settled

    def _send_waiting(self) -> int:
        waiting = outbox.unsent(service=self.service, limit=BATCH + len(self._unmarked))
        return self._send(self._new(waiting))

    def _new(self, rows: Sequence[Unsent]) -> list[Unsent]:
        return [row for row in rows if row.id not in self._unmarked]

    def _send(self, rows: Sequence[Unsent]) -> int:
        """Returns how many are sent, or postponed because the broker does not take them."""
        if not rows:
            return 0
        failpoints.reach("relay.before_publish")
        given_at = datetime.now(UTC)
        refusals = self._publish(rows)
        failpoints.reach("relay.confirmed")
        settled = self._settle(rows, given_at, refusals)
        failpoints.reach("relay.settled")
        self._counters["messages_published"] += len(rows) - len(refusals)
        self._counters["publish_batches"] += 1
        metrics.observe(metrics.BATCH, len(rows), "published")
        return settled

    def _publish(self, rows: Sequence[Unsent]) -> dict[int, str]:
        """Why the broker does not take some of the rows, by their ids; it has all the others."""
        try:
            self.broker.publish([Message(row.event_id, row.event_type, row.body) for row in rows])
        except Unroutable as error:
            unroutable = frozenset(error.ids)
            return {row.id: _UNROUTABLE for row in rows if row.event_id in unroutable}
        except Rejected as error:
            return self._publish_in_parts(rows, error)
        return {}

    def _publish_in_parts(self, rows: Sequence[Unsent], error: Rejected) -> dict[int, str]:
        """Without those that it refuses; where it does not say which, halves show it."""
        refused = set(error.ids) if len(rows) > 1 else {rows[0].event_id}
        refusals = {row.id: str(error) for row in rows if row.event_id in refused}
        parts = [[row for row in rows if row.id not in refusals]]
        if not refusals:
            parts = [list(rows[: len(rows) // 2]), list(rows[len(rows) // 2 :])]
        for part in parts:
            refusals |= self._publish(part) if part else {}
        return refusals

    def _settle(self, rows: Sequence[Unsent], at: datetime, refusals: Mapping[int, str]) -> int:
        sent = {row.id: at for row in rows if row.id not in refusals}
        self._unmarked |= sent
        self._mark_at = min(self._mark_at, time.monotonic() + MARK_SECONDS)
        settled = len(sent)
        for reason in set(refusals.values()):
            ids = [row_id for row_id, its in refusals.items() if its == reason]
            log.error("%d events of %s are postponed: %s", len(ids), self.service, reason)
            settled += outbox.postpone(service=self.service, ids=ids, reason=reason)
        return settled

    def _mark(self) -> None:
        """Marks what is confirmed, together. What is locked is marked the next time, and a table
        that is locked is not waited for, either.
        """
        self._mark_at = math.inf
        if not self._unmarked:
            return
        try:
            marked = outbox.mark_sent(service=self.service, given=self._unmarked)
        except DatabaseError as error:
            if not sql.is_busy(error):
                raise
            return
        failpoints.reach("relay.marked")
        left = outbox.still_unsent(
            service=self.service, ids=list(self._unmarked.keys() - set(marked))
        )
        self._unmarked = {row_id: self._unmarked[row_id] for row_id in left}

    def _lead(self, stop: threading.Event) -> None:
        if not wait_to_lead(service=self.service, task="relay", stop=stop):
            return
        with outbox.arriving(service=self.service) as arrivals:
            while not stop.is_set():
                self._sweep(arrivals)
                self._backoff.went_well()
                self._send_arrivals(arrivals, stop)
        self._mark()

    def _sweep(self, arrivals: Arrivals) -> None:
        """Sends all that the table has; what was given before it is asked is in it as well."""
        arrivals.forget()
        while self._send_waiting():
            arrivals.forget()
        self._send(self._new(outbox.due(service=self.service, limit=BATCH)))

    def _send_arrivals(self, arrivals: Arrivals, stop: threading.Event) -> None:
        """Sends what is given, until another process wakes it, or it is time to sweep."""
        sweep_at = time.monotonic() + SWEEP_SECONDS
        while not stop.is_set() and (left := sweep_at - time.monotonic()) > 0:
            until_marked = max(0.0, self._mark_at - time.monotonic())
            rows, is_woken = arrivals.take(timeout=min(left, until_marked), limit=BATCH)
            self._send(rows)
            if time.monotonic() >= self._mark_at or len(self._unmarked) >= BATCH:
                self._mark()
            if is_woken:
                return
        self._mark()
