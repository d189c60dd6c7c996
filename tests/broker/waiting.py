"""Waiting for a broker: each call has a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from messaging.brokers import BrokerUnavailable, Delivery, Subscription

DEADLINE_SECONDS = 20.0


def until_available(call: Callable[[], Any]) -> Any:
    """Call again and again while the broker is unavailable, as relay and consumer do."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return call()
        except BrokerUnavailable:
            assert time.monotonic() < deadline, "the broker never came back"
            threading.Event().wait(0.01)


def take(subscription: Subscription, count: int) -> list[Delivery]:
    """Take exactly so many."""
    taken: list[Delivery] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(taken) < count:
        assert time.monotonic() < deadline, f"only {len(taken)} of {count} came"
        taken += subscription.take(limit=count - len(taken), timeout=1)
    return taken


def nothing_comes(subscription: Subscription) -> bool:
    """Whether the queue has nothing to give within a moment."""
    return not subscription.take(limit=10, timeout=0.2)


def ids(deliveries: list[Delivery]) -> list[str]:
    """Give the ids of the messages, in order."""
    return [delivery.message.id for delivery in deliveries]
