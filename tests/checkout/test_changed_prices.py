"""Prices change in the running shop: the same in every pattern, at whichever door."""

import uuid

import pytest

from contracts.patterns import PATTERNS
from tests.checkout.shop import START_PATHS, body_of


@pytest.fixture
def product(shop):
    return shop.product(quantity=5, price="12.50")


@pytest.fixture
def cart(shop, product):
    return shop.cart(product=product, quantity=2)


def reprice(shop, product, price):
    status, body = shop.call("PATCH", "inventario", f"/api/products/{product}", {"price": price})
    assert status == 200, body


def test_price_fall_is_passed_on_shown_and_charged(shop, cart, product, pattern):
    reprice(shop, product, "10.00")
    status, body = shop.check_out(cart, pattern, Prefer="wait=10")
    assert (status, body["total_amount"]) == (200, "20.00")
    assert body["price_changes"] == [{"product_id": product, "was": "12.50", "now": "10.00"}]
    assert shop.money(body["saga_id"]) == ("captured", "20.00")


def test_price_rise_is_refused_at_the_coordinators_door_shown_and_then_bought(
    shop, cart, product, pattern
):
    reprice(shop, product, "13.00")
    service, path = START_PATHS[pattern]
    status, body = shop.call("POST", service, path, body_of(cart, pattern))
    assert (status, body["code"]) == (409, "price_changed")
    assert f"product {product} from 12.50 to 13.00" in body["detail"]
    (line,) = shop.call("GET", "carrito", f"/carts/{cart}")[1]["items"]
    assert (line["unit_price"], line["previous_price"]) == ("13.00", "12.50")
    status, body = shop.call("POST", service, path, body_of(cart, pattern))
    assert (status, body["total_amount"]) == (202, "26.00")
    assert shop.ended(body["saga_id"])["status"] == "completed"


def test_price_is_frozen_from_acceptance_on_also_for_the_same_key(shop, cart, product, pattern):
    key = str(uuid.uuid4())
    _, accepted = shop.check_out(cart, pattern, Idempotency_Key=key)
    reprice(shop, product, "99.00")
    status, again = shop.check_out(cart, pattern, Idempotency_Key=key)
    assert (status, again["saga_id"]) == (202, accepted["saga_id"])
    ended = shop.ended(accepted["saga_id"])
    assert (ended["status"], ended["total_amount"]) == ("completed", "25.00")
    _, order = shop.call("GET", "carrito", f"/orders/{ended['order_id']}")
    assert (order["total_amount"], order["items"][0]["unit_price"]) == ("25.00", "12.50")
    assert shop.money(accepted["saga_id"]) == ("captured", "25.00")


def test_checkouts_are_accepted_at_the_shown_price_without_inventario(shop, stack, product):
    carts = shop.carts(len(PATTERNS), product=product)
    reprice(shop, product, "13.00")
    stack.stop_process("inventario.web")
    try:
        given = [shop.check_out(*asked) for asked in zip(carts, PATTERNS, strict=True)]
    finally:
        stack.restart("inventario.web")
        stack.wait_ready()
    assert [(status, body["total_amount"]) for status, body in given] == [(202, "12.50")] * len(
        PATTERNS
    )
    counted = shop.all_ended([body["saga_id"] for _, body in given])
    assert counted == {"completed": len(PATTERNS)}
