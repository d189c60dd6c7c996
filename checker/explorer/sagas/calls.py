"""Calls without a network: the executor's calls to services, lost, late, or answered; and calls to
the card network, for the steps that wait for it.

The card network is simulated, and so is the service's code that calls it: an intent (the step
waits, committed), a call with the saga's key, a decision. The decision's effect on the step is that
of the real `coordination.decisions`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from checker.explorer.injection import Crashed, FaultInjection
from checker.explorer.sagas.participants import CARD_NETWORK, ScriptedParticipants
from checker.explorer.store import WouldWait
from contracts.saga import Command
from coordination import decisions
from httpapi.client import ServiceResponse, Unreachable
from participant.barrier import Key
from participant.decisions import GivenVerdict
from participant.executing import execute
from participant.operations import NO, YES, Operation

REQUEST_LOST, REPLY_LOST, LATE = "request lost", "reply lost", "late"
WAYS = (REQUEST_LOST, REPLY_LOST, LATE)


class Request(NamedTuple):
    """A call that has not arrived yet."""

    operation: Operation
    commands: Sequence[Command]

    def __str__(self) -> str:
        sagas = ", ".join(command.saga_id for command in self.commands)
        return f"{self.operation.name} for {sagas}"


class Calls:
    """`paths`: the operation of each path. `fails`: how the next call goes wrong. `late`: requests
    whose callers have given up.
    """

    def __init__(self, *, injection: FaultInjection, paths: Mapping[str, Operation]) -> None:
        self.injection = injection
        self._operations = paths
        self.late: list[Request] = []
        self._blocked: list[Request] = []
        self.clear()

    def clear(self) -> None:
        self.fails = ""
        self.late.clear()
        self._blocked.clear()
        self._outage, self._outage_left = "", 0

    def loses_replies(self, *, service: str, calls: int) -> None:
        """The next `calls` calls of this service take effect, and are not answered."""
        self._outage, self._outage_left = service, calls

    def client(self, service: str, *, url: str, timeout: float) -> "InProcessClient":
        """Replaces `httpapi.client.Client`."""
        return InProcessClient(self)

    def make(self, path: str, commands: Sequence[Command]) -> ServiceResponse:
        """Raises Unreachable."""
        way, self.fails = self.fails, ""
        request = Request(self._operations[path], commands)
        if way == LATE:
            self.late.append(request)
        if way in (LATE, REQUEST_LOST):
            raise Unreachable("no answer in time")
        answer = self._execute(request)
        if way == REPLY_LOST or self._is_outage(request.operation.service):
            raise Unreachable("the answer was lost")
        return answer

    def arriving(self) -> list[Request]:
        """The late requests that need not wait for an open transaction."""
        if not self.injection.depth:
            self._blocked.clear()
        return [request for request in self.late if request not in self._blocked]

    def arrive(self, request: Request) -> None:
        """Executes a late request, whose caller has given up."""
        self.late.remove(request)
        with suppress(Unreachable):
            self._execute(request)

    def _is_outage(self, service: str) -> bool:
        if service != self._outage or not self._outage_left:
            return False
        self._outage_left -= 1
        return True

    def _execute(self, request: Request) -> ServiceResponse:
        try:
            executed = execute(operation=request.operation, commands=request.commands)
        except Crashed as error:
            raise Unreachable("the service died") from error
        except WouldWait as error:
            self.late.append(request)
            self._blocked.append(request)
            raise Unreachable("no answer in time: it waits for a row") from error
        return ServiceResponse(207, msgspec.json.encode([done.outcome for done in executed]))


class InProcessClient:
    """The part of `httpapi.client.Client` that the executor uses, with its failpoints."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.calls = 0

    def post(
        self, *, path: str, body: Sequence[Command], timeout: float | None = None, **_: Any
    ) -> ServiceResponse:
        self._calls.injection.reached("client.before_call")
        answer = self._calls.make(path, body)
        self._calls.injection.reached("client.answered")
        return answer

    def get(self, *, path: str) -> ServiceResponse:
        """The probe of the breaker: the service is ready."""
        return ServiceResponse(200, b"{}")


class ManualBulkheads:
    """Replaces `saga_orchestrator.in_flight.Bulkheads`: moved only by `work`."""

    def __init__(
        self, *, work: Callable[[Any, list[Any]], None], at_exit: Callable[[], None]
    ) -> None:
        self._work = work
        self.waiting: dict[Any, list[Any]] = {}

    def put(self, key: Any, items: Iterable[Any]) -> None:
        self.waiting.setdefault(key, []).extend(items)

    def work(self, key: Any, count: int) -> None:
        """Takes the first `count` items of a bulkhead, and works on them."""
        bulkhead = self.waiting.pop(key)
        if bulkhead[count:]:
            self.waiting[key] = bulkhead[count:]
        self._work(key, bulkhead[:count])


BEFORE_CALL, ANSWERED = "desk.before_call", "desk.answered"
REQUEST, ANSWER = "request", "answer"
LOSABLE = (REQUEST, ANSWER)


class CardNetwork:
    """Takes money once for each key, and remembers its answers. `loses`: the part of the next call
    that is lost; `captured`: how often money was taken for each step.
    """

    def __init__(self) -> None:
        self.loses = ""
        self.captured: Counter[Key] = Counter()
        self._answers: dict[str, bool] = {}

    def clear(self) -> None:
        self.loses = ""
        self.captured.clear()
        self._answers.clear()

    def charge(self, *, key: str, step: Key, is_good: bool) -> bool:
        """Whether the money is taken. Raises Unreachable."""
        loses, self.loses = self.loses, ""
        if loses == REQUEST:
            raise Unreachable("the card network was not reached")
        if key not in self._answers:
            self._answers[key] = is_good
            self.captured[step] += is_good
        if loses == ANSWER:
            raise Unreachable("the card network's answer was lost")
        return self._answers[key]


class CardDesk:
    """Calls the card network. `is_at_once`: the process that has written the intent calls, and
    waits for the answer, as in a web process; otherwise the call follows later.
    """

    def __init__(self, *, participants: ScriptedParticipants, injection: FaultInjection) -> None:
        self.network = CardNetwork()
        self.is_at_once = True
        self._participants = participants
        self._injection = injection

    def pursue(self, keys: Collection[Key]) -> bool:
        """A `participant.decisions.System`. Unanswered calls are repeated later."""
        if not self.is_at_once:
            return False
        with suppress(Unreachable):
            for key in keys:
                self.ask(key=key)
        return True

    def ask(self, *, key: Key) -> None:
        """Calls the network, and decides the step. Raises Unreachable."""
        saga_id, step = key
        scenario = self._participants.scenario
        self._injection.reached(BEFORE_CALL)
        is_good = self.network.charge(
            key=self._key_of(key), step=key, is_good=scenario.refused.get(saga_id) != step
        )
        self._injection.reached(ANSWERED)
        service, _, action = scenario.saga.step(step).operation.partition(".")
        given = GivenVerdict(saga_id=saga_id, step=step, word=YES if is_good else NO)
        decisions.decide(service=service, action=action, given=[given], decided_by=CARD_NETWORK)

    def _key_of(self, key: Key) -> str:
        """The same for every call."""
        return " ".join(key)
