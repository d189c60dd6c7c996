"""envios over HTTP: couriers, deliveries, and the saga's own doors."""

import json

import pytest
from django.core.management import call_command

pytestmark = pytest.mark.django_db(databases=["envios"])

ROSA = {
    "name": "Rosa",
    "phone_number": "+53 5",
    "province": "La Habana",
    "city": "Plaza",
    "capacity": 2,
}


@pytest.fixture
def post(client):
    def call(path: str, body=None):
        text = "" if body is None else json.dumps(body)
        return client.generic("POST", path, text, "application/json")

    return call


@pytest.fixture
def schedule(post):
    """A delivery, scheduled as by a saga."""

    def call(saga_id: str):
        body = {
            "saga_id": saga_id,
            "saga": "fulfilment",
            "step": "schedule_delivery",
            "subject": f"order-{saga_id}",
            "destination": {"province": "La Habana", "city": "Plaza"},
        }
        return post("/steps/envios.schedule", body)

    return call


@pytest.fixture
def delivery(post, schedule):
    post("/couriers", ROSA)
    return schedule("s").json()["delivery_id"]


def test_added_courier_is_listed_and_free(client, post):
    added = post("/couriers", ROSA)
    assert added.status_code == 201
    courier = added.json()
    assert courier | ROSA == courier
    assert (courier["deliveries"], courier["is_free"]) == (0, True)
    assert client.get("/couriers").json()["results"] == [courier]


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", None), ("capacity", -1), ("capacity", "2"), ("city", 5)],
)
def test_wrong_field_of_a_courier_is_named(post, field, value):
    response = post("/couriers", ROSA | {field: value})
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_deliveries_are_shown_by_their_order(client, delivery):
    seen = client.get("/deliveries").json()
    shown = seen["deliveries"]["order-s"]
    assert (shown["id"], shown["status"], shown["courier"]["name"]) == (
        delivery,
        "scheduled",
        "Rosa",
    )
    assert client.get(f"/deliveries/{delivery}").json() == shown
    assert client.get("/deliveries?order_id=order-s").json()["results"] == [shown]
    assert client.get("/deliveries?order_id=another").json()["results"] == []


def test_deliveries_are_shown_in_pages(client, post, schedule):
    post("/couriers", ROSA | {"capacity": 3})
    for saga_id in "abc":
        schedule(saga_id)
    url, seen = "/deliveries?page_size=2", []
    while url:
        page = client.get(url).json()
        seen += page["deliveries"]
        url = page["next"]
    assert seen == ["order-b", "order-c", "order-a"]


def test_delivered_frees_the_courier(client, post, delivery):
    assert post(f"/deliveries/{delivery}/in_transit").json()["status"] == "in_transit"
    assert client.get("/couriers").json()["results"][0]["deliveries"] == 1
    for _ in range(2):
        response = post(f"/deliveries/{delivery}/delivered")
        assert (response.status_code, response.json()["status"]) == (200, "delivered")
    assert client.get("/couriers").json()["results"][0]["deliveries"] == 0
    late = post(f"/deliveries/{delivery}/in_transit")
    assert (late.status_code, late.json()["code"]) == (409, "delivered_already")


@pytest.mark.parametrize("path", ["/deliveries/9", "/deliveries/x", f"/deliveries/{'9' * 30}"])
def test_unknown_delivery_is_not_found(client, post, path):
    assert client.get(path).status_code == 404
    assert post(f"{path}/delivered").status_code == 404


def test_refusal_is_a_conflict_with_its_code(schedule):
    response = schedule("s")
    assert (response.status_code, response.json()["code"]) == (409, "area_not_served")


def test_what_is_a_sagas_own_is_not_undone_by_another(post, delivery):
    undo = {"saga_id": "s", "saga": "fulfilment", "step": "schedule_delivery"}
    assert post("/steps/envios.schedule/undo", undo | {"saga": ""}).status_code == 400
    assert post("/steps/envios.schedule/undo", undo).json()["status"] == "cancelled"


def test_sample_couriers_are_added_once(client, capsys):
    for _ in range(2):
        call_command("seed_couriers")
    assert "0 couriers added" in capsys.readouterr().out
    names = [result["name"] for result in client.get("/couriers").json()["results"]]
    assert len(names) == len(set(names)) > 1
