"""The decisions that steps wait for: by a person, the card network, or a deadline; and notifying
the coordinator that waits meanwhile.

Undisturbed, each decides by the scenario once nothing else moves. Giving a decision, the sweep, the
notifier, and their work under the barrier's lock are real (`coordination.decisions`,
`coordination.decision_components`, `participant.decisions`).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

from checker.explorer.injection import Crashed
from checker.explorer.sagas.backend import AskedDecision, Backend
from checker.explorer.sagas.calls import (
    ANSWERED,
    BEFORE_CALL,
    LOSABLE,
    REPLY_LOST,
    REQUEST_LOST,
    CardDesk,
)
from checker.explorer.sagas.memory import AFTER_READING
from checker.explorer.sagas.participants import CARD_NETWORK, waits_for
from checker.explorer.sagas.scenarios import SLACK_SECONDS
from checker.explorer.scheduling import PROGRESS, Option
from checker.explorer.store import WouldWait
from contracts import patterns
from contracts.saga import Direction
from coordination import decisions as doors
from coordination.decision_components import Overdue, Teller
from httpapi.client import ServiceResponse, Unreachable
from httpapi.problems import Problem
from participant.barrier import Key
from participant.decisions import GivenVerdict
from participant.operations import NO, YES
from saga_orchestrator import operations as orchestration

BEFORE_COMMIT, AFTER_COMMIT = "decisions.before_commit", "decisions.after_commit"
CRASHES_OF_DECISION = (BEFORE_COMMIT, AFTER_COMMIT, BEFORE_CALL, ANSWERED)
CRASHES_OF_TELLER = ("orchestration.before_decided", "decisions.before_mark", "decisions.marked")
SLOW_DECISIONS = (AFTER_READING, BEFORE_COMMIT, BEFORE_CALL, ANSWERED)
T = TypeVar("T")


class PossibleVerdict(NamedTuple):
    """A verdict that may be given now."""

    decision: AskedDecision
    decider: str
    word: str

    def __str__(self) -> str:
        return f"the {self.decider} says {self.word} to {self.decision}"


class ToCoordinator:
    """Replaces the notifier's `httpapi.client.Client`. `fails`: how the next call goes wrong."""

    def __init__(self, service: str, *, timeout: float) -> None:
        self.url, self.calls, self.fails = "http://here", 0, ""

    def post(self, *, path: str, body: Sequence[dict[str, str]]) -> ServiceResponse:
        """Raises Unreachable."""
        way, self.fails = self.fails, ""
        if way == REQUEST_LOST:
            raise Unreachable("no answer in time")
        orchestration.decided(steps=[(item["saga_id"], item["step"]) for item in body])
        if way:
            raise Unreachable("the answer was lost")
        return ServiceResponse(200, b"{}")


class Deciders:
    """All deciders of an environment."""

    def __init__(self, *, backend: Backend, desk: CardDesk) -> None:
        self._backend = backend
        self._injection = backend.injection
        self._limits = backend.limits
        self._desk = desk
        steps = backend.scenario.saga.steps[1:]
        self._people = {step.name: step.decided_by for step in steps if step.decided_by}
        self._paid = {step.name for step in steps if CARD_NETWORK in waits_for(step)}
        self._open: list[AskedDecision] = []
        self._asked: list[AskedDecision] = []
        self._blocked: set[object] = set()
        self._answered: dict[Key, str] = {}

    def clear(self) -> None:
        self._desk.network.clear()
        self._desk.is_at_once = self._backend.pattern == patterns.ORCHESTRATED
        self._blocked.clear()
        self._answered.clear()
        self._sweeps = {service: Overdue(service=service) for service in self._backend.deciding}
        self._tellers = {service: Teller(service=service) for service in self._backend.deciding}

    def progress(self) -> Iterator[Option]:
        """Reads the waiting decisions first."""
        if not self._backend.deciding:
            return
        if not self._injection.depth:
            self._blocked.clear()
        self._asked = self._backend.decisions()
        self._open = [decision for decision in self._asked if not decision.is_closed]
        if untold := self._untold():
            yield Option(PROGRESS, "{0} notifies of its decisions", self._tell, untold)
        if asking := self._asking():
            yield Option(PROGRESS, "the card network is called for {0}", self._ask_network, asking)
        if overdue := self._overdue():
            yield Option(PROGRESS, "{0} ends overdue decisions", self._sweep, overdue)
        if scripted := self._free(self._scripted()):
            yield Option(PROGRESS, "{0}", self._give, scripted)

    def faults(self) -> Iterator[Option]:
        """For the decisions that `progress` has read."""
        if not self._backend.deciding:
            return
        scripted = self._free(self._scripted())
        if scripted:
            yield from self._other_ends(scripted)
        if self._limits.left["late verdict"] and (late := self._free(self._late())):
            yield Option("late verdict", "{0}, too late", self._give_late, late)
        if self._limits.left["lost card"] and self._paid and not self._desk.network.loses:
            yield Option("lost card", "the card network's next {0} is lost", self._lose, LOSABLE)
        yield from self._crashes(scripted)
        yield from self._overlaps(scripted)

    def breaches_at_the_end(self) -> Iterator[str]:
        """Of confirmed decisions, and of money."""
        verdicts = {decision.key: decision.verdict for decision in self._backend.decisions()}
        for (saga_id, step), word in self._answered.items():
            if verdicts[saga_id, step] != word:
                verdict = verdicts[saga_id, step]
                yield f"{saga_id}: {word} to {step} was confirmed, and {verdict} counts"
        captured = self._desk.network.captured
        for (saga_id, step), times in captured.items():
            if times > 1:
                yield f"{saga_id}: {step} has taken money {times} times"
        for saga_id, step, direction in self._backend.effects():
            is_paid = step in self._paid and direction is Direction.DO
            if is_paid and not captured[saga_id, step]:
                yield f"{saga_id}: {step} was done, and no money was taken"
        for sweep in self._sweeps.values():
            yield from (complaint.what for complaint in sweep.complaints())

    # The possible actions

    def _free(self, found: Iterable[T]) -> list[T]:
        """The items that need not wait for an open transaction."""
        return [candidate for candidate in found if candidate not in self._blocked]

    def _untold(self) -> list[str]:
        return self._free(
            dict.fromkeys(decision.service for decision in self._asked if decision.is_untold)
        )

    def _overdue(self) -> list[str]:
        now = self._backend.now()
        return self._free(
            dict.fromkeys(decision.service for decision in self._open if decision.until <= now)
        )

    def _asking(self) -> list[AskedDecision]:
        return self._free(
            decision for decision in self._open if decision.decided_by == CARD_NETWORK
        )

    def _scripted(self) -> Iterator[PossibleVerdict]:
        """For each step that waits for a person, the verdict of the scenario."""
        refused = self._backend.scenario.refused
        for decision in self._open:
            if decision.decided_by == self._people.get(decision.step):
                is_no = (
                    refused.get(decision.saga_id) == decision.step
                    and decision.step not in self._paid
                )
                yield PossibleVerdict(decision, decision.decided_by, NO if is_no else YES)

    def _late(self) -> Iterator[PossibleVerdict]:
        for decision in self._asked:
            if decision.verdict and decision.step in self._people:
                yield from (
                    PossibleVerdict(decision, self._people[decision.step], word)
                    for word in (YES, NO)
                )

    def _other_ends(self, scripted: Sequence[PossibleVerdict]) -> Iterator[Option]:
        other = [verdict._replace(word=NO if verdict.word == YES else YES) for verdict in scripted]
        yield Option("other verdict", "{0}", self._give_otherwise, other)
        if self._limits.left["overdue"]:
            text = "time passes, and {0} is overdue"
            waiting = [verdict.decision for verdict in scripted]
            yield Option("overdue", text, self._let_pass, waiting)

    def _crashes(self, scripted: Sequence[PossibleVerdict]) -> Iterator[Option]:
        untold, overdue = self._untold(), self._overdue()
        if self._limits.left["call"] and untold:
            for way in (REQUEST_LOST, REPLY_LOST):
                lost = partial(self._tell_in_vain, way)
                yield Option(way, "{0} notifies of its decisions; " + way, lost, untold)
        for places, act, who in (
            (CRASHES_OF_DECISION, self._ask_network, self._asking()),
            (CRASHES_OF_DECISION, self._give, scripted),
            (CRASHES_OF_DECISION, self._sweep, overdue),
            (CRASHES_OF_TELLER, self._tell, untold),
        ):
            yield from self._backend.crashes("{0}: crashes at ", places, act, who)

    def _overlaps(self, scripted: Sequence[PossibleVerdict]) -> Iterator[Option]:
        if not self._backend.may_overlap:
            return
        for act, who in (
            (self._ask_network, self._asking()),
            (self._give, scripted),
            (self._sweep, self._overdue()),
        ):
            yield from self._backend.overlaps("{0}: is slow ", SLOW_DECISIONS, act, who)

    # The actions

    @contextmanager
    def _trying(self, who: object, *expected: type[Exception]) -> Iterator[None]:
        """A process may die in the block, or get an `expected` error; if it would have to wait for
        an open transaction, it is blocked until that has ended.
        """
        try:
            with suppress(Crashed, *expected):
                yield
        except WouldWait:
            self._blocked.add(who)

    def _give(self, verdict: PossibleVerdict) -> None:
        """Through the real decision code, which answers 409 if it is too late."""
        saga_id, step = verdict.decision.key
        given = GivenVerdict(saga_id=saga_id, step=step, word=verdict.word, by="eva")
        with self._trying(verdict, Problem):
            doors.give(service=verdict.decision.service, given=given, is_customer=True)
            self._answered[saga_id, step] = verdict.word

    def _give_otherwise(self, verdict: PossibleVerdict) -> None:
        self._limits.is_interfered = True
        self._give(verdict)

    def _give_late(self, verdict: PossibleVerdict) -> None:
        self._limits.spend("late verdict")
        self._give(verdict)

    def _let_pass(self, decision: AskedDecision) -> None:
        self._limits.spend("overdue")
        self._limits.is_interfered = True
        left = (decision.until - self._backend.now()).total_seconds()
        self._backend.passes(max(left, 0.0) + SLACK_SECONDS)

    def _ask_network(self, decision: AskedDecision) -> None:
        with self._trying(decision, Unreachable):
            self._desk.ask(key=decision.key)

    def _sweep(self, service: str) -> None:
        with self._trying(service):
            self._sweeps[service].sweep_once()

    def _tell(self, service: str) -> None:
        with self._trying(service, Unreachable):
            self._tellers[service].tell_once()

    def _tell_in_vain(self, way: str, service: str) -> None:
        self._limits.spend("call")
        client: Any = next(iter(self._tellers[service].clients.values()))
        client.fails = way
        self._tell(service)

    def _lose(self, what: str) -> None:
        self._limits.spend("lost card")
        self._desk.network.loses = what
