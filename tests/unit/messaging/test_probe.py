"""Messages in the dead-letter queue are reported."""

import math
import threading
import uuid

import pytest

from messaging import components as probe_module
from messaging.brokers import BrokerUnavailable, Message, connect
from messaging.components import BrokerProbe, backlog
from tests.waiting import eventually

DEAD = "dueto.inventario.dead"


@pytest.fixture
def broker():
    return connect(f"memory://{uuid.uuid4()}?seed=1")


@pytest.fixture
def probe(broker, monkeypatch):
    monkeypatch.setattr(probe_module, "PROBE_SECONDS", 0.01)
    made = BrokerProbe(queue="dueto.inventario", broker=broker)
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=[stop])
    thread.start()
    yield made
    stop.set()
    thread.join()


def test_dead_messages_are_reported_until_they_are_gone_and_stop_no_saga(probe, broker):
    broker.declare(queue=DEAD, events=["given.up"])
    eventually(lambda: probe.counters()["broker_up"], what="the broker is asked")
    assert probe.complaints() == []
    broker.publish([Message("1", "given.up", b"{}"), Message("2", "given.up", b"{}")])
    (complaint,) = eventually(probe.complaints, what="they are told")
    assert complaint.what.startswith(f"2 messages are in {DEAD}")
    assert not complaint.stops_sagas
    subscription = broker.subscribe(queue=DEAD, prefetch=10)
    subscription.ack(subscription.take(limit=10, timeout=10))
    eventually(lambda: not probe.complaints(), what="nothing is told any more")


def test_backlog_of_a_broker_that_can_not_be_asked_has_no_end(broker, monkeypatch):
    broker.declare(queue="dueto.inventario", events=["some.thing"])
    broker.publish([Message("1", "some.thing", b"{}"), Message("2", "some.thing", b"{}")])
    assert backlog(broker=broker, service="inventario") == 2

    def away(queues):
        raise BrokerUnavailable("it is away")

    monkeypatch.setattr(broker, "depths", away)
    assert backlog(broker=broker, service="inventario") == math.inf
