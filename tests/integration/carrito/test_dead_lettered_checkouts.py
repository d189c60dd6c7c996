"""A checkout that can't be handed over holds up no other: it is dead-lettered, for an operator."""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.db import connections, transaction

from carrito import operations
from carrito.models import Cart, CartItem, Checkout
from carrito.operations import OWNER, Accept
from catalogue import refusals
from catalogue.commands import CreateOrder
from coordination import store, sweeping
from coordination.handover import ROUTES
from coordination.sweeping import Sweep
from httpapi.client import Unreachable
from participant import sql
from participant.executing import execute
from tests.threads import Hurried, InThread

pytestmark = pytest.mark.django_db(transaction=True, databases=["carrito"])


class Coordinator:
    """Accepts what is handed over; `answer` may answer otherwise for a list of saga ids."""

    def __init__(self):
        self.taken = []
        self.answer = lambda saga_ids: None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                ids = [context["saga_id"] for context in body]
                status, answer = outer.answer(ids) or (207, [{"outcome": "done"} for _ in ids])
                if status == 207:
                    outer.taken += ids
                text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def coordinator():
    found = Coordinator()
    yield found
    found.close()


@pytest.fixture
def hands_over(coordinator, monkeypatch, settings):
    """The hand-over, whose retries follow at once."""
    monkeypatch.setattr(sweeping, "RETRY_SECONDS", (0.0, 0.0))
    settings.SERVICE_URLS = settings.SERVICE_URLS | {"saga_orchestrator": coordinator.url}
    sweep = Sweep(owner=OWNER, route=ROUTES[0])
    yield sweep
    sweep.client.close()


def accepted(count=1):
    """So many checkouts, in the order of their acceptance."""
    saga_ids = [uuid.uuid4().hex for _ in range(count)]
    for saga_id in saga_ids:
        cart = Cart.objects.create(id=saga_id, user_id="ana")
        CartItem.objects.create(cart=cart, product_id="1", quantity=2, unit_price="10.05")
        command = Accept(
            saga_id=saga_id,
            saga="checkout",
            step="accept_checkout",
            cart_id=saga_id,
            payment_method="credit_card",
            saga_pattern="orchestrated",
        )
        execute(operation=operations.accept, commands=[command])
    return saga_ids


def dead_letters():
    return dict(
        Checkout.objects.filter(dead_lettered_at__isnull=False).values_list(
            "saga_id", "dead_letter_reason"
        )
    )


def damage(saga_id, change):
    statement = f"UPDATE carrito_checkout SET {change} WHERE saga_id = %s"
    sql.execute(service="carrito", sql=statement, values=[saga_id])


EMPTY = {"data": {}, "content_type": "application/json"}
DAMAGES = [
    """context = jsonb_set(context, '{data,items,0,quantity}', '1000001')""",
    """context = jsonb_set(context, '{data,items,0,quantity}', '-1')""",
    """context = jsonb_set(context, '{data,items,0,quantity}', '1e400')""",
    "context = '{}'",
    "context = '\"x\"'",
    "context = (repeat('[', 3000) || repeat(']', 3000))::jsonb",
    "context = jsonb_set(context, '{data}', '[]')",
    "context = jsonb_set(context, '{saga}', '\"unheard-of\"')",
    "context = jsonb_set(context, '{saga_id}', '\"another\"')",
]


@pytest.mark.parametrize("change", DAMAGES)
def test_row_that_cannot_be_read_is_dead_lettered_and_stops_no_other(
    hands_over, coordinator, change
):
    before, broken, after = accepted(3)
    damage(broken, change)
    hands_over.hand_over_once()
    assert coordinator.taken == [before, after]
    assert list(dead_letters()) == [broken]
    assert "its row" in dead_letters()[broken]
    assert hands_over.hand_over_once() == 0


def test_without_reading_each_on_its_own_no_checkout_moves(hands_over, coordinator, monkeypatch):
    """The control: rows that are read together fail together."""
    _, broken = accepted(2)
    damage(broken, DAMAGES[0])
    one_by_one = store._read

    def raises(*row):
        read = one_by_one(*row)
        if isinstance(read, store.UnreadableRow):
            raise ValueError(read.reason)
        return read

    monkeypatch.setattr(store, "_read", raises)
    with pytest.raises(ValueError, match="can't be read"):
        hands_over.hand_over_once()
    assert not coordinator.taken


def poisoned(saga_id, status=500, body=b"<html>a bug</html>"):
    return lambda saga_ids: (status, body) if saga_id in saga_ids else None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"<html>a bug</html>"),
        (400, b"{}"),
        (413, b"{}"),
        (207, b"<html>"),
        (207, b"[]"),
        (207, b'[{"outcome": "perhaps"}]'),
    ],
)
def test_checkout_that_the_coordinator_cannot_take_harms_only_itself(
    hands_over, coordinator, status, body
):
    healthy = accepted(7)
    broken = healthy.pop(4)
    coordinator.answer = poisoned(broken, status, body)
    for _ in range(len(sweeping.RETRY_SECONDS)):
        hands_over.hand_over_once()
        assert not dead_letters()
    assert Checkout.objects.filter(handed_over_at__isnull=False).count() == 6
    hands_over.hand_over_once()
    assert list(dead_letters()) == [broken]
    assert Checkout.objects.filter(pk__in=healthy, status="running").count() == 6


def test_coordinator_that_takes_none_has_none_dead_lettered(hands_over, coordinator):
    accepted(4)
    coordinator.answer = lambda saga_ids: (500, b"")
    for _ in range(len(sweeping.RETRY_SECONDS) + 2):
        with pytest.raises(Unreachable):
            hands_over.hand_over_once()
    assert not dead_letters()
    coordinator.answer = lambda saga_ids: None
    assert hands_over.hand_over_once() == 4
    assert Checkout.objects.filter(handed_over_at=None).count() == 0


def test_refused_checkout_names_the_hand_over_as_the_reason(hands_over, coordinator):
    (refused, taken) = accepted(2)
    coordinator.answer = lambda saga_ids: (
        207,
        [
            {"outcome": "refused", "code": "malformed_saga", "detail": "no"}
            if saga_id == refused
            else {"outcome": "done"}
            for saga_id in saga_ids
        ],
    )
    hands_over.hand_over_once()
    ended = Checkout.objects.get(pk=refused)
    assert (ended.failure_step, ended.failure_code) == ("accept_checkout", "malformed_saga")
    assert Cart.objects.get(pk=refused).status == "active"
    assert Checkout.objects.get(pk=taken).status == "running"


def test_locked_checkout_holds_up_no_other_and_is_never_dead_lettered(
    hands_over, coordinator, monkeypatch
):
    locked, *others = accepted(4)
    options = connections["carrito"].settings_dict["OPTIONS"]
    monkeypatch.setitem(options, "options", f"{options['options']} -c lock_timeout=200")
    connections["carrito"].close()
    holds, released = threading.Event(), threading.Event()

    def forgotten():
        with transaction.atomic(using="carrito"):
            Checkout.objects.select_for_update().get(pk=locked)
            holds.set()
            released.wait(60)

    forgetful = InThread(forgotten, service="carrito")
    holds.wait(30)
    try:
        for _ in range(len(sweeping.RETRY_SECONDS) + 2):
            hands_over.hand_over_once()
        assert Checkout.objects.filter(pk__in=others, status="running").count() == 3
    finally:
        released.set()
        forgetful.result()
        connections["carrito"].close()
    assert not dead_letters()
    hands_over.hand_over_once()
    assert Checkout.objects.get(pk=locked).status == "running"


def test_no_fault_at_all_ends_the_hand_over(hands_over, monkeypatch):
    stop = Hurried()
    script = iter([TypeError("a bug"), RecursionError(), KeyError("x")])

    def hand_over_once(**_):
        error = next(script, None)
        if error is None:
            stop.set()
            return 1
        raise error

    monkeypatch.setattr(hands_over, "hand_over_once", hand_over_once)
    monkeypatch.setattr("coordination.sweeping.wait_to_lead", lambda **_: True)
    InThread(lambda: hands_over.run(stop), service="carrito").result()
    assert next(script, None) is None
    assert not hands_over.complaints()


def test_what_is_dead_lettered_can_be_seen_retried_and_discarded(client, hands_over, coordinator):
    mended, lost = accepted(2)
    right = Checkout.objects.get(pk=mended).context
    for saga_id in (mended, lost):
        damage(saga_id, "context = '{}'")
    hands_over.hand_over_once()
    seen = client.get("/checkouts/dead-letters").json()["checkouts"]
    assert {row["saga_id"] for row in seen} == {mended, lost}
    assert all("can't be read" in row["reason"] for row in seen)

    Checkout.objects.filter(pk=mended).update(context=right)
    assert client.post(f"/checkouts/{mended}/retry", **EMPTY).status_code == 202
    hands_over.hand_over_once()
    assert coordinator.taken == [mended]

    body = {"reason": "nobody can read it"}
    response = client.post(f"/checkouts/{lost}/discard", body, content_type="application/json")
    assert response.status_code == 200
    ended = Checkout.objects.get(pk=lost)
    assert (ended.failure_step, ended.failure_code) == ("accept_checkout", refusals.DISCARDED)
    assert ended.ended_at is not None
    assert Cart.objects.get(pk=lost).status == "active"
    assert client.get("/checkouts/dead-letters").json() == {"checkouts": [], "next": None}


def test_only_what_is_dead_lettered_can_be_retried_or_discarded(client):
    (saga_id,) = accepted()
    for action in ("retry", "discard"):
        response = client.post(f"/checkouts/{saga_id}/{action}", **EMPTY)
        assert (response.status_code, response.json()["code"]) == (409, "not_dead_lettered")
        assert client.post(f"/checkouts/unheard-of/{action}", **EMPTY).status_code == 404


def test_pages_of_dead_lettered_checkouts_show_each_once(client, hands_over):
    saga_ids = accepted(5)
    for saga_id in saga_ids:
        damage(saga_id, "context = '{}'")
    hands_over.hand_over_once()
    url, seen = "/checkouts/dead-letters?limit=2", []
    while url:
        page = client.get(url).json()
        seen += [checkout["saga_id"] for checkout in page["checkouts"]]
        url = page["next"]
    assert sorted(seen) == sorted(saga_ids)


def test_discarded_checkout_that_a_coordinator_has_after_all_sells_nothing(client, hands_over):
    (saga_id,) = accepted()
    damage(saga_id, "context = '{}'")
    hands_over.hand_over_once()
    client.post(f"/checkouts/{saga_id}/discard", **EMPTY)
    command = CreateOrder(saga_id=saga_id, saga="checkout")
    (executed,) = execute(operation=operations.create_order, commands=[command])
    assert executed.outcome.code == refusals.NO_CHECKOUT
