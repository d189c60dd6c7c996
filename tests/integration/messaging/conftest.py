"""A service that consumes and publishes, through the memory broker."""

import uuid
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
import pytest
from django.db import connections

from contracts import events
from contracts.events import Event, Facts
from contracts.saga import Context
from inventario import operations
from inventario.models import Product
from messaging.brokers import Delivery, Message, connect


@pytest.fixture
def broker():
    return connect(f"memory://{uuid.uuid4()}?seed=1")


@pytest.fixture
def due_now():
    """Makes the retry of every failed message due."""

    def make():
        with connections["inventario"].cursor() as cursor:
            cursor.execute(
                "UPDATE inventario_failedmessage SET next_attempt_at = now()"
                " WHERE status = 'retrying'"
            )

    return make


@pytest.fixture
def poisoned(monkeypatch):
    """Within the block reserving for this saga faults, as with a bug; counts how often."""

    @contextmanager
    def make(saga_id):
        reserve, tries = operations.reserve.run, []

        def run(commands):
            if any(command.saga_id == saga_id for command in commands):
                tries.append(len(commands))
                raise ValueError("poison")
            return reserve(commands)

        with monkeypatch.context() as patch:
            patch.setitem(operations.reserve.__dict__, "run", run)
            yield tries

    return make


@pytest.fixture
def product():
    return Product.objects.create(
        name="Lamp", price="10.00", sku=str(uuid.uuid4()), initial=10, available=10
    )


@pytest.fixture
def initiated(product):
    """Makes the first event of a new saga."""

    def make(*, quantity=1, saga_id=None, saga="checkout", redrive=False):
        saga_id = saga_id or str(uuid.uuid4())
        context = Context(
            saga=saga,
            saga_id=saga_id,
            pattern="choreographed",
            subject="cart",
            data={
                "items": [{"product_id": str(product.pk), "quantity": quantity}],
                "total_amount": f"{10 * quantity}.00",
                "payment_method": "credit_card",
            },
        )
        return Event(
            id=events.event_id(saga_id=saga_id, step="accept_checkout", direction="do"),
            type="checkout.initiated",
            saga_id=saga_id,
            saga=saga,
            occurred_at=datetime.now(UTC),
            data=Facts(context=msgspec.Raw(msgspec.json.encode(context))),
            redrive=redrive,
        )

    return make


def message_of(event):
    return Message(event.id, event.route, events.encode(event))


def receive(consumer, *received):
    """Hands these events to the consumer, in one batch."""
    deliveries = [Delivery(message_of(event), redelivered=False, tag=None) for event in received]
    consumer.handle(deliveries)
