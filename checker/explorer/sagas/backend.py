"""Where an environment is played: how it begins, what time does to it, how it stands.

In memory (`memory`), or on PostgreSQL (`postgres`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

from django.conf import settings

from checker.explorer.injection import Clock, FaultInjection
from checker.explorer.sagas import rules
from checker.explorer.sagas.participants import Effect, Ledger, ScriptedParticipants, waits_for
from checker.explorer.sagas.rules import ObservedSaga, status_for_owner
from checker.explorer.sagas.scenarios import Limits, Scenario, context_of
from checker.explorer.scheduling import Option
from contracts import projection
from contracts.patterns import PATTERNS
from contracts.saga import Context, Direction, Saga
from contracts.states import FINAL, SagaStatus
from coordination.acceptance import first_event, is_own_start
from messaging import outbox
from participant.executing import execute
from saga_orchestrator.in_flight import Call


def deadline_seconds(saga: Saga) -> float:
    """A bit more than such a saga may take to pass its pivot."""
    return (settings.SAGA_SECONDS or saga.seconds) + 1.0


class Stage(NamedTuple):
    """What all environments of a process have in common."""

    clock: Clock
    injection: FaultInjection
    ledger: Ledger
    participants: ScriptedParticipants


@contextmanager
def patched(stand_ins: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Within the block each of these modules has, by this name, what stands in there."""
    with ExitStack() as stack:
        for module, name, stand_in in stand_ins:
            stack.enter_context(patch.object(module, name, stand_in))
        yield


class AskedDecision(NamedTuple):
    """What a step has asked, as its service has it. `is_untold`: it is closed, and a coordinator
    rests that does not know; `is_waiting`: the step's entry in the barrier waits.
    """

    saga_id: str
    step: str
    service: str
    action: str
    decided_by: str
    until: datetime
    verdict: str
    is_closed: bool
    is_untold: bool
    is_waiting: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.saga_id, self.step

    def __str__(self) -> str:
        return f"{self.step} of {self.saga_id}"


class Backend(ABC):
    """`can_overlap`: whether transactions may be open side by side. `services`: the participants,
    and the coordinator; `deciding`: those whose steps wait for a decision. `injection`: where a
    process crashes or stops; `limits`: how often what may go wrong still does. `silent`: the
    runners whose hearts do not beat.
    """

    can_overlap: bool

    def __init__(self, *, stage: Stage, scenario: Scenario, pattern: str) -> None:
        self.scenario = scenario
        self.pattern = pattern
        self.services = [*projection.services_of(scenario.saga), PATTERNS[pattern].coordinator]
        self.deciding = list(
            dict.fromkeys(step.service for step in scenario.saga.steps[1:] if waits_for(step))
        )
        self.injection = stage.injection
        self.limits = Limits()
        self.silent: set[int] = set()
        self._clock = stage.clock
        self._ledger = stage.ledger
        self._participants = stage.participants
        self._scarce_at = scenario.saga.step(scenario.scarce).service

    def begin(self) -> list[Context]:
        """As after the acceptance of all sagas, at the beginning of time; what they are about."""
        self._clock.reset()
        self.silent.clear()
        self.empty()
        self._participants.scenario = self.scenario
        self._ledger.set_units(service=self._scarce_at, units=self.scenario.units)
        return _accepted(participants=self._participants, pattern=self.pattern, now=self.now())

    def crashes(
        self, text: str, places: Sequence[str], act: Callable[[Any], None], who: Sequence[object]
    ) -> Iterator[Option]:
        """While one may still crash: at each of these places, as any of `who` acts. `text`: what
        is told before the place.
        """
        for at in places if self.limits.left["crash"] and who else ():
            yield Option("crash " + at, text + at, partial(self.crash, at, act), who)

    def crash(self, at: str, act: Callable[[Any], None], who: object) -> None:
        """It crashes where it comes to that place."""
        self.limits.spend("crash")
        with self.injection.crashing(at=at):
            act(who)

    @property
    def may_overlap(self) -> bool:
        """Whether one may be slow now, while others go on."""
        return self.can_overlap and self.limits.left["overlap"] > 0 and self.injection.depth < 2

    def overlaps(
        self,
        text: str,
        places: Sequence[str],
        act: Callable[[Any], None],
        who: Sequence[object],
        *,
        name: Callable[[Any], str] = str,
    ) -> Iterator[Option]:
        """As `crashes`, of those that are slow there. `name`: which process that is."""
        for at in places if self.may_overlap and who else ():
            yield Option("overlap", text + at, partial(self._slowly, at, act, name), who)

    def _slowly(
        self, at: str, act: Callable[[Any], None], name: Callable[[Any], str], who: object
    ) -> None:
        self.limits.spend("overlap")
        with self.injection.pausing(at=at, who=name(who)):
            act(who)

    @abstractmethod
    def empty(self) -> None:
        """No service has a row."""

    @abstractmethod
    def atomic(self, service: str) -> AbstractContextManager[None]: ...

    @abstractmethod
    def unsent(self) -> list[str]:
        """The services whose outboxes are not empty."""

    @abstractmethod
    def is_claimable(self, *, runner: int, in_flight: Sequence[str], but: Sequence[Call]) -> bool:
        """Whether this runner could claim a saga now."""

    @abstractmethod
    def seconds_until_due(self) -> float:
        """Until the next saga may be claimed."""

    @abstractmethod
    def runs(self) -> Mapping[str, str]:
        """How each saga stands for its coordinator."""

    @abstractmethod
    def dead_letters(self) -> list[str]:
        """Messages that no handler could handle, and sagas that no runner could run."""

    @abstractmethod
    def decisions(self) -> list[AskedDecision]:
        """All that was ever asked, of all services."""

    @abstractmethod
    def named_times(self) -> Collection[str]:
        """The sagas that their coordinator looks at again at a time that it has written down."""

    def forgotten(self) -> Iterator[str]:
        """Now that nothing moves: sagas that have not ended, are not parked, and wait until no
        named time.
        """
        named = self.named_times()
        for saga_id, status in self.runs().items():
            if status not in FINAL and status != SagaStatus.PARKED and saga_id not in named:
                yield f"{saga_id} rests, and no time is named to look at it"

    @abstractmethod
    def seconds_until_looked_at(self) -> float:
        """Until the watchdog looks at the next saga; 0 where it looks at none."""

    def now(self) -> datetime:
        return self._clock.now()

    def passes(self, seconds: float) -> None:
        self._clock.passes(seconds)

    def is_alive(self, runner: int) -> bool:
        return runner not in self.silent

    def fall_silent(self, runner: int) -> None:
        """Its lease is not renewed: any runner may claim its sagas."""
        self.silent.add(runner)

    def speak(self, runner: int) -> None:
        """Its lease is renewed (again)."""
        self.silent.discard(runner)

    def effects(self) -> Mapping[Effect, Sequence[float]]:
        return self._ledger.effects()

    def snapshots(self) -> Mapping[str, ObservedSaga]:
        effects, runs = self.effects(), self.runs()
        return {
            saga_id: ObservedSaga(
                status_for_owner(saga=self.scenario.saga, saga_id=saga_id, effects=effects),
                runs.get(saga_id, ""),
            )
            for saga_id in self.scenario.saga_ids
        }

    def breaches(self, *, may_return: bool) -> Iterator[str]:
        """What is broken once all is over."""
        decisions = self.decisions()
        yield from rules.undecided(decisions=decisions)
        yield from rules.decided(
            scenario=self.scenario, effects=self.effects(), words=self._ledger.words()
        )
        yield from rules.breaches(
            scenario=self.scenario,
            effects=self.effects(),
            units=self._ledger.units(service=self._scarce_at),
            snapshots=self.snapshots(),
            may_return=may_return,
        )

    def describe(self) -> str:
        """In a line: how each saga stands, and what took effect."""
        parts, effects = [], self.effects()
        for saga_id, snapshot in self.snapshots().items():
            done = [f"{direction} {step}" for of, step, direction in effects if of == saga_id]
            parts.append(f"{saga_id} {snapshot.owner}/{snapshot.run or '-'}: {', '.join(done)}")
        return "; ".join(parts)


def _accepted(*, participants: ScriptedParticipants, pattern: str, now: datetime) -> list[Context]:
    """Has their owner accept all sagas of the scenario, and say so if there is no orchestrator."""
    scenario = participants.scenario
    first = scenario.saga.steps[0]
    contexts = [
        context_of(scenario=scenario, saga_id=saga_id, pattern=pattern)
        for saga_id in scenario.saga_ids
    ]
    events = [
        first_event(context=context, now=now) for context in contexts if is_own_start(pattern)
    ]
    execute(
        operation=participants.operations[first.operation, Direction.DO],
        commands=[
            projection.command(step=first, direction=Direction.DO, context=context)
            for context in contexts
        ],
        in_same_transaction=lambda _: outbox.add(service=first.service, events=events),
    )
    return contexts
