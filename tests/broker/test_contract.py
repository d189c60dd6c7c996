"""What every broker does, whichever it is: a broker …"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from contracts.bounds import MOST_BYTES_OF_A_MESSAGE
from messaging.brokers import (
    Broker,
    BrokerUnavailable,
    Message,
    Rejected,
    Unroutable,
    connect,
)
from tests.broker.adapters import Adapter, messages
from tests.broker.waiting import ids, nothing_comes, take
from tests.waiting import eventually


def test_delivers_a_message_unchanged(broker: Broker) -> None:
    sent = [
        Message("id-1", "thing.happened", b'{"price": "9.99", "what": "\xc3\xb1"}'),
        Message("id-2", "thing.happened", b""),
        Message("id-3", "thing.happened", bytes(range(256)) * 1500),
    ]
    broker.publish(sent)
    deliveries = take(broker.subscribe(queue="shop", prefetch=10), 3)
    assert [delivery.message for delivery in deliveries] == sent
    assert not any(delivery.redelivered for delivery in deliveries)


def test_keeps_the_order_of_a_publisher(broker: Broker) -> None:
    for first in range(0, 120, 40):
        broker.publish(messages(40, first=first))
    subscription = broker.subscribe(queue="shop", prefetch=200)
    assert ids(take(subscription, 120)) == [f"m{n}" for n in range(120)]


def test_gives_each_bound_queue_its_own_copy(broker: Broker) -> None:
    broker.declare(queue="audit", events=["thing.happened", "thing.failed"])
    broker.publish([*messages(1), *messages(1, kind="thing.failed", first=1)])
    assert ids(take(broker.subscribe(queue="shop", prefetch=10), 1)) == ["m0"]
    assert ids(take(broker.subscribe(queue="audit", prefetch=10), 2)) == ["m0", "m1"]
    assert broker.depths(["shop", "audit"]) == {"shop": 1, "audit": 2}


def test_routes_events_requests_and_replies_to_their_consumers(broker: Broker) -> None:
    kinds = [
        *("checkout.order.created", "checkout.order.create", "checkout.order.create.replied"),
        *("fulfilment.inventory.reserved", "checkout.inventory.reserved"),
    ]
    for kind in kinds:
        broker.declare(queue=f"of {kind}", events=[kind])
    broker.declare(queue="of all", events=kinds)
    broker.publish([Message(kind, kind, b"{}") for kind in kinds])
    for kind in kinds:
        assert ids(take(broker.subscribe(queue=f"of {kind}", prefetch=10), 1)) == [kind]
    assert ids(take(broker.subscribe(queue="of all", prefetch=10), len(kinds))) == kinds
    assert broker.depths([f"of {kind}" for kind in kinds]) == {f"of {kind}": 1 for kind in kinds}


def test_names_a_request_without_a_queue_unroutable(broker: Broker) -> None:
    with pytest.raises(Unroutable) as refused:
        broker.publish([Message("asked", "checkout.payment.process", b"{}"), *messages(1)])
    assert refused.value.ids == ("asked",)
    assert ids(take(broker.subscribe(queue="shop", prefetch=10), 1)) == ["m0"]


@pytest.mark.parametrize(
    "invalid",
    [
        Message("large", "thing.happened", b"x" * (MOST_BYTES_OF_A_MESSAGE + 1)),
        Message("long type", "thing." + "x" * 300, b"{}"),
        Message("long id " + "x" * 300, "thing.happened", b"{}"),
    ],
    ids=["body", "type", "id"],
)
def test_names_the_message_that_no_broker_takes(broker: Broker, invalid: Message) -> None:
    with pytest.raises(Rejected) as refused:
        broker.publish([*messages(1), invalid])
    assert refused.value.ids == (invalid.id,)
    broker.publish(messages(1, first=1))
    assert "m1" in ids(take(broker.subscribe(queue="shop", prefetch=10), 1))


def test_declares_again_without_losing_or_doubling(broker: Broker) -> None:
    broker.publish(messages(1))
    broker.declare(queue="shop", events=["thing.happened"])
    broker.declare(queue="shop", events=[])
    broker.publish(messages(1, first=1))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    assert ids(take(subscription, 2)) == ["m0", "m1"]
    assert nothing_comes(subscription)


def test_declaring_adds_events_and_removes_none(broker: Broker) -> None:
    broker.declare(queue="shop", events=["thing.failed"])
    broker.publish([*messages(1), *messages(1, kind="thing.failed", first=1)])
    assert ids(take(broker.subscribe(queue="shop", prefetch=10), 2)) == ["m0", "m1"]


def test_names_the_unroutable_and_stores_the_others(broker: Broker) -> None:
    lost = messages(2, kind="without.queue", first=10)
    with pytest.raises(Unroutable) as refused:
        broker.publish([*messages(1), *lost, *messages(1, first=1)])
    assert refused.value.ids == ("m10", "m11")
    assert ids(take(broker.subscribe(queue="shop", prefetch=10), 2)) == ["m0", "m1"]


def test_publishes_after_something_unroutable(broker: Broker) -> None:
    with pytest.raises(Unroutable):
        broker.publish(messages(1, kind="without.queue"))
    broker.publish(messages(1))
    assert broker.depths(["shop"]) == {"shop": 1}


def test_accepts_an_empty_list_of_messages(broker: Broker) -> None:
    broker.publish([])
    assert broker.depths(["shop"]) == {"shop": 0}


def test_never_waits_to_fill_a_batch(broker: Broker) -> None:
    broker.publish(messages(3))
    subscription = broker.subscribe(queue="shop", prefetch=100)
    started = time.monotonic()
    assert subscription.take(limit=100, timeout=60)
    assert time.monotonic() - started < 30


def test_gives_no_more_than_the_limit(broker: Broker) -> None:
    broker.publish(messages(5))
    subscription = broker.subscribe(queue="shop", prefetch=100)
    assert len(subscription.take(limit=2, timeout=10)) <= 2


def test_gives_nothing_when_nothing_came_in_time(broker: Broker) -> None:
    subscription = broker.subscribe(queue="shop", prefetch=10)
    assert subscription.take(limit=10, timeout=0.05) == []


def test_wakes_a_waiting_consumer(any_adapter: Adapter, broker: Broker) -> None:
    subscription = broker.subscribe(queue="shop", prefetch=10)
    with ThreadPoolExecutor(1) as consumer:
        taken = consumer.submit(subscription.take, limit=10, timeout=60)
        any_adapter.open().publish(messages(1))
        assert ids(taken.result(30)) == ["m0"]


def test_never_holds_more_than_the_prefetch(broker: Broker) -> None:
    broker.publish(messages(10))
    subscription = broker.subscribe(queue="shop", prefetch=4)
    held = take(subscription, 4)
    assert nothing_comes(subscription)
    subscription.ack(held[:2])
    assert ids(take(subscription, 2)) == ["m4", "m5"]
    assert nothing_comes(subscription)


def test_forgets_what_is_acknowledged(broker: Broker) -> None:
    broker.publish(messages(5))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    subscription.ack(take(subscription, 5))
    subscription.close()
    assert broker.depths(["shop"]) == {"shop": 0}
    assert nothing_comes(broker.subscribe(queue="shop", prefetch=10))


def test_acknowledges_exactly_the_given_messages(broker: Broker) -> None:
    broker.publish(messages(10))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    held = take(subscription, 10)
    subscription.ack([held[7], held[1], held[0], held[4]])
    subscription.ack([held[2], held[9]])
    subscription.close()
    again = take(broker.subscribe(queue="shop", prefetch=10), 4)
    assert ids(again) == ["m3", "m5", "m6", "m8"]


def test_ignores_a_second_ack(broker: Broker) -> None:
    broker.publish(messages(2))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    held = take(subscription, 2)
    subscription.ack(held[:1])
    subscription.ack(held[:1])
    subscription.give_back(held[:1])
    subscription.ack([])
    subscription.close()
    assert ids(take(broker.subscribe(queue="shop", prefetch=10), 1)) == ["m1"]


def test_delivers_again_what_is_given_back(broker: Broker) -> None:
    broker.publish(messages(3))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    held = take(subscription, 3)
    subscription.ack(held[1:2])
    subscription.give_back([held[2], held[0]])
    again = take(subscription, 2)
    assert ids(again) == ["m0", "m2"]
    assert all(delivery.redelivered for delivery in again)


def test_puts_what_is_given_back_before_what_waits(broker: Broker) -> None:
    broker.publish(messages(4))
    subscription = broker.subscribe(queue="shop", prefetch=1)
    subscription.give_back(take(subscription, 1))
    held = take(subscription, 1)
    assert ids(held) == ["m0"]


def test_delivers_again_what_a_closed_subscription_left(broker: Broker) -> None:
    broker.publish(messages(3))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    subscription.ack(take(subscription, 1))
    take(subscription, 1)
    subscription.close()
    again = take(broker.subscribe(queue="shop", prefetch=10), 2)
    assert ids(again) == ["m1", "m2"]
    assert again[0].redelivered


def test_shares_a_queue_between_subscriptions(any_adapter: Adapter, broker: Broker) -> None:
    first = broker.subscribe(queue="shop", prefetch=5)
    second = any_adapter.open().subscribe(queue="shop", prefetch=5)
    broker.publish(messages(10))
    assert sorted(ids(take(first, 5) + take(second, 5))) == [f"m{n}" for n in range(10)]


def test_counts_what_waits_and_what_is_held(broker: Broker) -> None:
    broker.publish(messages(5))
    subscription = broker.subscribe(queue="shop", prefetch=2)
    subscription.ack(take(subscription, 1))
    take(subscription, 1)
    # What RabbitMQ has sent and we have not read yet is on its way, and counted nowhere.
    eventually(lambda: broker.depths(["shop", "no such queue"]) == {"shop": 4, "no such queue": 0})


def test_counts_nothing_twice_for_a_consumer_that_was_closed(broker: Broker) -> None:
    broker.publish(messages(100))
    for _ in range(20):
        broker.subscribe(queue="shop", prefetch=100).close()  # with messages on their way to it
    eventually(lambda: broker.depths(["shop"]) == {"shop": 100})


def test_keeps_messages_while_no_connection_is_open(any_adapter: Adapter, broker: Broker) -> None:
    broker.publish(messages(3))
    broker.close()
    later = any_adapter.open()
    assert ids(take(later.subscribe(queue="shop", prefetch=10), 3)) == ["m0", "m1", "m2"]


def test_refuses_to_consume_a_missing_queue(broker: Broker) -> None:
    with pytest.raises(BrokerUnavailable, match="no queue"):
        broker.subscribe(queue="nowhere", prefetch=10)


def test_ends_a_waiting_take_by_closing(broker: Broker) -> None:
    subscription = broker.subscribe(queue="shop", prefetch=10)
    waiting = threading.Event()
    with ThreadPoolExecutor(1) as consumer:
        taken = consumer.submit(lambda: (waiting.set(), subscription.take(limit=1, timeout=60))[1])
        waiting.wait(10)
        subscription.close()
        assert taken.result(30) == []
    assert subscription.take(limit=1, timeout=60) == []


def test_closes_twice_without_complaint(broker: Broker) -> None:
    subscription = broker.subscribe(queue="shop", prefetch=10)
    for _ in range(2):
        subscription.close()
        broker.close()


def test_leaves_no_thread_behind(any_adapter: Adapter) -> None:
    before = set(threading.enumerate())
    broker = any_adapter.open()
    broker.declare(queue="shop", events=["thing.happened"])
    broker.publish(messages(1))
    take(broker.subscribe(queue="shop", prefetch=10), 1)
    broker.close()
    assert set(threading.enumerate()) <= before


def test_publishes_while_another_thread_consumes(any_adapter: Adapter, broker: Broker) -> None:
    """And passes thousands of messages, none lost and none duplicated."""
    subscription = broker.subscribe(queue="shop", prefetch=300)
    seen: list[str] = []

    def consume() -> None:
        while len(seen) < 3000:
            deliveries = subscription.take(limit=100, timeout=20)
            assert deliveries
            seen.extend(ids(deliveries))
            subscription.ack(deliveries)

    with ThreadPoolExecutor(1) as consumer:
        done = consumer.submit(consume)
        for first in range(0, 3000, 50):
            broker.publish(messages(50, first=first))
        done.result(60)
    assert seen == [f"m{n}" for n in range(3000)]


def test_describes_itself(broker: Broker) -> None:
    assert broker.describe().keys() == {"broker", "queues", "publishing", "acknowledging"}
    broker.ping()


def test_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'redis'.*amqp://.*postgresql://.*memory://"):
        connect("redis://127.0.0.1")


@pytest.mark.parametrize(
    "url", ["amqp://guest:guest@127.0.0.1:1/", "postgresql://nobody@127.0.0.1:1/nothing"]
)
def test_raises_at_the_first_call_without_a_broker(url: str) -> None:
    broker = connect(url)
    for call in (broker.ping, broker.describe, lambda: broker.publish(messages(1))):
        with pytest.raises(BrokerUnavailable, match="no connection to"):
            call()
    broker.close()
