"""The environments by name: every scenario of every saga, in every pattern; and the parts, possible
events and invariants of an environment.

Time, chance and threads are replaced, so nothing happens by itself, in memory and with PostgreSQL;
all other code is real.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any
from unittest.mock import patch

from django.apps import apps

import coordination.decision_components
import coordination.decisions
import participant.decisions
from catalogue import SAGAS, services
from checker.explorer.injection import Clock, FaultInjection, NoChance
from checker.explorer.sagas.backend import Backend, Stage, patched
from checker.explorer.sagas.calls import Calls, CardDesk, ManualBulkheads
from checker.explorer.sagas.coordinators import (
    Choreographed,
    CoordinatorRun,
    Orchestrated,
)
from checker.explorer.sagas.deciding import Deciders, ToCoordinator
from checker.explorer.sagas.memory import MemoryBackend, Tables, stand_ins
from checker.explorer.sagas.messages import MessageScheduler
from checker.explorer.sagas.participants import CARD_NETWORK, ScriptedParticipants
from checker.explorer.sagas.rules import ACCEPTED, COMPLETED, Monotonicity, ObservedSaga
from checker.explorer.sagas.scenarios import scenarios_of
from checker.explorer.scheduling import PROGRESS, Environment, Option, Player
from contracts import events, patterns, projection
from contracts.patterns import PATTERNS
from contracts.states import FINAL
from coordination import participants as endpoints
from coordination.acceptance import is_own_start
from coordination.participants import Breaker
from messaging import failed, handlers, relay, wakeups
from messaging.brokers.memory import connect_memory, forget
from messaging.handlers import Reaction
from participant import failpoints
from saga_orchestrator import executor, in_flight, messages, worker

MOST_ASKED = 2
"""How often a user requests that a saga be undone: as an abort, a return, or too late."""
MOST_WAITS = 30


class SagaEnvironment:
    """A `scheduling.Environment`."""

    def __init__(
        self,
        *,
        backend: Backend,
        coordinator: CoordinatorRun,
        scheduler: MessageScheduler | None,
        deciders: Deciders,
    ) -> None:
        self.name = f"{backend.pattern}/{backend.scenario.saga.name}/{backend.scenario.name}"
        self.backend = backend
        self._injection = backend.injection
        self._limits = backend.limits
        self._coordinator = coordinator
        self._scheduler = scheduler
        self._deciders = deciders
        self._starts_itself = is_own_start(backend.pattern)

    def begin(self, player: Player) -> None:
        self._injection.clear()
        self._injection.player = player
        self._limits.clear()
        contexts = self.backend.begin()
        if self._scheduler:
            self._scheduler.clear()
        self._coordinator.clear()
        self._deciders.clear()
        self._accepted = contexts
        self._asks = dict.fromkeys(self.backend.scenario.saga_ids, MOST_ASKED)
        self._waits = 0
        self._is_over = False
        self._broken: list[str] = []
        self._monotonicity = Monotonicity()
        self._snapshots: Mapping[str, ObservedSaga] = self.backend.snapshots()

    def options(self) -> Iterator[Option]:
        if self._is_over:
            return
        is_at_rest = True
        for option in self._progress():
            is_at_rest = False
            yield option
        if is_at_rest and not self._injection.depth:
            yield self._at_rest()
        if self._scheduler:
            yield from self._scheduler.faults()
        yield from self._coordinator.faults()
        yield from self._deciders.faults()
        yield from self._interferences()

    def breaches(self) -> list[str]:
        found = self._broken + self.backend.dead_letters()
        self._snapshots = self.backend.snapshots()
        found += self._monotonicity.breaches(
            now=self._snapshots, may_return=self._limits.may_return
        )
        return found

    def breaches_at_the_end(self) -> list[str]:
        found = list(self.backend.breaches(may_return=self._limits.may_return))
        if self._scheduler:
            found += self._scheduler.breaches_at_the_end()
        found += self._promises_broken()
        found += self._deciders.breaches_at_the_end()
        completed = sum(snapshot.owner == COMPLETED for snapshot in self._snapshots.values())
        if not self._limits.is_interfered and completed not in self.backend.scenario.completing:
            found.append(f"{completed} completed, without interference")
        return found

    def _promises_broken(self) -> Iterator[str]:
        """A saga whose undoing was confirmed to a user must be undone in the end."""
        for saga_id in sorted(self._limits.promised):
            if self._snapshots[saga_id].owner == COMPLETED:
                yield f"{saga_id}: its undoing was confirmed, and it is completed"

    def describe(self) -> str:
        return self.backend.describe()

    def _at_rest(self) -> Option:
        if all(snapshot.run in FINAL for snapshot in self._snapshots.values()):
            return Option(PROGRESS, "nothing more happens", self._end)
        return Option(PROGRESS, "nothing moves, and time passes", self._wait)

    def _progress(self) -> Iterator[Option]:
        if self._scheduler:
            self._scheduler.look()
        if self._accepted and not self._starts_itself:
            yield Option(PROGRESS, "the owner hands its sagas over", self._hand_over)
        if self._scheduler:
            yield from self._scheduler.progress()
        yield from self._coordinator.progress()
        yield from self._deciders.progress()

    def _interferences(self) -> Iterator[Option]:
        if self._limits.left["crash"] and self._accepted:
            text = "the owner hands its sagas over, and the answer is lost"
            yield Option("reply lost", text, self._hand_over_in_doubt)
        if self._accepted and self._starts_itself:
            text = "the owner hands over early the sagas that have not ended"
            yield Option("net", text, self._hand_over_the_rest)
        snapshots = self._snapshots
        if asked := [
            saga_id for saga_id in snapshots if snapshots[saga_id].run and self._asks[saga_id]
        ]:
            yield Option("ask", "a user requests that {0} be undone", self._ask, asked)

    def _hand_over(self, _: object) -> None:
        accepted, self._accepted = self._accepted, []
        self._coordinator.start(accepted)

    def _hand_over_the_rest(self, _: object = None) -> None:
        """For sagas that start by themselves: hands over those that have not ended."""
        is_open = {saga_id for saga_id, known in self._snapshots.items() if known.owner == ACCEPTED}
        self._accepted = [context for context in self._accepted if context.saga_id in is_open]
        if self._accepted:
            self._hand_over(None)

    def _hand_over_in_doubt(self, _: object) -> None:
        """The sagas stay among those to be handed over."""
        self._limits.spend("crash")
        self._coordinator.start(self._accepted)

    def _wait(self, _: object) -> None:
        self._waits += 1
        self._broken += self.backend.forgotten()
        if self._starts_itself:
            self._hand_over_the_rest()
        self._broken += self._coordinator.wait(waits=self._waits)
        if self._waits > MOST_WAITS:
            self._broken.append("a saga never ends")

    def _end(self, _: object) -> None:
        self._is_over = True

    def _ask(self, saga_id: str) -> None:
        self._asks[saga_id] -= 1
        self._limits.is_interfered = True
        self._coordinator.ask(saga_id)


MONOTONIC = (executor, in_flight, worker, messages)
NOW = (failed, handlers, relay, messages)
CHANCE = (executor, endpoints)
MOST_AT_A_CALL = 1
"""So that a call is full with the few sagas of an environment."""


@contextmanager
def in_memory() -> Iterator[dict[str, Environment]]:
    """The environments by name; within the block all services are in memory. Once per process."""
    memory = Tables()
    participants = ScriptedParticipants(ledger=memory.ledger)
    stage = Stage(memory.clock, memory.injection, memory.ledger, participants)
    backend = partial(MemoryBackend, memory=memory)
    with patched(stand_ins(memory)), all_environments(stage, backend) as made:
        yield made


@contextmanager
def all_environments(
    stage: Stage, backend: Callable[..., Backend]
) -> Iterator[dict[str, Environment]]:
    """The environments on that stage, by name; within the block nothing happens by itself."""
    participants, injection = stage.participants, stage.injection
    calls = Calls(injection=injection, paths=participants.paths())
    desk = CardDesk(participants=participants, injection=injection)
    with ExitStack() as stack:
        stack.enter_context(patched(_stand_ins(stage.clock, injection, calls)))
        stack.enter_context(_deciding(participants, desk))
        made: dict[str, Environment] = {}
        for pattern in PATTERNS:
            for saga in SAGAS.values():
                stack.callback(forget, _broker(pattern, saga.name))
                for scenario in scenarios_of(saga):
                    played = backend(stage=stage, scenario=scenario, pattern=pattern)
                    environment = _environment(played, calls, participants, desk)
                    made[environment.name] = environment
        yield made


def _environment(
    backend: Backend, calls: Calls, participants: ScriptedParticipants, desk: CardDesk
) -> SagaEnvironment:
    scheduler = _scheduler(backend, participants)
    coordinator: CoordinatorRun
    if scheduler and backend.pattern == patterns.CHOREOGRAPHED:
        coordinator = Choreographed(backend=backend, scheduler=scheduler)
    else:
        coordinator = Orchestrated(backend=backend, calls=calls, scheduler=scheduler)
    deciders = Deciders(backend=backend, desk=desk)
    return SagaEnvironment(
        backend=backend, coordinator=coordinator, scheduler=scheduler, deciders=deciders
    )


def _scheduler(backend: Backend, participants: ScriptedParticipants) -> MessageScheduler | None:
    """The environments of a saga and a pattern share its queues; with calls there are none."""
    if backend.pattern == patterns.ORCHESTRATED:
        return None
    saga, coordinator = backend.scenario.saga, PATTERNS[backend.pattern].coordinator
    reactions: dict[str, list[Reaction]] = {
        service: participants.reactions(service=service) for service in projection.services_of(saga)
    }
    reactions[coordinator] = apps.get_app_config(coordinator).reactions()
    return MessageScheduler(
        backend=backend,
        broker=connect_memory(f"memory://{_broker(backend.pattern, saga.name)}"),
        reactions=reactions,
        watcher=coordinator if backend.pattern == patterns.CHOREOGRAPHED else "",
    )


def _broker(pattern: str, saga: str) -> str:
    return f"explorer-{pattern}-{saga}"


@contextmanager
def _deciding(participants: ScriptedParticipants, desk: CardDesk) -> Iterator[None]:
    """Within the block decisions use these participants' operations, and `desk` calls the card
    network for the steps that wait for it.
    """
    deciding = coordination.decisions.deciding
    systems = dict.fromkeys(services.BY_NAME, (CARD_NETWORK, desk.pursue))
    with (
        patch.object(coordination.decisions, "import_module", participants.module),
        patch.object(coordination.decision_components, "Client", ToCoordinator),
        patch.dict(participant.decisions._systems, systems),
    ):
        deciding.cache_clear()
        try:
            yield
        finally:
            deciding.cache_clear()


def _stand_ins(
    clock: Clock, injection: FaultInjection, calls: Calls
) -> Iterator[tuple[Any, str, Any]]:
    """Replaces the time by `clock`, calls by `calls`, and failpoints by `injection`."""
    for module in MONOTONIC:
        yield module, "time", clock
    for module in NOW:
        yield module, "datetime", clock
    for module in CHANCE:
        yield module, "random", NoChance()
    yield failpoints, "reach", injection.reached
    yield wakeups, "notify", lambda *, service, channel: None  # no worker sleeps
    yield endpoints, "Client", calls.client
    yield endpoints, "Breaker", partial(Breaker, clock=clock.monotonic)
    yield executor, "Bulkheads", ManualBulkheads
    yield in_flight, "MOST_AT_A_CALL", MOST_AT_A_CALL
    yield events, "event_id", cache(events.event_id)  # the same few, in every schedule
