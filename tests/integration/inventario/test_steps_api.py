"""The saga's steps over HTTP, and their effects in the API."""

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
    body = client.get("/api/products/reservations/c").json()
    (seen,) = body["reservations"]
    assert body["cart_id"] == "c"
    assert seen["reservation_id"] == reserved.json()["reservation_id"]
    assert (seen["saga_id"], seen["status"]) == ("s", "reserved")
    assert seen["items"] == [{"product_id": str(laptop.pk), "quantity": 2}]


def test_reservations_of_a_cart_are_shown_newest_first(client, post, laptop):
    for saga_id in ("first", "second"):
        post("reserve", wanted(laptop, saga_id))
        post("unreserve", {"saga_id": saga_id})
    seen = client.get("/api/products/reservations/c").json()["reservations"]
    assert [row["saga_id"] for row in seen] == ["second", "first"]


def test_availability_follows_each_step(client, post, laptop):
    def seen():
        body = client.get(f"/api/products/availability/{laptop.pk}").json()
        assert body["initial"] == 10
        return body["available"], body["reserved"], body["sold"], body["is_available"]

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
    response = post("reserve", wanted(laptop, quantity=999_999))
    assert (response.status_code, response.json()["code"]) == (409, "out_of_stock")
    assert response["Content-Type"] == "application/problem+json"


def test_same_saga_again_is_answered_the_same(post, laptop):
    first = post("reserve", wanted(laptop)).json()
    assert post("reserve", wanted(laptop, quantity=5)).json() == first


def test_list_is_answered_with_an_outcome_each(post, laptop):
    lists = [wanted(laptop, "a", 6), wanted(laptop, "b", 6), wanted(laptop, "a", 6)]
    response = post("reserve", lists)
    assert response.status_code == 207
    first, refused, again = response.json()
    assert (first["outcome"], first) == ("done", again)
    assert (refused["outcome"], refused["code"]) == ("refused", "out_of_stock")


def test_empty_list_is_answered_with_an_empty_one(post):
    response = post("unreserve", [])
    assert (response.status_code, response.json()) == (207, [])


@pytest.fixture
def of_saga(client):
    """At the doors for sagas, where the request names the step."""

    def call(operation: str, step: str, **fields):
        body = {"saga_id": "s", "saga": "checkout", "step": step, **fields}
        url = f"/steps/inventario.{operation}"
        return client.post(url, json.dumps(body), content_type="application/json")

    return call


def reserve_in_a_saga(of_saga, laptop, step: str = "reserve_inventory"):
    items = [{"product_id": str(laptop.pk), "quantity": 2}]
    return of_saga("reserve", step, subject="c", items=items)


def test_blocked_commit_never_happens(of_saga, laptop):
    reserve_in_a_saga(of_saga, laptop)
    assert of_saga("commit/block", "commit_inventory").json()["code"] == "aborted"
    assert of_saga("commit", "commit_inventory").json()["code"] == "aborted"


@pytest.mark.parametrize("path", ["commit", "restore", "unreserve"])
def test_what_is_a_sagas_own_is_not_done_by_hand(of_saga, post, laptop, path):
    reserve_in_a_saga(of_saga, laptop)
    response = post(path, {"saga_id": "s"})
    assert (response.status_code, response.json()["code"]) == (409, "part_of_a_saga")
    laptop.refresh_from_db()
    assert (laptop.available, laptop.reserved) == (8, 2)


def test_padding_step_changes_nothing(of_saga):
    assert of_saga("pad", "pad_saga_2").json() == {}


def test_cart_without_a_reservation_yet_has_an_empty_list(client):
    response = client.get("/api/products/reservations/nobody")
    assert (response.status_code, response.json()["reservations"]) == (200, [])


def test_inventory_is_shown_by_sku_and_by_what_it_is_reserved_for(client, of_saga, product):
    laptop = product(10, sku="product_1")
    reserve_in_a_saga(of_saga, laptop)
    seen = client.get("/inventory").json()
    assert (seen["inventory"]["product_1"]["available"], seen["next"]) == (8, None)
    assert seen["reserved"]["c"]["items"] == [{"product_id": str(laptop.pk), "quantity": 2}]


def test_inventory_is_shown_in_pages(client, product):
    skus = [product(1).sku for _ in range(3)]
    url, seen = "/inventory?page_size=2", []
    while url:
        page = client.get(url).json()
        seen += page["inventory"]
        url = page["next"]
    assert seen == skus


def test_undo_of_what_never_happened_is_a_success(post):
    response = post("unreserve", {"saga_id": "nobody"})
    assert (response.status_code, response.json()) == (200, {"nothing_to_undo": True})


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
    response = post("reserve", wanted(laptop) | change)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize("body", ["", "{", "null", '"x"', "[{}]", "[1]"])
def test_body_that_is_no_command_is_a_problem(post, body):
    response = post("reserve", body)
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
