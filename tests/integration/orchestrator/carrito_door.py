"""A stand-in for carrito, for the orchestrator's calls to it."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ACCEPTED = {
    "saga": "checkout",
    "saga_id": "s",
    "subject": "c",
    "saga_pattern": "orchestrated",
    "status": "pending",
    "total_amount": "19.90",
    "accepted_at": "2026-01-01T10:00:00Z",
    "answered_at": "2026-01-01T10:05:00Z",
    "ended_at": None,
    "failure": None,
}


class Carrito:
    """Knows one checkout, `s`. `asked`: path, headers and body of each POST.

    `meanwhile`: runs before a GET is answered; returns the changed fields of the checkout.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, Any]] = []
        self.meanwhile: Callable[[], dict[str, Any]] = dict
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(carrito) -> type[BaseHTTPRequestHandler]:  # noqa: N805 -- the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                known = self.path in ("/carrito/accepted/s", "/orders/saga/s/status")
                self._answer(200 if known else 404, ACCEPTED | carrito.meanwhile() if known else {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                carrito.asked.append((self.path, self.headers, json.loads(body)))
                self._answer(202, {"saga_id": "s"})

            def _answer(self, status: int, body: Any) -> None:
                encoded = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Location", "http://carrito/orders/saga/s/status")
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
