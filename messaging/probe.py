"""Asks the broker now and then whether it is there, for /health."""

import threading
from datetime import UTC, datetime

from contracts.states import Complaint
from messaging.brokers import Broker, BrokerUnavailable

PROBE_SECONDS = 2.0
ANSWER_SECONDS = 3.0
"""A broker that is paused refuses nothing: the ping itself ends much later."""
MOST_SAID = 200


class BrokerProbe:
    """A part of every worker that talks to the broker."""

    name = "probe"

    def __init__(self, *, broker: Broker) -> None:
        self.broker = broker
        self._is_up = False
        self._asked_at: datetime | None = None
        self._complaint: Complaint | None = None

    def counters(self) -> dict[str, int]:
        return {"broker_up": int(self._is_up and not self._waits_long())}

    def complaints(self) -> list[Complaint]:
        """That the broker is away, since the first ping that it did not answer."""
        complaint, asked_at = self._complaint, self._asked_at
        if complaint is None and asked_at and self._waits_long():
            complaint = _away("it does not answer", asked_at)
        return [complaint] if complaint else []

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._asked_at = asked_at = datetime.now(UTC)
            try:
                self.broker.ping()
                self._is_up, self._complaint = True, None
            except BrokerUnavailable as error:
                since = self._complaint.since if self._complaint else asked_at
                self._is_up, self._complaint = False, _away(str(error), since)
            self._asked_at = None
            stop.wait(PROBE_SECONDS)

    def _waits_long(self) -> bool:
        asked_at = self._asked_at
        return bool(asked_at and (datetime.now(UTC) - asked_at).total_seconds() > ANSWER_SECONDS)


def _away(reason: str, since: datetime) -> Complaint:
    return Complaint(
        what=f"the broker does not work: {reason[:MOST_SAID]}",
        since=since,
        do="start or continue it, or free its memory or disk; events wait in the outboxes",
    )
