"""The real services of an order in one thread, on the memory broker; each method moves them on."""

import uuid
from typing import Any

from django.apps import apps
from django.db import connections

from contracts import events
from coordination.owner_views import Acceptance
from envios.models import Courier
from inventario.models import Product
from messaging.brokers import Broker
from messaging.consumer import Consumer
from messaging.relay import Relay
from pagos.models import Payment
from pedidos.models import Order
from pedidos.operations import OWNER, Accept, OrderItem

REACTIONS = {
    service: apps.get_app_config(service).reactions()
    for service in ("inventario", "pagos", "envios", "pedidos", "saga_choreography")
}
UNITS = 5


class OrderSagas:
    """A product with a few pieces, and a courier with one place. `received`: events, in order."""

    def __init__(self, broker: Broker) -> None:
        self.product = Product.objects.create(
            name="Keyboard", sku="product_3", price="79.99", initial=UNITS, available=UNITS
        )
        self.courier = Courier.objects.create(name="Rosa", capacity=1)
        self._consumers = [
            Consumer(service=service, broker=broker, reactions=reactions)
            for service, reactions in REACTIONS.items()
        ]
        self._relays = [Relay(service=service, broker=broker) for service in REACTIONS]
        for consumer in self._consumers:
            routes = [events.route(saga, event) for saga, event in consumer.reactions]
            broker.declare(queue=consumer.queue, events=routes)
        self._subscriptions = [
            broker.subscribe(queue=consumer.queue, prefetch=1000) for consumer in self._consumers
        ]
        self._acceptance = Acceptance(owner=OWNER)
        self.received: list[str] = []

    def order(
        self, *, quantity: int = 1, card: str = "credit_card", saga: str = "fulfilment"
    ) -> str:
        """Accepts a choreographed order; returns its id."""
        return self._acceptance.accept(
            command=Accept(
                saga_id=str(uuid.uuid4()),
                saga=saga,
                step="accept_order",
                saga_pattern="choreographed",
                user_id="user_123",
                items=[
                    OrderItem(
                        product_id=str(self.product.pk),
                        sku=self.product.sku,
                        name=self.product.name,
                        quantity=quantity,
                    )
                ],
                total_amount="199.99",
                payment_method=card,
            )
        ).saga_id

    def settle(self, *, until: str = "") -> None:
        """Delivers until no message is left, or the event `until` was received."""
        moved = True
        while moved and until not in self.received:
            for relay in self._relays:
                relay.relay_once()
            moved = False
            for consumer, subscription in zip(self._consumers, self._subscriptions, strict=True):
                taken = subscription.take(limit=1, timeout=0)
                if taken:
                    self.received += [
                        events.decode(delivery.message.body).type for delivery in taken
                    ]
                    consumer.handle(taken)
                    subscription.ack(taken)
                    moved = True

    def outcome(self, order_id: str) -> dict[str, Any]:
        """The states of an order in all services."""
        order = Order.objects.get(pk=order_id)
        payment = Payment.objects.filter(saga_id=order_id).first()
        self.product.refresh_from_db()
        self.courier.refresh_from_db()
        return {
            "order": order.order_status,
            "saga": order.status,
            "code": order.failure_code,
            "payment": payment.status if payment else None,
            "stock": (self.product.available, self.product.reserved, self.product.sold),
            "busy": self.courier.busy,
        }

    def close(self) -> None:
        """Ends this thread's connections."""
        for service in REACTIONS:
            connections[service].close()
