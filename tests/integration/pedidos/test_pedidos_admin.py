"""pedidos in the admin, and what can't be handed over: a person retries or discards it."""

import pytest
from django.utils import timezone

from pedidos.models import Order
from tests.admin_pages import act, look_at_all

pytestmark = [
    pytest.mark.django_db(
        transaction=True,
        databases=[
            *[
                "default",
                "pedidos",
                "inventario",
                "pagos",
                "tarjetas",
                "envios",
                "saga_choreography",
            ],
        ],
    ),
]


@pytest.fixture
def set_aside(order_sagas):
    order_id = order_sagas.order()
    Order.objects.update(
        saga_pattern="orchestrated",
        set_aside_at=timezone.now(),
        set_aside_reason="odd",
        handed_over_at=None,
    )
    return order_id


def test_every_list_and_every_row_can_be_looked_at(admin_client, order_sagas):
    order_sagas.order()
    order_sagas.settle()
    look_at_all(admin_client, "pedidos", at_least=["Order", "IdempotencyKey"])


def test_order_that_was_set_aside_is_handed_over_again(admin_client, set_aside):
    assert "1 handed over again." in act(admin_client, Order, "retry", set_aside)
    assert Order.objects.get().set_aside_at is None


def test_order_that_runs_by_itself_is_not_discarded(admin_client, set_aside):
    Order.objects.update(saga_pattern="choreographed")
    assert "it runs by itself" in act(admin_client, Order, "discard", set_aside)
    assert Order.objects.get().order_status != "failed"


def test_discarded_order_has_failed(admin_client, set_aside):
    assert "1 discarded." in act(admin_client, Order, "discard", set_aside)
    order = Order.objects.get()
    assert (order.order_status, order.failure_code) == ("failed", "discarded")


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_order_that_goes_its_way_is_left_alone(admin_client, order_sagas, action):
    order_id = order_sagas.order()
    assert "not set aside" in act(admin_client, Order, action, order_id)
    assert Order.objects.get().order_status == "pending"
