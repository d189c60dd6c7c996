"""Under overload the next checkout is refused at once, and accepted ones go on."""

import json
import uuid
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from carrito.models import Cart, CartItem, Checkout
from carrito.operations import OWNER
from contracts.patterns import CHOREOGRAPHED, ORCHESTRATED
from contracts.states import SagaStatus
from coordination import admission
from httpapi.middleware import Gateway
from httpapi.problems import Problem

pytestmark = pytest.mark.django_db(transaction=True, databases=["carrito"])

MOST = 10
DOOR = "/checkout/saga"


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(admission, "ALWAYS", MOST)
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(admission, "_flights", {})


def checkouts(*, running: int = 0, ended: int = 0, pattern: str = ORCHESTRATED) -> None:
    """Checkouts that were accepted just now."""
    Checkout.objects.bulk_create(
        Checkout(
            saga_id=str(uuid.uuid4()),
            saga="checkout",
            saga_pattern=pattern,
            cart=Cart.objects.create(id=str(uuid.uuid4())),
            cart_version=1,
            status=SagaStatus.COMPLETED if place < ended else SagaStatus.RUNNING,
            total_amount=1,
            items=[],
            ended_at=Now() if place < ended else None,
        )
        for place in range(running + ended)
    )


def let_in(count: int, *, saga: str = "checkout", pattern: str = ORCHESTRATED) -> int:
    """How many of so many are accepted."""
    taken, codes = 0, set()
    for _ in range(count):
        try:
            admission.admit(owner=OWNER, saga=saga, pattern=pattern)
            taken += 1
        except Problem as refused:
            codes.add((refused.status, refused.code))
    assert codes <= {(503, "overloaded")}
    return taken


def busy(*, running: int, ended: int) -> admission.Flight:
    """So many at once, for long enough to measure the capacity."""
    checkouts(running=running, ended=ended)
    let_in(MOST)  # known to this process only
    flight = admission._flights["carrito", "checkout", ORCHESTRATED]
    let_in(1)
    flight.busy_since -= admission.BUSY_SECONDS
    let_in(1)
    return flight


def test_as_many_are_let_in_as_can_be_done_soon():
    flight = busy(running=20, ended=10)
    can = int(10 / admission.RATE_SECONDS * admission.PATIENCE_SECONDS)
    assert (flight.number, flight.rate) == (20, 10 / admission.RATE_SECONDS)
    assert let_in(1) == 1
    checkouts(running=can - 20)
    assert let_in(3) == 0
    assert let_in(MOST, pattern=CHOREOGRAPHED) == MOST


def test_they_are_let_in_again_once_those_before_them_have_ended():
    busy(running=100, ended=10)
    assert let_in(3) == 0
    Checkout.objects.filter(ended_at=None).update(ended_at=Now(), status=SagaStatus.COMPLETED)
    assert let_in(3) == 3


def test_rush_into_an_idle_shop_is_let_in():
    """As few ended as came: that does not measure the capacity."""
    checkouts(running=100, ended=1)
    assert let_in(100) == 100


def test_none_is_refused_in_a_standstill():
    flight = busy(running=100, ended=10)
    assert let_in(3) == 0
    Checkout.objects.update(ended_at=F("ended_at") - timedelta(seconds=admission.RATE_SECONDS))
    assert let_in(3) == 0
    flight.moved_at -= admission.STANDSTILL_SECONDS
    assert let_in(100) == 100


def test_none_is_refused_for_what_was_seen_long_ago(monkeypatch):
    """Nor are requests refused that come while the first after a pause measures."""
    flight = busy(running=100, ended=10)
    monkeypatch.setattr(admission, "LOOK_SECONDS", 3600.0)
    assert let_in(1) == 0
    assert flight.is_shut
    flight.learnt_at -= admission.FRESH_SECONDS
    assert not flight.is_shut
    assert let_in(1) == 1


def test_few_are_never_refused():
    busy(running=MOST, ended=1)
    Checkout.objects.filter(ended_at=None).delete()
    checkouts(running=MOST - 2)
    assert let_in(1) == 1


def test_what_was_done_a_moment_ago_can_be_done_again():
    flight = busy(running=MOST, ended=100)
    Checkout.objects.update(ended_at=F("ended_at") - timedelta(seconds=admission.RATE_SECONDS))
    checkouts(running=50, ended=1)
    assert let_in(3) == 3
    assert flight.rate == 100
    flight.rated_at -= admission.FORGET_SECONDS + 1
    assert let_in(3) == 0
    assert flight.rate == 1


def test_those_that_wait_for_something_else_do_not_count():
    busy(running=100, ended=10)
    long_ago = timedelta(seconds=admission.WINDOW_SECONDS)
    Checkout.objects.filter(ended_at=None).update(accepted_at=F("accepted_at") - long_ago)
    assert let_in(MOST + 3) == MOST + 3


def test_saga_that_may_wait_for_a_person_is_never_refused():
    checkouts(running=100, ended=10)
    Checkout.objects.update(saga="purchase")
    assert let_in(MOST + 3, saga="purchase") == MOST + 3


def test_refused_checkout_leaves_nothing_behind():
    busy(running=100, ended=10)
    cart = Cart.objects.create(id=str(uuid.uuid4()), user_id="ana")
    CartItem.objects.create(cart=cart, product_id="1", quantity=2, unit_price="10.05")
    body = {"cart_id": cart.id, "user_id": "ana", "payment_method": "credit_card"}
    answer = Client().post(DOOR, json.dumps(body), content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert int(answer["Retry-After"]) >= 1
    assert Cart.objects.get(pk=cart.pk).status == "active"
    assert not Checkout.objects.filter(cart=cart).exists()


def test_those_that_are_refused_for_sure_are_not_worked_on(monkeypatch):
    flight = busy(running=100, ended=10)
    monkeypatch.setattr(admission, "LOOK_SECONDS", 3600.0)
    assert flight.is_refusing

    def shut(*, path=DOOR, **body):
        return admission.is_shut("carrito", path, json.dumps(body).encode())

    assert shut()
    assert shut(saga="checkout", saga_pattern=ORCHESTRATED)
    assert not shut(saga_pattern=CHOREOGRAPHED)
    assert not shut(saga="unknown")
    assert not shut(path="/carts")
    for unreadable in (b"{", b'{"saga": "\xff"}', b'{"saga":' + b"[" * 100_000):
        assert not admission.is_shut("carrito", DOOR, unreadable)


def test_process_answers_them_without_a_slot():
    responses = []

    def never(environ, start_response):
        raise AssertionError("worked on")

    process = Gateway(never, is_shut=lambda path, body: path == DOOR)
    environ = {"PATH_INFO": DOOR, "REQUEST_METHOD": "POST"}
    (body,) = process(environ, lambda status, headers: responses.append((status, dict(headers))))
    ((status, headers),) = responses
    assert status.startswith("503")
    assert headers["Retry-After"]
    assert json.loads(body)["code"] == "overloaded"
