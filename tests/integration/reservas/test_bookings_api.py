"""reservas over HTTP: slots, bookings, and the manager's decisions."""

import pytest
from django.core.management import call_command

from catalogue import refusals
from contracts.outcomes import Done
from reservas import operations, views
from reservas.models import Booking, Decision

pytestmark = pytest.mark.django_db(transaction=True, databases=["reservas"])

WANTED = {
    "user_id": "ana",
    "starts_at": "2026-12-01T10:00:00Z",
    "ends_at": "2026-12-01T12:00:00+01:00",
}


@pytest.fixture
def post(client):
    def call(path, body=None, **headers):
        return client.post(path, body or {}, content_type="application/json", headers=headers)

    return call


@pytest.fixture
def book(post, desk):
    def call(headers=None, **changed):
        wanted = {**WANTED, "slot_id": str(desk.slot.pk), "saga_pattern": "choreographed"}
        return post("/bookings", {**wanted, **changed}, **(headers or {}))

    return call


@pytest.fixture
def booked(book):
    def call(**changed):
        response = book(**changed)
        assert response.status_code == 202, response.content
        return response.json()["booking_id"]

    return call


@pytest.fixture
def asked(booked, desk):
    def call(**changed):
        booking_id = booked(**changed)
        desk.step(operations.approve, "approve_booking", booking_id)
        return booking_id

    return call


def test_slot_is_added_and_listed(client, post):
    added = post("/slots", {"name": "Patio", "price_per_hour": "15.5"})
    assert (added.status_code, added.json()["price_per_hour"]) == (201, "15.50")
    assert client.get("/slots").json()["results"] == [added.json()]
    wrong = post("/slots", {"name": " ", "price_per_hour": "1000000.01"})
    assert (wrong.status_code, len(wrong.json()["errors"])) == (400, 1)


def test_booking_is_accepted_pending_and_shown(client, book):
    response = book()
    body = response.json()
    assert (response.status_code, body["status"], body["total_amount"]) == (202, "pending", "40.00")
    assert body["status_url"].endswith(f"/bookings/{body['booking_id']}")
    shown = client.get(f"/bookings/{body['booking_id']}").json()
    assert (shown["status"], shown["price"], shown["slot"]["name"]) == (
        "pending",
        "40.00",
        "Sala Azul",
    )
    assert client.get("/bookings?user_id=ana&status=pending").json()["count"] == 1
    assert client.get("/bookings?user_id=luis").json()["count"] == 0


def test_taken_slot_is_a_conflict_and_an_unknown_one_is_not_found(book, booked):
    booked()
    taken = book(user_id="luis")
    assert (taken.status_code, taken.json()["code"]) == (409, refusals.SLOT_TAKEN)
    for slot_id in ("999999", "blue", "9" * 30, -1):
        unknown = book(slot_id=slot_id)
        assert (unknown.status_code, unknown.json()["code"]) == (404, refusals.UNKNOWN_SLOT), (
            slot_id
        )
    assert Booking.objects.count() == 1


def test_same_key_is_the_same_booking(book, booked):
    key = {"Idempotency-Key": "k"}
    first = book(headers=key).json()["booking_id"]
    again = book(headers=key)
    assert (again.status_code, again.json()["booking_id"]) == (202, first)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = book(headers=key, auto_approve=True)
    assert (other.status_code, other.json()["code"]) == (422, refusals.KEY_REUSED)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"starts_at": "2026-12-01T10:00:00"}, "starts_at"),
        ({"ends_at": WANTED["starts_at"]}, "ends_at"),
        ({"ends_at": "2027-12-01T10:00:00Z"}, "ends_at"),
        ({"starts_at": "0001-01-01T00:00:00+14:00"}, "starts_at"),
        ({"ends_at": "9999-12-31T23:59:59Z"}, "ends_at"),
        ({"user_id": ""}, "user_id"),
        ({"saga": "checkout"}, "saga"),
        ({"saga_pattern": "monolith"}, "saga_pattern"),
    ],
)
def test_wrong_field_is_named_and_nothing_kept(book, change, field):
    response = book(**change)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert not Booking.objects.exists()


def test_manager_approves(post, asked, client, settings):
    settings.ROOT_URLCONF = "tests.integration.reservas.served"
    booking_id = asked()
    response = post(f"/bookings/{booking_id}/approve", {"by": "eva"})
    assert (response.status_code, response.json()["status"]) == (200, "approved")
    assert response.json()["approved_by"] == "eva"
    assert post(f"/bookings/{booking_id}/approve", {"by": "eva"}).status_code == 200
    other = post(f"/bookings/{booking_id}/reject", {"by": "leo"})
    assert (other.status_code, other.json()["code"]) == (409, refusals.ALREADY_DECIDED)
    (listed,) = client.get("/decisions?status=closed&decided_by=manager").json()["results"]
    assert (listed["saga_id"], listed["verdict"], listed["by"]) == (booking_id, "yes", "eva")


def test_manager_rejects_with_a_reason(post, asked):
    booking_id = asked()
    response = post(f"/bookings/{booking_id}/reject", {"by": "eva", "reason": "closed that day"})
    assert response.status_code == 200
    assert Decision.objects.get().reason == "closed that day"


def test_verdict_names_who_gives_it(post, asked):
    response = post(f"/bookings/{asked()}/approve")
    assert [error["field"] for error in response.json()["errors"]] == ["by"]


def test_verdict_before_the_saga_asks_is_to_be_repeated(post, booked, monkeypatch):
    monkeypatch.setattr(views, "ASKED_SECONDS", 0.05)
    response = post(f"/bookings/{booked()}/approve", {"by": "eva"})
    assert (response.status_code, response.json()["code"]) == (409, refusals.NOT_STARTED)


def test_verdict_on_what_approved_itself_is_a_conflict(post, asked):
    booking_id = asked(auto_approve=True)
    response = post(f"/bookings/{booking_id}/reject", {"by": "eva"})
    assert (response.status_code, response.json()["code"]) == (409, refusals.ALREADY_DECIDED)


def test_verdict_on_what_has_ended_is_a_conflict(post, booked, desk):
    booking_id = booked()
    desk.undo(operations.fail_booking, "accept_booking", booking_id)
    response = post(f"/bookings/{booking_id}/approve", {"by": "eva"})
    assert (response.status_code, response.json()["code"]) == (409, refusals.DECISION_CLOSED)


@pytest.mark.parametrize("path", ["/approve", "/reject", "/cancel"])
def test_unknown_booking_is_not_found(post, client, path):
    assert client.get("/bookings/nobody").status_code == 404
    assert post(f"/bookings/nobody{path}", {"by": "eva"}).status_code == 404


def test_without_its_coordinator_a_cancellation_is_to_be_repeated(post, booked):
    response = post(f"/bookings/{booked()}/cancel", {"by": "ana"})
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


def test_waiting_request_is_answered_with_the_end(book, booked, desk):
    key = {"Idempotency-Key": "k"}
    booking_id = book(headers=key, auto_approve=True).json()["booking_id"]
    desk.step(operations.approve, "approve_booking", booking_id)
    assert isinstance(desk.step(operations.reserve, "reserve_booking", booking_id), Done)
    ended = book(headers={**key, "Prefer": "wait=5"}, auto_approve=True)
    assert (ended.status_code, ended.json()["status"]) == (200, "reserved")


def test_sample_slots_are_added_once(client):
    for _ in range(2):
        call_command("seed_slots")
    assert client.get("/slots").json()["count"] == 3
