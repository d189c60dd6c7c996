"""An environment's state and clock: in memory (`memory`), or on PostgreSQL (`postgres`)."""

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
    """A bit more than the saga's deadline for its pivot."""
    return (settings.SAGA_SECONDS or saga.seconds) + 1.0


class Stage(NamedTuple):
    """Shared by all environments of a process."""

    clock: Clock
    injection: FaultInjection
    ledger: Ledger
    participants: ScriptedParticipants


@contextmanager
def patched(stand_ins: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Within the block each (module, name, replacement) is in place."""
    with ExitStack() as stack:
        for module, name, stand_in in stand_ins:
            stack.enter_context(patch.object(module, name, stand_in))
        yield


class AskedDecision(NamedTuple):
    """A decision that a step waits for, from its service's table. `is_untold`: it is closed, and a
    waiting coordinator was not notified; `is_waiting`: the step's entry in the barrier waits.
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
    and the coordinator; `deciding`: the services whose steps wait for a decision. `limits`: how
    many faults of each kind are left. `silent`: the runners without a heartbeat.
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
        """Resets everything to the moment after the acceptance of all sagas; their contexts."""
        self._clock.reset()
        self.silent.clear()
        self.empty()
        self._participants.scenario = self.scenario
        self._ledger.set_units(service=self._scarce_at, units=self.scenario.units)
        return _accepted(participants=self._participants, pattern=self.pattern, now=self.now())

    def crashes(
        self, text: str, places: Sequence[str], act: Callable[[Any], None], who: Sequence[object]
    ) -> Iterator[Option]:
        """If a crash is left: at each of these places, in the action of any of `who`. `text`: put
        before the place.
        """
        for at in places if self.limits.left["crash"] and who else ():
            yield Option("crash " + at, text + at, partial(self.crash, at, act), who)

    def crash(self, at: str, act: Callable[[Any], None], who: object) -> None:
        """Acts, and crashes at that place."""
        self.limits.spend("crash")
        with self.injection.crashing(at=at):
            act(who)

    @property
    def may_overlap(self) -> bool:
        """Whether a transaction may be slow now, while others go on."""
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
        """As `crashes`, for an action that is slow at the place. `name`: of its process."""
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
        """Deletes the rows of all services."""

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
        """Seconds until the next saga may be claimed."""

    @abstractmethod
    def runs(self) -> Mapping[str, str]:
        """The status of each saga at its coordinator."""

    @abstractmethod
    def dead_letters(self) -> list[str]:
        """Messages that could not be handled, and sagas that no runner could run."""

    @abstractmethod
    def decisions(self) -> list[AskedDecision]:
        """All decisions that steps have waited for, of all services."""

    @abstractmethod
    def named_times(self) -> Collection[str]:
        """The sagas for which their coordinator has stored a time to look at them again."""

    def forgotten(self) -> Iterator[str]:
        """When nothing moves: open sagas that are not parked, and have no stored time."""
        named = self.named_times()
        for saga_id, status in self.runs().items():
            if status not in FINAL and status != SagaStatus.PARKED and saga_id not in named:
                yield f"{saga_id} waits, and no time is stored to look at it"

    @abstractmethod
    def seconds_until_looked_at(self) -> float:
        """Seconds until the watchdog looks at the next saga; 0 if there is none."""

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
        """The breaches at the end."""
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
        """In a line: the status and the effects of each saga."""
        parts, effects = [], self.effects()
        for saga_id, snapshot in self.snapshots().items():
            done = [f"{direction} {step}" for of, step, direction in effects if of == saga_id]
            parts.append(f"{saga_id} {snapshot.owner}/{snapshot.run or '-'}: {', '.join(done)}")
        return "; ".join(parts)


def _accepted(*, participants: ScriptedParticipants, pattern: str, now: datetime) -> list[Context]:
    """Has the owner accept all sagas of the scenario; choreographed, it publishes their start."""
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
