"""The rows of a checkout beyond those of every saga (tests/sagas): its cart and its order."""


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


def test_completed_checkout_has_a_confirmed_order_and_its_cart_is_done(shop, pattern):
    _, accepted = shop.check_out(shop.cart(product=shop.product(quantity=5)), pattern)
    ended = shop.ended(accepted["saga_id"])
    assert (ended["status"], ended["order_status"]) == ("completed", "confirmed")
    _, cart = shop.call("GET", "carrito", f"/carts/{accepted['cart_id']}")
    assert cart["status"] == "checked_out"


def test_cart_of_an_undone_checkout_can_be_bought_after_all(shop, pattern):
    cart = shop.cart(product=shop.product(quantity=5))
    _, declined = shop.check_out(cart, pattern, method="card_declined")
    ended = shop.ended(declined["saga_id"])
    failure = shop.state_when(declined["saga_id"], pattern, "compensated")["failure"]
    assert failure == ended["failure"]
    _, accepted = shop.check_out(cart, pattern)
    assert shop.ended(accepted["saga_id"])["status"] == "completed"


def test_order_of_a_returned_checkout_is_cancelled(shop, pattern):
    _, accepted = shop.check_out(shop.cart(product=shop.product(quantity=5)), pattern)
    saga_id = accepted["saga_id"]
    shop.state_when(saga_id, pattern, "completed")
    assert shop.compensate(saga_id, pattern)[0] == 202
    shop.state_when(saga_id, pattern, "compensated")
    assert shop.status(saga_id)["order_status"] == "cancelled"
