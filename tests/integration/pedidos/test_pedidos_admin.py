"""pedidos in the admin; orders that can't be handed over are retried or discarded there."""

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
def dead_lettered(order_sagas):
    order_id = order_sagas.order()
    Order.objects.update(
        saga_pattern="orchestrated",
        dead_lettered_at=timezone.now(),
        dead_letter_reason="odd",
        handed_over_at=None,
    )
    return order_id


def test_every_list_and_every_row_can_be_looked_at(admin_client, order_sagas):
    order_sagas.order()
    order_sagas.settle()
    look_at_all(admin_client, "pedidos", at_least=["Order", "IdempotencyKey"])


def test_order_that_was_dead_lettered_is_handed_over_again(admin_client, dead_lettered):
    assert "1 handed over again." in act(admin_client, Order, "retry", dead_lettered)
    assert Order.objects.get().dead_lettered_at is None


def test_order_that_runs_by_itself_is_not_discarded(admin_client, dead_lettered):
    Order.objects.update(saga_pattern="choreographed")
    assert "it runs by itself" in act(admin_client, Order, "discard", dead_lettered, reason="why")
    assert Order.objects.get().order_status != "failed"


def test_discarded_order_has_failed(admin_client, dead_lettered):
    assert "1 discarded." in act(admin_client, Order, "discard", dead_lettered, reason="why")
    order = Order.objects.get()
    assert (order.order_status, order.failure_code) == ("failed", "discarded")


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_order_that_goes_its_way_is_left_alone(admin_client, order_sagas, action):
    order_id = order_sagas.order()
    assert "not dead-lettered" in act(admin_client, Order, action, order_id, reason="why")
    assert Order.objects.get().order_status == "pending"
