"""The whole choreography in one thread: the real services on the memory broker, step by step."""

import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import connections, transaction

import carrito.operations
import pedidos.operations
from carrito.models import Cart, CartItem
from carrito.models import Order as CartOrder
from catalogue import SAGAS
from catalogue.services import PARTICIPANTS
from contracts import events, projection, refusals
from contracts.events import Event
from contracts.outcomes import Refused
from coordination.acceptance import Accept
from coordination.owner_views import Acceptance
from coordination.store import UnknownSaga
from envios.models import Courier, Delivery
from inventario.models import Product
from messaging.brokers import Broker
from messaging.brokers import Delivery as Delivered
from messaging.consumer import Consumer
from messaging.relay import Relay
from pagos.models import Payment
from pedidos.operations import OrderItem
from saga_choreography import operations, store
from saga_choreography.models import Action, Saga
from saga_choreography.watchdog import look

TRACKING = "saga_choreography"
SERVICES = (*PARTICIPANTS, "tarjetas", TRACKING)
OWNERS = {"carrito": carrito.operations.OWNER, "pedidos": pedidos.operations.OWNER}
UNITS = 5
Loses = Callable[[str, Event], bool]


class Choreography:
    """The services of a saga; each method moves them on. `received`: (service, event type), in
    order.
    """

    def __init__(self, broker: Broker, *, saga: str = "checkout") -> None:
        self.saga = SAGAS[saga]
        services = (*projection.services_of(self.saga), TRACKING)
        self._consumers = [
            Consumer(
                service=service,
                broker=broker,
                reactions=apps.get_app_config(service).reactions(),
            )
            for service in services
        ]
        self._relays = [Relay(service=service, broker=broker) for service in services]
        for consumer in self._consumers:
            routes = [events.route(saga, event) for saga, event in consumer.reactions]
            broker.declare(queue=consumer.queue, events=routes)
        self._subscriptions = {
            consumer.service: broker.subscribe(queue=consumer.queue, prefetch=1000)
            for consumer in self._consumers
        }
        self.received: list[tuple[str, str]] = []

    def begin(self, *, payment_method: str = "credit_card", quantity: int = 1) -> str:
        """Accepts a saga about a new product; returns its id."""
        name = uuid.uuid4().hex
        product = Product.objects.create(
            name=name, sku=name, price="10.00", initial=UNITS, available=UNITS
        )
        command = _COMMANDS[self.saga.owner](
            {
                "saga": self.saga.name,
                "saga_id": name,
                "step": self.saga.steps[0].name,
                "saga_pattern": "choreographed",
                "payment_method": payment_method,
                "user_id": "ana",
            },
            product,
            quantity,
        )
        Acceptance(owner=OWNERS[self.saga.owner]).accept(command=command)
        return name

    def settle(self, *, loses: Loses = lambda service, event: False, most: int = 10_000) -> int:
        """Delivers until no message is left, or `most` deliveries were handled.

        `loses`: which messages vanish on their way to which service. Returns the deliveries.
        """
        handled = 0
        while handled < most:
            for relay in self._relays:
                relay.relay_once()
            moved = [
                self._deliver_one(consumer, loses) for consumer in self._consumers if handled < most
            ]
            if not any(moved):
                break
            handled += sum(moved)
        return handled

    def settle_to_the_last_try(self) -> None:
        """As `settle`, with all retries of failed messages, without their delays."""
        self.settle()
        while self._retry_failed():
            self.settle()

    def _retry_failed(self) -> int:
        for consumer in self._consumers:
            with connections[consumer.service].cursor() as cursor:
                cursor.execute(
                    f"UPDATE {consumer.service}_failedmessage SET next_attempt_at = now()"
                    " WHERE status = 'retrying'"
                )
        return sum(consumer.retry_failed() for consumer in self._consumers)

    def look(self) -> None:
        """Runs the watchdog once."""
        look(now=store.now())

    def ask(self, saga_id: str) -> Action | Refused | None:
        """Requests the saga's undo; returns the answer."""
        try:
            with transaction.atomic(using=TRACKING):
                return operations.compensate(
                    saga_id=saga_id, requested_by="eva", reason="", now=store.now()
                )
        except UnknownSaga:
            return Refused(refusals.NOT_STARTED)

    def retry_parked(self) -> None:
        """Retries each parked saga."""
        for saga in Saga.objects.filter(status="parked"):
            with transaction.atomic(using=TRACKING):
                operations.retry(saga_id=saga.pk, requested_by="eva", reason="", now=store.now())

    def _deliver_one(self, consumer: Consumer, loses: Loses) -> int:
        subscription = self._subscriptions[consumer.service]
        taken = subscription.take(limit=1, timeout=0)
        kept = [
            delivery for delivery in taken if not self._is_lost(consumer.service, delivery, loses)
        ]
        if kept:
            consumer.handle(kept)
        subscription.ack(taken)
        return len(taken)

    def _is_lost(self, service: str, delivery: Delivered, loses: Loses) -> bool:
        event = events.decode(delivery.message.body)
        self.received.append((service, event.type))
        return loses(service, event)


class LoseOnce:
    """Loses the first message of a type to a service, and no other."""

    def __init__(self, service: str, event_type: str) -> None:
        self._lost = (service, event_type)
        self.has_lost = False

    def __call__(self, service: str, event: Event) -> bool:
        if self.has_lost or (service, event.type) != self._lost:
            return False
        self.has_lost = True
        return True


def _of_a_cart(alike: Mapping[str, Any], product: Product, quantity: int) -> Accept:
    cart = Cart.objects.create(id=alike["saga_id"], user_id="ana")
    CartItem.objects.create(
        cart=cart, product_id=str(product.pk), quantity=quantity, unit_price="10.00"
    )
    return carrito.operations.Accept(cart_id=cart.pk, **alike)


def _of_an_order(alike: Mapping[str, Any], product: Product, quantity: int) -> Accept:
    Courier.objects.get_or_create(name="eva", capacity=1000)
    item = OrderItem(
        product_id=str(product.pk), sku=product.sku, name=product.name, quantity=quantity
    )
    total = Decimal(10 * quantity)
    return pedidos.operations.Accept(items=[item], total_amount=total, **alike)


_COMMANDS = {"carrito": _of_a_cart, "pedidos": _of_an_order}


def outcome(saga_id: str) -> dict[str, object]:
    """The states of a saga in all services, in words that all must share; `made`: the order of a
    cart, or the delivery of an order.
    """
    product = Product.objects.get(sku=saga_id)
    payment = Payment.objects.filter(saga_id=saga_id).first()
    tracked = Saga.objects.filter(pk=saga_id).first()
    made = [
        *CartOrder.objects.filter(checkout_id=saga_id),
        *Delivery.objects.filter(saga_id=saga_id),
    ]
    (accepted,) = (
        row for owner in OWNERS.values() for row in owner.model.objects.filter(pk=saga_id)
    )
    return {
        "accepted": accepted.status,
        "tracked": tracked.status if tracked else None,
        "made": made[0].status if made else None,
        "payment": payment.status if payment else None,
        "stock": (product.available, product.reserved, product.sold),
    }


def ended_right(saga_id: str) -> bool:
    """Whether all services agree on the outcome, and no message is left."""
    states = outcome(saga_id)
    sold = states["accepted"] == "completed"
    return (
        states["accepted"] == states["tracked"]
        and states["accepted"] in ("completed", "failed", "compensated")
        and states["stock"] == ((UNITS - 1, 0, 1) if sold else (UNITS, 0, 0))
        and states["made"] in (("confirmed", "scheduled") if sold else (None, "cancelled"))
        and states["payment"] in (("captured",) if sold else (None, "refused", "refunded"))
    )
