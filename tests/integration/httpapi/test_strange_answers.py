"""An unreadable answer is the fault of the service that sent it, not of our own caller."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.test import Client

from carrito import carts
from httpapi import client
from httpapi.client import ServiceResponse, Unreachable

pytestmark = pytest.mark.django_db(databases=["saga_orchestrator", "saga_choreography"])
STRANGE = [
    (200, b"<html>"),
    (200, b""),
    (202, b"{}"),
    (202, b'{"saga_id": 5}'),
    (202, b'{"saga_id": "\xff"}'),
    (202, b"[" * 5000 + b"]" * 5000),
    (204, b""),
    (301, b""),
    (400, b"<html>Bad Request</html>"),
    (404, b'{"error": "no such page of this proxy"}'),
    (502, b"<html>"),
]
CHECKOUT = {"cart_id": "c", "user_id": "ana", "payment_method": "paypal"}
DOORS = ["/saga/checkout", "/saga/choreography/checkout"]
STATES = ["/saga/unknown", "/saga/choreography/unknown"]


class Stranger(ThreadingHTTPServer):
    """Gives the same answer to all requests."""

    answer: tuple[int, bytes] = (200, b"")


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815 -- the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Writes no log."""


@pytest.fixture
def stranger(settings) -> Iterator[Stranger]:
    with Stranger(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        settings.SERVICE_URLS = dict.fromkeys(settings.SERVICE_URLS, url)
        yield server
        server.shutdown()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("answer", STRANGE)
def test_strange_answer_of_carrito_to_a_checkout_is_a_503(stranger, door, answer):
    stranger.answer = answer
    response = Client().post(door, json.dumps(CHECKOUT), content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize("path", STATES)
@pytest.mark.parametrize("answer", STRANGE[:6])
def test_strange_answer_of_carrito_about_a_saga_is_a_503(stranger, path, answer):
    stranger.answer = (200, answer[1])
    assert Client().get(path).status_code == 503


@pytest.mark.parametrize("answer", STRANGE)
def test_strange_answer_of_inventario_about_prices_is_a_503(stranger, answer, monkeypatch):
    stranger.answer = answer
    url = f"http://127.0.0.1:{stranger.server_port}"
    monkeypatch.setattr(carts, "_client", client.Client(url=url, timeout=5.0))
    with pytest.raises(Exception, match="inventario") as raised:
        carts.offers(product_ids=["1"])
    assert raised.value.status == 503


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        (
            b'{"code": "unreadable", "detail": "Its account is closed.", "status": 409}',
            "409 unreadable: Its account is closed.",
        ),
        (b"<html>\xff", "409 without a reason"),
        (b'{"detail": 5}', "409 without a reason"),
        (b"[" * 5000, "409 without a reason"),
        (b"", "409 without a reason"),
    ],
)
def test_summary_is_for_people(body, summary):
    assert ServiceResponse(409, body).summary == summary


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"3", b"[" * 5000 + b"]" * 5000])
def test_body_of_another_type_is_no_answer(body):
    with pytest.raises(Unreachable, match="can't be read"):
        ServiceResponse(200, body).decode(type=list[str])
