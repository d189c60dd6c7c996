"""A proxy between the orchestrator and the real pagos, which loses answers."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import urllib3

from tests.integration.orchestrator.services import PATHS, Key, Services

CHARGE, REFUND = ("process_payment", "do"), ("process_payment", "undo")
Loses = Callable[[Key, list[str]], bool]


class Door(Services):
    """The other services are in memory; calls to pagos are passed on over HTTP.

    `loses`: whether the answer to a call is lost after its effect: the connection is cut. `delays`:
    whether the call itself is kept back until `send_delayed` is called.
    """

    def __init__(self, *, pagos_url: str) -> None:
        self.loses: Loses = lambda key, saga_ids: False
        self.delays: Loses = lambda key, saga_ids: False
        self.lost: Counter[str] = Counter()
        self._late: list[list[dict[str, Any]]] = []
        self._pagos = urllib3.connection_from_url(pagos_url, maxsize=4)
        super().__init__()

    def answer(self, key: Key, commands: list[dict[str, Any]]) -> tuple[int | None, Any]:
        if key not in (CHARGE, REFUND):
            return super().answer(key, commands)
        saga_ids = [command["saga_id"] for command in commands]
        if self.delays(key, saga_ids):
            self._late.append(commands)
            return None, None
        status, outcomes = self._pass_on(key, commands)
        if self.loses(key, saga_ids):
            self.lost.update(saga_ids)
            return None, None
        return status, outcomes

    def send_delayed(self) -> list[dict[str, Any]]:
        """Sends the delayed charges; returns pagos' answers."""
        return [answer for commands in self._late for answer in self._pass_on(CHARGE, commands)[1]]

    def close(self) -> None:
        super().close()
        self._pagos.close()

    def _pass_on(self, key: Key, commands: list[dict[str, Any]]) -> tuple[int, Any]:
        response = self._pagos.request(
            "POST",
            PATHS[key],
            body=json.dumps(commands),
            headers={"Content-Type": "application/json"},
            retries=False,
        )
        return response.status, response.json()
