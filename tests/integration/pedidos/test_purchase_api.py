"""Purchases over HTTP, with pagos, envios and the coordinator behind them."""

import msgspec
import pytest

from contracts import refusals
from contracts.patterns import PATTERNS
from contracts.saga import Context
from envios.models import Courier
from httpapi.client import Client
from pedidos import history
from pedidos.models import Order, OutboxEntry

pytestmark = [
    pytest.mark.django_db(
        transaction=True,
        databases=["pedidos", "inventario", "pagos", "tarjetas", "envios", "saga_choreography"],
    ),
    pytest.mark.urls("tests.integration.pedidos.served"),
]

DOOR = "/orders/create_order"
LINE = {"product_id": 7, "quantity": 2, "unit_price": 10.5}
AS_WRITTEN = {
    "customer_id": 5,
    "order_items": [LINE, {"product_id": "chair", "quantity": 1, "unit_price": "3"}],
    "total_amount": 24,
    "province": "La Habana",
    "city": "Plaza",
}


@pytest.fixture
def shop(live_server, monkeypatch, settings):
    """Every service is in the test's process."""
    client = Client(url=live_server.url, timeout=5)
    monkeypatch.setattr(history, "_client", lambda service: client)
    settings.SERVICE_URLS = dict.fromkeys(settings.SERVICE_URLS, live_server.url)
    Courier.objects.create(name="Rosa", capacity=1, province="La Habana", city="Plaza")
    return client


def buy(shop, headers=None, **changes):
    return shop.post(path=DOOR, body=AS_WRITTEN | changes, headers=headers)


def bought(shop, **changes) -> str:
    response = buy(shop, **changes)
    assert response.status == 201, response.body
    return response.json()["order_id"]


def seen(shop, order_id: str):
    return shop.get(path=f"/orders/{order_id}").json()


def post_to(shop, url: str, body=None):
    """Posts to a URL that an answer has named."""
    return shop.post(path="/" + url.split("/", 3)[3], body=body or {})


def test_purchase_is_created_as_its_customer_writes_it(shop):
    response = buy(shop)
    order = response.json()
    assert response.status == 201
    assert (order["status"], order["saga"], order["total_amount"]) == (
        "pending",
        "purchase",
        "24.00",
    )
    assert order["status_url"].endswith(f"/orders/{order['order_id']}")
    assert response.headers["Location"] == order["status_url"]
    shown = seen(shop, order["order_id"])
    assert (shown["status"], shown["user_id"], shown["payment"]) == ("pending", "5", None)
    assert shown["items"] == [
        {"product_id": "7", "quantity": 2, "unit_price": "10.50"},
        {"product_id": "chair", "quantity": 1, "unit_price": "3.00"},
    ]


def test_steps_see_the_payment_and_the_destination(shop):
    order_id = bought(shop, auto_confirm=True, payment_method="visa")
    context = msgspec.convert(Order.objects.get().context, Context)
    assert (context.subject, context.saga, context.pattern) == (
        order_id,
        "purchase",
        "choreographed",
    )
    assert context.user_id == "5"
    assert context.data == {
        "total_amount": "24.00",
        "payment_method": "visa",
        "auto_confirm": True,
        "destination": {"province": "La Habana", "city": "Plaza"},
    }


@pytest.mark.parametrize("pattern", PATTERNS)
def test_purchase_is_accepted_in_every_pattern(shop, pattern, monkeypatch):
    monkeypatch.setattr("coordination.owner_views.give", lambda *, owner, context: None)
    bought(shop, saga_pattern=pattern)
    assert Order.objects.get().saga_pattern == pattern
    emits = [outbox_entry.event_type for outbox_entry in OutboxEntry.objects.all()]
    assert emits == (["purchase.order.placed"] if pattern == "choreographed" else [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"total_amount": 23.99}, "total_amount"),
        ({"total_amount": "24.001"}, "total_amount"),
        ({"customer_id": None}, "customer_id"),
        ({"order_items": []}, "order_items"),
        ({"order_items": [LINE | {"quantity": 0}]}, "order_items[0].quantity"),
        ({"order_items": [LINE | {"quantity": 11}]}, "order_items[0].quantity"),
        ({"order_items": [LINE | {"unit_price": -1}]}, "order_items[0].unit_price"),
        ({"province": " "}, "province"),
        ({"city": ""}, "city"),
        ({"auto_confirm": "yes"}, "auto_confirm"),
        ({"saga_pattern": "monolith"}, "saga_pattern"),
        ({"saga": "fulfilment"}, "saga"),
    ],
)
def test_wrong_field_is_named_and_nothing_kept(shop, change, field):
    response = buy(shop, **change)
    assert response.status == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert not Order.objects.exists()


def test_saga_starts_at_its_own_door_only(shop):
    body = {"user_id": "ana", "product_id": "1", "amount": 5, "saga": "purchase"}
    response = shop.post(path="/orders", body=body)
    assert (response.status, response.json()["errors"][0]["field"]) == (400, "saga")


def test_same_key_is_the_same_purchase(shop):
    key = {"Idempotency-Key": "k"}
    first = buy(shop, headers=key).json()
    again = buy(shop, headers=key)
    assert (again.status, again.json()["order_id"]) == (201, first["order_id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    other = buy(shop, headers=key, city="Regla")
    assert (other.status, other.json()["code"]) == (422, refusals.KEY_REUSED)


def test_customer_sees_what_to_pay_and_until_when_and_then_that_it_was_delivered(shop, order_sagas):
    order_id = bought(shop)
    order_sagas.settle()
    payment = seen(shop, order_id)["payment"]
    assert payment["status"] == "pending"
    assert payment["until"] > seen(shop, order_id)["created_at"]
    confirmed = post_to(shop, payment["confirm_url"])
    assert confirmed.status == 200, confirmed.body
    order_sagas.settle()
    shown = seen(shop, order_id)
    assert (shown["status"], shown["payment"]["confirm_url"]) == ("dispatched", None)
    assert (shown["payment"]["status"], shown["delivery"]["status"]) == ("completed", "scheduled")
    shop.post(path=f"/deliveries/{shown['delivery']['id']}/delivered", body={})
    assert seen(shop, order_id)["status"] == "delivered"
    assert [entry["event"] for entry in shown["history"]] == [
        "order.placed",
        "payment.created",
        "payment.confirmed",
        "order.confirmed",
        "delivery.assigned",
        "order.dispatched",
    ]


def test_waiting_request_is_answered_that_it_is_not_decided_yet(shop, order_sagas):
    response = buy(shop, headers={"Prefer": "wait=1"})
    assert (response.status, response.json()["status"]) == (201, "pending")
