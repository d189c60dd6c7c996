"""The participants as an orchestrator calls them: with batches of commands, over HTTP, and with a
circuit breaker for each service, so that one that is down is only probed.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from contracts import projection
from contracts.outcomes import Busy, Outcome
from contracts.saga import Context
from coordination.engine import CallResult, Fault, Postponed, Progress
from httpapi.client import Client, Unreachable
from participant import tracing

log = logging.getLogger(__name__)

CALL_SECONDS = 5.0
"""The default timeout of a call."""
PROBE_SECONDS = 1.0
MOST_LONE_FAULTS = 5
POSTPONE_SECONDS = (0.2, 1.0)
"""For a saga whose call was not made, or met a locked row: this does not count as a try."""
FAULTS_TO_OPEN = 3
"""Fewer than the engine's tries, so that an outage costs no saga all its tries."""
FIRST_OPEN_SECONDS = 0.5
LONGEST_OPEN_SECONDS = 1.0
LONGEST_POSTPONE_SECONDS = 5.0


class Breaker:
    """Closed: calls pass. Open: no call passes; after a while one thread probes, and may close it.

    The probe asks the service whether it is ready, so that no saga spends a try on it. The first
    call after the probe is the real test: if it faults, it opens the breaker again at once.
    """

    def __init__(
        self, *, probe: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._lock = threading.Lock()
        self._faults = 0
        self._opened_at = 0.0
        self._open_until = 0.0
        self._pause = 0.0

    @property
    def is_open(self) -> bool:
        return self._pause > 0

    def allows(self) -> bool:
        """Whether a call may be made now; probes if a probe is due."""
        if not self.is_open:
            return True
        with self._lock:
            if not self.is_open or self._clock() < self._open_until:
                return not self.is_open
            self._open_until = self._clock() + LONGEST_OPEN_SECONDS
        self._settle(is_back=self._probe())
        return not self.is_open

    def succeeded(self) -> None:
        if self._faults:
            with self._lock:
                self._faults = 0

    def faulted(self) -> None:
        with self._lock:
            self._faults += 1
            if self._faults >= FAULTS_TO_OPEN and not self.is_open:
                self._opened_at = self._clock()
                self._open(FIRST_OPEN_SECONDS)

    def postpone_seconds(self, *, draw: float) -> float:
        """For how long to postpone a call: longer in a longer outage, so that waiting sagas cost
        little, and with jitter, so that they do not all come at once.
        """
        outage = self._clock() - self._opened_at
        return min(LONGEST_POSTPONE_SECONDS, self._pause + outage / 4) * (0.5 + 0.5 * draw)

    def _settle(self, *, is_back: bool) -> None:
        with self._lock:
            if is_back:
                self._pause = 0.0
                self._faults = FAULTS_TO_OPEN - 1
            else:
                self._open(min(LONGEST_OPEN_SECONDS, self._pause * 2))

    def _open(self, seconds: float) -> None:
        self._pause = seconds
        self._open_until = self._clock() + seconds


class Endpoint(NamedTuple):
    """The target of calls: an operation in one direction, for any step of any saga."""

    service: str
    path: str
    seconds: float = CALL_SECONDS


def endpoint_of(*, progress: Progress) -> Endpoint:
    """The endpoint of the call that is due."""
    step = progress.step
    return Endpoint(step.service, projection.path_of(step, progress.direction), step.seconds)


class DueSaga(Protocol):
    """A saga with a call that is due."""

    @property
    def progress(self) -> Progress: ...

    @property
    def context(self) -> Context: ...


class Participants:
    """Calls services by name. `urls`: of each service."""

    def __init__(self, *, urls: Mapping[str, str]) -> None:
        self._clients = {
            service: Client(service, url=url, timeout=CALL_SECONDS) for service, url in urls.items()
        }
        self._probes = {
            service: Client(service, url=url, timeout=PROBE_SECONDS)
            for service, url in urls.items()
        }
        self._breakers = {
            service: Breaker(probe=partial(self._is_ready, service)) for service in urls
        }

    def counters(self) -> dict[str, int]:
        return {
            "http_calls": sum(client.calls for client in self._clients.values()),
            **{f"calls.{service}": client.calls for service, client in self._clients.items()},
            **{f"probes.{service}": client.calls for service, client in self._probes.items()},
            "breakers_open": sum(breaker.is_open for breaker in self._breakers.values()),
            **{f"breaker.{service}": int(it.is_open) for service, it in self._breakers.items()},
        }

    def ask(self, *, endpoint: Endpoint, sagas: Sequence[DueSaga]) -> list[CallResult]:
        """Sends the commands of these sagas in one call; an answer for each saga, in order.

        If the call of a list fails, each command is sent alone, so that a saga that makes calls
        fail harms only itself. While the breaker is open no call is made.
        """
        if endpoint.service not in self._clients:
            return [Fault(f"{endpoint.service} has no address here") for _ in sagas]
        breaker = self._breakers[endpoint.service]
        if not breaker.allows():
            return [Postponed(breaker.postpone_seconds(draw=random.random())) for _ in sagas]  # noqa: S311 -- spreads load, guards nothing
        try:
            answers = self._tell(endpoint, sagas)
        except Unreachable as error:
            return self._after_error(endpoint, sagas, error)
        breaker.succeeded()
        return answers

    def close(self) -> None:
        """Closes the kept connections."""
        for client in [*self._clients.values(), *self._probes.values()]:
            client.close()

    def _is_ready(self, service: str) -> bool:
        try:
            self._probes[service].get(path="/health/ready")
        except Unreachable:
            return False
        log.info("%s is back", service)
        return True

    def _tell(self, endpoint: Endpoint, sagas: Sequence[DueSaga]) -> list[CallResult]:
        """Raises Unreachable if the answer is not an outcome for each command."""
        commands = [
            projection.command(
                step=saga.progress.step,
                direction=saga.progress.direction,
                context=saga.context,
                failure=saga.progress.failure,
            )
            for saga in sagas
        ]
        with tracing.continued(f"call {endpoint.path}", commands, kind="client") as (given, _):
            answer = self._clients[endpoint.service].post(
                path=endpoint.path, body=given, timeout=endpoint.seconds
            )
        if answer.status != 207:
            raise Unreachable(answer.summary, status=answer.status)
        try:
            outcomes = _outcomes.decode(answer.body)
        except msgspec.DecodeError as error:
            log.warning("%s: no list of outcomes: %s", endpoint.path, error)
            raise Unreachable("not a list of outcomes", status=207) from error
        if len(outcomes) != len(commands):
            raise Unreachable(f"{len(outcomes)} outcomes for {len(commands)}", status=207)
        return [_postponed() if isinstance(outcome, Busy) else outcome for outcome in outcomes]

    def _after_error(
        self, endpoint: Endpoint, sagas: Sequence[DueSaga], error: Unreachable
    ) -> list[CallResult]:
        if error.is_outage:
            self._breakers[endpoint.service].faulted()
        elif len(sagas) > 1:
            log.warning("%d sagas at %s, now one by one: %s", len(sagas), endpoint.path, error)
            return self._ask_one_by_one(endpoint, sagas)
        log.warning("%s: %s", endpoint.path, error)
        return [Fault(f"{endpoint.service}: {error.told}") for _ in sagas]

    def _ask_one_by_one(self, endpoint: Endpoint, sagas: Sequence[DueSaga]) -> list[CallResult]:
        """After MOST_LONE_FAULTS in a row the other sagas are postponed."""
        answers: list[CallResult] = []
        in_a_row = 0
        for saga in sagas:
            if in_a_row == MOST_LONE_FAULTS:
                answers.append(_postponed())
                continue
            answers += self.ask(endpoint=endpoint, sagas=[saga])
            in_a_row = in_a_row + 1 if isinstance(answers[-1], Fault) else 0
        return answers


def _postponed() -> Postponed:
    return Postponed(random.uniform(*POSTPONE_SECONDS))  # noqa: S311 -- spreads load, guards nothing


_outcomes = msgspec.json.Decoder(list[Outcome | Busy])
