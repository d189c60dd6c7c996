"""Orders over HTTP, with inventario, envios and the coordinator behind them."""

import socket

import msgspec
import pytest

from catalogue import refusals
from catalogue.commands import CompleteOrder
from contracts.doors import SHOP
from contracts.saga import Context
from httpapi import authentication, identity
from httpapi.client import Client
from inventario.models import Product
from participant.executing import execute
from pedidos import catalogue, history, operations
from pedidos.models import Order, OutboxEntry
from pedidos.operations import OWNER

pytestmark = [
    pytest.mark.django_db(
        transaction=True,
        databases=["pedidos", "inventario", "pagos", "tarjetas", "envios", "saga_choreography"],
    ),
    # Without carrito's: in a process of all services its /orders would answer.
    pytest.mark.urls("tests.integration.pedidos.served"),
]

SHOPPER = identity.Principal(sub="user_123", scopes=frozenset({SHOP}))
AS_WRITTEN = {"user_id": "user_123", "product_id": "product_1", "quantity": 2, "amount": 199.99}


@pytest.fixture
def shop(live_server, monkeypatch):
    """Every service is in the test's process."""
    client = Client(url=live_server.url, timeout=5)
    monkeypatch.setattr(catalogue, "_client", client)
    monkeypatch.setattr(history, "_client", lambda service: client)
    return client


@pytest.fixture
def no_service(monkeypatch):
    """No other service answers."""
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        away = Client(url=f"http://127.0.0.1:{taken.getsockname()[1]}", timeout=1)
        monkeypatch.setattr(catalogue, "_client", away)
        monkeypatch.setattr(history, "_client", lambda service: away)
        yield


@pytest.fixture(autouse=True)
def laptop():
    return Product.objects.create(
        name="Laptop", sku="product_1", price="999.99", initial=10, available=10
    )


def place(shop, headers=None, **changes):
    return shop.post(path="/orders", body=AS_WRITTEN | changes, headers=headers)


def placed(shop, **changes) -> str:
    response = place(shop, **changes)
    assert response.status == 202, response.body
    return response.json()["order_id"]


def test_order_as_its_users_write_it_is_pending_and_can_be_looked_at(shop, laptop):
    response = place(shop)
    order = response.json()
    assert response.status == 202
    assert (order["status"], order["saga_id"]) == ("pending", order["order_id"])
    assert order["status_url"].endswith(f"/orders/{order['order_id']}")
    assert response.headers["Location"] == order["status_url"]
    seen = shop.get(path=f"/orders/{order['order_id']}").json()
    assert (seen["status"], seen["failure"], seen["delivery"]) == ("pending", None, None)
    assert seen["total_amount"] == "199.99"
    assert [entry["event"] for entry in seen["history"]] == ["order.placed"]
    assert seen["items"] == [
        {"product_id": str(laptop.pk), "sku": "product_1", "name": "Laptop", "quantity": 2}
    ]


def test_steps_see_the_products_and_not_their_buyer(shop, laptop):
    order_id = placed(shop, destination={"city": "Plaza"})
    context = msgspec.convert(Order.objects.get().context, Context)
    assert (context.subject, context.saga, context.pattern) == (
        order_id,
        "fulfilment",
        "choreographed",
    )
    assert context.data == {
        "items": [{"product_id": str(laptop.pk), "quantity": 2}],
        "total_amount": "199.99",
        "payment_method": "credit_card",
        "destination": {"city": "Plaza"},
    }


def test_choreographed_order_publishes_its_first_event_itself(shop):
    order_id = placed(shop)
    (entry,) = OutboxEntry.objects.all()
    assert (entry.event_type, entry.saga_id) == ("fulfilment.order.placed", order_id)


def test_orchestrated_order_is_handed_over_instead(shop, monkeypatch):
    handed_over = []
    monkeypatch.setattr(
        "coordination.owner_views.give", lambda *, owner, context: handed_over.append(context)
    )
    order_id = placed(shop, saga_pattern="orchestrated")
    assert not OutboxEntry.objects.exists()
    waiting = OWNER.sagas.not_handed_over(patterns=["orchestrated"], limit=10)
    assert handed_over == waiting
    assert waiting[0].saga_id == order_id


def test_products_are_named_by_sku_or_id(shop, laptop):
    other = Product.objects.create(
        name="Odd, & named", sku="a+b:c@é", price="1.00", initial=1, available=1
    )
    wanted = [
        {"product_id": "a+b:c@é"},
        {"product_id": laptop.pk, "quantity": 3},
        {"product_id": "product_1"},
    ]
    placed(shop, product_id=None, items=wanted)
    items = Order.objects.get().items
    assert [(item["product_id"], item["quantity"]) for item in items] == [
        (str(other.pk), 1),
        (str(laptop.pk), 3),
        (str(laptop.pk), 1),
    ]


def test_two_hundred_long_skus_are_found(shop):
    skus = [f"{n:03}" + "é" * 61 for n in range(200)]
    Product.objects.bulk_create(
        Product(name=sku, sku=sku, price="1.00", initial=1, available=1) for sku in skus
    )
    placed(shop, product_id=None, items=[{"product_id": sku} for sku in skus])
    assert [item["sku"] for item in Order.objects.get().items] == skus


def test_unknown_product_is_not_found_and_nothing_kept(shop):
    response = place(shop, product_id="product_99")
    assert (response.status, response.json()["code"]) == (404, refusals.UNKNOWN_PRODUCT)
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": -1}, "amount"),
        ({"amount": "1.999"}, "amount"),
        ({"amount": None}, "amount"),
        ({"quantity": 0}, "quantity"),
        ({"product_id": None}, "product_id"),
        ({"items": [{"product_id": "1"}]}, "product_id"),
        ({"product_id": None, "items": [{"product_id": "1", "quantity": 0}]}, "items[0].quantity"),
        ({"user_id": ""}, "user_id"),
        ({"destination": "home"}, "destination"),
        ({"saga_pattern": "monolith"}, "saga_pattern"),
        ({"saga": "checkout"}, "saga"),
    ],
)
def test_wrong_field_is_named_and_nothing_kept(shop, change, field):
    response = place(shop, **change)
    assert response.status == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert not Order.objects.exists()


@pytest.mark.usefixtures("no_service")
def test_without_inventario_it_is_refused_for_now(client):
    response = client.post("/orders", AS_WRITTEN, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


@pytest.mark.usefixtures("no_service")
def test_order_is_shown_by_what_pedidos_knows_where_no_coordinator_answers(client, order_sagas):
    order_id = order_sagas.order(quantity=100)
    order_sagas.settle()
    seen = client.get(f"/orders/{order_id}").json()
    assert (seen["status"], seen["failure"]["code"]) == ("failed", refusals.OUT_OF_STOCK)
    assert [entry["event"] for entry in seen["history"]] == ["order.placed", "order.failed"]


def test_history_has_every_event_in_its_order_and_the_delivery_is_shown(shop, laptop, order_sagas):
    order_id = order_sagas.order()
    order_sagas.settle()
    seen = shop.get(path=f"/orders/{order_id}").json()
    assert (seen["status"], seen["delivery"]["status"]) == ("completed", "scheduled")
    assert [entry["event"] for entry in seen["history"]] == [
        "order.placed",
        "inventory.reserved",
        "payment.completed",
        "delivery.scheduled",
        "inventory.committed",
        "order.completed",
    ]
    times = [entry["at"] for entry in seen["history"]]
    assert times == sorted(times)


def test_waiting_request_is_answered_with_the_end(shop):
    key = {"Idempotency-Key": "k"}
    order_id = place(shop, headers=key).json()["order_id"]
    completing = CompleteOrder(
        saga_id=order_id,
        saga="fulfilment",
        step="complete_order",
        evidence="1",
        paid=Order.objects.get().total_amount,
    )
    execute(operation=operations.complete, commands=[completing])
    ended = place(shop, headers=key | {"Prefer": "wait=5"})
    assert (ended.status, ended.json()["status"]) == (200, "completed")
    assert ended.json()["order_id"] == order_id


@pytest.fixture
def asked(settings, monkeypatch):
    """Requests are authenticated: a shopper by a token; there are no services' keys here."""
    monkeypatch.setattr(authentication, "presented", lambda request, declared: SHOPPER)


def test_shopper_pays_what_the_products_cost(shop, laptop, asked):
    refused = place(shop)
    assert (refused.status, refused.json()["code"]) == (409, refusals.WRONG_AMOUNT)
    assert "1999.98 is due" in refused.json()["detail"]
    assert not Order.objects.exists()
    key = {"Idempotency-Key": "k"}
    first = place(shop, headers=key, amount=1999.98)
    assert first.status == 202, first.body
    Product.objects.update(price="1.00")
    again = place(shop, headers=key, amount=1999.98)
    assert again.json()["order_id"] == first.json()["order_id"], "it was accepted at that price"


def test_same_key_is_the_same_order(shop):
    key = {"Idempotency-Key": "k"}
    first = place(shop, headers=key).json()
    again = place(shop, headers=key)
    assert (again.status, again.json()["order_id"]) == (202, first["order_id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    other = place(shop, headers=key, amount=5)
    assert (other.status, other.json()["code"]) == (422, refusals.KEY_REUSED)
    of_another = place(shop, headers=key, user_id="user_456")
    assert of_another.json()["order_id"] != first["order_id"]
    assert Order.objects.count() == 2


def test_orders_are_listed_newest_first_in_pages(shop):
    orders = [placed(shop, user_id=user) for user in ("ana", "eva", "ana")]
    page = shop.get(path="/orders?page_size=2").json()
    assert [result["order_id"] for result in page["results"]] == [orders[2], orders[1]]
    assert page["count"] == 3
    path = page["next"].partition("/orders")[2]
    assert [result["order_id"] for result in shop.get(path=f"/orders{path}").json()["results"]] == [
        orders[0]
    ]
    of_ana = shop.get(path="/orders?user_id=ana&status=pending").json()["results"]
    assert [order["order_id"] for order in of_ana] == [orders[2], orders[0]]
    assert shop.get(path="/orders?status=nonsense").status == 400


@pytest.mark.parametrize("path", ["/orders/nobody", "/orders/"])
def test_unknown_order_is_not_found(client, path):
    assert client.get(path).status_code == 404
