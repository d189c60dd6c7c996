"""The cost of a poison message for healthy messages."""

import time

import msgspec
import pytest
from django.apps import apps

from contracts.events import Facts
from inventario.models import FailedMessage, Product
from messaging.brokers import Delivery
from messaging.consumer import BATCH, Consumer
from messaging.handlers import EventHandler
from tests.integration.messaging.conftest import message_of, receive

REACTIONS = apps.get_app_config("inventario").reactions()
pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])

HEALTHY = 3000
POISONOUS = HEALTHY // BATCH
"""One poison message for each batch of healthy messages, so that its cost exceeds the noise."""
WINDOWS = 4
SHARE = 0.95
"""The share of throughput that healthy messages keep if one message in a batch is poison."""


@pytest.fixture
def product():
    """Plenty, for all of them."""
    return Product.objects.create(
        name="Lamp", price="10.00", sku="lamp", initial=10**6, available=10**6
    )


@pytest.fixture
def consumer(broker):
    return Consumer(service="inventario", broker=broker, reactions=REACTIONS)


@pytest.fixture
def malformed(initiated):
    """A message whose checkout can't be read."""

    def make():
        return msgspec.structs.replace(
            initiated(), data=Facts(context=msgspec.Raw(b'{"saga_id": 7}'))
        )

    return make


@pytest.fixture
def cpu_of(consumer, initiated, malformed):
    """Seconds of CPU to handle the healthy messages, with so many poisonous ones evenly among
    them.
    """

    def cpu_of(*, poisonous):
        received = [initiated() for _ in range(HEALTHY)]
        for number in range(poisonous):
            received.insert(number * len(received) // poisonous, malformed())
        deliveries = [
            Delivery(message_of(event), redelivered=False, tag=None) for event in received
        ]
        started = time.thread_time()
        for first in range(0, len(deliveries), BATCH):
            consumer.handle(deliveries[first : first + BATCH])
        return time.thread_time() - started

    return cpu_of


def test_poison_message_leaves_the_healthy_ones_their_throughput(cpu_of):
    """The best of alternating windows with and without: a busy machine only adds time."""
    cpu_of(poisonous=0)
    without, with_them = [], []
    for _ in range(WINDOWS):
        without.append(cpu_of(poisonous=0))
        with_them.append(cpu_of(poisonous=POISONOUS))
    assert FailedMessage.objects.count() == WINDOWS * POISONOUS
    of_one = (min(with_them) - min(without)) / POISONOUS
    assert min(without) / (min(without) + of_one) >= SHARE, (without, with_them)


def transactions(monkeypatch):
    """The sizes of the groups with which the reaction was tried."""
    handle, tried = EventHandler.handle, []

    def count(self, received):
        tried.append(len(received))
        handle(self, received)

    monkeypatch.setattr(EventHandler, "handle", count)
    return tried


def test_malformed_message_costs_its_batch_one_more_transaction(
    consumer, initiated, malformed, monkeypatch
):
    tried = transactions(monkeypatch)
    receive(
        consumer, *(initiated() for _ in range(50)), malformed(), *(initiated() for _ in range(2))
    )
    assert tried == [53, 52]


def test_message_that_faults_costs_a_batch_of_a_hundred_twenty_transactions(
    consumer, initiated, poisoned, monkeypatch
):
    tried = transactions(monkeypatch)
    poison = initiated()
    with poisoned(poison.saga_id) as tries:
        receive(
            consumer, *(initiated() for _ in range(45)), poison, *(initiated() for _ in range(54))
        )
    assert tried == [100, *[10] * 5, *[1] * 10, *[10] * 5]
    assert len(tries) == 3
