"""A broker that goes down and comes back: the pauses of each outage start anew."""

import pytest
from django.apps import apps

from inventario.models import OutboxEntry
from messaging import worker
from messaging.brokers import BrokerUnavailable
from messaging.brokers.memory import MemorySubscription
from messaging.consumer import Consumer
from messaging.relay import Relay
from tests.integration.messaging.conftest import message_of
from tests.integration.messaging.test_saying import commit
from tests.threads import Hurried, InThread
from tests.waiting import eventually

REACTIONS = apps.get_app_config("inventario").reactions()
pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["inventario"]),
    pytest.mark.undocumented("messages"),
]
SERVICE = "inventario"
OUTAGE = [0.1, 0.2, 0.4]


@pytest.fixture
def away(monkeypatch):
    """Makes the next calls of a method fail without a broker."""
    left = {}

    def make(owner, method, *, times):
        real = getattr(owner, method)

        def call(*arguments, **named):
            if left[method]:
                left[method] -= 1
                raise BrokerUnavailable("away")
            return real(*arguments, **named)

        left[method] = times
        monkeypatch.setattr(owner, method, call)

    return make


@pytest.fixture
def stop():
    made = Hurried()
    yield made
    made.set()


def test_relay_meets_a_second_outage_as_it_met_the_first(broker, away, stop, initiated):
    broker.declare(queue="everything", events=["checkout.checkout.initiated"])
    relay = Relay(service=SERVICE, broker=broker)
    thread = InThread(lambda: relay.run(stop), service=SERVICE)
    for _ in range(2):
        away(broker, "publish", times=len(OUTAGE))
        commit(initiated())
        eventually(lambda: not OutboxEntry.objects.filter(sent_at=None).exists())
    stop.set()
    thread.result()
    # The lock may outlast its closed connection for a moment.
    pauses = [pause for pause in stop.pauses if pause != worker.RETRY_SECONDS]
    assert pauses == [*OUTAGE, *OUTAGE]


def test_consumer_meets_a_second_outage_as_it_met_the_first(broker, away, stop, initiated):
    consumer = Consumer(service=SERVICE, broker=broker, reactions=REACTIONS)
    broker.declare(queue=consumer.queue, events=["checkout.checkout.initiated"])
    thread = InThread(lambda: consumer.run(stop), service=SERVICE)
    for outage in (1, 2):
        away(MemorySubscription, "take", times=len(OUTAGE))
        eventually(lambda outage=outage: len(stop.pauses) == outage * len(OUTAGE))
        broker.publish([message_of(initiated())])
        eventually(lambda outage=outage: consumer.counters().get("messages_consumed") == outage)
    stop.set()
    thread.result()
    assert stop.pauses == [*OUTAGE, *OUTAGE]
