"""A server that answers checkouts the way a test wants, on a port of its own."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SlowShop(ThreadingHTTPServer):
    """Takes POSTs. Call `serve()` in a `with` block.

    `hold`: no request is answered until so many have come. `stall`: the first one takes so many
    seconds, and the others wait behind it, as behind a lock. `status`: of every answer.
    """

    daemon_threads = True
    request_queue_size = 1000

    def __init__(self, *, hold: int = 1, stall: float = 0.0, status: int = 202) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.bodies: list[bytes] = []
        self._hold, self._stall = hold, stall
        self._lock = threading.Lock()
        self._enough = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "SlowShop":
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._enough.set()
        self.shutdown()
        self.server_close()

    def answer(self, body: bytes) -> dict[str, str]:
        with self._lock:
            self.bodies.append(body)
            number = len(self.bodies)
            if number == 1 and self._stall:
                time.sleep(self._stall)  # the fault itself, not a wait for something
        if number >= self._hold:
            self._enough.set()
        self._enough.wait()
        return {"saga_id": f"saga-{number}"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlowShop

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps(self.server.answer(body)).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Silent."""
