"""Shoppers retry with the same key until they are accepted, and record the answers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from checker.soak.shoppers import PlannedRequest, Shoppers
from tests.waiting import eventually


@pytest.fixture
def shop():
    """A shop that gives these answers, one after the other, to any request."""
    opened = []

    def make(*answers):
        script, keys = iter(answers), []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                keys.append(self.headers["Idempotency-Key"])
                status, saga = next(script)
                body = json.dumps({"saga_id": saga}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                """Silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        opened.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/", keys

    yield make
    for server, thread in opened:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(url, *, attempts, is_repeated=False):
    """The requested checkout, after this many attempts."""
    wanted = PlannedRequest(at=0.0, key="k", body=b"{}", is_repeated=is_repeated)
    shoppers = Shoppers(url=url, wanted=[wanted])
    shoppers.start()
    try:
        eventually(lambda: shoppers.asked and shoppers.asked[0].attempts == attempts)
        eventually(lambda: shoppers.waiting == 0)
    finally:
        shoppers.finish()
    return shoppers.asked[0]


def test_fault_is_asked_again_under_the_same_key(shop):
    url, keys = shop((503, ""), (500, ""), (202, "saga"))
    checkout = ask(url, attempts=3)
    assert checkout.answers == ["saga"]
    assert keys == ["k"] * 3


def test_refusal_is_kept_and_not_asked_again(shop):
    url, keys = shop((409, "x"))
    checkout = ask(url, attempts=1)
    assert checkout.answers[0].startswith("409 ")
    assert keys == ["k"]


def test_another_saga_on_the_second_asking_is_noticed(shop):
    url, _ = shop((202, "one"), (202, "two"))
    assert ask(url, attempts=2, is_repeated=True).answers == ["one", "two"]


def test_no_shopper_starts_after_the_end(shop):
    url, keys = shop()
    shoppers = Shoppers(url=url, wanted=[PlannedRequest(at=60.0, key="k", body=b"{}")])
    shoppers.start()
    shoppers.finish()
    assert (shoppers.asked, keys) == ([], [])
