"""The limits of one person: requests, and sagas in flight."""

import uuid
from typing import Any

import pytest
from django.test import Client

from carrito.models import Cart, CartItem, Checkout
from contracts import refusals
from httpapi import rates
from httpapi.problems import Problem
from tests.security.conftest import Issuer, bearer

RATE, BURST, MOST = 20.0, 40, 5


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[float]:
    settings.PERSON_RATE, settings.PERSON_BURST = RATE, BURST
    now = [1_000.0]
    monkeypatch.setattr(rates, "monotonic", lambda: now[0])
    rates.forget()
    return now


def let_in(person: str, times: int) -> int:
    """The number of accepted requests, of that many."""
    return sum(is_let_in(person) for _ in range(times))


def is_let_in(person: str) -> bool:
    try:
        rates.take(person)
    except Problem as error:
        refusal = (error.status, error.code, error.headers["Retry-After"])
        if refusal != (429, rates.CODE, "1"):
            raise
        return False
    return True


def test_person_may_send_a_burst_and_no_more(clock: list[float]) -> None:
    assert let_in("ana", 100) == BURST


def test_person_may_go_on_at_the_rate(clock: list[float]) -> None:
    let_in("ana", 100)
    clock[0] += 1
    assert let_in("ana", 100) == RATE
    clock[0] += 1_000
    assert let_in("ana", 100) == BURST


def test_person_uses_up_no_other_persons_limit(clock: list[float]) -> None:
    let_in("ana", 100)
    assert let_in("ben", 1) == 1


def test_without_a_rate_any_number_comes_in(clock: list[float], settings: Any) -> None:
    settings.PERSON_RATE = 0
    assert let_in("ana", 1_000) == 1_000


def test_people_are_counted_and_services_are_not(
    required: Issuer, clock: list[float], settings: Any
) -> None:
    settings.PERSON_BURST = 1
    ana, service = bearer(required.user("ana")), required.service("pagos", to="carrito")
    asked = [Client().get("/carrito/pauses", headers=ana) for _ in range(2)]
    assert [given.status_code for given in asked] == [403, 403]  # not let in, not counted
    limited = {"data": "{", "content_type": "application/json"}
    asked = [Client().post("/carts", headers=ana, **limited) for _ in range(2)]
    assert [given.status_code for given in asked] == [400, 429]
    assert asked[1].headers["Retry-After"] == "1"
    asked = [Client().post("/carts/unlock", headers=bearer(service), **limited) for _ in range(3)]
    assert {given.status_code for given in asked} == {403}


@pytest.mark.django_db(databases=["carrito"], transaction=True)
class TestUnderWay:
    """The checkouts of one user that have not ended."""

    @pytest.fixture(autouse=True)
    def limit(self, required: Issuer, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.MOST_UNDER_WAY = MOST
        monkeypatch.setattr("coordination.owner_views.give", lambda **_: None)

    def check_out(self, issuer: Issuer, user: str, **headers: str) -> Any:
        cart = Cart.objects.create(id=str(uuid.uuid4()), user_id=user)
        CartItem.objects.create(cart=cart, product_id="1", quantity=1, unit_price="1.00")
        body = {"cart_id": cart.id, "payment_method": "credit_card"}
        sent = {**bearer(issuer.user(user)), **headers}
        return Client().post("/checkout/saga", body, "application/json", headers=sent)

    def test_sixth_is_refused_and_leaves_nothing(self, required: Issuer) -> None:
        for _ in range(MOST):
            assert self.check_out(required, "ana").status_code == 202
        refused = self.check_out(required, "ana")
        assert (refused.status_code, refused.json()["code"]) == (429, refusals.TOO_MANY_UNDER_WAY)
        assert Checkout.objects.count() == MOST
        assert Cart.objects.filter(status="active").count() == 1
        assert self.check_out(required, "ben").status_code == 202

    def test_ended_saga_makes_room(self, required: Issuer) -> None:
        begun = [self.check_out(required, "ana").json()["saga_id"] for _ in range(MOST)]
        Checkout.objects.filter(pk=begun[0]).update(status="failed", ended_at="2026-01-01T00:00Z")
        assert self.check_out(required, "ana").status_code == 202

    def test_person_checks_out_no_cart_of_another_person(self, required: Issuer) -> None:
        cart = Cart.objects.create(id=str(uuid.uuid4()), user_id="ana")
        CartItem.objects.create(cart=cart, product_id="1", quantity=1, unit_price="1.00")
        answers = []
        for cart_id in (cart.id, "none"):
            body = {"cart_id": cart_id, "payment_method": "credit_card"}
            sent = bearer(required.user("ben"))
            given = Client().post("/checkout/saga", body, "application/json", headers=sent)
            answers.append((given.status_code, str(given.json()).replace(cart_id, "")))
        assert answers[0] == answers[1]
        assert answers[0][0] == 404
        assert Checkout.objects.count() == 0
