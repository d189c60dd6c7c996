"""The relay: sends the rows of a service's outbox, in order, and marks them once confirmed.

Each worker process of a service has a relay. Relays share the outbox by partitions (`partitions`).
All events of a saga are in one partition, so their order is kept with any number of relays.
"""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError, connections

from contracts.states import Complaint
from messaging import outbox, partitions, wakeups
from messaging.brokers import Broker, BrokerUnavailable, Message, Rejected, Unroutable
from messaging.outbox import NewRows, Unsent
from messaging.partitions import Share
from messaging.worker import Backoff
from participant import failpoints, metrics, sql

log = logging.getLogger(__name__)

BATCH = 500
MARK_SECONDS = 0.1
"""Rows are marked together, so long after the first confirmation."""
SWEEP_SECONDS = 1.0
"""How often the relay queries the table without a wake-up: it finds rows that a crash has left."""
_UNROUTABLE = "no queue is bound to this type of event"
_DO_ABOUT_BROKER = (
    "start or continue the broker, or free its memory or disk; if an exchange is missing, run"
    " manage.py topology; if it refuses access, restore the rights of the service's login"
    " (manage.py topology --rights); events wait in the outbox meanwhile"
)


class Relay:
    """Sends the rows of its partitions: of all, until `run` has found other relays.

    Rows that the broker does not take, or has no queue for yet, are postponed in the table and
    retried, ever more rarely; all others are sent.
    """

    name = "relay"

    def __init__(self, *, service: str, broker: Broker) -> None:
        self.service = service
        self.broker = broker
        self._counters: Counter[str] = Counter()
        self._backoff = Backoff()
        # Rows that are confirmed, but not marked yet (another session may have locked them): they
        # are not sent again. By id, when they were given to the broker.
        self._unmarked: dict[int, datetime] = {}
        self._mark_at = math.inf
        self._among = outbox.ALL_PARTITIONS

    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    def complaints(self) -> list[Complaint]:
        """That nothing can be sent. /health reads postponed rows from the table."""
        return self._backoff.complaints(f"{self.service} sends no event", _DO_ABOUT_BROKER)

    def run(self, stop: threading.Event) -> None:
        """Relays until `stop` is set; waits for a broker or database that is unreachable."""
        while not stop.is_set():
            try:
                self._relay(stop)
            except (DatabaseError, InterfaceError, BrokerUnavailable) as error:
                pause = self._backoff.pause(error)
                log.warning("relay of %s: %s; again in %.1f s", self.service, error, pause)
                connections[self.service].close()
                stop.wait(pause)
        connections[self.service].close()

    def relay_once(self) -> int:
        """Sends one batch of rows from the table; returns how many are settled.

        Raises BrokerUnavailable, and leaves the rows unsent, if not all were confirmed.
        """
        settled = self._send_waiting()
        self._mark()
        return settled

    def _send_waiting(self) -> int:
        limit = BATCH + len(self._unmarked)
        waiting = outbox.unsent(service=self.service, limit=limit, among=self._among)
        return self._send(self._new(waiting))

    def _new(self, rows: Sequence[Unsent]) -> list[Unsent]:
        return [row for row in rows if row.id not in self._unmarked]

    def _send(self, rows: Sequence[Unsent]) -> int:
        """Returns how many rows are sent, or postponed because the broker does not take them."""
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
        """Publishes the rows; by id, why the broker does not take some. It has all the others."""
        try:
            self.broker.publish([Message(row.event_id, row.event_type, row.body) for row in rows])
        except Unroutable as error:
            unroutable = frozenset(error.ids)
            return {row.id: _UNROUTABLE for row in rows if row.event_id in unroutable}
        except Rejected as error:
            return self._publish_in_parts(rows, error)
        return {}

    def _publish_in_parts(self, rows: Sequence[Unsent], error: Rejected) -> dict[int, str]:
        """Publishes without the rows that the broker refuses; if it names none, in halves."""
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
        """Marks the confirmed rows. Locked rows are marked the next time; nor does it wait for a
        locked table.
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

    def _relay(self, stop: threading.Event) -> None:
        self._among = frozenset()
        with outbox.arriving(service=self.service) as new_rows:
            share = Share(service=self.service, on_released=new_rows.set)
            with wakeups.listening(service=self.service, channel=partitions.CHANNEL, flag=share):
                while not stop.is_set():
                    self._share_out(share, new_rows)
                    is_swept = self._sweep(new_rows, lambda: stop.is_set() or share.is_due())
                    self._backoff.went_well()
                    if is_swept:
                        self._send_new_rows(new_rows, stop)
                self._mark()
                share.leave()

    def _share_out(self, share: Share, new_rows: NewRows) -> None:
        """Updates this relay's partitions to the current shares. No message of a partition that it
        gives up is in transit then.
        """
        if not share.is_due():
            return
        if surplus := share.to_give_up():
            new_rows.take_all(False)
            self._mark()
            share.give_up(surplus)
        self._among = share.mine
        new_rows.take_all(share.is_all)

    def _sweep(self, new_rows: NewRows, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Sends all unsent rows of the table, which has the queued rows, too. False if `is_over`
        becomes true before the end.
        """
        if not self._among:
            return True
        new_rows.forget()
        while self._send_waiting():
            self._mark_if_due()
            if is_over():
                return False
            new_rows.forget()
        due = outbox.due(service=self.service, limit=BATCH, among=self._among)
        self._send(self._new(due))
        return True

    def _send_new_rows(self, new_rows: NewRows, stop: threading.Event) -> None:
        """Sends queued rows, until another process wakes it, or the next sweep is due."""
        sweep_at = time.monotonic() + SWEEP_SECONDS
        while not stop.is_set() and (left := sweep_at - time.monotonic()) > 0:
            until_marked = max(0.0, self._mark_at - time.monotonic())
            rows, is_woken = new_rows.take(timeout=min(left, until_marked), limit=BATCH)
            self._send(rows)
            self._mark_if_due()
            if is_woken:
                return
        self._mark()

    def _mark_if_due(self) -> None:
        if time.monotonic() >= self._mark_at or len(self._unmarked) >= BATCH:
            self._mark()
