"""The relay: sends the rows of a service's outbox, in order, and marks them once confirmed."""

import logging
import threading
from collections import Counter

from django.db import DatabaseError, InterfaceError, connections

from messaging import doorbell, outbox
from messaging.brokers import Broker, BrokerUnavailable, Message, Unroutable
from messaging.leader import wait_to_lead

log = logging.getLogger(__name__)

BATCH = 500
SWEEP_SECONDS = 1.0
"""How often the table is looked at without a ring: finds what a crash left."""
KEEP_SENT_SECONDS = 6 * 3600


class Relay:
    """One relay of a service leads, so that order is kept; others of it wait to take over."""

    name = "relay"

    def __init__(self, *, service: str, broker: Broker) -> None:
        self.service = service
        self.broker = broker
        self._counters: Counter[str] = Counter()

    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    def run(self, stop: threading.Event) -> None:
        """Relays until `stop` is set; an unreachable broker or database is waited for."""
        delay = 0.0
        while not stop.is_set():
            try:
                self._lead(stop)
                delay = 0.0
            except (DatabaseError, InterfaceError, BrokerUnavailable) as error:
                delay = min(max(0.1, delay * 2), 2.0)
                log.warning("relay of %s: %s; again in %.1f s", self.service, error, delay)
                connections[self.service].close()
            stop.wait(delay)
        connections[self.service].close()

    def relay_once(self) -> int:
        """Sends one batch; returns how many rows it found.

        Raises BrokerUnavailable, and leaves the rows unsent, if not all were confirmed.
        """
        rows = outbox.unsent(service=self.service, limit=BATCH)
        if not rows:
            return 0
        unroutable: frozenset[str] = frozenset()
        try:
            self.broker.publish([Message(row.event_id, row.event_type, row.body) for row in rows])
        except Unroutable as error:
            unroutable = frozenset(error.ids)
            log.error("nobody hears %d events of %s yet: kept", len(unroutable), self.service)
        sent = [row.id for row in rows if row.event_id not in unroutable]
        outbox.mark_sent(service=self.service, ids=sent)
        self._counters["messages_published"] += len(rows)
        self._counters["publish_batches"] += 1
        return len(sent)

    def _lead(self, stop: threading.Event) -> None:
        if not wait_to_lead(service=self.service, task="relay", stop=stop):
            return
        with doorbell.answering(service=self.service, channel=outbox.CHANNEL) as rung:
            idle = 0
            while not stop.is_set():
                rung.clear()
                if self.relay_once():
                    continue
                if not rung.wait(SWEEP_SECONDS):
                    idle += 1
                if idle >= 60:
                    idle = 0
                    outbox.forget_sent(service=self.service, older_than_seconds=KEEP_SENT_SECONDS)
