"""A service that hears and says, with the memory broker between."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from contracts import events
from contracts.commands import Checkout, Line
from contracts.events import Event, Facts
from inventario.models import Product
from messaging.brokers import Message, connect


@pytest.fixture
def broker():
    return connect(f"memory://{uuid.uuid4()}?seed=1")


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
