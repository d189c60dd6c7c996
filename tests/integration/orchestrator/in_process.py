"""The services and the orchestrator by message, in one process; each method moves them on.

The databases and the operations are the real ones; the broker is the memory's.
"""

import uuid
from collections.abc import Callable

from django.apps import apps

from carrito.models import Cart, CartItem, Checkout, Order
from carrito.operations import OWNER, Accept, accept
from contracts import events
from contracts.events import Event
from inventario.models import Product
from messaging.brokers import Broker
from messaging.consumer import Consumer
from messaging.relay import Relay
from pagos.models import Payment
from participant import sql
from participant.executing import execute
from saga_orchestrator import messages, operations, store
from saga_orchestrator.in_flight import ClaimedSaga
from saga_orchestrator.models import Saga

ORCHESTRATOR = "saga_orchestrator"
PATTERN = "orchestrated_messaging"
REACTIONS = {
    service: apps.get_app_config(service).reactions()
    for service in ("carrito", "inventario", "pagos", ORCHESTRATOR)
}
UNITS = 5
Loses = Callable[[str, Event], bool]


def loses_nothing(service: str, event: Event) -> bool:
    return False


class Orchestration:
    """`received`: (service, event), in order."""

    def __init__(self, broker: Broker) -> None:
        self.consumers = {
            service: Consumer(service=service, broker=broker, reactions=reactions)
            for service, reactions in REACTIONS.items()
        }
        self.relays = [Relay(service=service, broker=broker) for service in REACTIONS]
        for consumer in self.consumers.values():
            broker.declare(
                queue=consumer.queue, events=[events.route(*key) for key in consumer.reactions]
            )
        # The choreography, too, receives the notices of parked steps.
        broker.declare(queue="others", events=["checkout.step.parked"])
        self.queues = {
            service: broker.subscribe(queue=consumer.queue, prefetch=1000)
            for service, consumer in self.consumers.items()
        }
        self.received: list[tuple[str, Event]] = []
        self.runner_id, _ = store.renew(runner_id=None, host="here", pid=1)

    @property
    def types(self) -> list[str]:
        """The types of the events received, in order."""
        return [event.type for _, event in self.received]

    def check_out(self, *, payment_method: str = "credit_card", quantity: int = 1) -> str:
        """Accepts and starts a checkout of a new product; returns the saga's id."""
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
            saga="checkout",
            step="accept_checkout",
            cart_id=name,
            payment_method=payment_method,
            saga_pattern=PATTERN,
        )
        execute(operation=accept, commands=[command])
        waiting = OWNER.sagas.not_handed_over(patterns=[PATTERN], limit=100)
        operations.start(contexts=waiting)
        OWNER.sagas.mark_handed_over(saga_ids=[context.saga_id for context in waiting])
        return name

    def claim(self) -> int:
        """The runner claims what is due; returns how many sagas."""
        claimed = store.claim(runner_id=self.runner_id, limit=100)
        sagas = [saga for saga in claimed if isinstance(saga, ClaimedSaga)]
        for saga in sagas:
            saga.deadline += messages.time.monotonic()
        messages.execute(sagas=sagas)
        return len(sagas)

    def settle(self, *, loses: Loses = loses_nothing, rounds: int = 1_000) -> None:
        """Runs until all wait, or so many rounds, in each of which the runner
        claims what is due, all events are sent, and each service handles one message.

        `loses`: which messages vanish on their way to which service.
        """
        for _ in range(rounds):
            moved = self.claim() + self.relay()
            moved += sum(self.deliver(service, loses=loses) for service in self.consumers)
            if not moved:
                return

    def relay(self) -> int:
        """Sends the outboxes' events; returns how many."""
        return sum(relay.relay_once() for relay in self.relays)

    def deliver(self, service: str, *, loses: Loses = loses_nothing) -> int:
        """The service handles one message, if there is one."""
        taken = self.queues[service].take(limit=1, timeout=0)
        received = [events.decode(delivery.message.body) for delivery in taken]
        self.received += [(service, event) for event in received]
        kept = [
            delivery
            for delivery, event in zip(taken, received, strict=True)
            if not loses(service, event)
        ]
        self.consumers[service].handle(kept)
        self.queues[service].ack(taken)
        return len(taken)

    def wait_out(self) -> None:
        """Ends the patience of every saga that waits for a reply or its next attempt."""
        sql.execute(
            service=ORCHESTRATOR,
            sql="""
                UPDATE saga_orchestrator_saga
                SET next_attempt_at = now(), asked_at = asked_at - interval '1 hour'
                WHERE next_attempt_at IS NOT NULL
                """,
        )

    def retry_failed(self) -> None:
        """Each service retries its failed messages, as if they were due."""
        for service, consumer in self.consumers.items():
            sql.execute(
                service=service,
                sql=f"UPDATE {service}_failedmessage SET next_attempt_at = now()"
                " WHERE status = 'retrying'",
            )
            consumer.retry_failed()


class LoseOnce:
    """Loses the first message of a type, and no other."""

    def __init__(self, event_type: str) -> None:
        self._type = event_type
        self.has_lost = False

    def __call__(self, service: str, event: Event) -> bool:
        if self.has_lost or event.type != self._type:
            return False
        self.has_lost = True
        return True


def outcome(saga_id: str) -> dict[str, object]:
    """The states of a saga in all services."""
    product = Product.objects.get(sku=saga_id)
    order = Order.objects.filter(checkout_id=saga_id).first()
    payment = Payment.objects.filter(saga_id=saga_id).first()
    return {
        "saga": Saga.objects.get(pk=saga_id).status,
        "checkout": Checkout.objects.get(pk=saga_id).status,
        "cart": Cart.objects.get(pk=saga_id).status,
        "order": order.status if order else None,
        "payment": payment.status if payment else None,
        "stock": (product.available, product.reserved, product.sold),
    }


SOLD = {
    "saga": "completed",
    "checkout": "completed",
    "cart": "checked_out",
    "order": "confirmed",
    "payment": "captured",
    "stock": (UNITS - 1, 0, 1),
}


def undone(*, order: str | None = None, payment: str | None = None) -> dict[str, object]:
    """The states of a checkout that had no lasting effect."""
    return {
        "saga": "compensated",
        "checkout": "compensated",
        "cart": "active",
        "order": order,
        "payment": payment,
        "stock": (UNITS, 0, 0),
    }
