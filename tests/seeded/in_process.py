"""The orchestrator in one thread, and HTTP without a network: everything else is real."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db import connections
from django.test import Client as TestClient

from catalogue.services import PARTICIPANTS
from contracts.patterns import ORCHESTRATED, PATTERNS
from coordination.participants import Participants
from httpapi import client
from httpapi.client import ServiceResponse, Unreachable
from saga_orchestrator import executor, messages, store
from saga_orchestrator.executor import Executor
from saga_orchestrator.in_flight import ClaimedSaga

NEVER = 1e9
HAND_OVER = PATTERNS[ORCHESTRATED].hand_over


class Killed(BaseException):
    """The process was killed: no handler may catch this."""


class Network:
    """Every call of a service on another. `breaks`: paths whose answer is lost, and how often;
    `before`: whether the call is lost before it is made.
    """

    def __init__(self, monkeypatch) -> None:
        self.breaks: dict[str, int] = {}
        self.before = False
        self._services = TestClient(raise_request_exception=False)
        network = self

        def call(
            self: Any,
            method: str,
            path: str,
            body: bytes | None,
            headers: Mapping[str, str] | None,
            *rest: Any,
        ) -> ServiceResponse:
            self.calls += 1
            return network.call(method, path, body, headers)

        monkeypatch.setattr(client.Client, "_call", call)

    def call(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None
    ) -> ServiceResponse:
        is_broken = self.breaks.get(path, 0) > 0
        if is_broken:
            self.breaks[path] -= 1
        if is_broken and self.before:
            raise Unreachable(f"{path} could not be called", status=_status(path))
        answer = self._answer(method, path, body, headers)
        if is_broken or answer.status_code >= 500:
            raise Unreachable(f"no answer of {path}", status=_status(path))
        return ServiceResponse(answer.status_code, answer.content, dict(answer.headers))

    def _answer(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> Any:
        try:
            return self._services.generic(
                method, path, body or b"", "application/json", headers=headers
            )
        except Killed as error:
            raise Unreachable(f"{path} was killed") from error


class Bulkhead:
    """In place of the executor's threads: batches wait until they are worked off."""

    def __init__(self, *, work: Callable[[Any, list[Any]], None], **rest: Any) -> None:
        self._work = work
        self.waiting: deque[tuple[Any, list[Any]]] = deque()

    def put(self, key: Any, items: Iterable[Any]) -> None:
        self.waiting.append((key, list(items)))

    def work_off(self) -> None:
        while self.waiting:
            self._work(*self.waiting.popleft())


class Orchestrator:
    """A runner with the real executor, engine and log."""

    def __init__(self, monkeypatch) -> None:
        monkeypatch.setattr(executor, "Bulkheads", Bulkhead)
        self.open_again()

    def open_again(self) -> None:
        """A new runner; the one before is dead, and its lease has expired."""
        with connections[store.ALIAS].cursor() as cursor:
            cursor.execute("UPDATE saga_orchestrator_runner SET seen_at = now() - interval '1 h'")
        self.runner_id, _ = store.renew(runner_id=None, host="here", pid=1)
        self.executor = Executor(
            participants=Participants(urls=dict.fromkeys(PARTICIPANTS, "http://127.0.0.1:1")),
            on_release=lambda seconds: None,
        )

    def claim(self, *, early: bool = False) -> list[ClaimedSaga]:
        """Due sagas; `early`: as if every pause were over."""
        if early:
            with connections[store.ALIAS].cursor() as cursor:
                cursor.execute(
                    "UPDATE saga_orchestrator_saga SET next_attempt_at = now()"
                    " WHERE next_attempt_at > now()"
                )
        sagas = store.claim(runner_id=self.runner_id, limit=100)
        for saga in sagas:
            saga.deadline = NEVER
        return sagas

    def work(self, *, early: bool = False) -> int:
        """Moves all due sagas on, until each has ended, waits or is parked."""
        sagas = self.claim(early=early)
        by_message = [saga for saga in sagas if messages.goes_by_message(saga=saga)]
        self.executor.execute(sagas=[saga for saga in sagas if saga not in by_message])
        messages.execute(sagas=by_message)
        self.executor._bulkheads.work_off()
        return len(sagas)


def _status(path: str) -> int | None:
    """Of a participant that errs; a coordinator is not reached at all."""
    return None if path == HAND_OVER else 500
