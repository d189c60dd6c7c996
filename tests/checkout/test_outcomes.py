"""How a checkout ends, and what is there then: the same in every pattern."""

import pytest

from tests.checkout.shop import START_PATHS, STATE_PATHS

REFUSING_METHODS = ["invalid_card", "card_declined", "insufficient_funds", "expired_card"]


def test_accepted_checkout_answers_202_with_its_saga(shop, pattern):
    cart = shop.cart(product=shop.product(quantity=5), quantity=2)
    answer = shop.request(
        "POST",
        "carrito",
        "/checkout/saga",
        {"cart_id": cart, "payment_method": "paypal", "saga_pattern": pattern},
    )
    body = answer.json()
    assert answer.status == 202
    assert (body["cart_id"], body["total_amount"]) == (cart, "25.00")
    assert body["saga_pattern"] == pattern
    assert answer.headers["Location"] == body["status_url"]
    assert body["status_url"].endswith(f"/orders/saga/{body['saga_id']}/status")


def test_completed_checkout_sold_charged_and_confirmed(shop, pattern):
    product = shop.product(quantity=5)
    _, accepted = shop.check_out(shop.cart(product=product, quantity=2), pattern)
    ended = shop.ended(accepted["saga_id"])
    assert (ended["status"], ended["order_status"]) == ("completed", "confirmed")
    assert shop.stock(product) == (3, 0, 2)
    assert shop.money(accepted["saga_id"]) == ("captured", "25.00")
    _, cart = shop.call("GET", "carrito", f"/carts/{accepted['cart_id']}")
    assert cart["status"] == "checked_out"


def test_coordinator_tells_every_step_of_a_completed_saga(shop, pattern):
    _, accepted = shop.check_out(shop.cart(product=shop.product(quantity=5)), pattern)
    state = shop.state_when(accepted["saga_id"], pattern, "completed")
    assert [step["step_name"] for step in state["steps"]] == [
        "accept_checkout",
        "reserve_inventory",
        "process_payment",
        "create_order",
        "commit_inventory",
        "confirm_order",
    ]
    assert {step["status"] for step in state["steps"]} == {"completed"}
    assert all(step["finished_at"] for step in state["steps"])


def test_choreographed_saga_shows_its_trail(shop):
    _, accepted = shop.check_out(shop.cart(product=shop.product(quantity=5)), "choreographed")
    state = shop.state_when(accepted["saga_id"], "choreographed", "completed")
    assert [event["type"] for event in state["events"]] == [
        "checkout.initiated",
        "inventory.reserved",
        "payment.processed",
        "order.created",
        "inventory.committed",
        "checkout.completed",
    ]


@pytest.mark.parametrize("method", REFUSING_METHODS)
def test_refused_card_undoes_the_reservation(shop, pattern, method):
    product = shop.product(quantity=5)
    _, accepted = shop.check_out(shop.cart(product=product), pattern, method=method)
    ended = shop.ended(accepted["saga_id"])
    assert ended["status"] == "compensated"
    assert (ended["failure"]["step"], ended["failure"]["code"]) == ("process_payment", method)
    assert shop.stock(product) == (5, 0, 0)
    state = shop.state_when(accepted["saga_id"], pattern, "compensated")
    statuses = {step["step_name"]: step["status"] for step in state["steps"]}
    assert statuses["reserve_inventory"] == "compensated"
    assert statuses["process_payment"] == "failed"
    assert statuses["create_order"] == "skipped"


def test_refused_reservation_fails_with_nothing_to_undo(shop, pattern):
    product = shop.product(quantity=1)
    first, second = shop.carts(2, product=product)
    shop.ended(shop.check_out(first, pattern)[1]["saga_id"])
    _, accepted = shop.check_out(second, pattern)
    ended = shop.ended(accepted["saga_id"])
    assert (ended["status"], ended["failure"]["code"]) == ("failed", "out_of_stock")
    assert shop.stock(product) == (0, 0, 1)
    told = shop.state_when(accepted["saga_id"], pattern, "failed")["failure"]
    assert told == {**ended["failure"], "undone": False}


def test_cart_of_an_undone_checkout_can_be_bought_after_all(shop, pattern):
    cart = shop.cart(product=shop.product(quantity=5))
    _, declined = shop.check_out(cart, pattern, method="card_declined")
    shop.ended(declined["saga_id"])
    _, accepted = shop.check_out(cart, pattern)
    assert shop.ended(accepted["saga_id"])["status"] == "completed"


def test_waiting_shopper_gets_the_final_state(shop, pattern):
    cart = shop.cart(product=shop.product(quantity=5))
    status, body = shop.check_out(cart, pattern, Prefer="wait=10")
    assert (status, body["status"], body["order_status"]) == (200, "completed", "confirmed")


def test_returned_checkout_is_undone_in_reverse(shop, pattern):
    product = shop.product(quantity=5)
    _, accepted = shop.check_out(shop.cart(product=product, quantity=2), pattern)
    saga_id = accepted["saga_id"]
    shop.state_when(saga_id, pattern, "completed")
    service, path = STATE_PATHS[pattern]
    status, body = shop.call("POST", service, f"{path.format(saga_id)}/compensate", {})
    assert status == 202, body
    shop.state_when(saga_id, pattern, "compensated")
    assert shop.stock(product) == (5, 0, 0)
    assert shop.money(saga_id)[0] == "refunded"
    assert shop.status(saga_id)["order_status"] == "cancelled"
    status, body = shop.call("POST", service, f"{path.format(saga_id)}/compensate", {})
    assert status == 409


def test_checkout_started_at_the_coordinator_goes_the_same_way(shop, pattern):
    service, path = START_PATHS[pattern]
    cart = shop.cart(product=shop.product(quantity=5))
    body = {"cart_id": cart, "user_id": "ana", "payment_method": "paypal"}
    # Each coordinator has a pattern that need not be named.
    named = {} if pattern in ("orchestrated", "choreographed") else {"saga_pattern": pattern}
    status, body = shop.call("POST", service, path, {**body, **named})
    assert (status, body["saga_pattern"]) == (202, pattern)
    assert shop.ended(body["saga_id"])["status"] == "completed"


def test_saga_just_accepted_is_known_to_its_coordinator(shop, pattern):
    for cart in shop.carts(10, product=shop.product(quantity=10)):
        _, accepted = shop.check_out(cart, pattern)
        assert shop.state(accepted["saga_id"], pattern)["saga_id"] == accepted["saga_id"]
