"""Where a world is played: how it begins, what time does to it, how it stands. Here in memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from django.conf import settings

from checker.explorer.sagas import rules
from checker.explorer.sagas.memory.installed import Memory
from checker.explorer.sagas.participants import Effect, Participants
from checker.explorer.sagas.rules import Standing, standing_for_owner
from checker.explorer.sagas.scenarios import SLACK_SECONDS, Scenario, context_of
from contracts import patterns, projection
from contracts.context import Context
from contracts.patterns import PATTERNS
from contracts.saga import Direction, Saga
from coordination.acceptance import first_event, is_own_start
from messaging import outbox
from participant.performing import perform
from saga_orchestrator.store import Call

COORDINATORS = tuple(dict.fromkeys(one.coordinator for one in PATTERNS.values()))


def deadline_seconds(saga: Saga) -> float:
    """A bit more than such a saga may take to pass its pivot."""
    return (settings.SAGA_SECONDS or saga.seconds) + 1.0


class Stage(Protocol):
    """In memory, or on PostgreSQL: the same calls. `can_overlap`: whether transactions may be open
    side by side.
    """

    can_overlap: bool
    scenario: Scenario
    pattern: str

    def begin(self) -> list[Context]: ...
    def atomic(self, service: str) -> AbstractContextManager[None]: ...
    def now(self) -> datetime: ...
    def unsent(self) -> list[str]: ...
    def passes(self, seconds: float) -> None: ...
    def is_claimable(self, *, runner: int, in_hand: Sequence[str], but: Sequence[Call]) -> bool: ...
    def seconds_until_due(self) -> float: ...
    def is_alive(self, runner: int) -> bool: ...
    def fall_silent(self, runner: int) -> None: ...
    def speak(self, runner: int) -> None: ...
    def standings(self) -> Mapping[str, Standing]: ...
    def set_aside(self) -> list[str]: ...
    def breaches(self, *, may_return: bool) -> Iterator[str]: ...
    def describe(self) -> str: ...


class MemoryStage:
    """A `Stage`, on tables in memory."""

    can_overlap = True

    def __init__(
        self, *, memory: Memory, participants: Participants, scenario: Scenario, pattern: str
    ) -> None:
        self.memory = memory
        self.participants = participants
        self.scenario = scenario
        self.pattern = pattern
        services = [*projection.services_of(scenario.saga), PATTERNS[pattern].coordinator]
        self._outboxes = {one: memory.store.table("outbox." + one) for one in services}
        is_choreographed = pattern == patterns.CHOREOGRAPHED
        self._runs = memory.trail.sagas if is_choreographed else memory.sagalog.sagas

    def begin(self) -> list[Context]:
        """As after the acceptance of all sagas, at the beginning of time; what they are about."""
        self.memory.clear()
        self.participants.scenario = self.scenario
        service = self.scenario.saga.step(self.scenario.scarce).service
        self.memory.ledger.set_units(service=service, units=self.scenario.units)
        return accepted(participants=self.participants, pattern=self.pattern, now=self.now())

    def atomic(self, service: str) -> AbstractContextManager[None]:
        return self.memory.store.atomic(using=service)

    def now(self) -> datetime:
        return self.memory.clock.now()

    def unsent(self) -> list[str]:
        """The services whose outboxes are not empty."""
        return [service for service, table in self._outboxes.items() if table]

    def passes(self, seconds: float) -> None:
        self.memory.clock.passes(seconds)

    def is_claimable(self, *, runner: int, in_hand: Sequence[str], but: Sequence[Call]) -> bool:
        """Whether this runner could claim a saga now."""
        return bool(self.memory.sagalog.due(runner_id=runner, in_hand=in_hand, but=but))

    def seconds_until_due(self) -> float:
        """Until the next saga may be claimed."""
        rows = self.memory.sagalog.sagas.values()
        dues = [one.next_attempt_at for one in rows if one.next_attempt_at is not None]
        return SLACK_SECONDS + max(0.0, min(dues, default=0.0) - self.memory.clock.seconds)

    def is_alive(self, runner: int) -> bool:
        return runner not in self.memory.sagalog.silent

    def fall_silent(self, runner: int) -> None:
        """Its heart does not beat, and its sagas are anybody's."""
        self.memory.sagalog.silent.add(runner)

    def speak(self, runner: int) -> None:
        """Its heart beats (again)."""
        self.memory.sagalog.silent.discard(runner)

    def standings(self) -> Mapping[str, Standing]:
        runs = {saga_id: row.status for saga_id, row in self._runs.items()}
        return standings(scenario=self.scenario, effects=self.effects(), runs=runs)

    def effects(self) -> Mapping[Effect, Sequence[float]]:
        return self.memory.ledger.effects()

    def set_aside(self) -> list[str]:
        """Messages that no handler could handle, and sagas that no runner could run."""
        return list(self.memory.parked.table.values())

    def breaches(self, *, may_return: bool) -> Iterator[str]:
        """What is broken once all is over."""
        service = self.scenario.saga.step(self.scenario.scarce).service
        yield from rules.breaches(
            scenario=self.scenario,
            effects=self.effects(),
            units=self.memory.ledger.units(service=service),
            standings=self.standings(),
            may_return=may_return,
        )

    def describe(self) -> str:
        return described(effects=self.effects(), standings=self.standings())


def accepted(*, participants: Participants, pattern: str, now: datetime) -> list[Context]:
    """Has their owner accept all sagas of the scenario; where nobody conducts, it says so."""
    scenario = participants.scenario
    first = scenario.saga.steps[0]
    contexts = [
        context_of(scenario=scenario, saga_id=one, pattern=pattern) for one in scenario.saga_ids
    ]
    said = [first_event(context=one, now=now) for one in contexts if is_own_start(pattern)]
    perform(
        operation=participants.operations[first.operation, Direction.DO],
        commands=[
            projection.command(step=first, direction=Direction.DO, context=one) for one in contexts
        ],
        also=lambda _: outbox.add(service=first.service, said=said),
    )
    return contexts


def standings(
    *, scenario: Scenario, effects: Mapping[Effect, object], runs: Mapping[str, str]
) -> dict[str, Standing]:
    """How each saga stands."""
    return {
        one: Standing(
            standing_for_owner(saga=scenario.saga, saga_id=one, effects=effects), runs.get(one, "")
        )
        for one in scenario.saga_ids
    }


def described(*, effects: Mapping[Effect, object], standings: Mapping[str, Standing]) -> str:
    """In a line: how each saga stands, and what took effect."""
    parts = []
    for saga_id, standing in standings.items():
        done = [f"{direction} {step}" for of, step, direction in effects if of == saga_id]
        parts.append(f"{saga_id} {standing.owner}/{standing.run or '-'}: {', '.join(done)}")
    return "; ".join(parts)
