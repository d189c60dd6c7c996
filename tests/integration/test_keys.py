"""An Idempotency-Key belongs to its user, and equal requests are one at every door."""

import pytest
from django.test import Client

from carrito.models import Cart, Checkout, IdempotencyKey
from messaging.brokers.memory import forget
from tests.seeded.shop import ADDRESS, SERVICES, Shop

pytestmark = pytest.mark.django_db(databases=[*SERVICES, "tarjetas"])
UNIVERSAL = "/checkout/saga"


@pytest.fixture
def shop(monkeypatch):
    yield Shop(monkeypatch)
    forget("seeded")


def post(path, body, *, key="k"):
    headers = {"Idempotency-Key": key}
    return Client().post(path, body, content_type="application/json", headers=headers)


def wanted(shop, **changes):
    cart = shop.cart(shop.stock())
    return {"cart_id": cart, "payment_method": "credit_card", "billing_address": ADDRESS} | changes


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (UNIVERSAL, {"saga_pattern": "orchestrated"}),
        (UNIVERSAL, {"user_id": "ana"}),
        (UNIVERSAL, {"billing_address": dict(reversed(ADDRESS.items()))}),
        (UNIVERSAL, {"unheard_of": 1}),
        ("/saga/checkout", {}),
        ("/saga/checkout", {"user_id": "ana", "saga_pattern": "orchestrated"}),
    ],
)
def test_same_checkout_in_other_words_or_at_another_door_is_the_same_saga(shop, path, change):
    body = wanted(shop)
    first = post(UNIVERSAL, body)
    again = post(path, body | change)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["saga_id"] == first.json()["saga_id"]
    assert again["Idempotency-Replayed"] == "true"
    assert Checkout.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"payment_method": "paypal"},
        {"saga_pattern": "choreographed"},
        {"billing_address": ADDRESS | {"street": "another"}},
    ],
)
def test_another_checkout_under_the_same_key_is_refused(shop, change):
    body = wanted(shop)
    post(UNIVERSAL, body)
    response = post(UNIVERSAL, body | change)
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")


def test_saga_of_a_key_can_not_be_guessed(shop):
    sagas = {post(UNIVERSAL, wanted(shop), key=f"k{n}").json()["saga_id"] for n in range(3)}
    IdempotencyKey.objects.all().delete()
    again = {post(UNIVERSAL, wanted(shop), key=f"k{n}").json()["saga_id"] for n in range(3)}
    assert len(sagas | again) == 6


def test_user_id_as_number_and_as_text_is_the_same_user(shop):
    body = wanted(shop)
    Cart.objects.filter(pk=body["cart_id"]).update(user_id="7")
    first = post(UNIVERSAL, body | {"user_id": 7})
    assert post(UNIVERSAL, body | {"user_id": "7"}).json()["saga_id"] == first.json()["saga_id"]
