"""The catalogue over HTTP."""

import json

import pytest
from django.core.management import call_command

from inventario.models import Product

pytestmark = pytest.mark.django_db(databases=["inventario"])

LAPTOP = {
    "name": "Laptop",
    "description": "14 inch",
    "price": 1299.99,
    "quantity": 10,
    "category": "computers",
    "sku": "LAP-1",
}


@pytest.fixture
def send(client):
    def call(method: str, path: str, body=None):
        if body is None:
            return client.generic(method, path)
        text = body if isinstance(body, str) else json.dumps(body)
        return client.generic(method, path, text, content_type="application/json")

    return call


@pytest.fixture
def laptop(send):
    return send("POST", "/api/products", LAPTOP).json()


def wrong_fields(response) -> set[str]:
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    return {error["field"] for error in response.json()["errors"]}


def test_added_product_is_there(send):
    response = send("POST", "/api/products", LAPTOP)
    assert response.status_code == 201
    product = response.json()
    assert response["Location"].endswith(f"/api/products/{product['id']}")
    assert send("GET", f"/api/products/{product['id']}").json() == product
    assert product | {"price": 1299.99, "quantity": 10} == product | LAPTOP
    assert (product["price"], product["available"], product["sold"]) == ("1299.99", 10, 0)
    assert isinstance(product["id"], str)


@pytest.mark.parametrize(
    ("price", "shown"), [(5, "5.00"), ("5.5", "5.50"), (0, "0.00"), (0.1, "0.10")]
)
def test_price_may_be_a_number_or_a_string_and_is_shown_with_two_decimals(send, price, shown):
    assert send("POST", "/api/products", LAPTOP | {"price": price}).json()["price"] == shown


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", "1.999"),
        ("price", -1),
        ("price", "free"),
        ("price", None),
        ("price", 1e30),
        ("price", True),
        ("quantity", -1),
        ("quantity", 1.5),
        ("quantity", "many"),
        ("quantity", 10**12),
        ("name", ""),
        ("name", "x" * 201),
        ("name", "a\u0000b"),
        ("name", ["x"]),
        ("sku", ""),
    ],
)
def test_wrong_field_is_named_and_nothing_added(send, field, value):
    assert wrong_fields(send("POST", "/api/products", LAPTOP | {field: value})) == {field}
    assert not Product.objects.exists()


def test_all_missing_fields_are_named(send):
    assert wrong_fields(send("POST", "/api/products", {})) == {"name", "price", "quantity", "sku"}


@pytest.mark.parametrize("body", ["{", '"x"', "3", "null", "[3]", "", '[[{"name": 1}]]'])
def test_body_that_is_no_product_is_a_problem(send, body):
    response = send("POST", "/api/products", body)
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert not Product.objects.exists()


def test_taken_sku_is_refused(send, laptop):
    response = send("POST", "/api/products", LAPTOP | {"name": "Another"})
    assert (response.status_code, response.json()["code"]) == (409, "sku_taken")
    assert Product.objects.count() == 1


def test_prices_of_several_products_come_in_one_answer(send, laptop):
    other = send("POST", "/api/products", LAPTOP | {"sku": "b", "price": 5}).json()["id"]
    send("PATCH", f"/api/products/{laptop['id']}", {"price": "999.5"})
    response = send("GET", f"/api/products/prices?ids={laptop['id']},{other},999999999")
    assert response.json() == {"prices": {laptop["id"]: "999.50", other: "5.00"}}


@pytest.mark.parametrize("query", ["", "?ids=", "?ids=x", "?ids=1,,2"])
def test_prices_of_no_product_are_refused(send, query):
    assert wrong_fields(send("GET", f"/api/products/prices{query}")) == {"ids"}


def test_list_is_answered_with_an_outcome_each(send, laptop):
    wanted = [LAPTOP | {"sku": sku} for sku in ("a", "LAP-1", "b", "a")]
    response = send("POST", "/api/products", wanted)
    assert response.status_code == 207
    outcomes = response.json()
    assert [outcome["outcome"] for outcome in outcomes] == ["done", "refused", "done", "refused"]
    assert [outcome["data"]["sku"] for outcome in outcomes[::2]] == ["a", "b"]
    assert outcomes[3]["code"] == "sku_taken"


def test_list_with_a_wrong_field_adds_nothing(send):
    response = send("POST", "/api/products", [LAPTOP, LAPTOP | {"sku": "b", "price": -1}])
    assert [field for field in wrong_fields(response) if "price" in field and "1" in field]
    assert not Product.objects.exists()


def test_empty_list_adds_nothing(send):
    response = send("POST", "/api/products", [])
    assert (response.status_code, response.json()) == (207, [])


def test_pages_show_everything_once(send):
    send("POST", "/api/products", [LAPTOP | {"sku": str(n)} for n in range(7)])
    url, skus, pages = "/api/products?page_size=3&category=computers", [], 0
    while url:
        page = send("GET", url).json()
        skus += [result["sku"] for result in page["results"]]
        url, pages = page["next"], pages + 1
        assert page["count"] == 7
    assert (skus, pages) == ([str(n) for n in range(7)], 3)
    before = send("GET", page["previous"]).json()
    assert [result["sku"] for result in before["results"]] == skus[3:6]


def test_products_that_come_in_meanwhile_shift_no_page(send):
    send("POST", "/api/products", [LAPTOP | {"sku": str(n)} for n in range(6)])
    first = send("GET", "/api/products?page_size=3&category=computers").json()
    send("POST", "/api/products", [LAPTOP | {"sku": f"late-{n}"} for n in range(3)])
    second = send("GET", first["next"]).json()
    assert [result["sku"] for result in second["results"]] == ["3", "4", "5"]


def test_products_are_found_by_category_words_ids_and_skus(send):
    wanted = [
        LAPTOP,
        LAPTOP | {"sku": "MOU-1", "name": "Mouse", "description": "wireless"},
        LAPTOP | {"sku": "BAG-1", "name": "Bag", "category": "travel", "description": ""},
    ]
    ids = [row["data"]["id"] for row in send("POST", "/api/products", wanted).json()]

    def found(query: str) -> list[str]:
        return [result["id"] for result in send("GET", f"/api/products?{query}").json()["results"]]

    assert found("") == ids
    assert found("category=Computers") == ids[:2]
    assert found("search=WIRELESS") == found("search=mou-") == [ids[1]]
    assert found("category=travel&search=laptop") == []
    assert found(f"ids={ids[2]},{ids[0]}, {'9' * 30}") == [ids[0], ids[2]]
    query = f"named=BAG-1&named={ids[0]}&named=nothing"
    assert found(query) == [ids[0], ids[2]]
    following = send("GET", f"/api/products?{query}&page_size=1").json()["next"]
    assert found(following.partition("?")[2]) == [ids[2]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("ids=x", "ids"),
        ("ids=1,,2", "ids"),
        ("ids=%D9%A3", "ids"),
        ("page=0", "page"),
        ("page=two", "page"),
        ("page_size=0", "page_size"),
        ("page_size=100000", "page_size"),
        ("search=%00", "search"),
        ("ids=x&ids=1", "ids"),
        ("page=0&page=1", "page"),
        ("named=%00&named=1", "named"),
    ],
)
def test_wrong_question_is_named(send, query, field):
    assert wrong_fields(send("GET", f"/api/products?{query}")) == {field}


def test_page_beyond_the_last_is_empty(send, laptop):
    assert send("GET", "/api/products?page=9").json()["results"] == []


def test_change_touches_only_what_is_sent(send, laptop):
    response = send("PATCH", f"/api/products/{laptop['id']}", {"price": "999.00", "name": "L"})
    assert response.json() == laptop | {"price": "999.00", "name": "L"}


def test_stock_is_not_changed_by_patch(send, laptop):
    path = f"/api/products/{laptop['id']}"
    for field in ("quantity", "available", "sold", "id", "nonsense"):
        assert wrong_fields(send("PATCH", path, {field: 5, "price": 1})) == {field}
    assert send("GET", path).json() == laptop


def test_change_to_a_taken_sku_is_refused(send, laptop):
    other = send("POST", "/api/products", LAPTOP | {"sku": "b"}).json()
    response = send("PATCH", f"/api/products/{other['id']}", {"sku": "LAP-1"})
    assert (response.status_code, response.json()["code"]) == (409, "sku_taken")


@pytest.mark.parametrize(("quantity", "left"), [(5, 15), (-10, 0), (0, 10)])
def test_restock_adds_to_what_is_available(send, laptop, quantity, left):
    response = send("POST", f"/api/products/{laptop['id']}/restock", {"quantity": quantity})
    assert (response.status_code, response.json()["available"]) == (200, left)


def test_restock_beyond_what_a_product_can_have_is_refused(send, laptop):
    path = f"/api/products/{laptop['id']}"
    Product.objects.update(initial=10**12 - 5, available=10**12 - 5)
    response = send("POST", f"{path}/restock", {"quantity": 6})
    assert (response.status_code, response.json()["code"]) == (409, "stock_too_large")
    assert send("POST", f"{path}/restock", {"quantity": 5}).json()["available"] == 10**12


@pytest.mark.parametrize("price", ["12345678901.999999999", "0.001", "10000000000"])
def test_number_that_was_written_with_too_much_is_refused_as_the_text_is(send, price):
    for wanted in (json.dumps(LAPTOP).replace("1299.99", price), LAPTOP | {"price": price}):
        assert wrong_fields(send("POST", "/api/products", wanted)) == {"price"}


def test_restock_takes_off_no_more_than_is_available(send, laptop):
    path = f"/api/products/{laptop['id']}"
    response = send("POST", f"{path}/restock", {"quantity": -11})
    assert (response.status_code, response.json()["code"]) == (409, "out_of_stock")
    assert send("GET", path).json() == laptop


@pytest.mark.parametrize(
    "body",
    [{}, {"quantity": "3"}, {"quantity": 3.0}, {"quantity": True}, {"quantity": 10**18}, [1]],
)
def test_restock_names_what_is_wrong(send, laptop, body):
    assert wrong_fields(send("POST", f"/api/products/{laptop['id']}/restock", body))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/products/999"),
        ("GET", "/api/products/nonsense"),
        ("GET", "/api/products/availability/999"),
        ("PATCH", "/api/products/999"),
        ("POST", "/api/products/999/restock"),
        ("GET", f"/api/products/{'9' * 40}"),
        ("GET", "/api/products/"),
    ],
)
def test_what_is_not_there_is_not_found(send, method, path):
    response = send(method, path, None if method == "GET" else {})
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/products"),
        ("PUT", "/api/products/1"),
        ("GET", "/api/products/reserve"),
        ("GET", "/steps/inventario.commit/block"),
        ("POST", "/api/products/availability/1"),
    ],
)
def test_method_that_a_path_does_not_have_is_refused(send, method, path):
    response = send(method, path)
    assert response.status_code == 405
    assert method not in response["Allow"]


@pytest.mark.parametrize("path", ["/api/products", "/api/products/reserve"])
def test_body_of_another_type_is_refused(client, path):
    response = client.post(path, "a=1", content_type="application/x-www-form-urlencoded")
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_sample_catalogue_is_seeded_once(capsys):
    call_command("seed_catalogue")
    seeded = list(Product.objects.values_list("sku", "initial"))
    call_command("seed_catalogue")
    assert list(Product.objects.values_list("sku", "initial")) == seeded
    assert capsys.readouterr().out.splitlines()[1].startswith("0 products added")
    assert len(seeded) >= 20
    assert 10 in {initial for _, initial in seeded}
