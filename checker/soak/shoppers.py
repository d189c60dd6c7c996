"""The load: each saga is requested at its time, and again under its key until it is accepted; and
people decide steps that wait: with yes, with no, or not at all.

Open loop: the intended start of a saga does not depend on the shop. A decision follows from the
saga's id, and is given again as long as the step is open, so that a verdict whose answer was lost
is repeated.
"""

import heapq
import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import urllib3

from accounts.passes import Passes
from contracts.doors import OPS_ACT, OPS_READ, SHOP
from contracts.saga import CUSTOMER, Saga

BEGUN, ENDED = (201, 202), 200
FAULTS = range(500, 600)
"""Statuses after which a shopper repeats the request; also after no answer."""
THREADS = 48
CONNECT_SECONDS, ANSWER_SECONDS, WAIT_SECONDS = 2.0, 5.0, 3
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


@dataclass(frozen=True, kw_only=True)
class PlannedRequest:
    """A saga to request, `at` seconds after the start. `is_repeated`: once more after it was
    accepted. `waits`: the shopper waits for the outcome.
    """

    at: float
    key: str
    body: bytes
    token: str = ""
    is_repeated: bool = False
    waits: bool = False


@dataclass(kw_only=True)
class SagaRequest:
    """A planned request that was sent. Times are seconds since 1970, `accepted_at` is 0 until then;
    `answers`: every different final answer (one, if all is well).
    """

    wanted: PlannedRequest
    intended_at: float
    attempts: int = 0
    accepted_at: float = 0.0
    answers: list[str]


class Shoppers:
    """Sends requests between `start` and `finish`, on its own threads."""

    def __init__(self, *, url: str, wanted: Sequence[PlannedRequest]) -> None:
        """`url`: where the owner accepts the saga."""
        self.asked: list[SagaRequest] = []
        """The requests whose time has come."""
        self._url = url
        self._http = urllib3.PoolManager(
            maxsize=THREADS,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        )
        self._wanted = wanted
        self._due: list[tuple[float, int, SagaRequest]] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._is_finished = False
        self._threads = [
            threading.Thread(target=work, name="shopper", daemon=True)
            for work in (self._arrive, *[self._ask_on] * THREADS)
        ]

    @property
    def waiting(self) -> int:
        """The number of sent requests that are not accepted yet."""
        return sum(not request.answers for request in list(self.asked))

    def start(self) -> None:
        """The planned times count from now."""
        for thread in self._threads:
            thread.start()

    def close_the_doors(self) -> None:
        """No new request is sent; unanswered ones are still repeated."""
        self._closing.set()

    def finish(self) -> None:
        """No request is sent any more."""
        self.close_the_doors()
        with self._changed:
            self._is_finished = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _arrive(self) -> None:
        started, epoch = time.monotonic(), time.time()
        for number, wanted in enumerate(self._wanted):
            if self._closing.wait(max(started + wanted.at - time.monotonic(), 0.0)):
                return
            asked = SagaRequest(wanted=wanted, intended_at=epoch + wanted.at, answers=[])
            self.asked.append(asked)
            self._push(started + wanted.at, number, asked)

    def _push(self, due: float, number: int, asked: SagaRequest) -> None:
        with self._changed:
            heapq.heappush(self._due, (due, number, asked))
            self._changed.notify()

    def _ask_on(self) -> None:
        while (taken := self._take()) is not None:
            number, asked = taken
            again = self._ask(asked)
            if again is not None:
                self._push(time.monotonic() + again, number, asked)

    def _take(self) -> tuple[int, SagaRequest] | None:
        """The next request that is due; None once all is finished."""
        with self._changed:
            while not self._is_finished:
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._due)[1:]
                self._changed.wait(left)
        return None

    def _ask(self, asked: SagaRequest) -> float | None:
        """Sends a request once; returns the seconds until it is sent again, or None."""
        asked.attempts += 1
        answer = self._post(asked.wanted)
        if answer is None:
            pause = min(FIRST_PAUSE * 2 ** min(asked.attempts, 10), LONGEST_PAUSE)
            return pause * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter
        is_first = not asked.answers
        if is_first:
            asked.accepted_at = time.time()
        if answer not in asked.answers:
            asked.answers.append(answer)
        return 0.0 if is_first and asked.wanted.is_repeated else None

    def _post(self, wanted: PlannedRequest) -> str | None:
        """The saga's id, or a wrong answer in words; None if the request is in doubt."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": wanted.key}
        if wanted.token:
            headers["Authorization"] = f"Bearer {wanted.token}"
        if wanted.waits:
            headers["Prefer"] = f"wait={WAIT_SECONDS}"
        try:
            answer = self._http.request("POST", self._url, body=wanted.body, headers=headers)
        except urllib3.exceptions.HTTPError:
            return None
        if answer.status in FAULTS:
            return None
        if answer.status not in (*BEGUN, ENDED):
            return f"{answer.status} {answer.data[:200].decode(errors='replace')}"
        return str(json.loads(answer.data)["saga_id"])


YES, NO, PASS = "yes", "no", "let pass"
SHARES = {YES: 0.7, NO: 0.15, PASS: 0.15}
DECIDE_SECONDS = 4.0
"""A decision that is not made is overdue after this time, in a soak."""
LOOK_SECONDS = 0.2
MOST = 200
"""Decisions read from a service at once."""
_KNOWN = (200, 409)
"""The verdict was taken; or another verdict, or the deadline, came first."""


def patience(*, saga: Saga) -> dict[str, str]:
    """The variables with which a saga's steps wait only DECIDE_SECONDS for a person."""
    steps = [
        f"{saga.name}.{step.name}={DECIDE_SECONDS:g}" for step in saga.steps if step.decided_by
    ]
    return {"DUETO_DECIDE_SECONDS": ",".join(steps)}


class People:
    """Decide between `start` and `finish`, on their own thread."""

    def __init__(self, *, saga: Saga, urls: Mapping[str, str], passes: Passes) -> None:
        """`passes`: their tokens."""
        self.given: dict[tuple[str, str], str] = {}
        """The verdict on each decision, or PASS, by saga and step."""
        self._inboxes = sorted({urls[step.service] for step in saga.steps if step.decided_by})
        self._http = urllib3.PoolManager(retries=False, timeout=5.0)
        self._passes = passes
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
                for decision in self._open(url):
                    self._decide(decision)

    def _open(self, url: str) -> list[dict[str, Any]]:
        """The open decisions there, the newest first; none if there is no answer."""
        try:
            answer = self._http.request(
                "GET", f"{url}/decisions?status=open&page_size={MOST}", headers=self._who()
            )
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
        who = self._who(asked)
        body = {"verdict": word, "reason": "" if word == YES else "I'd rather not."}
        body |= {} if who else {"by": "soak"}
        try:
            answer = self._http.request(
                "POST",
                asked["url"],
                body=json.dumps(body),
                headers={"Content-Type": "application/json", **who},
            )
        except urllib3.exceptions.HTTPError:
            return
        if answer.status in _KNOWN:
            self.given[key] = word

    def _who(self, asked: Mapping[str, Any] | None = None) -> dict[str, str]:
        """The token of an operator, or of the customer for a customer's decision."""
        if asked and asked["decided_by"] == CUSTOMER:
            return self._passes.person(asked["command"]["user_id"], SHOP)
        return self._passes.person("soak", OPS_READ, OPS_ACT)


def _word(saga_id: str, step: str) -> str:
    chance = random.Random(f"{saga_id} {step}")  # noqa: S311 -- the same each time, no secret
    return chance.choices([*SHARES], [*SHARES.values()])[0]
