"""The worlds that there are, by name: every scenario of every saga, in every pattern.

They are taken out of the hands of time, chance and threads: nothing happens by itself. This applies
with PostgreSQL as well as in memory; the code above stays the real thing.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any
from unittest.mock import patch

import coordination.decisions
import participant.decisions
import saga_choreography.reactions
import saga_orchestrator.reactions
from checker.explorer.sagas.calls import Calls, StandingBulkheads
from checker.explorer.sagas.coordinators import Choreographed, Coordinator, Orchestrated
from checker.explorer.sagas.courier import Courier
from checker.explorer.sagas.deciding import Deciders, ToCoordinator
from checker.explorer.sagas.memory import Memory, MemoryStage, installed
from checker.explorer.sagas.network import Desk
from checker.explorer.sagas.participants import CARD_NETWORK, Participants
from checker.explorer.sagas.scenarios import scenarios_of
from checker.explorer.sagas.stage import Stage
from checker.explorer.sagas.world import SagaWorld
from checker.explorer.scheduling import World
from checker.explorer.steering import Clock, NoChance, Strike
from contracts import events, patterns, projection, services
from contracts.catalogue import SAGAS
from contracts.patterns import PATTERNS
from messaging import parking, reactions, relay, wakeups
from messaging.brokers.memory import connect_memory, forget
from messaging.reactions import Reaction
from participant import failpoints
from saga_orchestrator import executor, in_flight, messages, worker
from saga_orchestrator import participants as endpoints
from saga_orchestrator.participants import Breaker

MONOTONIC = (executor, in_flight, worker, messages)
NOW = (reactions, parking, relay, messages)
CHANCE = (executor, endpoints)
MOST_AT_A_CALL = 1
"""With few sagas in a world this is what makes a call crowded."""


@contextmanager
def in_memory() -> Iterator[dict[str, World]]:
    """Within the block all services live in memory: the worlds, by name. One a process."""
    memory = Memory()
    participants = Participants(ledger=memory.ledger)
    stage = partial(MemoryStage, memory=memory, participants=participants)
    with (
        installed(memory),
        all_worlds(memory.clock, memory.strike, participants, stage) as made,
    ):
        yield made


@contextmanager
def all_worlds(
    clock: Clock, strike: Strike, participants: Participants, stage: Callable[..., Stage]
) -> Iterator[dict[str, World]]:
    """Within the block nothing happens by itself: the worlds on such stages, by name."""
    calls = Calls(strike=strike, paths=participants.paths())
    desk = Desk(participants=participants, strike=strike)
    with ExitStack() as stack:
        stack.enter_context(_steered(clock=clock, strike=strike, calls=calls))
        stack.enter_context(_deciding(participants, desk))
        made: dict[str, World] = {}
        for pattern in PATTERNS:
            for saga in SAGAS.values():
                stack.callback(forget, _broker(pattern, saga.name))
                for scenario in scenarios_of(saga):
                    world = _world(
                        stage(scenario=scenario, pattern=pattern), calls, participants, desk
                    )
                    made[world.name] = world
        yield made


def _world(stage: Stage, calls: Calls, participants: Participants, desk: Desk) -> SagaWorld:
    courier = _courier(stage, participants)
    coordinator: Coordinator
    if courier and stage.pattern == patterns.CHOREOGRAPHED:
        coordinator = Choreographed(stage=stage, courier=courier)
    else:
        coordinator = Orchestrated(stage=stage, calls=calls, courier=courier)
    deciders = Deciders(stage=stage, desk=desk)
    return SagaWorld(stage=stage, coordinator=coordinator, courier=courier, deciders=deciders)


def _courier(stage: Stage, participants: Participants) -> Courier | None:
    """The worlds of a saga and a pattern share its queues; what is called over HTTP has none."""
    if stage.pattern == patterns.ORCHESTRATED:
        return None
    saga, coordinator = stage.scenario.saga, PATTERNS[stage.pattern].coordinator
    heard: dict[str, list[Reaction]] = {
        service: participants.reactions(service=service) for service in projection.services_of(saga)
    }
    is_choreographed = stage.pattern == patterns.CHOREOGRAPHED
    module = saga_choreography if is_choreographed else saga_orchestrator
    heard[coordinator] = module.reactions.REACTIONS
    return Courier(
        stage=stage,
        broker=connect_memory(f"memory://{_broker(stage.pattern, saga.name)}"),
        reactions=heard,
        watcher=coordinator if is_choreographed else "",
    )


def _broker(pattern: str, saga: str) -> str:
    return f"explorer-{pattern}-{saga}"


@contextmanager
def _steered(*, clock: Clock, strike: Strike, calls: Calls) -> Iterator[None]:
    """Within the block time passes by `clock`, calls go by `calls`, and `strike` knows who is
    where.
    """
    with ExitStack() as stack:
        for module, name, stand_in in _stand_ins(clock, strike, calls):
            stack.enter_context(patch.object(module, name, stand_in))
        yield


@contextmanager
def _deciding(participants: Participants, desk: Desk) -> Iterator[None]:
    """Within the block the doors find these participants' operations, and the card network is asked
    by `desk` for whatever waits for it.
    """
    deciding = coordination.decisions.deciding
    systems = dict.fromkeys(services.BY_NAME, (CARD_NETWORK, desk.pursue))
    with (
        patch.object(coordination.decisions, "import_module", participants.module),
        patch.object(coordination.decisions, "Client", ToCoordinator),
        patch.dict(participant.decisions._systems, systems),
    ):
        deciding.cache_clear()
        try:
            yield
        finally:
            deciding.cache_clear()


def _stand_ins(clock: Clock, strike: Strike, calls: Calls) -> Iterator[tuple[Any, str, Any]]:
    for module in MONOTONIC:
        yield module, "time", clock
    for module in NOW:
        yield module, "datetime", clock
    for module in CHANCE:
        yield module, "random", NoChance()
    yield failpoints, "reach", strike.reached
    yield wakeups, "notify", lambda *, service, channel: None  # nobody sleeps
    yield endpoints, "Client", calls.client
    yield endpoints, "Breaker", partial(Breaker, clock=clock.monotonic)
    yield executor, "Bulkheads", StandingBulkheads
    yield in_flight, "MOST_AT_A_CALL", MOST_AT_A_CALL
    yield events, "event_id", cache(events.event_id)  # the same few, in every schedule
