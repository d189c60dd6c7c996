"""All services in one real HTTP server, with a barrier in memory: refuses, faults and waits on
demand, and records calls and effects.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from catalogue import SAGAS
from checker.explorer.sagas.scenarios import results_of
from contracts import projection

KEYS = {
    projection.path_of(call.step, call.direction): (call.step.name, call.direction.value)
    for call in projection.calls("checkout")
}
PATHS = {key: path for path, key in KEYS.items()}
Key = tuple[str, str]


class Fault:
    """How a call goes wrong. `status`: answered with; None cuts the connection."""

    def __init__(
        self, *, times: int, status: int | None, after_effect: bool, saga_id: str | None
    ) -> None:
        self.times = times
        self.status = status
        self.after_effect = after_effect
        self.saga_id = saga_id

    def strikes(self, saga_ids: list[str]) -> bool:
        if self.times <= 0 or (self.saga_id and self.saga_id not in saga_ids):
            return False
        self.times -= 1
        return True


class Services:
    """`asked`: every call, as (step, direction) and its sagas, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[Key, list[str]]] = []
        self.bodies: list[tuple[Key, Any]] = []
        self.probes = 0
        self.is_down = False
        self._effects: dict[str, list[Key]] = {}
        self._outcomes: dict[tuple[str, Key], dict[str, Any]] = {}
        self._refusals: dict[Key, str] = {}
        self._faults: dict[Key, Fault] = {}
        self._gates: dict[Key, threading.Event] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])
        self._thread.start()

    def close(self) -> None:
        for gate in self._gates.values():
            gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def refuses(self, step: str, direction: str = "do", *, code: str = "no") -> None:
        self._refusals[step, direction] = code

    def faults(
        self,
        step: str,
        direction: str = "do",
        *,
        times: int = 10**9,
        status: int | None = 500,
        after_effect: bool = False,
        saga_id: str | None = None,
    ) -> None:
        self._faults[step, direction] = Fault(
            times=times, status=status, after_effect=after_effect, saga_id=saga_id
        )

    def is_well_again(self) -> None:
        self._faults.clear()

    def waits(self, step: str, direction: str = "do") -> threading.Event:
        """Calls of this step are answered once the event is set."""
        return self._gates.setdefault((step, direction), threading.Event())

    def effects(self, saga_id: str) -> list[Key]:
        return self._effects.get(saga_id, [])

    def times_asked(self, step: str, direction: str = "do", *, saga_id: str) -> int:
        return sum(key == (step, direction) and saga_id in ids for key, ids in self.asked)

    def batches(self, step: str, direction: str = "do") -> list[list[str]]:
        return [ids for key, ids in self.asked if key == (step, direction)]

    def answer(self, key: Key, commands: list[dict[str, Any]]) -> tuple[int | None, Any]:
        saga_ids = [command["saga_id"] for command in commands]
        with self._lock:
            self.asked.append((key, saga_ids))
            self.bodies += [(key, command) for command in commands]
            fault = self._faults.get(key)
            struck = fault if fault and fault.strikes(saga_ids) else None
        if key in self._gates:
            self._gates[key].wait(30)
        if struck and not struck.after_effect:
            return struck.status, {"title": "broken"}
        with self._lock:
            outcomes = [self._outcome(key, saga_id) for saga_id in saga_ids]
        return (struck.status, {"title": "broken"}) if struck else (207, outcomes)

    def _outcome(self, key: Key, saga_id: str) -> dict[str, Any]:
        step, direction = key
        done = self._outcomes.get((saga_id, (step, "do")))
        if direction == "block":
            aborted = {"outcome": "refused", "code": "aborted"}
            return self._outcomes.setdefault((saga_id, (step, "do")), aborted)
        if (saga_id, key) not in self._outcomes:
            self._outcomes[saga_id, key] = self._fresh(key, saga_id, done)
        return self._outcomes[saga_id, key]

    def _fresh(self, key: Key, saga_id: str, done: dict[str, Any] | None) -> dict[str, Any]:
        step, direction = key
        if key in self._refusals:
            return {"outcome": "refused", "code": self._refusals[key], "detail": "on demand"}
        if direction == "undo" and step != SAGAS["checkout"].steps[0].name:
            self._outcomes.setdefault(
                (saga_id, (step, "do")), {"outcome": "refused", "code": "aborted"}
            )
            if done is None or done["outcome"] != "done":
                return {"outcome": "done", "data": {"nothing_to_undo": True}}
        self._effects.setdefault(saga_id, []).append(key)
        needed = results_of(saga=SAGAS["checkout"], step=SAGAS["checkout"].step(step))
        return {"outcome": "done", "data": {"of": step, **needed}}

    def _handler(services) -> type[BaseHTTPRequestHandler]:  # noqa: N805 -- the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                services.probes += 1
                self._answer(503 if services.is_down else 200, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if services.is_down:
                    self._answer(503, {})
                    return
                status, answer = services.answer(KEYS[self.path], json.loads(body))
                if status is None:
                    self.close_connection = True
                    return
                self._answer(status, answer)

            def _answer(self, status: int, body: Any) -> None:
                encoded = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
