"""Asks the broker now and then whether it is there, for /health."""

import threading

from messaging.brokers import Broker, BrokerUnavailable

PROBE_SECONDS = 2.0


class BrokerProbe:
    """A part of every worker that talks to the broker."""

    name = "probe"

    def __init__(self, *, broker: Broker) -> None:
        self.broker = broker
        self._is_up = False

    def counters(self) -> dict[str, int]:
        return {"broker_up": int(self._is_up)}

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.broker.ping()
                self._is_up = True
            except BrokerUnavailable:
                self._is_up = False
            stop.wait(PROBE_SECONDS)
