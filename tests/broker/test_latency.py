"""Injected latency of a broker: nothing is lost in transit, and every message is delayed."""

import time
from collections.abc import Iterator

import pytest

from messaging.brokers import BrokerUnavailable, Delivery
from messaging.brokers.latency import LatencyBroker, LatencySubscription
from messaging.brokers.memory import MemoryBroker, connect_memory, forget
from tests.broker.adapters import messages
from tests.broker.waiting import ids, take

AWAY = 0.05


@pytest.fixture
def near() -> Iterator[MemoryBroker]:
    broker = connect_memory("memory://latency", namespace="")
    broker.declare(queue="shop", events=["thing.happened"])
    yield broker
    forget("latency")


def test_message_arrives_after_the_latency(near: MemoryBroker) -> None:
    subscription = LatencyBroker(near, seconds=AWAY).subscribe(queue="shop", prefetch=10)
    near.publish(messages(1))
    sent = time.monotonic()
    assert subscription.take(limit=10, timeout=AWAY / 5) == []
    assert ids(take(subscription, 1)) == ["m0"]
    assert time.monotonic() - sent >= AWAY


def test_messages_travel_side_by_side(near: MemoryBroker) -> None:
    near.publish(messages(100))
    subscription = LatencyBroker(near, seconds=AWAY).subscribe(queue="shop", prefetch=200)
    started = time.monotonic()
    assert ids(take(subscription, 100)) == [f"m{n}" for n in range(100)]
    assert AWAY <= time.monotonic() - started < 10 * AWAY


def test_publishing_waits_for_the_way_there_and_back(near: MemoryBroker) -> None:
    started = time.monotonic()
    LatencyBroker(near, seconds=AWAY).publish(messages(20))
    assert time.monotonic() - started >= 2 * AWAY
    assert near.depths(["shop"]) == {"shop": 20}


class _Breaking:
    """Gives a message, then loses its connection, then gives the message again."""

    def __init__(self, delivery: Delivery) -> None:
        self._answers: list[list[Delivery] | None] = [[delivery], None, [delivery]]

    def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        answer = self._answers.pop(0) if self._answers else []
        if answer is None:
            raise BrokerUnavailable("cut")
        return answer


def test_message_on_its_way_when_the_connection_breaks_comes_once() -> None:
    delivery = Delivery(message=messages(1)[0], redelivered=False, tag=1)
    subscription = LatencySubscription(_Breaking(delivery), seconds=0.001)  # type: ignore[arg-type]
    with pytest.raises(BrokerUnavailable):
        subscription.take(limit=10, timeout=1)
    assert ids(take(subscription, 1)) == ["m0"]
    assert subscription.take(limit=10, timeout=0) == []
