"""The HTTP door."""

import msgspec
import pytest
from django.db import connections
from django.test import Client

from catalogue import SAGAS
from contracts.states import SagaState, SagaSummary
from coordination import owners
from saga_orchestrator import operations
from saga_orchestrator.models import Saga
from tests.integration.orchestrator.carrito_door import Carrito
from tests.integration.orchestrator.conftest import accepted

pytestmark = pytest.mark.django_db(transaction=True, databases=["saga_orchestrator"])


@pytest.fixture
def api():
    return Client()


@pytest.fixture
def carrito(settings):
    """A stand-in that answers as carrito does, over real HTTP."""
    running = Carrito()
    every = {saga.owner for saga in SAGAS.values()}
    settings.SERVICE_URLS = settings.SERVICE_URLS | dict.fromkeys(every, running.url)
    owners.client.cache_clear()
    yield running
    for owner in every:
        owners.client(owner).close()
    owners.client.cache_clear()
    running.close()


def post(api, path, body, **headers):
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return api.post(path, content, content_type="application/json", headers=headers)


def test_hand_over_starts_every_checkout(api):
    handed = [accepted(), accepted()]
    answer = post(api, "/sagas", handed)
    assert answer.status_code == 207
    assert [result["outcome"] for result in answer.json()] == ["done", "done"]
    assert Saga.objects.filter(status="pending").count() == 2


def test_hand_over_again_changes_nothing(api):
    context = accepted()
    first = post(api, "/sagas", [context, context]).json()
    assert post(api, "/sagas", [context]).json() == first[:1]
    assert Saga.objects.count() == 1


def test_hand_over_that_can_never_be_started_is_refused_alone(api):
    handed = [
        accepted(pattern="choreographed"),
        {"saga_id": "x"},
        accepted(saga="nothing"),
        accepted(data={}),
        accepted(),
    ]
    answer = post(api, "/sagas", handed).json()
    codes = ["wrong_pattern", "malformed_saga", "malformed_saga", "malformed_saga", None]
    assert [result.get("code") for result in answer] == codes


def test_users_checkout_is_accepted_by_carrito_first(api, carrito):
    body = {"cart_id": "c", "user_id": "ana", "payment_method": "paypal"}
    answer = post(api, "/saga/checkout", body, **{"Idempotency-Key": "k", "Prefer": "wait=1"})
    url = "http://testserver/saga/s"
    assert (answer.status_code, answer.json()) == (202, {"saga_id": "s", "status_url": url})
    assert answer["Location"] == url
    path, headers, sent = carrito.asked[0]
    # The coordinator waits: carrito answers at once.
    assert (path, headers["Idempotency-Key"], headers.get("Prefer")) == (
        "/checkout/saga",
        "k",
        None,
    )
    assert (sent["saga_pattern"], sent["cart_id"]) == ("orchestrated", "c")


def test_carrito_that_is_away_is_named(api, settings):
    settings.SERVICE_URLS = settings.SERVICE_URLS | {"carrito": "http://127.0.0.1:9"}
    owners.client.cache_clear()
    answer = post(api, "/saga/checkout", {"cart_id": "c", "payment_method": "paypal"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", None),
        (b"7", "body"),
        (b"", None),
    ],
)
def test_wrong_body_is_answered_with_what_to_correct(api, body, field):
    answer = post(api, "/saga/checkout", body)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert field is None or answer.json()["errors"][0]["field"] == field


def test_saga_is_shown_step_by_step(api, run, start, when, services):
    run()
    (saga_id,) = start()
    when(saga_id, "completed")
    state = msgspec.json.decode(api.get(f"/saga/{saga_id}").content, type=SagaState)
    assert (state.status, state.current_step, state.total_amount) == ("completed", None, "19.90")
    assert [step.step_name for step in state.steps][:2] == ["accept_checkout", "reserve_inventory"]
    reserved = state.steps[1]
    assert (reserved.retry_count, reserved.error) == (0, None)
    assert reserved.response_data == {"of": "reserve_inventory"}
    assert reserved.started_at <= reserved.finished_at


def test_saga_is_shown_in_short(api, start):
    (saga_id,) = start()
    shown = api.get(f"/saga/{saga_id}/status").content
    summary = msgspec.json.decode(shown, type=SagaSummary)
    assert (summary.saga_id, summary.current_step) == (saga_id, "reserve_inventory")


def test_accepted_saga_that_is_not_handed_over_yet_is_pending(api, carrito):
    answer = api.get("/saga/s").json()
    assert (answer["status"], answer["current_step"]) == ("pending", None)
    assert api.get("/saga/s/status").json()["status"] == "pending"


def test_saga_that_ran_while_carrito_was_asked_is_shown_as_stored_here(api, carrito, run, when):
    """The saga is unknown at the first look, and has ended when carrito answers."""

    def ran() -> dict[str, str]:
        operations.start(contexts=[accepted(saga_id="s")])
        run()
        when("s", "completed")
        connections["saga_orchestrator"].close()
        return {"status": "completed", "ended_at": "2026-01-01T10:00:01Z"}

    carrito.meanwhile = ran
    state = api.get("/saga/s").json()
    assert {step["status"] for step in state["steps"]} == {"completed"}
    assert all(step["finished_at"] for step in state["steps"])


def test_unknown_saga_is_not_found(api, carrito):
    for path in ("/saga/nobody", "/saga/nobody/status"):
        assert api.get(path).status_code == 404
    for action in ("compensate", "retry"):
        assert post(api, f"/saga/nobody/{action}", {}).status_code == 404


def test_sagas_are_listed_newest_first_in_pages(api, start):
    saga_ids = [start()[0] for _ in range(3)]
    page = api.get("/saga/transactions?page_size=2&page=1").json()
    assert [result["saga_id"] for result in page["results"]] == saga_ids[:0:-1]
    assert (page["count"], page["previous"]) == (3, None)
    last = api.get(page["next"]).json()
    assert [result["saga_id"] for result in last["results"]] == saga_ids[:1]


def test_following_next_shows_each_saga_once_while_others_start(api, start):
    saga_ids = start(20)
    url, shown = "/saga/transactions?page_size=3", []
    while url:
        page = api.get(url).json()
        shown += [result["saga_id"] for result in page["results"]]
        url = page["next"]
        start(2)
    assert sorted(shown) == sorted(saga_ids)


@pytest.mark.parametrize("cursor", ["after", "before"])
def test_wrong_cursor_is_refused(api, start, cursor):
    answer = api.get(f"/saga/transactions?{cursor}=odd")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, cursor)


def test_sagas_are_filtered_by_status(api, start):
    done, _ = start(2)
    Saga.objects.filter(pk=done).update(status="completed", next_attempt_at=None)
    page = api.get("/saga/transactions?status=completed").json()
    assert [result["saga_id"] for result in page["results"]] == [done]


def test_sagas_are_filtered_by_pattern(api, start):
    _, by_message = start(2)
    Saga.objects.filter(pk=by_message).update(pattern="orchestrated_messaging")
    page = api.get("/saga/transactions?saga_pattern=orchestrated_messaging").json()
    assert [result["saga_id"] for result in page["results"]] == [by_message]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=done", "status"),
        ("saga_pattern=x", "saga_pattern"),
        ("page=0", "page"),
        ("page_size=x", "page_size"),
    ],
)
def test_wrong_filter_is_answered_with_the_field(api, query, field):
    answer = api.get(f"/saga/transactions?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_compensate_is_answered_with_the_sagas_status(api, start):
    (saga_id,) = start()
    answer = post(api, f"/saga/{saga_id}/compensate", {})
    assert (answer.status_code, answer.json()["saga_id"]) == (202, saga_id)


def test_refused_intervention_is_a_conflict_with_its_code(api, start):
    (saga_id,) = start()
    answer = post(api, f"/saga/{saga_id}/retry", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_retry")


def test_skip_needs_a_reason(api, start):
    (saga_id,) = start()
    answer = post(api, f"/saga/{saga_id}/skip", {})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "reason")


def test_body_of_an_intervention_that_is_no_object_is_wrong(api, start):
    (saga_id,) = start()
    assert post(api, f"/saga/{saga_id}/compensate", [1]).status_code == 400


DEEP = "(repeat('[', 5000) || repeat(']', 5000))::jsonb"


@pytest.mark.parametrize("table", ["saga_orchestrator_saga", "saga_orchestrator_definition"])
@pytest.mark.parametrize("typed", ["'null'", "'[]'", "'{}'", "'\"x\"'", "'[1, null]'", DEEP])
def test_saga_edited_by_hand_is_shown_as_far_as_it_can_be(api, table, typed):
    context = accepted()
    operations.start(contexts=[context])
    column = "context" if table.endswith("saga") else "steps"
    with connections["saga_orchestrator"].cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = {typed}")
    response = api.get(f"/saga/{context.saga_id}")
    assert response.status_code == 200
    assert response.json()["saga_id"] == context.saga_id
    if column == "context":
        assert response.json()["total_amount"] is None
    assert response.json()["steps"][0]["step_name"] == "accept_checkout"
    assert api.get(f"/saga/{context.saga_id}/status").status_code == 200
    assert api.get("/saga/transactions").json()["count"] == 1
