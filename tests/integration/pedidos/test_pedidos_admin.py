"""pedidos in the admin, and what can't be handed over: a person retries or discards it."""

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from pedidos.models import Order

pytestmark = [
    pytest.mark.django_db(
        transaction=True,
        databases=[
            *["default", "pedidos", "inventario", "pagos", "envios", "saga_choreography"],
        ],
    ),
]


@pytest.fixture
def admin_client(client, django_user_model):
    """Logged in without a password, whose hashing would be most of the test's time."""
    person = django_user_model.objects.create(username="eva", is_staff=True, is_superuser=True)
    client.force_login(person)
    return client


def url_of(model, page: str, *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def set_aside(market):
    order_id = market.order()
    Order.objects.update(
        saga_pattern="orchestrated",
        set_aside_at=timezone.now(),
        set_aside_reason="odd",
        handed_over_at=None,
    )
    return order_id


def act(admin_client, action: str, order_id: str) -> str:
    chosen = {"action": action, "_selected_action": [order_id]}
    answered = admin_client.post(url_of(Order, "changelist"), chosen, follow=True)
    assert answered.status_code == 200
    return answered.content.decode()


def test_every_list_and_every_row_can_be_looked_at(admin_client, market):
    market.order()
    market.settle()
    models = [one for one in admin.site._registry if one._meta.app_label == "pedidos"]
    assert {model.__name__ for model in models} >= {"Order", "IdempotencyKey", "BarrierEntry"}
    for model in models:
        url = url_of(model, "changelist")
        assert admin_client.get(url).status_code == 200
        if admin.site._registry[model].search_fields:
            assert admin_client.get(url, {"q": "s"}).status_code == 200
        for row in model.objects.all():
            assert admin_client.get(url_of(model, "change", row.pk)).status_code == 200


def test_order_that_was_set_aside_is_handed_over_again(admin_client, set_aside):
    assert "1 handed over again." in act(admin_client, "retry", set_aside)
    assert Order.objects.get().set_aside_at is None


def test_order_that_runs_by_itself_is_not_discarded(admin_client, set_aside):
    Order.objects.update(saga_pattern="choreographed")
    assert "it runs by itself" in act(admin_client, "discard", set_aside)
    assert Order.objects.get().order_status != "failed"


def test_discarded_order_has_failed(admin_client, set_aside):
    assert "1 discarded." in act(admin_client, "discard", set_aside)
    order = Order.objects.get()
    assert (order.order_status, order.failure_code) == ("failed", "discarded")


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_order_that_goes_its_way_is_left_alone(admin_client, market, action):
    order_id = market.order()
    assert "not set aside" in act(admin_client, action, order_id)
    assert Order.objects.get().order_status == "pending"
