"""Injected latency between services: each call takes it twice, there and back."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from httpapi.client import Client

AWAY = 0.05


class _Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        """Logs nothing."""


@pytest.fixture
def client() -> Iterator[Client]:
    with HTTPServer(("127.0.0.1", 0), _Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made = Client(url=f"http://127.0.0.1:{server.server_port}", timeout=5)
        yield made
        made.close()
        server.shutdown()
        thread.join()


def _seconds(client: Client) -> float:
    started = time.perf_counter()
    client.get(path="/")
    return time.perf_counter() - started


def test_call_takes_the_way_there_and_back(client, settings) -> None:
    near = min(_seconds(client) for _ in range(3))
    settings.HOP_SECONDS = AWAY
    assert near < AWAY
    assert _seconds(client) >= 2 * AWAY
