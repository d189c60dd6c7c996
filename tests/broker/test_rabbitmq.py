"""What only RabbitMQ's adapter can get wrong: connections, arguments and alarms. It …"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
from pika import spec
from pika.frame import Method

from contracts.bounds import MOST_BYTES_OF_A_MESSAGE
from messaging.brokers import (
    BrokerUnavailable,
    Message,
    Rejected,
    connect,
    rabbitmq_link,
)
from messaging.brokers import rabbitmq as adapter
from messaging.brokers.rabbitmq import RabbitMQBroker
from stack.proxy import Proxy
from tests.broker.adapters import Adapter, messages, rabbitmqctl
from tests.broker.waiting import ids, nothing_comes, take, until_available
from tests.waiting import eventually


@pytest.fixture
def proxy(rabbitmq: Adapter) -> Iterator[Proxy]:
    parts = urlsplit(rabbitmq.url)
    made = Proxy(parts.hostname or "127.0.0.1", parts.port or 5672)
    yield made
    made.close()


@pytest.fixture
def broker(rabbitmq: Adapter, proxy: Proxy) -> RabbitMQBroker:
    """A broker behind the proxy, with the queue `shop` bound to `thing.happened`."""
    parts = urlsplit(rabbitmq.url)
    through = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}")
    opened: RabbitMQBroker = rabbitmq.open(through.geturl())
    opened.declare(queue="shop", events=["thing.happened"])
    return opened


@pytest.fixture
def plain(rabbitmq: Adapter) -> Iterator[Any]:
    """A channel of an ordinary client."""
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        yield connection.channel()


def test_raises_when_the_connection_breaks_while_it_waits(
    broker: RabbitMQBroker, proxy: Proxy
) -> None:
    subscription = broker.subscribe(queue="shop", prefetch=10)
    with ThreadPoolExecutor(1) as consumer:
        taken = consumer.submit(subscription.take, limit=1, timeout=60)
        proxy.cut()
        with pytest.raises(BrokerUnavailable):
            taken.result(30)
    until_available(lambda: broker.publish(messages(1)))
    assert ids(take(subscription, 1)) == ["m0"]


def test_delivers_again_what_a_broken_connection_held(broker: RabbitMQBroker, proxy: Proxy) -> None:
    broker.publish(messages(3))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    take(subscription, 2)
    proxy.cut()
    with pytest.raises(BrokerUnavailable):
        take(subscription, 2)  # a message that had been sent already, and then the error
    again = take(subscription, 3)
    assert sorted(ids(again)) == ["m0", "m1", "m2"]


def test_ignores_the_ack_of_a_broken_connection(broker: RabbitMQBroker, proxy: Proxy) -> None:
    broker.publish(messages(2))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    stale = take(subscription, 2)
    proxy.cut()
    fresh = until_available(lambda: take(subscription, 2))
    assert [delivery.tag for delivery in fresh] == [delivery.tag for delivery in stale]
    subscription.ack(stale)
    subscription.give_back(stale)
    subscription.close()
    assert sorted(ids(take(broker.subscribe(queue="shop", prefetch=10), 2))) == ["m0", "m1"]


def test_raises_when_confirms_never_come(broker: RabbitMQBroker, proxy: Proxy) -> None:
    broker.publish(messages(1))
    proxy.freeze()
    with ThreadPoolExecutor(1) as relay:
        published = relay.submit(broker.publish, messages(1, first=1))
        assert not published.done()
        proxy.cut()
        with pytest.raises(BrokerUnavailable):
            published.result(30)
    until_available(lambda: broker.publish(messages(1, first=1)))
    eventually(lambda: broker.depths(["shop"])["shop"] >= 2)


def test_gives_up_on_a_broker_that_confirms_nothing(
    broker: RabbitMQBroker, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.publish(messages(1))
    monkeypatch.setattr(adapter, "CONFIRM_SECONDS", 0.2)
    proxy.freeze()
    with pytest.raises(BrokerUnavailable, match="confirmed nothing"):
        broker.publish(messages(1, first=1))
    proxy.thaw()
    monkeypatch.undo()
    broker.publish(messages(1, first=2))
    assert broker.depths(["shop"])["shop"] >= 2


@pytest.fixture
def full_queue(rabbitmq: Adapter, broker: RabbitMQBroker, plain: Any) -> Iterator[str]:
    """A second queue for `thing.happened` that takes no more: it nacks, like a queue that has lost
    its leader.
    """
    name = f"{rabbitmq.namespace}full"
    arguments = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
    plain.queue_declare(name, durable=True, arguments=arguments)
    plain.queue_bind(name, f"{rabbitmq.namespace}saga_events", "thing.happened")

    def is_full() -> bool:
        try:
            broker.publish(messages(1))
        except BrokerUnavailable:
            return True
        return False

    eventually(is_full, what="it nacks")
    yield name
    plain.queue_delete(name)


def test_nack_is_an_outage_at_first(broker: RabbitMQBroker, full_queue: str, plain: Any) -> None:
    with pytest.raises(BrokerUnavailable, match="could not store 3") as nacked:
        broker.publish(messages(3))
    assert not isinstance(nacked.value, Rejected)
    plain.queue_purge(full_queue)
    until_available(lambda: broker.publish(messages(1)))


def test_nack_costs_the_channel_which_may_know_a_leader_that_is_gone(
    broker: RabbitMQBroker, full_queue: str
) -> None:
    with pytest.raises(BrokerUnavailable):
        broker.publish(messages(1))
    assert broker._publisher is not None
    assert not broker._publisher.usable
    broker.ping()


def test_nacks_that_do_not_end_are_a_refusal_of_these_messages(
    broker: RabbitMQBroker, full_queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "ELECTION_SECONDS", 0.0)
    other = Message("asked", "checkout.payment.process", b"{}")
    broker.declare(queue="shop", events=["checkout.payment.process"])
    with pytest.raises(Rejected, match="could not store") as refused:
        broker.publish([*messages(2), other])
    assert refused.value.ids == ("m0", "m1")
    broker.publish([other])


def test_comes_back_after_an_outage(broker: RabbitMQBroker, proxy: Proxy) -> None:
    subscription = broker.subscribe(queue="shop", prefetch=10)
    proxy.refuse()
    with pytest.raises(BrokerUnavailable):
        broker.publish(messages(1))
    for _ in range(3):
        with pytest.raises(BrokerUnavailable, match="no connection to RabbitMQ"):
            broker.ping()
        with pytest.raises(BrokerUnavailable):
            subscription.take(limit=1, timeout=10)
    proxy.listen()
    broker.publish(messages(1))
    assert ids(take(subscription, 1)) == ["m0"]
    broker.ping()


@pytest.fixture
def other_proxy(rabbitmq: Adapter) -> Iterator[Proxy]:
    """A second way to the broker, as if to another node."""
    parts = urlsplit(rabbitmq.url)
    made = Proxy(parts.hostname or "127.0.0.1", parts.port or 5672)
    yield made
    made.close()


def by(rabbitmq: Adapter, *ports: int) -> str:
    """The URL with several hosts, all of this machine."""
    parts = urlsplit(rabbitmq.url)
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@{hosts}").geturl()


def test_goes_to_another_host_after_a_loss(
    rabbitmq: Adapter, proxy: Proxy, other_proxy: Proxy
) -> None:
    broker = rabbitmq.open(by(rabbitmq, proxy.port, other_proxy.port))
    broker.declare(queue="shop", events=["thing.happened"])
    subscription = broker.subscribe(queue="shop", prefetch=10)

    def uses_all() -> None:
        broker.publish(messages(1))
        subscription.ack(take(subscription, 1))
        broker.ping()

    for gone, next_host in ((proxy, other_proxy), (other_proxy, proxy), (proxy, other_proxy)):
        gone.refuse()
        until_available(uses_all)
        # Messages from before the loss are given first: the consumer may notice it only then.
        eventually(lambda: until_available(uses_all) or next_host.connections == 3)  # noqa: B023 -- called at once
        gone.listen()


def test_connections_are_spread_over_the_hosts(
    rabbitmq: Adapter, proxy: Proxy, other_proxy: Proxy
) -> None:
    brokers = [rabbitmq.open(by(rabbitmq, proxy.port, other_proxy.port)) for _ in range(20)]
    for broker in brokers:
        broker.ping()
    # By chance one consumer gets no message once in half a million runs.
    assert proxy.connections > 0
    assert other_proxy.connections > 0


def test_host_that_accepts_and_never_answers_costs_a_moment(
    rabbitmq: Adapter, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_link, "HOST_SECONDS", 0.1)
    monkeypatch.setattr(rabbitmq_link.random, "shuffle", lambda hosts: hosts.reverse())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = rabbitmq.open(by(rabbitmq, silent.getsockname()[1], proxy.port))
        started = time.monotonic()
        broker.ping()
        assert time.monotonic() - started < rabbitmq_link.CONNECT_SECONDS
    assert proxy.connections == 1


def test_names_each_host_that_refuses_connections(
    rabbitmq: Adapter, proxy: Proxy, other_proxy: Proxy
) -> None:
    proxy.refuse()
    other_proxy.refuse()
    with pytest.raises(BrokerUnavailable) as refused:
        rabbitmq.open(by(rabbitmq, proxy.port, other_proxy.port)).ping()
    assert {f"127.0.0.1:{each.port}" in str(refused.value) for each in (proxy, other_proxy)} == {
        True
    }


@pytest.mark.parametrize("hosts", ["a,", "a:1,b:none", "a:1,b:99999"])
def test_refuses_a_url_with_an_invalid_host(hosts: str) -> None:
    with pytest.raises(ValueError, match=r"comma|[Pp]ort"):
        connect(f"amqp://u:p@{hosts}/%2F")


def test_leaves_no_thread_and_no_file_behind_when_it_reconnects(
    broker: RabbitMQBroker, proxy: Proxy
) -> None:
    subscription = broker.subscribe(queue="shop", prefetch=10)

    def lose_and_recover() -> None:
        proxy.cut()
        until_available(lambda: broker.publish(messages(1)))
        subscription.ack(until_available(lambda: take(subscription, 1)))
        until_available(broker.ping)

    def ours() -> int:
        return sum(thread.name.startswith("rabbitmq") for thread in threading.enumerate())

    lose_and_recover()
    threads, files = ours(), len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        lose_and_recover()
    assert ours() == threads
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= files)


def frame(method: Any) -> bytes:
    marshalled: bytes = Method(0, method).marshal()
    return marshalled


def test_refuses_to_publish_for_long_while_the_broker_is_blocked(
    broker: RabbitMQBroker, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "BLOCKED_SECONDS", 0.2)
    broker.publish(messages(1))
    # As in RabbitMQ: the next message raises the alarm, and nothing is read any more.
    proxy.freeze()
    proxy.tell_clients(frame(spec.Connection.Blocked("low on disk")))
    for _ in range(2):
        with pytest.raises(BrokerUnavailable, match="blocked publishing: low on disk"):
            broker.publish(messages(1, first=1))
    proxy.tell_clients(frame(spec.Connection.Unblocked()))
    proxy.thaw()
    broker.publish(messages(1, first=1))
    broker.ping()
    subscription = broker.subscribe(queue="shop", prefetch=10)
    assert ids(take(subscription, 2))[0] == "m0"


def test_sends_nothing_more_while_the_broker_is_blocked(
    broker: RabbitMQBroker, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a long alarm costs no memory, and the messages don't pile up for its end."""
    monkeypatch.setattr(adapter, "BLOCKED_SECONDS", 0.05)
    broker.publish(messages(1))
    proxy.tell_clients(frame(spec.Connection.Blocked("low on disk")))
    eventually(lambda: bool(_blocked(broker)))
    for _ in range(5):
        with pytest.raises(BrokerUnavailable):
            broker.publish(messages(1, first=1))
    assert broker.depths(["shop"]) == {"shop": 1}
    proxy.tell_clients(frame(spec.Connection.Unblocked()))
    broker.publish(messages(1, first=1))
    assert broker.depths(["shop"]) == {"shop": 2}


def _blocked(broker: RabbitMQBroker) -> str:
    link = broker._links["publishing"]
    link.keep()
    return link.blocked


def test_ping_reports_a_blocked_broker(broker: RabbitMQBroker, proxy: Proxy) -> None:
    broker.publish(messages(1))
    proxy.tell_clients(frame(spec.Connection.Blocked("low on memory")))
    eventually(lambda: bool(_blocked(broker)))
    with pytest.raises(BrokerUnavailable, match="low on memory"):
        broker.ping()


def test_goes_on_once_a_deleted_queue_is_made_again(
    rabbitmq: Adapter, broker: RabbitMQBroker, plain: Any
) -> None:
    subscription = broker.subscribe(queue="shop", prefetch=10)
    plain.queue_delete(f"{rabbitmq.namespace}shop")
    with pytest.raises(BrokerUnavailable, match="deleted"):
        subscription.take(limit=1, timeout=30)
    with pytest.raises(BrokerUnavailable, match="NOT_FOUND"):
        subscription.take(limit=1, timeout=0)
    broker.declare(queue="shop", events=["thing.happened"])
    broker.publish(messages(1))
    assert ids(take(subscription, 1)) == ["m0"]


def test_makes_durable_quorum_queues_with_a_limit_and_a_last_net(
    rabbitmq: Adapter, broker: RabbitMQBroker, plain: Any
) -> None:
    name = f"{rabbitmq.namespace}shop"
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1_000_000,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": f"{rabbitmq.namespace}saga_events.dead",
        "x-dead-letter-routing-key": name,
        "x-dead-letter-strategy": "at-least-once",
    }
    # RabbitMQ refuses to declare a queue again with any argument that differs.
    plain.queue_declare(name, durable=True, arguments=arguments)
    plain.queue_declare(f"{name}.dead", durable=True, arguments={"x-queue-type": "quorum"})
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="inequivalent"):
        plain.queue_declare(name, durable=True, arguments=arguments | {"x-delivery-limit": 20})


def test_loses_no_message_to_the_delivery_limit(rabbitmq: Adapter) -> None:
    broker = rabbitmq.adopt(
        RabbitMQBroker(rabbitmq.url, namespace=rabbitmq.namespace, delivery_limit=2)
    )
    broker.declare(queue="shop", events=["thing.happened"])
    broker.publish(messages(1))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    for _ in range(3):
        subscription.give_back(take(subscription, 1))
    eventually(lambda: broker.depths(["shop", "shop.dead"]) == {"shop": 0, "shop.dead": 1})
    assert ids(take(broker.subscribe(queue="shop.dead", prefetch=1), 1)) == ["m0"]


def test_returns_a_message_hundreds_of_times_without_losing_it(broker: RabbitMQBroker) -> None:
    broker.publish(messages(1))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    for _ in range(100):
        subscription.give_back(take(subscription, 1))
    assert ids(take(subscription, 1)) == ["m0"]


def test_publishes_what_any_client_can_read(
    rabbitmq: Adapter, broker: RabbitMQBroker, plain: Any
) -> None:
    broker.publish(messages(1))
    method, properties, body = plain.basic_get(f"{rabbitmq.namespace}shop", auto_ack=True)
    assert (method.exchange, method.routing_key) == (
        f"{rabbitmq.namespace}saga_events",
        "thing.happened",
    )
    assert properties.delivery_mode == pika.DeliveryMode.Persistent.value
    assert (properties.message_id, properties.type) == ("m0", "thing.happened")
    assert properties.content_type == "application/json"
    assert body == messages(1)[0].body


@pytest.mark.parametrize(
    ("kind", "exchange"),
    [
        ("payment.processed", "saga_events"),
        ("checkout.checkout.abort.requested", "saga_events"),
        ("checkout.payment.process", "saga_commands"),
        ("fulfilment.payment.process.replied", "saga_replies"),
    ],
)
def test_publishes_on_the_exchange_that_the_type_names(
    rabbitmq: Adapter, broker: RabbitMQBroker, plain: Any, kind: str, exchange: str
) -> None:
    broker.declare(queue="shop", events=[kind])
    broker.publish(messages(1, kind=kind))
    method, _, _ = plain.basic_get(f"{rabbitmq.namespace}shop", auto_ack=True)
    assert (method.exchange, method.routing_key) == (f"{rabbitmq.namespace}{exchange}", kind)


def test_reads_what_any_client_publishes(
    rabbitmq: Adapter, broker: RabbitMQBroker, plain: Any
) -> None:
    exchange = f"{rabbitmq.namespace}saga_events"
    bare = pika.BasicProperties()
    rich = pika.BasicProperties(
        message_id="by hand", headers={"n": 1}, timestamp=1, priority=3, app_id="shell"
    )
    for properties in (bare, rich):
        plain.basic_publish(exchange, "thing.happened", b"{}", properties)
    deliveries = take(broker.subscribe(queue="shop", prefetch=10), 2)
    assert ids(deliveries) == ["", "by hand"]
    assert {delivery.message.type for delivery in deliveries} == {"thing.happened"}


def test_keeps_only_enough_of_a_large_body_to_show_its_size(
    rabbitmq: Adapter, broker: RabbitMQBroker, plain: Any
) -> None:
    exchange = f"{rabbitmq.namespace}saga_events"
    plain.basic_publish(exchange, "thing.happened", b"x" * (3 * MOST_BYTES_OF_A_MESSAGE))
    (large,) = take(broker.subscribe(queue="shop", prefetch=10), 1)
    assert len(large.message.body) == MOST_BYTES_OF_A_MESSAGE + 1


def test_names_are_text_whatever_their_bytes_are(
    rabbitmq: Adapter, broker: RabbitMQBroker, plain: Any
) -> None:
    queue, exchange = f"{rabbitmq.namespace}shop", f"{rabbitmq.namespace}saga_events"
    plain.queue_bind(queue, exchange, "#")
    plain.basic_publish(exchange, b"k\xf1", b"{}", pika.BasicProperties(message_id=b"i\xf1"))
    (delivery,) = take(broker.subscribe(queue="shop", prefetch=10), 1)
    assert delivery.message == Message(
        "i\N{REPLACEMENT CHARACTER}", "k\N{REPLACEMENT CHARACTER}", b"{}"
    )


@pytest.fixture
def small_messages(rabbitmq: Adapter) -> Iterator[int]:
    """The broker takes messages of 64 kB at most; gives that number."""
    limit = "application:{}_env(rabbit, max_message_size{})."
    rabbitmqctl(rabbitmq.url, "eval", limit.format("set", ", 65536"))
    yield 65536
    rabbitmqctl(rabbitmq.url, "eval", limit.format("set", ", 134217728"))


def test_reports_that_a_message_is_too_large_and_goes_on(
    small_messages: int, rabbitmq: Adapter
) -> None:
    broker = rabbitmq.open()
    broker.declare(queue="shop", events=["thing.happened"])
    large = Message("large", "thing.happened", b"x" * (small_messages + 1))
    with pytest.raises(Rejected, match="larger than configured max size"):
        broker.publish([*messages(2), large, *messages(2, first=2)])
    broker.publish(messages(2, first=2))
    taken = take(broker.subscribe(queue="shop", prefetch=10), 2)
    assert set(ids(taken)) <= {"m0", "m1", "m2", "m3"}


def test_names_the_messages_of_an_exchange_that_it_may_not_write_to(
    rabbitmq: Adapter, broker: RabbitMQBroker, plain: Any
) -> None:
    broker.publish(messages(1))
    commands = f"{rabbitmq.namespace}saga_commands"
    plain.exchange_delete(commands)
    plain.exchange_declare(commands, "topic", durable=True, internal=True)
    asked = Message("asked", "checkout.payment.process", b"{}")
    with pytest.raises(Rejected, match="ACCESS_REFUSED") as refused:
        broker.publish([*messages(1, first=1), asked])
    assert refused.value.ids == ("asked",)


def test_missing_exchange_is_an_outage_and_rejects_no_message(rabbitmq: Adapter) -> None:
    with pytest.raises(BrokerUnavailable, match="NOT_FOUND") as refused:
        rabbitmq.open().publish(messages(1))
    assert not isinstance(refused.value, Rejected)


def test_reports_a_queue_of_another_kind_under_its_name(rabbitmq: Adapter, plain: Any) -> None:
    queue = f"{rabbitmq.namespace}shop"
    plain.queue_declare(queue, durable=True)
    broker = rabbitmq.open()
    with pytest.raises(Rejected, match=f"for queue '{queue}' .* wanted is a durable quorum queue"):
        broker.declare(queue="shop", events=["thing.happened"])
    plain.queue_delete(queue)
    broker.declare(queue="shop", events=["thing.happened"])


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "control: not kept"])
def test_outlives_a_handler_that_takes_longer_than_the_heartbeat(
    rabbitmq: Adapter, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr(rabbitmq_link, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(adapter, "HEARTBEAT_SECONDS", 1 if kept else 1000)
    broker = rabbitmq.open()
    broker.declare(queue="shop", events=["thing.happened"])
    broker.publish(messages(1))
    subscription = broker.subscribe(queue="shop", prefetch=10)
    held = take(subscription, 1)
    other = rabbitmq.open().subscribe(queue="shop", prefetch=10)
    handler_ends = time.monotonic() + 4
    stolen = []
    while not stolen and time.monotonic() < handler_ends:
        stolen = other.take(limit=1, timeout=handler_ends - time.monotonic())
    assert bool(stolen) is not kept
    if kept:
        subscription.ack(held)
        assert nothing_comes(subscription)


def test_idle_consumer_keeps_its_connection(
    rabbitmq: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_link, "HEARTBEAT_SECONDS", 1)
    broker = rabbitmq.open()
    broker.declare(queue="shop", events=["thing.happened"])
    subscription = broker.subscribe(queue="shop", prefetch=10)
    twice_checked = time.monotonic() + 2 * (1 + 5) + 1  # pika checks every heartbeat + 5 s
    while time.monotonic() < twice_checked:
        assert subscription.take(limit=1, timeout=0.5) == []


def test_remembers_no_subscription_that_was_closed(broker: RabbitMQBroker) -> None:
    for _ in range(3):
        broker.subscribe(queue="shop", prefetch=10).close()
    still_open = broker.subscribe(queue="shop", prefetch=10)
    assert broker._subscriptions == [still_open]
