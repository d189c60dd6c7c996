"""A saga with damaged rows is parked alone: every other saga goes on."""

import json
import threading
from datetime import timedelta

import pytest
from django.db import connections, transaction

from saga_choreography import store, watchdog
from saga_choreography.models import Saga, SagaEvent
from saga_choreography.tracking import track
from saga_choreography.watchdog import Remedy, look
from tests.threads import InThread
from tests.unit.choreography.made import NOON, event

DATABASE = "saga_choreography"
pytestmark = pytest.mark.django_db(databases=["default", DATABASE])

OF_SAGA = "UPDATE saga_choreography_saga SET {} WHERE saga_id = 'bad'"
OF_EVENT = "UPDATE saga_choreography_sagaevent SET {} WHERE saga_id = 'bad'"
DAMAGES = {
    "an unknown phase": OF_SAGA.format("phase = 9"),
    "a context that is a list": OF_SAGA.format("context = '[]'"),
    "a context without its fields": OF_SAGA.format("context = '{}'"),
    "a context of another shape": OF_SAGA.format(
        """context = context || '{"data": 3, "saga_id": 7}'"""
    ),
    "the context of another saga": OF_SAGA.format(
        """context = context || '{"saga": "fulfilment"}'"""
    ),
    "an event that carries a list": OF_EVENT.format("data = '[1]'"),
    "an event with a failure of another shape": OF_EVENT.format("""data = '{"failure": "x"}'"""),
}
TOO_LATE = OF_EVENT.format("seen_at = '9999-12-31 23:59:59+00'")
"""A row that can be read, with a time that no other can follow."""


@pytest.fixture(autouse=True)
def _patience(settings):
    settings.REDRIVE_SECONDS = 10
    settings.SAGA_SECONDS = 120


@pytest.fixture(params=DAMAGES.values(), ids=DAMAGES)
def damaged(request, start, published):
    spoil(start, request.param)
    published()


def spoil(start, statement: str) -> None:
    """Three sagas, one of them damaged."""
    start("a", "bad", "c")
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(statement)


def after(seconds: float):
    return NOON + timedelta(seconds=seconds)


def test_watchdog_parks_it_with_the_reason_and_redrives_the_others(damaged, published):
    assert look(now=after(12)) == {Remedy.REDRIVE: 2, Remedy.PARK: 1}
    assert {event.saga_id for event in published()} == {"a", "c"}
    bad = Saga.objects.get(pk="bad")
    assert (bad.status, bad.watch_at) == ("parked", None)
    assert "bad" in bad.parked_reason
    assert look(now=after(13)) == {}


def test_saga_with_times_that_overflow_is_parked_too(start, published):
    spoil(start, TOO_LATE)
    published()
    assert look(now=after(12)) == {Remedy.REDRIVE: 2, Remedy.PARK: 1}
    assert {event.saga_id for event in published()} == {"a", "c"}


def test_control_read_only_together_they_hold_up_each_other(damaged, published, monkeypatch):
    monkeypatch.setattr(watchdog.sql, "is_outage", lambda error: True)
    with pytest.raises(store.UnreadableSaga):
        look(now=after(12))
    assert published() == []


@pytest.mark.django_db(databases=[DATABASE], transaction=True)
def test_locked_row_of_one_saga_keeps_the_watchdog_from_no_other(start, settings):
    settings.SAGA_SECONDS = 0.001
    start("a", "held", "c")
    is_held, is_done = threading.Event(), threading.Event()

    def hold() -> None:
        """As a forgotten transaction in psql: the abort of this saga can't be written."""
        with transaction.atomic(using=DATABASE):
            SagaEvent.objects.create(
                saga_id="held",
                event_type="checkout.abort.requested",
                occurred_at=NOON,
                seen_at=NOON,
                data={},
            )
            is_held.set()
            is_done.wait(30)

    holder = InThread(hold, service=DATABASE)
    assert is_held.wait(30)
    try:
        with connections[DATABASE].cursor() as cursor:
            cursor.execute("SET lock_timeout = 300")  # as a worker's connections have it
        assert look(now=after(12)) == {Remedy.ABORT: 2, Remedy.WAIT: 1}
    finally:
        is_done.set()
        holder.result()


def test_tracking_goes_on_and_keeps_what_it_receives(damaged):
    received = [event("inventory.reserve.failed", saga_id=saga_id) for saga_id in ("a", "bad", "c")]
    track(received=received, now=after(1))
    assert SagaEvent.objects.filter(event_type="inventory.reserve.failed").count() == 3
    assert {Saga.objects.get(pk=saga_id).status for saga_id in "ac"} == {"compensating"}


def test_it_is_listed_and_shown_with_the_others(damaged, client):
    listed = client.get("/saga/choreography/status")
    assert [result["saga_id"] for result in listed.json()["results"]] == ["c", "bad", "a"]
    for path in ("/saga/choreography/bad", "/saga/choreography/bad/status"):
        assert client.get(path).status_code == 200
    look(now=after(12))
    assert client.get("/saga/choreography/bad").json()["parked"]["reason"]


@pytest.mark.parametrize("ask", ["retry", "skip"])
def test_requests_for_it_are_refused_with_the_reason(damaged, client, ask):
    body = json.dumps({"reason": "why"})
    answer = client.post(f"/saga/choreography/bad/{ask}", body, content_type="application/json")
    assert answer.status_code == 409
    assert "bad" in answer.json()["detail"]
    assert Saga.objects.get(pk="a").status == "running"


def test_it_is_undone_as_a_whole_when_that_is_asked(damaged, client, published):
    answer = client.post("/saga/choreography/bad/compensate", content_type="application/json")
    assert (answer.status_code, answer.json()["status"]) == (202, "compensating")
    last = published()[-1]
    assert (last.saga_id, last.type) == ("bad", "checkout.return.requested")
    assert client.get("/saga/choreography/bad").json()["parked"] is None


def test_saga_that_the_catalogue_has_no_more_is_parked_listed_and_named(start, client, published):
    spoil(start, OF_SAGA.format("saga = 'bygone'"))
    published()
    assert look(now=after(12)) == {Remedy.REDRIVE: 2, Remedy.PARK: 1}
    assert {event.saga_id for event in published()} == {"a", "c"}
    listed = client.get("/saga/choreography/status").json()["results"]
    assert [row["saga"] for row in listed] == ["checkout", "bygone", "checkout"]
    assert "bygone" in client.get("/saga/choreography/bad").json()["parked"]["reason"]
    for ask in ("retry", "skip", "compensate"):
        answer = client.post(
            f"/saga/choreography/bad/{ask}", '{"reason": "why"}', content_type="application/json"
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "unreadable")
        assert "bygone" in answer.json()["detail"]


def test_it_is_shown_and_undone_in_the_admin(damaged, admin_client):
    url = "/admin/saga_choreography/saga/"
    assert admin_client.get(f"{url}bad/change/").status_code == 200
    data = {"action": "undo", "_selected_action": ["a", "bad", "c"], "reason": "why"}
    page = admin_client.post(url, data, follow=True)
    assert "3 on their way." in page.content.decode()
