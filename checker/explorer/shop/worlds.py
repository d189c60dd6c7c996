"""The worlds that there are, by name."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial

import saga_orchestrator.reactions
from checker.explorer.clock import Clock
from checker.explorer.scheduling import World
from checker.explorer.shop import choreographed, postgres_clock
from checker.explorer.shop.calls import Calls
from checker.explorer.shop.choreographed import Choreographed
from checker.explorer.shop.courier import Courier
from checker.explorer.shop.limits import Limits
from checker.explorer.shop.memory.installed import Memory, installed
from checker.explorer.shop.memory_shop import MemoryShop
from checker.explorer.shop.orchestrated import Orchestrated
from checker.explorer.shop.postgres_shop import PostgresShop
from checker.explorer.shop.scenarios import SCENARIOS
from checker.explorer.shop.shops import Shop
from checker.explorer.shop.steered import steered
from checker.explorer.shop.world import ShopWorld
from checker.explorer.striking import Strike
from contracts.statuses import Pattern
from messaging.brokers.memory import connect_memory, forget
from saga_orchestrator import sagalog


@contextmanager
def in_memory() -> Iterator[dict[str, World]]:
    """Within the block the shop lives in memory: its worlds, by name. One at a time a process."""
    memory = Memory()
    strike = Strike(memory.store.aside)
    memory.store.reached = strike.reached
    with (
        installed(memory),
        _worlds(memory.clock, strike, partial(MemoryShop, memory=memory)) as made,
    ):
        yield made


@contextmanager
def on_postgres() -> Iterator[dict[str, World]]:
    """The same worlds on the databases of the settings, which are emptied for each schedule."""
    clock = Clock()
    with (
        postgres_clock.installed(),
        _worlds(clock, Strike(nullcontext), partial(PostgresShop, clock=clock)) as made,
    ):
        yield made


@contextmanager
def _worlds(clock: Clock, strike: Strike, shop: Callable[..., Shop]) -> Iterator[dict[str, World]]:
    calls = Calls(strike=strike)
    brokers = {one: f"explorer-{one}" for one in Pattern}
    with ExitStack() as stack:
        for name in brokers.values():
            stack.callback(forget, name)
        stack.enter_context(steered(clock=clock, strike=strike, calls=calls))
        made = [
            _world(shop(scenario=scenario, pattern=pattern), strike, calls)
            for pattern in Pattern
            for scenario in SCENARIOS
        ]
        yield {one.name: one for one in made}


def _world(shop: Shop, strike: Strike, calls: Calls) -> ShopWorld:
    limits = Limits()
    courier = _courier(shop, strike, limits)
    coordinator: Choreographed | Orchestrated
    if courier and shop.pattern is Pattern.CHOREOGRAPHED:
        coordinator = Choreographed(shop=shop, limits=limits, courier=courier)
    else:
        coordinator = Orchestrated(
            shop=shop, limits=limits, strike=strike, calls=calls, courier=courier
        )
    return ShopWorld(
        shop=shop, strike=strike, limits=limits, coordinator=coordinator, courier=courier
    )


def _courier(shop: Shop, strike: Strike, limits: Limits) -> Courier | None:
    """The worlds of a pattern share its queues; what is conducted over HTTP has none."""
    if shop.pattern is Pattern.ORCHESTRATED:
        return None
    heard, watcher = choreographed.reactions(), choreographed.SERVICE
    if shop.pattern is Pattern.ORCHESTRATED_MESSAGING:
        del heard[watcher]
        heard[sagalog.ALIAS] = saga_orchestrator.reactions.REACTIONS
        watcher = ""
    return Courier(
        shop=shop,
        broker=connect_memory(f"memory://explorer-{shop.pattern}"),
        strike=strike,
        limits=limits,
        reactions=heard,
        watcher=watcher,
    )
