"""A service that hears and says, with the memory broker between."""

import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from django.db import connections

from contracts import events
from contracts.commands import Checkout, Line
from contracts.events import Event, Facts
from inventario import operations
from inventario.models import Product
from messaging.brokers import Message, connect


@pytest.fixture
def broker():
    return connect(f"memory://{uuid.uuid4()}?seed=1")


@pytest.fixture
def due_now():
    """Makes every message that was set aside due."""

    def make():
        with connections["inventario"].cursor() as cursor:
            cursor.execute(
                "UPDATE inventario_parkedmessage SET next_attempt_at = now()"
                " WHERE status = 'retrying'"
            )

    return make


@pytest.fixture
def poisoned(monkeypatch):
    """Reserving for this saga faults within the block, as a bug would; counts how often."""

    @contextmanager
    def make(saga_id):
        reserve, tries = operations.reserve.run, []

        def run(commands):
            if any(one.saga_id == saga_id for one in commands):
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

    def make(*, quantity=1, saga_id=None, nudge=False):
        saga_id = saga_id or str(uuid.uuid4())
        checkout = Checkout(
            saga_id=saga_id,
            cart_id="cart",
            user_id="ana",
            items=[Line(str(product.pk), quantity, Decimal("10.00"))],
            total_amount=Decimal("10.00") * quantity,
            payment_method="credit_card",
            saga_pattern="choreographed",
        )
        return Event(
            id=events.event_id(saga_id=saga_id, event_type=events.CHECKOUT_INITIATED),
            type=events.CHECKOUT_INITIATED,
            saga_id=saga_id,
            saga="checkout",
            occurred_at=datetime.now(UTC),
            data=Facts(context=msgspec.Raw(msgspec.json.encode(checkout))),
            nudge=nudge,
        )

    return make


def message_of(event):
    return Message(event.id, event.type, events.encode(event))
