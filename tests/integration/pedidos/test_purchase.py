"""A purchase from its acceptance to its end, choreographed, through the real services."""

import uuid
from decimal import Decimal

import pytest
from django.db import transaction

from catalogue import refusals
from coordination import decisions
from coordination.decision_components import Overdue
from coordination.owner_views import Acceptance
from envios import operations as envios
from envios.models import Courier, Delivery, DeliveryStatus
from participant.decisions import GivenVerdict
from pedidos.models import Order
from pedidos.operations import OWNER, Accept, OrderItem
from saga_choreography import operations as choreography
from saga_choreography import store
from tests.integration.pedidos.in_process import OrderSagas

pytestmark = pytest.mark.django_db(
    transaction=True,
    databases=["pedidos", "inventario", "pagos", "tarjetas", "envios", "saga_choreography"],
)

HAVANA = {"province": "La Habana", "city": "Plaza"}
STEP = "confirm_payment"


@pytest.fixture(autouse=True)
def rosa():
    return Courier.objects.create(name="Rosa", capacity=1, **HAVANA)


def bought(
    order_sagas: OrderSagas, *, auto_confirm: bool = False, card: str = "credit_card", **area
) -> str:
    """The id of an accepted purchase that waits for its customer."""
    saga_id = Acceptance(owner=OWNER).accept(
        command=Accept(
            saga_id=str(uuid.uuid4()),
            saga="purchase",
            step="accept_order",
            saga_pattern="choreographed",
            user_id="ana",
            items=[OrderItem(product_id="chair", quantity=2, unit_price=Decimal("10.00"))],
            total_amount=Decimal("20.00"),
            payment_method=card,
            destination=HAVANA | area,
            auto_confirm=auto_confirm,
        )
    )
    order_sagas.settle()
    return saga_id.saga_id


def decide(order_sagas: OrderSagas, order_id: str, word: str) -> None:
    """The customer decides, and the saga goes on."""
    given = GivenVerdict(saga_id=order_id, step=STEP, word=word, by="customer")
    decisions.give(service="pagos", given=given, is_customer=True)
    order_sagas.settle()


def ask(order_sagas: OrderSagas, order_id: str) -> None:
    """Requests its stop or return."""
    with transaction.atomic(using="saga_choreography"):
        choreography.compensate(saga_id=order_id, requested_by="eva", reason="", now=store.now())
    order_sagas.settle()


def status_of(order_id: str) -> tuple[str, str, str]:
    """Its status, its saga's status, and the failure."""
    row = Order.objects.get(pk=order_id)
    return row.order_status, row.status, row.failure_code


def busy() -> int:
    return Courier.objects.get(city="Plaza").busy


def test_waits_for_its_customer_and_then_is_dispatched(order_sagas):
    order_id = bought(order_sagas)
    assert status_of(order_id) == ("pending", "running", "")
    assert "payment.confirmed" not in order_sagas.received
    decide(order_sagas, order_id, "yes")
    assert status_of(order_id) == ("dispatched", "completed", "")
    assert busy() == 1


def test_confirms_by_itself_where_that_was_asked_for(order_sagas):
    assert status_of(bought(order_sagas, auto_confirm=True)) == ("dispatched", "completed", "")


def test_order_that_its_customer_cancels_is_cancelled(order_sagas):
    order_id = bought(order_sagas)
    decide(order_sagas, order_id, "no")
    assert status_of(order_id) == ("cancelled", "compensated", refusals.CANCELLED_BY_CUSTOMER)
    assert busy() == 0


def test_order_not_confirmed_in_time_is_cancelled(order_sagas, settings):
    settings.DECIDE_SECONDS = {f"purchase.{STEP}": 0.001}
    order_id = bought(order_sagas)
    Overdue(service="pagos").sweep_once()
    order_sagas.settle()
    assert status_of(order_id) == ("cancelled", "compensated", refusals.CONFIRMATION_OVERDUE)


def test_without_a_courier_it_is_unconfirmed_refunded_and_cancelled(order_sagas, rosa):
    rosa.capacity = 0
    rosa.save()
    order_id = bought(order_sagas, auto_confirm=True)
    assert status_of(order_id) == ("cancelled", "compensated", refusals.NO_COURIER_FREE)
    undone = [name for name in order_sagas.received if name in _BACKWARD]
    assert list(dict.fromkeys(undone)) == _BACKWARD
    assert Order.objects.get(pk=order_id).unconfirmed_at is not None


_BACKWARD = [
    "delivery.failed",
    "order.unconfirmed",
    "payment.refunded",
    "payment.cancelled",
    "order.cancelled",
]


def test_city_without_couriers_is_told_apart_from_one_whose_couriers_are_busy(order_sagas):
    order_id = bought(order_sagas, auto_confirm=True, city="Regla")
    assert status_of(order_id) == ("cancelled", "compensated", refusals.AREA_NOT_SERVED)


def test_order_that_is_stopped_while_it_waits_is_cancelled(order_sagas):
    order_id = bought(order_sagas)
    ask(order_sagas, order_id)
    assert status_of(order_id) == ("cancelled", "compensated", refusals.STOPPED)


def test_order_that_is_given_back_is_cancelled_and_its_courier_free(order_sagas):
    order_id = bought(order_sagas, auto_confirm=True)
    ask(order_sagas, order_id)
    assert status_of(order_id) == ("cancelled", "compensated", refusals.STOPPED)
    assert (busy(), Delivery.objects.get().status) == (0, "cancelled")


def test_courier_who_has_delivered_is_free_for_the_next_one(order_sagas):
    first = bought(order_sagas, auto_confirm=True)
    delivery = Delivery.objects.get(subject=first)
    with transaction.atomic(using="envios"):
        envios.move_on(delivery_id=delivery.pk, status=DeliveryStatus.DELIVERED)
    assert status_of(bought(order_sagas, auto_confirm=True)) == ("dispatched", "completed", "")
