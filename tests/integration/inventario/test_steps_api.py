"""The saga's steps over HTTP, and what can be seen of them."""

import json

import pytest

pytestmark = pytest.mark.django_db(databases=["inventario"])


@pytest.fixture
def post(client):
    def call(path: str, body):
        text = body if isinstance(body, str) else json.dumps(body)
        return client.post(f"/api/products/{path}", text, content_type="application/json")

    return call


@pytest.fixture
def laptop(product):
    return product(10)


def wanted(laptop, saga_id: str = "s", quantity: int = 2, product_id=None):
    items = [{"product_id": product_id or str(laptop.pk), "quantity": quantity}]
    return {"saga_id": saga_id, "cart_id": "c", "items": items}


def test_reservation_can_be_seen(client, post, laptop):
    reserved = post("reserve", wanted(laptop))
    assert reserved.status_code == 200
    answered = client.get("/api/products/reservations/c").json()
    (seen,) = answered["reservations"]
    assert answered["cart_id"] == "c"
    assert seen["reservation_id"] == reserved.json()["reservation_id"]
    assert (seen["saga_id"], seen["status"]) == ("s", "reserved")
    assert seen["items"] == [{"product_id": str(laptop.pk), "quantity": 2}]


def test_reservations_of_a_cart_are_shown_newest_first(client, post, laptop):
    for saga_id in ("first", "second"):
        post("reserve", wanted(laptop, saga_id))
        post("unreserve", {"saga_id": saga_id})
    seen = client.get("/api/products/reservations/c").json()["reservations"]
    assert [one["saga_id"] for one in seen] == ["second", "first"]


def test_availability_follows_each_step(client, post, laptop):
    def seen():
        found = client.get(f"/api/products/availability/{laptop.pk}").json()
        assert found["initial"] == 10
        return found["available"], found["reserved"], found["sold"], found["is_available"]

    assert seen() == (10, 0, 0, True)
    post("reserve", wanted(laptop, quantity=10))
    assert seen() == (0, 10, 0, False)
    post("commit", {"saga_id": "s"})
    assert seen() == (0, 0, 10, False)
    post("restore", {"saga_id": "s"})
    assert seen() == (10, 0, 0, True)


def test_product_id_may_be_a_number(post, laptop):
    assert post("reserve", wanted(laptop, product_id=laptop.pk)).status_code == 200


def test_refusal_is_a_conflict_with_its_code(post, laptop):
    answered = post("reserve", wanted(laptop, quantity=999_999))
    assert (answered.status_code, answered.json()["code"]) == (409, "out_of_stock")
    assert answered["Content-Type"] == "application/problem+json"


def test_same_saga_again_is_answered_the_same(post, laptop):
    first = post("reserve", wanted(laptop)).json()
    assert post("reserve", wanted(laptop, quantity=5)).json() == first


def test_list_is_answered_with_an_outcome_each(post, laptop):
    lists = [wanted(laptop, "a", 6), wanted(laptop, "b", 6), wanted(laptop, "a", 6)]
    answered = post("reserve", lists)
    assert answered.status_code == 207
    first, refused, again = answered.json()
    assert (first["outcome"], first) == ("done", again)
    assert (refused["outcome"], refused["code"]) == ("refused", "out_of_stock")


def test_empty_list_is_answered_with_an_empty_one(post):
    answered = post("unreserve", [])
    assert (answered.status_code, answered.json()) == (207, [])


def test_blocked_commit_never_happens(post, laptop):
    post("reserve", wanted(laptop))
    assert post("commit/block", {"saga_id": "s"}).json()["code"] == "aborted"
    assert post("commit", {"saga_id": "s"}).json()["code"] == "aborted"


def test_undo_of_what_never_happened_is_a_success(post):
    answered = post("unreserve", {"saga_id": "nobody"})
    assert (answered.status_code, answered.json()) == (200, {"nothing_to_undo": True})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"saga_id": ""}, "saga_id"),
        ({"saga_id": "x" * 65}, "saga_id"),
        ({"saga_id": 7}, "saga_id"),
        ({"items": []}, "items"),
        ({"items": "x"}, "items"),
        ({"items": [{"product_id": "1", "quantity": 0}]}, "items[0].quantity"),
        ({"items": [{"product_id": "1", "quantity": "2"}]}, "items[0].quantity"),
        ({"items": [{"product_id": 1.5, "quantity": 2}]}, "items[0].product_id"),
        ({"items": [{"quantity": 2}]}, "items[0].product_id"),
        ({"cart_id": None}, "cart_id"),
    ],
)
def test_wrong_field_is_named(post, laptop, change, field):
    answered = post("reserve", wanted(laptop) | change)
    assert answered.status_code == 400
    assert [one["field"] for one in answered.json()["errors"]] == [field]


@pytest.mark.parametrize("body", ["", "{", "null", '"x"', "[{}]", "[1]"])
def test_body_that_is_no_command_is_a_problem(post, body):
    answered = post("reserve", body)
    assert answered.status_code == 400
    assert answered["Content-Type"] == "application/problem+json"
