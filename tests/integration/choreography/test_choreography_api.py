"""The HTTP door of saga_choreography, and its calls to a saga's owner."""

import itertools
import json
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from msgspec.structs import replace

from contracts import refusals
from coordination import owners
from saga_choreography.models import Intervention, Saga
from saga_choreography.tracking import track
from tests.unit.choreography.made import NOON, context, event, story

pytestmark = pytest.mark.django_db(databases=["saga_choreography"])

URL = "/saga/choreography/checkout"
STATUS = "/saga/choreography/status"


class Owner(ThreadingHTTPServer):
    """An owner with set answers, which records requests. `meanwhile`: runs before it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[tuple[str, str], tuple[int, dict[str, str], Any]] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.meanwhile: Callable[[], None] = lambda: None


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        self.server.meanwhile()
        missing = (404, {}, {"code": "not_found"})
        status, headers, content = self.server.answers.get((self.command, self.path), missing)
        encoded = json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    do_GET = do_POST = _answer  # noqa: N815 -- the names that http.server calls

    def log_message(self, *_: Any) -> None:
        """Writes no log."""


@pytest.fixture
def at(settings):
    """Every service that accepts sagas is at this address."""

    def at(url: str) -> None:
        settings.SERVICE_URLS = dict.fromkeys(settings.SERVICE_URLS, url)
        owners.client.cache_clear()

    yield at
    owners.client.cache_clear()


@pytest.fixture
def away(at):
    at("http://127.0.0.1:9")


@pytest.fixture
def owner(at):
    with Owner() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        at(f"http://127.0.0.1:{server.server_address[1]}")
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def post(client):
    def post(url: str, body: Any = None, **headers: str):
        data = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
        return client.post(url, data, content_type="application/json", headers=headers)

    return post


def problem(response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    return response.json()


# Starting


def test_saga_is_started_at_its_owner_and_the_answer_is_given_back(post, owner):
    accepted = {"saga_id": "new", "status": "pending"}
    owner.answers["POST", "/checkout/saga"] = (202, {"Location": "http://x/y"}, accepted)
    body = {"cart_id": "c", "user_id": "ana", "payment_method": "paypal"}
    response = post(URL, body, **{"Idempotency-Key": "k", "Prefer": "wait=2"})
    url = "http://testserver/saga/choreography/new"
    assert (response.status_code, response.json()) == (202, {**accepted, "status_url": url})
    assert response["Location"] == url
    ((_, _, headers, passed),) = owner.asked
    assert json.loads(passed) == {**body, "saga": "checkout", "saga_pattern": "choreographed"}
    # The coordinator waits: the owner answers at once.
    assert (headers["Idempotency-Key"], headers.get("Prefer")) == ("k", None)
    assert not Saga.objects.exists()


def test_refusal_of_the_owner_comes_back_as_it_is(post, owner):
    refused = {"type": "about:blank", "title": "Bad Request", "status": 400}
    refused |= {"code": "empty_cart", "detail": "add an item first"}
    kind = {"Content-Type": "application/problem+json"}
    owner.answers["POST", "/checkout/saga"] = (400, kind, refused)
    assert problem(post(URL, {"cart_id": "c"}), 400) == refused


def test_saga_of_another_pattern_is_not_started_here(post, owner):
    wrong = problem(post(URL, {"cart_id": "c", "saga_pattern": "orchestrated"}), 400)
    assert wrong["errors"][0]["field"] == "saga_pattern"
    assert owner.asked == []


def test_owner_that_is_away_is_named(post, away):
    assert problem(post(URL, {"cart_id": "c"}), 503)["code"] == "unavailable"


# Looking


def test_saga_is_shown_with_its_steps_and_events(client, saga):
    saga("declined", until=5)
    body = client.get("/saga/choreography/s").json()
    assert body["status"] == "compensated"
    assert body["saga_pattern"] == "choreographed"
    assert body["current_step"] is None
    assert (body["saga"], body["state"]) == ("checkout", "error")
    assert body["cart_id"] == body["subject"] == "subject of s"
    assert body["total_amount"] == "25.00"
    assert body["failure"]["code"] == "card_declined"
    assert [step["step_name"] for step in body["steps"]][:2] == [
        "accept_checkout",
        "reserve_inventory",
    ]
    assert [event["type"] for event in body["events"]] == [
        event.type for event in story("declined")
    ]


def test_status_is_the_short_form(client, saga):
    saga("completed", until=2)
    body = client.get("/saga/choreography/s/status").json()
    assert (body["status"], body["current_step"]) == ("running", "process_payment")
    assert "steps" not in body


def test_saga_that_owner_has_not_handed_over_yet_is_pending(client, owner):
    owner.answers["GET", "/carrito/accepted/soon"] = (200, {}, at_owner())
    body = client.get("/saga/choreography/soon").json()
    assert body["status"] == "pending"
    assert body["steps"][0]["status"] == "completed"
    assert client.get("/saga/choreography/soon/status").json()["status"] == "pending"


@pytest.fixture
def overtaken(owner, saga):
    """A saga that is unknown at the first look, and has ended when its owner answers."""
    ended = at_owner(saga_id="s", status="completed", ended_at="2026-01-01T12:00:01Z")
    owner.answers["GET", "/carrito/accepted/s"] = (200, {}, ended)

    def run() -> None:
        saga("completed", until=6)
        connections["saga_choreography"].close()

    owner.meanwhile = run


@pytest.mark.django_db(transaction=True, databases=["saga_choreography"])
def test_saga_that_ran_while_its_owner_was_asked_is_shown_as_stored_here(client, overtaken):
    body = client.get("/saga/choreography/s").json()
    assert len(body["events"]) == 6
    assert all(step["finished_at"] for step in body["steps"])


@pytest.mark.django_db(transaction=True, databases=["saga_choreography"])
def test_saga_that_ran_while_its_owner_was_asked_can_be_returned_the_next_time(post, overtaken):
    assert problem(post(COMPENSATE), 409)["code"] == refusals.NOT_STARTED
    assert post(COMPENSATE).status_code == 202


def test_saga_of_another_pattern_is_not_here(client, owner):
    other = at_owner(saga_pattern="orchestrated")
    owner.answers["GET", "/carrito/accepted/soon"] = (200, {}, other)
    problem(client.get("/saga/choreography/soon"), 404)


def test_unknown_saga_is_not_found(client, owner):
    assert problem(client.get("/saga/choreography/no/status"), 404)["code"] == "not_found"


def test_unknown_saga_while_its_owner_is_away_is_not_called_unknown(client, away):
    problem(client.get("/saga/choreography/no"), 503)


def test_sagas_are_listed_newest_first_in_pages(client, start):
    for saga_id in "abc":
        start(saga_id)
    first = client.get("/saga/choreography/status?page_size=2").json()
    assert (first["count"], first["previous"]) == (3, None)
    assert [result["saga_id"] for result in first["results"]] == ["c", "b"]
    second = client.get(first["next"]).json()
    assert [result["saga_id"] for result in second["results"]] == ["a"]
    assert second["next"] is None


def pages_of(client, url: str, *, way: str = "next", meanwhile=lambda: None) -> list[list[str]]:
    """The ids on each page, following `next` (or `previous`) to the end."""
    pages = []
    while url:
        page = client.get(url).json()
        pages.append([result["saga_id"] for result in page["results"]])
        url = page[way]
        meanwhile()
    return pages


@pytest.fixture
def listed(start):
    """Eighty sagas, newest first; ten each began at the same time."""
    for n in range(80):
        start(f"{n:03}", now=NOON + timedelta(seconds=n // 10))
    return [f"{n:03}" for n in reversed(range(80))]


@pytest.fixture
def come_in(start):
    """Three more sagas begin."""
    numbers = itertools.count(100)

    def come_in() -> None:
        for _ in range(3):
            start(str(next(numbers)), now=NOON + timedelta(hours=1))

    return come_in


@pytest.mark.parametrize("size", [1, 7, 10, 80])
def test_following_next_shows_each_saga_once_while_others_start(client, listed, come_in, size):
    pages = pages_of(client, f"{STATUS}?page_size={size}", meanwhile=come_in)
    assert list(itertools.chain(*pages)) == listed
    assert max(map(len, pages)) == size


def test_control_by_page_number_alone_sagas_come_twice_while_others_start(client, listed, come_in):
    shown = []
    for number in range(1, 9):
        page = client.get(f"{STATUS}?page_size=10&page={number}").json()
        shown += [result["saga_id"] for result in page["results"]]
        come_in()
    assert len(shown) > len(set(shown))


def test_following_previous_leads_back_the_same_way(client, listed, come_in):
    last = client.get(f"{STATUS}?page_size=10&page=8").json()
    pages = pages_of(client, last["previous"], way="previous")
    assert pages[::-1] == [listed[n : n + 10] for n in range(0, 70, 10)]


def test_next_of_a_page_by_its_number_goes_on_from_there(client, listed, come_in):
    page = client.get(f"{STATUS}?page_size=10&page=3").json()
    come_in()
    following = client.get(page["next"]).json()
    assert [result["saga_id"] for result in following["results"]] == listed[30:40]
    assert (following["page"], following["page_size"]) == (4, 10)


def test_filter_is_kept_from_page_to_page(client, listed):
    Saga.objects.filter(saga_id__lt="040").update(status="compensating")
    pages = pages_of(client, f"{STATUS}?status=compensating&page_size=9")
    assert list(itertools.chain(*pages)) == listed[40:]


def test_page_by_a_cursor_is_read_from_the_index(client, listed):
    page = client.get(f"{STATUS}?page_size=10&page=4").json()
    with CaptureQueriesContext(connections["saga_choreography"]) as queries:
        client.get(page["next"])
    (statement,) = [
        query["sql"] for query in queries.captured_queries if "ORDER BY" in query["sql"]
    ]
    assert "OFFSET" not in statement
    database = "saga_choreography"
    with transaction.atomic(using=database), connections[database].cursor() as cursor:
        # Among so few rows sorting them is as good.
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert re.search(r"Index Scan Backward using choreography_newest", plan)
    assert re.search(r"Index Cond: \(started_at <= ", plan)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=odd", "after"),
        ("after=WzEsWyJ4Il1d", "after"),
        ("before=WzEsWyJ4IiwieSJdXQ", "before"),
        ("after=a&before=b", "before"),
    ],
)
def test_wrong_cursor_is_refused(client, start, query, field):
    start("a")
    wrong = problem(client.get(f"{STATUS}?{query}"), 400)
    assert wrong["errors"][0]["field"] == field


def test_sagas_are_listed_by_status(client, start):
    start("a", "b")
    track(received=story("completed", saga_id="b"), now=story("completed")[-1].occurred_at)
    body = client.get("/saga/choreography/status?status=completed").json()
    assert [(result["saga_id"], result["current_step"]) for result in body["results"]] == [
        ("b", None)
    ]


def test_sagas_are_listed_by_name_and_by_pattern(client, start):
    start("a")
    track(received=[event("order.placed", saga_id="b", saga="fulfilment")], now=NOON)

    def listed(query):
        return [result["saga_id"] for result in client.get(f"{STATUS}?{query}").json()["results"]]

    assert listed("saga=fulfilment") == ["b"]
    assert listed("saga=checkout&saga_pattern=choreographed") == ["a"]
    wrong = problem(client.get(f"{STATUS}?saga_pattern=orchestrated"), 400)
    assert wrong["errors"][0]["field"] == "saga_pattern"


def test_saga_that_costs_nothing_has_no_total(client):
    free = context("b", saga="fulfilment", data={})
    placed = event("order.placed", saga_id="b", saga="fulfilment")
    facts = replace(placed.data, context=msgspec.Raw(msgspec.json.encode(free)))
    track(received=[replace(placed, data=facts)], now=NOON)
    body = client.get("/saga/choreography/b").json()
    assert (body["total_amount"], body["order_id"]) == (None, "subject of b")
    assert body["current_step"] == "reserve_inventory"


@pytest.mark.parametrize("wrong", ["status=odd", "page=0", "page=x", "page_size=100000"])
def test_wrong_listing_names_the_field(client, wrong):
    response = client.get(f"/saga/choreography/status?{wrong}")
    assert problem(response, 400)["errors"][0]["field"] == wrong.partition("=")[0]


# Asking

COMPENSATE = "/saga/choreography/s/compensate"


def test_running_saga_is_asked_to_abort(post, saga, published):
    saga("completed", until=3)
    response = post(COMPENSATE, {"requested_by": "eva", "reason": "changed my mind"})
    assert response.status_code == 202
    assert response.json()["status"] == "running"
    (abort,) = published()
    assert abort.type == "checkout.abort.requested"
    assert abort.data.failure.code == refusals.STOPPED
    recorded = Intervention.objects.get()
    assert (recorded.action, recorded.requested_by, recorded.reason) == (
        "abort",
        "eva",
        "changed my mind",
    )


def test_past_its_pivot_a_saga_that_owner_knows_to_be_completed_will_be_returned(
    post, saga, published, owner
):
    """Tracking is late; a client that has seen `completed` at the owner is not refused."""
    saga("completed", until=5)
    done = at_owner(saga_id="s", status="completed", ended_at="2026-01-01T12:00:01Z")
    owner.answers["GET", "/carrito/accepted/s"] = (200, {}, done)
    assert post(COMPENSATE).status_code == 202
    published()
    track(received=[story("completed")[-1]], now=NOON + timedelta(seconds=6))
    assert [event.type for event in published()] == ["checkout.return.requested"]
    assert Saga.objects.get().status == "compensating"


def test_saga_that_only_its_owner_knows_to_be_completed_is_asked_for_in_a_moment(post, owner):
    done = at_owner(status="completed", ended_at="2026-01-01T12:00:01Z")
    owner.answers["GET", "/carrito/accepted/soon"] = (200, {}, done)
    refused = problem(post("/saga/choreography/soon/compensate"), 409)
    assert refused["code"] == refusals.NOT_STARTED


def test_second_abort_publishes_nothing_more(post, saga, published):
    saga("completed", until=3)
    post(COMPENSATE)
    published()
    assert post(COMPENSATE).status_code == 202
    assert published() == []
    assert Intervention.objects.count() == 1


def test_completed_saga_is_asked_to_be_returned(post, saga, published):
    saga("completed", until=6)
    response = post(COMPENSATE)
    assert (response.status_code, response.json()["status"]) == (202, "compensating")
    assert [event.type for event in published()] == ["checkout.return.requested"]
    assert Intervention.objects.get().action == "return"
    assert Saga.objects.get().watch_at is not None


@pytest.mark.parametrize(
    ("name", "until", "code"),
    [
        ("completed", 5, refusals.PAST_PIVOT),
        ("declined", 3, refusals.ALREADY_UNDONE),
        ("declined", 5, refusals.ALREADY_UNDONE),
        ("returned", 7, refusals.ALREADY_UNDONE),
    ],
)
def test_saga_that_cannot_be_undone_refuses(post, saga, published, name, until, code):
    saga(name, until=until)
    assert problem(post(COMPENSATE), 409)["code"] == code
    assert published() == []
    assert not Intervention.objects.exists()


def test_unknown_saga_cannot_be_undone(post, owner):
    problem(post("/saga/choreography/no/compensate"), 404)


def test_saga_that_has_not_started_is_asked_later(post, owner):
    owner.answers["GET", "/carrito/accepted/soon"] = (200, {}, at_owner())
    refused = problem(post("/saga/choreography/soon/compensate"), 409)
    assert refused["code"] == refusals.NOT_STARTED


def test_wrong_request_names_the_field(post, saga):
    saga("completed", until=3)
    wrong = problem(post(COMPENSATE, {"requested_by": 5}), 400)
    assert wrong["errors"][0]["field"] == "requested_by"


@pytest.mark.undocumented("messages")
def test_retry_redrives_a_standing_saga(post, saga, published):
    saga("completed", until=3)
    assert post("/saga/choreography/s/retry").status_code == 202
    assert [(event.type, event.data.result["event"]) for event in published()] == [
        ("step.redrive.requested", "payment.processed")
    ]


def test_retry_of_an_ended_saga_is_refused(post, saga):
    saga("completed", until=6)
    refused = problem(post("/saga/choreography/s/retry"), 409)
    assert refused["code"] == refusals.NOTHING_TO_RETRY


def test_unknown_method_is_refused(client):
    problem(client.delete("/saga/choreography/s"), 405)


def at_owner(**changes: Any) -> dict[str, Any]:
    return {
        "saga": "checkout",
        "saga_id": "soon",
        "subject": "c",
        "saga_pattern": "choreographed",
        "status": "pending",
        "total_amount": "25.00",
        "failure": None,
        "accepted_at": "2026-01-01T12:00:00Z",
        "answered_at": "2026-01-01T12:05:00Z",
        "ended_at": None,
        **changes,
    }
