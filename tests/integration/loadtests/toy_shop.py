"""The shop's API for shoppers in a few lines: every checkout ends at once."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ToyShop(ThreadingHTTPServer):
    """`ending`: the outcome of a checkout with a good card."""

    daemon_threads = True

    def __init__(self, *, ending: str = "completed") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ending = ending
        self.checkouts: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "ToyShop":
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()
        self.server_close()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        if path == "/api/products":
            made = range(1, len(body) + 1)
            return 207, [{"outcome": "done", "data": {"id": str(number)}} for number in made]
        if path == "/checkout/saga":
            self.checkouts.append(body)
            number = len(self.checkouts) - 1
            return 202, {"status_url": f"{self.url}/orders/saga/{number}/status"}
        return 201, {"id": "a-cart"}

    def status_of(self, number: int) -> str:
        is_declined = self.checkouts[number]["payment_method"] == "card_declined"
        return "compensated" if is_declined else self.ending


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ToyShop

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(*self.server.post(self.path, body))

    def do_GET(self) -> None:
        if not self.path.startswith("/orders/"):
            self._answer(200, {"status": "ok", "service": "carrito"})
            return
        number = int(self.path.split("/")[3])
        self._answer(200, {"status": self.server.status_of(number)})

    def _answer(self, status: int, body: Any) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_: Any) -> None:
        """Silent."""
