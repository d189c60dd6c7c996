"""A wrong request is refused with a reason and a remedy, and nothing of it is stored."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.checkout.shop import STATE_PATHS, body_of


@pytest.fixture
def cart(shop):
    return shop.cart(product=shop.product(quantity=5))


def test_unknown_cart_is_not_found(shop, pattern):
    status, body = shop.check_out("no-such-cart", pattern)
    assert (status, body["code"]) == (404, "unknown_cart")


def test_empty_cart_is_refused(shop, pattern):
    _, cart = shop.call("POST", "carrito", "/carts", {"user_id": "ana"})
    status, body = shop.check_out(cart["id"], pattern)
    assert (status, body["code"]) == (400, "empty_cart")


def test_unknown_pattern_names_the_known_patterns(shop, cart):
    status, body = shop.check_out(cart, "improvised")
    assert (status, body["errors"][0]["field"]) == (400, "saga_pattern")
    assert "orchestrated" in body["detail"]


def test_floor_of_the_benchmark_is_no_pattern_of_the_shop(shop, cart):
    status, body = shop.check_out(cart, "monolith")
    assert (status, body["errors"][0]["field"]) == (400, "saga_pattern")


@pytest.mark.parametrize("field", ["cart_id", "payment_method"])
def test_missing_field_is_named(shop, cart, pattern, field):
    body = body_of(cart, pattern)
    del body[field]
    status, answered = shop.call("POST", "carrito", "/checkout/saga", body)
    assert (status, answered["errors"][0]["field"]) == (400, field)


def test_body_that_is_no_json_is_refused(shop):
    answer = shop._http.request(
        "POST",
        shop.stack.urls["carrito"] + "/checkout/saga",
        body=b"{nope",
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status, answer.json()["code"]) == (400, "parse_error")


def test_other_content_type_is_refused(shop):
    answer = shop._http.request(
        "POST",
        shop.stack.urls["carrito"] + "/checkout/saga",
        body=b"a=1",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status == 415


def test_other_method_is_refused(shop):
    assert shop.call("GET", "carrito", "/checkout/saga")[0] == 405


def test_unknown_path_is_a_404_that_names_it(shop):
    status, body = shop.call("POST", "carrito", "/checkout/saga/", {})
    assert (status, body["code"]) == (404, "no_such_path")
    assert body["detail"] == "No such path: /checkout/saga/. Paths have no trailing slash."
    assert shop.call("GET", "carrito", "/nope")[1]["detail"] == "No such path: /nope."


def test_unknown_saga_is_not_found_anywhere(shop, pattern):
    service, path = STATE_PATHS[pattern]
    assert shop.call("GET", service, path.format("no-such-saga"))[0] == 404
    assert shop.call("GET", service, path.format("no-such-saga") + "/status")[0] == 404
    assert shop.call("POST", service, path.format("no-such-saga") + "/compensate", {})[0] == 404
    assert shop.call("GET", "carrito", "/orders/saga/no-such-saga/status")[0] == 404


def test_cart_in_checkout_is_refused(shop, cart, pattern):
    shop.check_out(cart, pattern)
    status, body = shop.check_out(cart, pattern)
    assert (status, body["code"]) in [(409, "cart_in_checkout"), (409, "cart_checked_out")]


def test_same_key_gives_the_same_saga(shop, cart, pattern):
    key = str(uuid.uuid4())
    first = shop.check_out(cart, pattern, Idempotency_Key=key)
    again = shop.check_out(cart, pattern, Idempotency_Key=key)
    assert first[0] == again[0] == 202
    assert first[1]["saga_id"] == again[1]["saga_id"]


def test_same_key_with_another_body_is_refused(shop, cart, pattern):
    key = str(uuid.uuid4())
    shop.check_out(cart, pattern, Idempotency_Key=key)
    status, body = shop.check_out(cart, pattern, method="paypal", Idempotency_Key=key)
    assert (status, body["code"]) == (422, "idempotency_key_reused")


def test_fifty_at_once_with_one_key_are_one_saga(shop, cart, pattern):
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(50) as threads:
        answers = list(
            threads.map(lambda _: shop.check_out(cart, pattern, Idempotency_Key=key), range(50))
        )
    assert {status for status, _ in answers} == {202}
    # The first answer has the saga's beginning, the others its state; the saga is the same.
    fields = ("saga_id", "cart_id", "total_amount", "saga_pattern", "status_url")
    ((saga_id, *_),) = {tuple(body[name] for name in fields) for _, body in answers}
    query = "SELECT saga_id FROM carrito_checkout WHERE cart_id = %s"
    assert shop.rows("carrito", query, [cart]) == [(saga_id,)]
    status, body = shop.check_out(cart, pattern, method="paypal", Idempotency_Key=key)
    assert (status, body["code"]) == (422, "idempotency_key_reused")
