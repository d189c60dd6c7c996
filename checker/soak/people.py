"""Those who decide: they look into the services' inboxes, and say yes or no, or let it pass.

What somebody does follows from the saga's id; again and again, as long as it stays open, so a
verdict whose answer was lost is given once more.
"""

import json
import random
import threading
from collections.abc import Mapping
from typing import Any

import urllib3

from contracts.saga import Saga

YES, NO, PASS = "yes", "no", "let pass"
SHARES = {YES: 0.7, NO: 0.15, PASS: 0.15}
DECIDE_SECONDS = 4.0
"""Those that are let pass are overdue after so long, in a soak."""
LOOK_SECONDS = 0.2
MOST = 200
"""Decisions of a service in one look."""
_KNOWN = (200, 409)
"""It was taken; or somebody, or its time, was first."""


def patience(*, saga: Saga) -> dict[str, str]:
    """The variables with which a saga's steps wait only DECIDE_SECONDS for a person."""
    steps = [
        f"{saga.name}.{step.name}={DECIDE_SECONDS:g}" for step in saga.steps if step.decided_by
    ]
    return {"DUETO_DECIDE_SECONDS": ",".join(steps)}


class People:
    """Decide between `start` and `finish`, on a thread of their own."""

    def __init__(self, *, saga: Saga, urls: Mapping[str, str]) -> None:
        self.given: dict[tuple[str, str], str] = {}
        """What was done of each decision that was seen, by saga and step."""
        self._inboxes = sorted({urls[step.service] for step in saga.steps if step.decided_by})
        self._http = urllib3.PoolManager(retries=False, timeout=5.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="people", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while self._inboxes and not self._stop.wait(LOOK_SECONDS):
            for url in self._inboxes:
                for one in self._open(url):
                    self._decide(one)

    def _open(self, url: str) -> list[dict[str, Any]]:
        """The open decisions there, the newest first; none where nobody answers."""
        try:
            answer = self._http.request("GET", f"{url}/decisions?status=open&page_size={MOST}")
        except urllib3.exceptions.HTTPError:
            return []
        found: list[dict[str, Any]] = (
            json.loads(answer.data)["results"] if answer.status == 200 else []
        )
        return found

    def _decide(self, asked: Mapping[str, Any]) -> None:
        key = asked["saga_id"], asked["step"]
        word = _word(*key)
        if word == PASS:
            self.given[key] = PASS
            return
        body = {"verdict": word, "by": "soak", "reason": "" if word == YES else "I'd rather not."}
        try:
            answer = self._http.request(
                "POST",
                asked["url"],
                body=json.dumps(body),
                headers={"Content-Type": "application/json"},
            )
        except urllib3.exceptions.HTTPError:
            return
        if answer.status in _KNOWN:
            self.given[key] = word


def _word(saga_id: str, step: str) -> str:
    chance = random.Random(f"{saga_id} {step}")  # noqa: S311 -- the same each time, no secret
    return chance.choices([*SHARES], [*SHARES.values()])[0]
