"""tarjetas over HTTP: money is taken once a key, and given back once."""

import json

import pytest

from contracts.bounds import MOST_IN_A_BATCH
from tarjetas.models import Charge
from tests.admin_pages import look_at_all

pytestmark = pytest.mark.django_db(databases=["tarjetas"])

BODY = {
    "key": "s:pay",
    "saga_id": "s",
    "saga": "checkout",
    "amount": "12.50",
    "payment_method": "credit_card",
}
CAPTURED = {
    "key": "s:pay",
    "status": "captured",
    "amount": "12.50",
    "code": None,
    "detail": None,
    "retry_after_seconds": None,
}


@pytest.fixture
def post(client):
    def call(path: str, body):
        return client.post(path, json.dumps(body), "application/json")

    return call


@pytest.fixture
def charge(post):
    """The answer to a charge like BODY."""

    def call(**changes):
        response = post("/charges", BODY | changes)
        assert response.status_code == 200
        return response.json()

    return call


@pytest.fixture
def refund(post):
    def call(key: str = "s:pay"):
        response = post("/refunds", {"key": key})
        assert response.status_code == 200
        return response.json()

    return call


@pytest.fixture
def slow(settings):
    """slow_card takes a minute; yields a function that lets it pass."""
    settings.SLOW_CARD_SECONDS = 60.0
    return lambda: Charge.objects.update(answers_at="2020-01-01T00:00Z")


def problem(response) -> tuple[int, str]:
    assert response["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def test_charge_takes_the_money_and_can_be_seen(charge, client):
    assert charge() == CAPTURED
    seen = client.get("/charges/s:pay").json()
    assert seen == seen | BODY | {"status": "captured", "code": None, "refunded_at": None}


def test_same_key_and_body_is_answered_the_same_and_charged_once(charge):
    assert [charge(), charge(amount=12.5)] == [CAPTURED, CAPTURED]
    assert Charge.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [{"amount": "12.51"}, {"payment_method": "paypal"}, {"saga_id": "t"}, {"saga": "fulfilment"}],
)
def test_same_key_with_another_body_is_refused(charge, post, change):
    charge()
    assert problem(post("/charges", BODY | change)) == (409, "key_reused")
    assert Charge.objects.get().amount == 12.5


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"payment_method": "card_declined"}, "card_declined"),
        ({"payment_method": "insufficient_funds"}, "insufficient_funds"),
        ({"payment_method": "x" * 1000}, "unknown_payment_method"),
        ({"amount": 0}, "invalid_amount"),
        ({"amount": "1e30"}, "invalid_amount"),
        ({"amount": "NaN"}, "invalid_amount"),
    ],
)
def test_refused_charge_keeps_its_code_and_is_refused_again(charge, change, code):
    answers = [charge(**change), charge(**change)]
    assert answers[0] == answers[1]
    assert (answers[0]["status"], answers[0]["code"]) == ("refused", code)
    assert answers[0]["detail"]
    assert Charge.objects.get().status == "refused"


def test_share_of_a_saga_is_declined(charge, settings):
    settings.DECLINE_SHARES = {"": 0.0, "fulfilment": 1.0}
    assert charge(saga="fulfilment")["code"] == "card_declined"
    assert charge(key="other")["status"] == "captured"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": ""}, "key"),
        ({"key": "x" * 256}, "key"),
        ({"saga_id": "x" * 65}, "saga_id"),
        ({"amount": True}, "amount"),
        ({"payment_method": None}, "payment_method"),
    ],
)
def test_wrong_field_is_named(post, change, field):
    response = post("/charges", BODY | change)
    assert problem(response) == (400, "invalid")
    assert response.json()["errors"][0]["field"] == field
    assert not Charge.objects.exists()


def test_list_is_answered_item_by_item_in_order(charge, post):
    charge(key="known")
    charges = [
        BODY | {"key": "b"},
        BODY | {"key": "a", "payment_method": "expired_card"},
        BODY | {"key": "known"},
        BODY | {"key": "known", "amount": "1.00"},
        BODY | {"key": "b"},
    ]
    response = post("/charges", charges)
    assert response.status_code == 207
    outcomes = [(result["key"], result["status"], result["code"]) for result in response.json()]
    assert outcomes == [
        ("b", "captured", None),
        ("a", "refused", "expired_card"),
        ("known", "captured", None),
        ("known", "error", "key_reused"),
        ("b", "captured", None),
    ]
    assert Charge.objects.count() == 3


def test_list_may_be_empty_and_not_too_long(post):
    assert post("/charges", []).json() == []
    assert post("/refunds", []).json() == []
    assert problem(post("/refunds", [{"key": "k"}] * (MOST_IN_A_BATCH + 1))) == (400, "invalid")


def test_key_is_free_again_once_it_is_forgotten_and_the_charge_stays(charge, client, settings):
    settings.KEY_SECONDS = 0
    charge()
    assert charge(amount="7.00")["amount"] == "7.00"
    assert client.get("/charges/s:pay").json()["amount"] == "7.00"
    assert sorted(str(charge.amount) for charge in Charge.objects.all()) == ["12.50", "7.00"]


def test_refund_finds_all_that_was_ever_taken_under_the_key(charge, refund, settings):
    settings.KEY_SECONDS = 0
    charge()
    charge(amount="7.00")
    answers = [refund(), refund()]
    assert answers == [{"key": "s:pay", "status": "refunded", "amount": "19.50"}] * 2
    assert charge(amount="7.00")["status"] == "captured", "the first answer, and not a third charge"
    assert Charge.objects.filter(status="refunded").count() == Charge.objects.count() == 2


def test_slow_card_is_processing_until_its_time_has_come(charge, client, slow):
    first = charge(payment_method="slow_card")
    assert first["status"] == "processing"
    assert 59 < first["retry_after_seconds"] <= 60
    assert charge(payment_method="slow_card")["status"] == "processing"
    slow()
    assert client.get("/charges/s:pay").json()["status"] == "captured"
    assert charge(payment_method="slow_card") == CAPTURED
    assert Charge.objects.get().status == "captured"


def test_slow_card_is_accepted_at_once_where_it_has_no_time(charge):
    assert charge(payment_method="slow_card") == CAPTURED


def test_slow_card_that_is_declined_is_declined_at_once(charge, settings, slow):
    settings.DECLINE_SHARES = {"": 1.0}
    assert charge(payment_method="slow_card")["code"] == "card_declined"


def test_refund_gives_the_full_amount_back_once(charge, refund):
    charge()
    assert [refund(), refund()] == [{"key": "s:pay", "status": "refunded", "amount": "12.50"}] * 2
    assert Charge.objects.get().refunded_at


def test_charge_that_was_refunded_is_answered_as_before_and_not_taken_again(charge, refund):
    charge()
    refund()
    assert charge() == CAPTURED
    assert Charge.objects.get().status == "refunded"


def test_refund_of_a_card_that_has_answered_since_gives_back(charge, refund, slow):
    charge(payment_method="slow_card")
    slow()
    assert refund()["status"] == "refunded"


@pytest.mark.parametrize("method", ["slow_card", "card_declined", None])
def test_nothing_is_taken_under_a_voided_key(charge, refund, settings, slow, method):
    settings.KEY_SECONDS = 0
    if method:
        charge(payment_method=method)
    assert [refund(), refund()] == [{"key": "s:pay", "status": "voided", "amount": "0.00"}] * 2
    slow()
    for body in ({"payment_method": method or "credit_card"}, {"payment_method": "paypal"}):
        charged = charge(**body)
        assert (charged["status"], charged["code"]) == ("refused", "voided")
    assert Charge.objects.get().status == "voided"


def test_refunds_come_in_lists_too(charge, post):
    charge()
    response = post("/refunds", [{"key": "unknown"}, {"key": "s:pay"}])
    assert response.status_code == 207
    assert [result["status"] for result in response.json()] == ["voided", "refunded"]


def test_charges_are_listed_in_pages_newest_first(charge, client):
    for number in range(5):
        charge(key=f"k{number}", saga_id=f"s{number % 2}")
    page = client.get("/charges?page_size=3").json()
    assert [result["key"] for result in page["results"]] == ["k4", "k3", "k2"]
    assert [result["key"] for result in client.get(page["next"]).json()["results"]] == ["k1", "k0"]
    of_saga = client.get("/charges?saga_id=s1").json()
    assert (of_saga["count"], [result["key"] for result in of_saga["results"]]) == (2, ["k3", "k1"])


def test_unknown_key_and_wrong_method_are_problems(client, post):
    assert problem(client.get("/charges/none")) == (404, "not_found")
    response = client.get("/refunds")
    assert problem(response) == (405, "method_not_allowed")
    assert response["Allow"] == "POST"
    assert problem(client.get("/charges?page=0")) == (400, "invalid")


@pytest.mark.django_db(databases=["default", "tarjetas"])
def test_charges_can_be_looked_at_in_the_admin(admin_client, charge):
    charge()
    look_at_all(admin_client, "tarjetas", at_least=["Charge"])
