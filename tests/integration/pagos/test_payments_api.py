"""pagos over HTTP: the saga's step and its undo, and payments outside of sagas."""

import json

import pytest

from pagos.models import Payment, Refund

pytestmark = pytest.mark.django_db(databases=["pagos", "tarjetas"])

PLAIN = {
    "merchant_id": "m-1",
    "order_id": "o-1",
    "amount": "12.50",
    "payment_method": "credit_card",
}
OF_SAGA = {"saga_id": "s", "cart_id": "c", "amount": "12.50", "payment_method": "credit_card"}


@pytest.fixture
def post(client):
    def call(path: str = "", body=None, **headers):
        text = "" if body is None else json.dumps(body)
        url = f"/api/v1/payments{path}"
        return client.generic("POST", url, text, "application/json", headers=headers)

    return call


@pytest.fixture
def get(client):
    return lambda path: client.get(f"/api/v1/payments{path}")


def code_of(response) -> tuple[int, str]:
    assert response["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def test_plain_payment_is_taken_and_can_be_seen(post, get):
    response = post("", PLAIN)
    payment = response.json()
    assert response.status_code == 201
    assert payment | PLAIN == payment
    assert payment["status"] == "captured"
    assert response["Location"].endswith(f"/api/v1/payments/{payment['id']}")
    assert get(f"/{payment['id']}").json() == payment


@pytest.mark.parametrize("amount", [12.5, "12.5"])
def test_amount_may_be_a_number_or_a_string(post, amount):
    assert post("", PLAIN | {"amount": amount}).json()["amount"] == "12.50"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": -1}, "invalid_amount"),
        ({"amount": 0}, "invalid_amount"),
        ({"payment_method": "invalid_card"}, "invalid_card"),
        ({"payment_method": "cash"}, "unknown_payment_method"),
    ],
)
def test_refused_plain_payment_is_a_conflict_and_leaves_a_row(post, change, code):
    assert code_of(post("", PLAIN | change)) == (409, code)
    assert (Payment.objects.get().status, Payment.objects.get().code) == ("refused", code)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": "1.999"}, "amount"),
        ({"amount": "much"}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"merchant_id": ""}, "merchant_id"),
        ({"order_id": "o" * 65}, "order_id"),
        ({"payment_method": "a\u0000"}, "payment_method"),
    ],
)
def test_wrong_field_is_named_and_nothing_kept(post, change, field):
    response = post("", PLAIN | change)
    assert code_of(response) == (400, "invalid")
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert not Payment.objects.exists()


def test_same_key_is_the_same_payment(post):
    first = post("", PLAIN, **{"Idempotency-Key": "k"})
    again = post("", dict(reversed(PLAIN.items())), **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (201, first.json())
    assert Payment.objects.count() == 1


def test_same_key_with_another_body_is_refused(post):
    post("", PLAIN, **{"Idempotency-Key": "k"})
    response = post("", PLAIN | {"amount": 99}, **{"Idempotency-Key": "k"})
    assert code_of(response) == (422, "idempotency_key_reused")
    assert Payment.objects.count() == 1


def test_same_key_of_another_merchant_is_another_payment(post):
    first = post("", PLAIN, **{"Idempotency-Key": "k"})
    other = post("", PLAIN | {"merchant_id": "m-2", "amount": 99}, **{"Idempotency-Key": "k"})
    assert (first.status_code, other.status_code) == (201, 201)
    assert Payment.objects.count() == 2


def test_same_key_with_the_same_meaning_is_the_same_payment(post):
    first = post("", PLAIN | {"order_id": "7"}, **{"Idempotency-Key": "k"})
    again = post("", PLAIN | {"order_id": 7, "amount": 12.5}, **{"Idempotency-Key": "k"})
    assert again.json() == first.json()


def test_same_key_of_a_refused_payment_is_refused_again(post):
    for _ in range(2):
        response = post("", PLAIN | {"amount": -1}, **{"Idempotency-Key": "k"})
        assert code_of(response) == (409, "invalid_amount")
    assert Payment.objects.count() == 1


def test_without_a_key_each_payment_is_its_own(post):
    assert post("", PLAIN).json()["id"] != post("", PLAIN).json()["id"]


def test_plain_payment_is_refunded_once(post):
    payment_id = post("", PLAIN).json()["id"]
    first = post(f"/{payment_id}/refund", {"reason": "sent back"})
    assert first.status_code == 200
    assert (first.json()["status"], first.json()["refunded_amount"]) == ("refunded", "12.50")
    assert first.json()["refunded_because"] == "sent back"
    assert post(f"/{payment_id}/refund").json() == first.json()
    assert Refund.objects.count() == 1


def test_refused_plain_payment_has_nothing_to_refund(post):
    post("", PLAIN | {"amount": -1})
    assert code_of(post(f"/{Payment.objects.get().id}/refund")) == (409, "no_payment")


def test_saga_payment_can_be_seen_by_id_cart_and_saga(post, get):
    charged = post("/saga", OF_SAGA)
    assert charged.status_code == 200
    payment_id = charged.json()["payment_id"]
    payment = get(f"/{payment_id}").json()
    assert payment | OF_SAGA == payment
    assert payment["subject"] == "c"
    assert get("/saga/c").json() == {"subject": "c", "cart_id": "c", "payments": [payment]}
    status = get("/saga/s/status").json()
    assert (status["payment_id"], status["saga_id"]) == (payment_id, "s")
    assert (status["status"], status["amount"]) == ("captured", "12.50")


def test_payments_of_a_cart_are_shown_newest_first(post, get):
    post("/saga", OF_SAGA | {"saga_id": "first", "payment_method": "card_declined"})
    post("/saga", OF_SAGA | {"saga_id": "second"})
    seen = get("/saga/c").json()["payments"]
    assert [(row["saga_id"], row["status"]) for row in seen] == [
        ("second", "captured"),
        ("first", "refused"),
    ]


@pytest.mark.parametrize("path", ["/saga/{id}/refund", "/{id}/refund"])
def test_saga_payment_is_refunded_by_its_id_through_the_barrier(post, path):
    payment_id = post("/saga", OF_SAGA).json()["payment_id"]
    refunded = post(path.format(id=payment_id))
    assert refunded.status_code == 200
    assert refunded.json()["refunded_amount"] == "12.50"
    assert post("/saga/refund", {"saga_id": "s"}).json() == refunded.json()
    assert Refund.objects.get().saga_id == "s"


def test_refund_by_id_for_another_saga_is_refused(post):
    payment_id = post("/saga", OF_SAGA).json()["payment_id"]
    response = post(f"/saga/{payment_id}/refund", {"saga_id": "another"})
    assert response.json()["errors"][0]["field"] == "saga_id"
    assert not Refund.objects.exists()


def test_list_of_charges_is_answered_with_an_outcome_each(post):
    response = post("/saga", [OF_SAGA, OF_SAGA | {"saga_id": "t", "amount": -1}])
    assert response.status_code == 207
    assert [result["outcome"] for result in response.json()] == ["done", "refused"]
    assert response.json()[1]["code"] == "invalid_amount"


def test_list_of_refunds_is_answered_with_an_outcome_each(post):
    post("/saga", OF_SAGA)
    response = post("/saga/refund", [{"saga_id": "s"}, {"saga_id": "nobody"}])
    assert response.status_code == 207
    assert [result["data"].get("nothing_to_undo") for result in response.json()] == [None, True]


@pytest.mark.parametrize(
    ("change", "field"),
    [({"amount": "x"}, "amount"), ({"amount": None}, "amount"), ({"saga_id": ""}, "saga_id")],
)
def test_wrong_field_of_a_charge_is_named(post, change, field):
    response = post("/saga", OF_SAGA | change)
    assert code_of(response) == (400, "invalid")
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize("path", ["/nope", "/saga/nope/status", "/nope/", "/saga/nope/"])
def test_unknown_payment_is_not_found(get, path):
    assert get(path).status_code == 404
    assert get(path)["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/nope/refund", "/saga/nope/refund"])
def test_refund_of_an_unknown_payment_is_not_found(post, path):
    assert post(path).status_code == 404


@pytest.mark.parametrize("path", ["", "/saga", "/saga/refund", "/x/refund"])
def test_method_that_a_path_does_not_have_is_refused(client, path):
    response = client.put(f"/api/v1/payments{path}")
    assert code_of(response) == (405, "method_not_allowed")


@pytest.mark.parametrize("path", ["", "/saga"])
def test_body_of_another_type_is_refused(client, path):
    response = client.post(f"/api/v1/payments{path}", "a=1", content_type="text/plain")
    assert code_of(response) == (415, "unsupported_media_type")


def test_cart_without_a_payment_yet_has_an_empty_list(get):
    response = get("/saga/nobody")
    assert (response.status_code, response.json()["payments"]) == (200, [])


def test_payments_are_shown_by_their_order_in_pages(client, post):
    for number in range(3):
        post("/saga", OF_SAGA | {"saga_id": f"s{number}", "cart_id": f"order {number}"})
    page = client.get("/payments?page_size=2").json()
    assert list(page["payments"]) == ["order 1", "order 2"]
    assert page["payments"]["order 2"]["status"] == "captured"
    assert list(client.get(page["next"]).json()["payments"]) == ["order 0"]


def test_refund_of_a_sagas_payment_by_hand_is_refused(client, post):
    body = OF_SAGA | {"saga": "checkout", "step": "process_payment", "subject": "c"}
    charged = client.generic("POST", "/steps/pagos.charge", json.dumps(body), "application/json")
    payment_id = charged.json()["payment_id"]
    assert code_of(post(f"/{payment_id}/refund")) == (409, "part_of_a_saga")
    assert code_of(post("/saga/refund", {"saga_id": "s"})) == (409, "part_of_a_saga")
    assert not Refund.objects.exists()


def test_refund_to_a_closed_account_fails_until_another_is_named(client, post, get):
    paid = post("/saga", OF_SAGA | {"payment_method": "closed_account"}).json()["payment_id"]
    refused = post(f"/saga/{paid}/refund", {})
    assert code_of(refused) == (409, "unreadable")
    assert f"PATCH /api/v1/payments/{paid}" in refused.json()["detail"]
    assert get(f"/{paid}").json()["status"] == "captured"

    def refund_to(method: str):
        url, body = f"/api/v1/payments/{paid}", json.dumps({"refund_to": method})
        return client.patch(url, body, content_type="application/json")

    assert refund_to("paypal").json()["refund_to"] == "paypal"
    assert post(f"/saga/{paid}/refund", {}).status_code == 200
    assert get(f"/{paid}").json()["refunded_amount"] == "12.50"
    assert code_of(refund_to("paypal")) == (409, "no_payment")
