"""A price that changes between cart and acceptance: a fall is passed on, a rise is refused and
shown, and nothing changes from acceptance on.
"""

import socket
import threading
import uuid
from decimal import Decimal

import pytest

from carrito import operations, prices
from carrito.models import Cart, CartItem, Checkout, IdempotencyKey, OutboxEntry
from carrito.operations import Accept
from carrito.views import _acceptance
from catalogue import refusals
from contracts.outcomes import Done
from contracts.patterns import PATTERNS
from httpapi.client import Client
from httpapi.problems import Problem
from inventario.models import Product
from participant.executing import execute
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
CHOREOGRAPHED = "choreographed"
"""Accepts a checkout without a hand-over."""


@pytest.fixture
def cart():
    """A cart of two lines, with a total of 21.00."""
    cart = Cart.objects.create(id=str(uuid.uuid4()), user_id="ana")
    for product, quantity, price in [("1", 2, "10.05"), ("2", 1, "0.90")]:
        CartItem.objects.create(cart=cart, product_id=product, quantity=quantity, unit_price=price)
    return cart


def command_for(cart, now, *, saga_id="", key="", pattern=CHOREOGRAPHED):
    return Accept(
        saga_id=saga_id or str(uuid.uuid4()),
        saga="checkout",
        step="accept_checkout",
        cart_id=cart.pk,
        payment_method="credit_card",
        saga_pattern=pattern,
        idempotency_key=key,
        prices={product: Decimal(price) for product, price in now.items()},
    )


def accept(cart, now, **options):
    return _acceptance.accept(command=command_for(cart, now, **options))


def refused(cart, now, **options):
    with pytest.raises(Problem) as raised:
        accept(cart, now, **options)
    assert (raised.value.status, raised.value.code) == (409, refusals.PRICE_CHANGED)
    return raised.value.detail


def shown(cart):
    """Price and previous price of each line, as texts."""
    lines = CartItem.objects.filter(cart=cart).order_by("pk")
    return [
        (str(line.unit_price), line.previous_price and str(line.previous_price)) for line in lines
    ]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_fall_is_passed_on_and_frozen_with_the_lower_total(cart, pattern):
    accepted = accept(cart, {"1": "9", "2": "0.90"}, pattern=pattern)
    row = Checkout.objects.get(pk=accepted.saga_id)
    assert accepted.told["total_amount"] == "18.90"
    assert row.total_amount == Decimal("18.90")
    assert row.context["data"]["total_amount"] == "18.90"
    assert [line["unit_price"] for line in row.items] == ["9.00", "0.90"]
    assert row.price_changes == [{"product_id": "1", "was": "10.05", "now": "9.00"}]
    assert shown(cart) == [("9.00", None), ("0.90", None)]
    assert row.cart_version == Cart.objects.get(pk=cart.pk).version == 2


@pytest.mark.parametrize("pattern", PATTERNS)
def test_rise_is_refused_with_both_prices_of_each_line_and_keeps_nothing(cart, pattern):
    detail = refused(cart, {"1": "11", "2": "1.00"}, pattern=pattern)
    assert "product 1 from 10.05 to 11.00; product 2 from 0.90 to 1.00" in detail
    assert not Checkout.objects.exists()
    assert not OutboxEntry.objects.exists()
    assert Cart.objects.get(pk=cart.pk).status == "active"


def test_cart_shows_a_rise_from_then_on_and_is_bought_at_it(cart):
    refused(cart, {"1": "11.00"})
    assert shown(cart) == [("11.00", "10.05"), ("0.90", None)]
    assert Cart.objects.get(pk=cart.pk).version == 2
    accepted = accept(cart, {"1": "11.00"})
    assert accepted.told == {"total_amount": "22.90"}
    assert shown(cart) == [("11.00", None), ("0.90", None)]


def test_fall_beside_a_rise_is_shown_but_not_named_as_a_reason(cart):
    detail = refused(cart, {"1": "9.00", "2": "1.00"})
    assert "product 1" not in detail
    assert shown(cart) == [("9.00", "10.05"), ("1.00", "0.90")]


def test_rise_after_a_rise_is_refused_again(cart):
    refused(cart, {"1": "11.00"})
    assert "from 11.00 to 12.00" in refused(cart, {"1": "12.00"})
    assert shown(cart)[0] == ("12.00", "11.00")


def test_same_prices_are_no_change(cart):
    accepted = accept(cart, {"1": "10.05", "2": "0.9"})
    assert accepted.told == {"total_amount": "21.00"}
    assert Checkout.objects.get().price_changes == []


def test_price_that_is_not_known_is_the_one_that_was_shown(cart):
    assert accept(cart, {"7": "99.00"}).told["total_amount"] == "21.00"


def test_rise_that_comes_with_another_refusal_leaves_the_cart_alone(cart):
    command = command_for(cart, {"1": "11.00"})
    Cart.objects.update(status="checked_out")
    outcome = execute(operation=operations.accept, commands=[command])[0].outcome
    assert outcome.code == refusals.CART_CHECKED_OUT
    assert shown(cart)[0] == ("10.05", None)


def test_cart_that_is_bought_beside_a_refusal_of_the_same_list_is_left_as_it_was_bought(cart):
    """Another request bought the cart while inventario was away."""
    commands = [command_for(cart, {"1": "11.00"}, saga_id="a"), command_for(cart, {}, saga_id="b")]
    first, second = [
        executed.outcome for executed in execute(operation=operations.accept, commands=commands)
    ]
    assert first.code == refusals.PRICE_CHANGED
    assert isinstance(second, Done)
    assert shown(cart)[0] == ("10.05", None)


def test_refusal_leaves_the_key_free(cart):
    refused(cart, {"1": "11.00"}, key="k")
    assert not IdempotencyKey.objects.exists()
    assert accept(cart, {"1": "11.00"}, key="k").is_new


def test_same_key_is_the_first_checkout_whatever_the_price_is_by_then(cart):
    first = accept(cart, {"1": "10.05"}, key="k")
    again = accept(cart, {"1": "11.00"}, key="k")
    assert (again.saga_id, again.is_new) == (first.saga_id, False)
    assert Checkout.objects.get().total_amount == Decimal("21.00")
    assert shown(cart)[0] == ("10.05", None)


# At the door, which calls inventario.


class Asked(Client):
    """The client for inventario, which counts its calls."""

    @classmethod
    def of(cls, url, monkeypatch, *, timeout=5.0):
        made = cls(url=url, timeout=timeout)
        monkeypatch.setattr(prices, "_client", made)
        monkeypatch.setattr(prices, "_rests_until", float("-inf"))
        return made


@pytest.fixture
def lamp():
    return Product.objects.create(
        name="Lamp", price="19.90", sku=str(uuid.uuid4()), initial=10, available=10
    )


@pytest.fixture
def chosen(lamp):
    """A cart with two lamps."""
    cart = Cart.objects.create(id=str(uuid.uuid4()), user_id="ana")
    CartItem.objects.create(cart=cart, product_id=str(lamp.pk), quantity=2, unit_price="19.90")
    return cart


@pytest.fixture
def check_out(live_server):
    def call(cart, **headers):
        body = {
            "cart_id": cart.pk,
            "payment_method": "credit_card",
            "saga_pattern": CHOREOGRAPHED,
        }
        response = Client(url=live_server.url, timeout=5).post(
            path="/checkout/saga", body=body, headers=headers
        )
        return response.status, response.json()

    return call


@pytest.fixture
def inventario(live_server, monkeypatch):
    return Asked.of(live_server.url, monkeypatch)


def test_answer_and_status_name_what_became_cheaper(check_out, chosen, lamp, inventario):
    Product.objects.update(price="15.00")
    changes = [{"product_id": str(lamp.pk), "was": "19.90", "now": "15.00"}]
    status, body = check_out(chosen)
    assert (status, body["total_amount"], body["price_changes"]) == (202, "30.00", changes)
    again = Client(url=inventario.url, timeout=5).get(path=f"/orders/saga/{body['saga_id']}/status")
    assert again.json()["price_changes"] == changes


def test_answer_without_a_change_names_no_prices(check_out, chosen, inventario):
    assert "price_changes" not in check_out(chosen)[1]
    assert inventario.calls == 1


def test_cart_shows_the_price_before(check_out, chosen, lamp, inventario):
    Product.objects.update(price="25.00")
    status, body = check_out(chosen)
    assert (status, body["code"]) == (409, "price_changed")
    cart = Client(url=inventario.url, timeout=5).get(path=f"/carts/{chosen.pk}").json()
    (line,) = cart["items"]
    assert (line["unit_price"], line["previous_price"]) == ("25.00", "19.90")
    assert cart["total_amount"] == "50.00"
    assert check_out(chosen)[1]["total_amount"] == "50.00"


def test_many_at_once_are_asked_for_in_a_few_calls(chosen, lamp, inventario):
    results = at_once([lambda: prices.of_cart(cart_id=chosen.pk)] * 20, service="carrito")
    assert results == [{str(lamp.pk): Decimal("19.90")}] * 20
    assert inventario.calls < 20


def test_without_inventario_the_shown_price_holds_and_it_is_left_alone(
    check_out, chosen, cart, monkeypatch
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        unused_port = taken.getsockname()[1]
    away = Asked.of(f"http://127.0.0.1:{unused_port}", monkeypatch)
    Product.objects.update(price="25.00")
    assert check_out(chosen)[1]["total_amount"] == "39.80"
    assert check_out(cart)[1]["total_amount"] == "21.00"
    assert away.calls == 1


def test_inventario_that_hangs_is_waited_for_once(chosen, monkeypatch):
    """Checkouts that wait behind a failing call make none themselves."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hanging = Asked.of(url, monkeypatch, timeout=0.2)
        results = at_once([lambda: prices.of_cart(cart_id=chosen.pk)] * 20, service="carrito")
    assert results == [{}] * 20
    assert hanging.calls == 1


@pytest.mark.parametrize(
    "body", [b"{}", b"<html>", b'{"prices": {"1": "-1"}}', b'{"prices": {"1": "NaN"}}']
)
def test_prices_that_are_none_are_not_used(cart, monkeypatch, body):
    with socket.create_server(("127.0.0.1", 0)) as server:
        Asked.of(f"http://127.0.0.1:{server.getsockname()[1]}", monkeypatch)
        answering = threading.Thread(target=_answer_once, args=[server, body])
        answering.start()
        assert prices.of_cart(cart_id=cart.pk) == {}
        answering.join()


def _answer_once(server, body):
    asking, _ = server.accept()
    with asking:
        asking.recv(4096)
        asking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
