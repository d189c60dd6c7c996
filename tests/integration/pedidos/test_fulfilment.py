"""An order from its acceptance to its end, choreographed, through the real services."""

import pytest
from django.db import transaction

from catalogue import refusals
from envios.models import Courier
from saga_choreography import operations as choreography
from saga_choreography import store
from tests.integration.pedidos.in_process import UNITS

pytestmark = pytest.mark.django_db(
    transaction=True,
    databases=["pedidos", "inventario", "pagos", "tarjetas", "envios", "saga_choreography"],
)

NOTHING = {"payment": None, "stock": (UNITS, 0, 0), "busy": 0}


def ask(saga_id: str) -> None:
    """Requests its stop or return."""
    with transaction.atomic(using="saga_choreography"):
        choreography.compensate(saga_id=saga_id, requested_by="eva", reason="", now=store.now())


def test_order_is_completed(order_sagas):
    order_id = order_sagas.order(quantity=2)
    order_sagas.settle()
    assert order_sagas.outcome(order_id) == {
        "order": "completed",
        "saga": "completed",
        "code": "",
        "payment": "captured",
        "stock": (UNITS - 2, 0, 2),
        "busy": 1,
    }


def test_more_than_there_is_fails_before_anything_happened(order_sagas):
    order_id = order_sagas.order(quantity=100)
    order_sagas.settle()
    expected = {"order": "failed", "saga": "failed", "code": refusals.OUT_OF_STOCK}
    assert order_sagas.outcome(order_id) == expected | NOTHING


def test_declined_card_gives_the_stock_back(order_sagas):
    order_id = order_sagas.order(card="card_declined")
    order_sagas.settle()
    expected = {"order": "failed", "saga": "compensated", "code": refusals.CARD_DECLINED}
    assert order_sagas.outcome(order_id) == expected | NOTHING | {"payment": "refused"}
    assert "delivery.failed" not in order_sagas.received


def test_without_a_courier_the_money_comes_back_and_then_the_stock(order_sagas):
    Courier.objects.update(capacity=0)
    order_id = order_sagas.order()
    order_sagas.settle()
    expected = {"order": "failed", "saga": "compensated", "code": refusals.NO_COURIER_FREE}
    assert order_sagas.outcome(order_id) == expected | NOTHING | {"payment": "refunded"}
    undone = [name for name in order_sagas.received if name in _BACKWARD]
    assert list(dict.fromkeys(undone)) == _BACKWARD


_BACKWARD = ["delivery.failed", "payment.refunded", "inventory.released", "order.failed"]


def test_stopped_order_is_cancelled(order_sagas):
    order_id = order_sagas.order()
    order_sagas.settle(until="payment.completed")
    ask(order_id)
    order_sagas.settle()
    expected = {"order": "cancelled", "saga": "compensated", "code": refusals.STOPPED}
    assert order_sagas.outcome(order_id) == expected | NOTHING | {"payment": "refunded"}


def test_order_that_is_given_back_is_cancelled(order_sagas):
    order_id = order_sagas.order()
    order_sagas.settle()
    ask(order_id)
    order_sagas.settle()
    expected = {"order": "cancelled", "saga": "compensated", "code": refusals.STOPPED}
    assert order_sagas.outcome(order_id) == expected | NOTHING | {"payment": "refunded"}


def test_last_place_of_a_courier_goes_to_one_of_two_orders(order_sagas):
    orders = [order_sagas.order(), order_sagas.order()]
    order_sagas.settle()
    ends = sorted(order_sagas.outcome(order)["order"] for order in orders)
    assert ends == ["completed", "failed"]
    assert order_sagas.outcome(orders[0])["stock"] == (UNITS - 1, 0, 1)
