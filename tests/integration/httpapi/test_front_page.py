"""The admin's front page begins with what needs attention."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dashboard import services
from stack.ports import free_ports

pytestmark = pytest.mark.django_db

PARKED = {
    "what": "2 sagas of pagos are parked",
    "since": "2026-11-01T10:00:00Z",
    "do": "retry <each>",
    "level": "attention",
}
STANDS = {
    "what": "worker process 42 on there stands still",
    "since": "2026-11-02T10:00:00Z",
    "do": "kill -CONT 42",
    "level": "unavailable",
}


@pytest.fixture
def service():
    """A service with this answer of /health; its URL."""
    attention = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(503 if attention else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"attention": attention}).encode())

        def log_message(self, *arguments):
            """Writes no log."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield attention, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(admin_client, settings, service):
    """The page's text, with every service at that URL."""
    settings.SERVICE_URLS = dict.fromkeys(settings.SERVICE_URLS, service[1])
    return lambda: admin_client.get("/admin/").content.decode()


def test_it_states_that_no_saga_is_stopped(page):
    text = page()
    assert "Nothing: every service answers, and sagas move." in text
    assert "Recent actions" in text, "the rest of the page is there"


def test_what_stops_sagas_comes_first_with_since_and_what_to_do(page, service):
    service[0].extend([PARKED, STANDS])
    text = page()
    assert text.index("worker process 42") < text.index("2 sagas of pagos are parked")
    assert "2026-11-02 10:00:00 UTC" in text
    assert "retry &lt;each&gt;" in text


def test_service_that_does_not_answer_is_named():
    away = {"pagos": f"http://127.0.0.1:{free_ports(1)[0]}"}
    (entry,) = services.attention(services.health(urls=away))
    assert entry["service"] == "pagos"
    assert entry["what"].startswith("it does not answer")
    assert entry["level"] == "unavailable"


def test_front_page_needs_a_login(client):
    assert client.get("/admin/").status_code == 302
