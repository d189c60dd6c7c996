"""A shopper fills a cart: over HTTP, with inventario's catalogue behind it."""

import uuid
from functools import partial

import pytest
import urllib3

from carrito import carts
from httpapi.client import Client, ServiceResponse
from inventario.models import Product
from stack.ports import free_ports

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def shop(live_server, monkeypatch):
    """Calls carrito; carrito calls inventario, both served by this process."""
    monkeypatch.setattr(carts, "_client", Client(url=live_server.url, timeout=5))
    return Client(url=live_server.url, timeout=5)


@pytest.fixture
def product():
    return Product.objects.create(
        name="Lamp", price="19.90", sku=str(uuid.uuid4()), initial=10, available=10
    )


@pytest.fixture
def cart_id(shop):
    return shop.post(path="/carts", body={"user_id": "ana"}).json()["id"]


def add(shop, cart_id, product, quantity):
    body = {"product_id": str(product.pk), "quantity": quantity}
    return shop.post(path=f"/carts/{cart_id}/items", body=body)


def test_new_cart_is_active_and_empty(shop, cart_id):
    cart = shop.get(path=f"/carts/{cart_id}").json()
    assert (cart["status"], cart["items"], cart["total_amount"]) == ("active", [], "0.00")


def test_added_item_has_the_catalogue_price(shop, cart_id, product):
    cart = add(shop, cart_id, product, 2).json()
    assert cart["items"] == [{"product_id": str(product.pk), "quantity": 2, "unit_price": "19.90"}]
    assert cart["total_amount"] == "39.80"


def test_price_sent_by_a_client_is_ignored(shop, cart_id, product):
    body = {"product_id": str(product.pk), "quantity": 1, "unit_price": "0.01"}
    cart = shop.post(path=f"/carts/{cart_id}/items", body=body).json()
    assert cart["total_amount"] == "19.90"


def test_added_twice_is_one_line(shop, cart_id, product):
    add(shop, cart_id, product, 2)
    assert add(shop, cart_id, product, 3).json()["items"][0]["quantity"] == 5


def test_lines_stay_in_the_order_in_which_they_were_added(shop, cart_id, product, plenty):
    first, second = sorted([*plenty(), product], key=lambda item: str(item.pk), reverse=True)
    for item in (first, second, first):
        cart = add(shop, cart_id, item, 1).json()
    assert [line["product_id"] for line in cart["items"]] == [str(first.pk), str(second.pk)]


def test_more_than_is_available_is_refused(shop, cart_id, product):
    refused = add(shop, cart_id, product, 999_999)
    assert (refused.status, refused.json()["code"]) == (409, "out_of_stock")
    assert shop.get(path=f"/carts/{cart_id}").json()["items"] == []


def test_more_than_is_available_in_two_steps_is_refused(shop, cart_id, product):
    add(shop, cart_id, product, 6)
    assert add(shop, cart_id, product, 6).status == 409


@pytest.mark.parametrize("quantity", [0, -1, 1.5, "2", None, 10**12])
def test_wrong_quantity_is_named(shop, cart_id, product, quantity):
    refused = add(shop, cart_id, product, quantity)
    assert refused.status == 400
    assert refused.json()["errors"][0]["field"] == "quantity"


def test_unknown_product_is_not_found(shop, cart_id):
    body = {"product_id": "999999", "quantity": 1}
    refused = shop.post(path=f"/carts/{cart_id}/items", body=body)
    assert (refused.status, refused.json()["code"]) == (404, "unknown_product")


def test_unknown_cart_is_not_found(shop, product):
    assert add(shop, "nothing", product, 1).status == 404
    assert shop.get(path="/carts/nothing").status == 404


def test_cart_without_user_names_the_field(shop):
    refused = shop.post(path="/carts", body={})
    assert (refused.status, refused.json()["errors"][0]["field"]) == (400, "user_id")


def test_list_of_carts_is_made_with_items(shop, product):
    items = [{"product_id": str(product.pk), "quantity": 1}]
    made = shop.post(
        path="/carts",
        body=[
            {"user_id": "ana", "items": items},
            {"user_id": "eva", "items": [{"product_id": "999999", "quantity": 1}]},
        ],
    )
    assert made.status == 207
    done, refused = made.json()
    assert shop.get(path=f"/carts/{done['data']['id']}").json()["total_amount"] == "19.90"
    assert refused["code"] == "unknown_product"


@pytest.fixture
def plenty():
    """Products with more stock than a cart can have."""

    def make(count=1, price="1.00"):
        return [
            Product.objects.create(
                name="p", price=price, sku=str(uuid.uuid4()), initial=10**9, available=10**9
            )
            for _ in range(count)
        ]

    return make


def line(product, quantity):
    return {"product_id": str(product.pk), "quantity": quantity}


def refused_and_unchanged(shop, cart_id, call):
    """The refusal's code, after checking that the cart has not changed."""
    before = shop.get(path=f"/carts/{cart_id}").json()
    refused = call()
    assert shop.get(path=f"/carts/{cart_id}").json() == before
    return refused.status, refused.json()["code"]


def test_line_that_sums_beyond_the_limit_is_refused_and_the_cart_unchanged(shop, cart_id, plenty):
    (product,) = plenty()
    add(shop, cart_id, product, 500_001)
    call = partial(add, shop, cart_id, product, 500_000)
    assert refused_and_unchanged(shop, cart_id, call) == (409, "cart_too_large")
    assert add(shop, cart_id, product, 499_999).status == 201


def test_total_beyond_the_limit_is_refused_and_the_cart_unchanged(shop, cart_id, plenty):
    dear, cheap = *plenty(price="9999999999.99"), *plenty(price="0.99")
    add(shop, cart_id, dear, 100)
    assert add(shop, cart_id, cheap, 1).json()["total_amount"] == "999999999999.99"
    call = partial(add, shop, cart_id, dear, 1)
    assert refused_and_unchanged(shop, cart_id, call) == (409, "cart_too_large")


def test_set_quantity_is_held_to_the_same_limits(shop, cart_id, plenty):
    (dear,) = plenty(price="9999999999.99")
    add(shop, cart_id, dear, 1)
    body = {"quantity": 101}

    def call():
        response = urllib3.request(
            "PATCH", f"{shop.url}/carts/{cart_id}/items/{dear.pk}", json=body, retries=False
        )
        return ServiceResponse(response.status, response.data)

    assert refused_and_unchanged(shop, cart_id, call) == (409, "cart_too_large")


def test_more_lines_than_a_cart_can_have_are_refused(shop, plenty):
    products = plenty(201)
    items = [line(product, 1) for product in products]
    made = shop.post(path="/carts", body={"user_id": "ana", "items": items[:200]})
    assert made.status == 201
    refused = shop.post(path="/carts", body={"user_id": "ana", "items": items})
    assert (refused.status, refused.json()["code"]) == (409, "cart_too_large")
    assert "at most 200 different products" in refused.json()["detail"]
    call = partial(add, shop, made.json()["id"], products[-1], 1)
    assert refused_and_unchanged(shop, made.json()["id"], call) == (409, "cart_too_large")


def test_product_that_a_list_names_twice_is_summed(shop, product, plenty):
    def make(*items):
        return shop.post(path="/carts", body={"user_id": "ana", "items": list(items)})

    assert make(line(product, 5), line(product, 5)).json()["items"][0]["quantity"] == 10
    assert make(line(product, 5), line(product, 6)).json()["code"] == "out_of_stock"
    (other,) = plenty()
    assert make(line(other, 600_000), line(other, 400_001)).json()["code"] == "cart_too_large"


def test_cart_of_a_list_that_is_too_large_harms_only_itself(shop, plenty):
    (product,) = plenty()
    many = {"user_id": "ana", "items": [line(product, 900_000), line(product, 900_000)]}
    made = shop.post(path="/carts", body=[many, {"user_id": "ana", "items": [line(product, 1)]}])
    assert [result["outcome"] for result in made.json()] == ["refused", "done"]


def test_list_of_carts_with_hundreds_of_products_gets_all_their_prices(shop, plenty):
    products = plenty(450)
    body = [
        {"user_id": "ana", "items": [line(product, 1) for product in products[start : start + 150]]}
        for start in (0, 150, 300)
    ]
    made = shop.post(path="/carts", body=body)
    assert [result["outcome"] for result in made.json()] == ["done"] * 3


def test_without_inventario_adding_is_refused_with_the_reason(shop, cart_id, product, monkeypatch):
    (unused_port,) = free_ports(1)
    monkeypatch.setattr(carts, "_client", Client(url=f"http://127.0.0.1:{unused_port}", timeout=1))
    response = urllib3.request(
        "POST",
        f"{shop.url}/carts/{cart_id}/items",
        json={"product_id": str(product.pk), "quantity": 1},
        retries=False,
    )
    assert (response.status, response.json()["code"]) == (503, "unavailable")
