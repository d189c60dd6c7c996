"""The whole choreography in one thread: the real services on the memory broker, step by step."""

import uuid
from collections.abc import Callable

from django.db import connections, transaction

import carrito.reactions
import inventario.reactions
import pagos.reactions
import saga_choreography.reactions
from carrito import records
from carrito.models import Cart, CartItem, Checkout, Order
from carrito.operations import Accept, accept
from contracts import events
from contracts.events import Event
from contracts.outcomes import Refused
from inventario.models import Product
from messaging.brokers import Broker, Delivery
from messaging.consumer import Consumer
from messaging.relay import Relay
from pagos.models import Payment
from saga_choreography import checkout, operations, trail
from saga_choreography.models import Action, Saga
from saga_choreography.watchdog import look
from sagas.performing import perform

TRACKING = "saga_choreography"
REACTIONS = {
    "inventario": inventario.reactions.REACTIONS,
    "pagos": pagos.reactions.REACTIONS,
    "carrito": carrito.reactions.REACTIONS,
    TRACKING: saga_choreography.reactions.REACTIONS,
}
UNITS = 5
Loses = Callable[[str, Event], bool]


class Town:
    """Nothing moves unless it is told to. `heard`: what reached which service, in order."""

    def __init__(self, broker: Broker) -> None:
        self._consumers = [
            Consumer(service=service, broker=broker, reactions=reactions)
            for service, reactions in REACTIONS.items()
        ]
        self._relays = [Relay(service=service, broker=broker) for service in REACTIONS]
        for one in self._consumers:
            broker.declare(queue=one.queue, events=list(one.reactions))
        self._subscriptions = {
            one.service: broker.subscribe(queue=one.queue, prefetch=1000) for one in self._consumers
        }
        self.heard: list[tuple[str, str]] = []

    def check_out(self, *, payment_method: str = "credit_card", quantity: int = 1) -> str:
        """Accepts and starts a checkout of a product of its own; the saga's id."""
        name = uuid.uuid4().hex
        product = Product.objects.create(
            name=name, sku=name, price="10.00", initial=UNITS, available=UNITS
        )
        cart = Cart.objects.create(id=name, user_id="ana")
        CartItem.objects.create(
            cart=cart, product_id=str(product.pk), quantity=quantity, unit_price="10.00"
        )
        command = Accept(
            saga_id=name,
            cart_id=name,
            payment_method=payment_method,
            saga_pattern="choreographed",
        )
        perform(operation=accept, commands=[command])
        waiting = records.not_handed_over(pattern="choreographed", limit=100)
        with transaction.atomic(using=TRACKING):
            checkout.start(checkouts=waiting, now=trail.now())
        records.mark_handed_over(saga_ids=[one.saga_id for one in waiting])
        return name

    def settle(self, *, loses: Loses = lambda service, event: False, most: int = 10_000) -> int:
        """Lets everything happen until nothing is left, or `most` deliveries were handled.

        `loses`: which messages vanish on their way to which service. Returns the deliveries.
        """
        handled = 0
        while handled < most:
            for relay in self._relays:
                relay.relay_once()
            moved = [self._hear_one(one, loses) for one in self._consumers if handled < most]
            if not any(moved):
                break
            handled += sum(moved)
        return handled

    def settle_to_the_last_try(self) -> None:
        """As `settle`, and messages that are set aside get all their tries, without the waiting."""
        self.settle()
        while self._retry_aside():
            self.settle()

    def _retry_aside(self) -> int:
        for one in self._consumers:
            with connections[one.service].cursor() as cursor:
                cursor.execute(
                    f"UPDATE {one.service}_parkedmessage SET next_attempt_at = now()"
                    " WHERE status = 'retrying'"
                )
        return sum(one.retry_aside() for one in self._consumers)

    def look(self) -> None:
        """The watchdog looks."""
        look(now=trail.now())

    def ask(self, saga_id: str) -> Action | Refused | None:
        """Somebody asks for the saga to be undone; what is answered."""
        with transaction.atomic(using=TRACKING):
            return operations.compensate(
                saga_id=saga_id, requested_by="eva", reason="", now=trail.now()
            )

    def retry_parked(self) -> None:
        """A person asks for each parked saga to go on."""
        for saga in Saga.objects.filter(status="parked"):
            with transaction.atomic(using=TRACKING):
                operations.retry(saga_id=saga.pk, requested_by="eva", reason="", now=trail.now())

    def _hear_one(self, consumer: Consumer, loses: Loses) -> int:
        subscription = self._subscriptions[consumer.service]
        taken = subscription.take(limit=1, timeout=0)
        kept = [one for one in taken if not self._is_lost(consumer.service, one, loses)]
        if kept:
            consumer.handle(kept)
        subscription.ack(taken)
        return len(taken)

    def _is_lost(self, service: str, delivery: Delivery, loses: Loses) -> bool:
        event = events.decode(delivery.message.body)
        self.heard.append((service, event.type))
        return loses(service, event)


class LoseOnce:
    """Loses the first message of a type to a service; afterwards nothing."""

    def __init__(self, service: str, event_type: str) -> None:
        self._lost = (service, event_type)
        self.has_lost = False

    def __call__(self, service: str, event: Event) -> bool:
        if self.has_lost or (service, event.type) != self._lost:
            return False
        self.has_lost = True
        return True


def outcome(saga_id: str) -> dict[str, object]:
    """What is there in every service, in words that all must agree on."""
    product = Product.objects.get(sku=saga_id)
    order = Order.objects.filter(pk__in=Order.objects.filter(checkout_id=saga_id)).first()
    payment = Payment.objects.filter(saga_id=saga_id).first()
    tracked = Saga.objects.get(pk=saga_id)
    return {
        "checkout": Checkout.objects.get(pk=saga_id).status,
        "tracked": tracked.status,
        "cart": Cart.objects.get(pk=saga_id).status,
        "order": order.status if order else None,
        "payment": payment.status if payment else None,
        "stock": (product.available, product.reserved, product.sold),
    }


def ended_right(saga_id: str) -> bool:
    """Whether all services agree on one outcome, and nothing is left over."""
    found = outcome(saga_id)
    sold = found["checkout"] == "completed"
    return (
        found["checkout"] == found["tracked"]
        and found["checkout"] in ("completed", "failed", "compensated")
        and found["stock"] == ((UNITS - 1, 0, 1) if sold else (UNITS, 0, 0))
        and found["order"] in (("confirmed",) if sold else (None, "cancelled"))
        and found["payment"] in (("captured",) if sold else (None, "refused", "refunded"))
    )
