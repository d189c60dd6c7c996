"""The relay: sends the rows of a service's outbox, in order, and marks them once confirmed."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError, connections

from messaging import outbox
from messaging.backoff import Backoff
from messaging.brokers import Broker, BrokerUnavailable, Message, Unroutable
from messaging.leader import wait_to_lead
from messaging.outbox import Arrivals, Unsent
from sagas import points

log = logging.getLogger(__name__)

BATCH = 500
SWEEP_SECONDS = 1.0
"""How often the table is looked at without a ring: finds what a crash left."""
KEEP_SENT_SECONDS = 6 * 3600
FORGET_SECONDS = 60.0


class Relay:
    """One relay of a service leads, so that order is kept; others of it wait to take over."""

    name = "relay"

    def __init__(self, *, service: str, broker: Broker) -> None:
        self.service = service
        self.broker = broker
        self._counters: Counter[str] = Counter()
        self._forget_at = 0.0
        self._backoff = Backoff()

    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    def run(self, stop: threading.Event) -> None:
        """Relays until `stop` is set; an unreachable broker or database is waited for."""
        while not stop.is_set():
            try:
                self._lead(stop)
            except (DatabaseError, InterfaceError, BrokerUnavailable) as error:
                pause = self._backoff.pause()
                log.warning("relay of %s: %s; again in %.1f s", self.service, error, pause)
                connections[self.service].close()
                stop.wait(pause)
        connections[self.service].close()

    def relay_once(self) -> int:
        """Sends one batch of what waits in the table; returns how many went out.

        Raises BrokerUnavailable, and leaves the rows unsent, if not all were confirmed.
        """
        return self._send(outbox.unsent(service=self.service, limit=BATCH))

    def _send(self, rows: Sequence[Unsent]) -> int:
        if not rows:
            return 0
        unroutable: frozenset[str] = frozenset()
        points.reach("relay.before_publish")
        given_at = datetime.now(UTC)
        try:
            self.broker.publish([Message(row.event_id, row.event_type, row.body) for row in rows])
        except Unroutable as error:
            unroutable = frozenset(error.ids)
            log.error("nobody hears %d events of %s yet: kept", len(unroutable), self.service)
        sent = [row.id for row in rows if row.event_id not in unroutable]
        points.reach("relay.confirmed")
        outbox.mark_sent(service=self.service, ids=sent, at=given_at)
        points.reach("relay.marked")
        self._counters["messages_published"] += len(rows)
        self._counters["publish_batches"] += 1
        return len(sent)

    def _lead(self, stop: threading.Event) -> None:
        if not wait_to_lead(service=self.service, task="relay", stop=stop):
            return
        with outbox.arriving(service=self.service) as arrivals:
            while not stop.is_set():
                self._sweep(arrivals)
                self._backoff.went_well()
                self._send_arrivals(arrivals, stop)

    def _sweep(self, arrivals: Arrivals) -> None:
        """Sends all that the table has; what was given before it is asked is in it as well."""
        arrivals.forget()
        while self.relay_once():
            arrivals.forget()
        if time.monotonic() >= self._forget_at:
            outbox.forget_sent(service=self.service, older_than_seconds=KEEP_SENT_SECONDS)
            self._forget_at = time.monotonic() + FORGET_SECONDS

    def _send_arrivals(self, arrivals: Arrivals, stop: threading.Event) -> None:
        """Sends what is given, until another process rings or it is time to sweep."""
        sweep_at = time.monotonic() + SWEEP_SECONDS
        while not stop.is_set() and (left := sweep_at - time.monotonic()) > 0:
            rows, is_rung = arrivals.take(timeout=left, limit=BATCH)
            self._send(rows)
            if is_rung:
                return
