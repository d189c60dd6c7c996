"""Takes the sagas out of the hands of time, chance and threads: nothing happens by itself.

Applies with PostgreSQL as well as in memory; the code above stays the real thing.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any
from unittest.mock import patch

from checker.explorer.clock import Clock, NoChance
from checker.explorer.sagas.calls import Calls, Standing
from checker.explorer.striking import Strike
from contracts import events
from messaging import doorbell, parking, reactions, relay
from participant import points
from saga_orchestrator import executor, in_flight, messages, participants, worker
from saga_orchestrator.participants import Breaker

MONOTONIC = (executor, in_flight, worker, messages, messages)
NOW = (reactions, parking, relay, messages)
CHANCE = (executor, participants)
MOST_AT_A_CALL = 1
"""With few sagas in a world this is what makes a call crowded."""


@contextmanager
def steered(*, clock: Clock, strike: Strike, calls: Calls) -> Iterator[None]:
    """Within the block time passes by `clock`, calls go by `calls`, and `strike` knows who is
    where.
    """
    with ExitStack() as stack:
        for module, name, stand_in in _stand_ins(clock, strike, calls):
            stack.enter_context(patch.object(module, name, stand_in))
        yield


def _stand_ins(clock: Clock, strike: Strike, calls: Calls) -> Iterator[tuple[Any, str, Any]]:
    for module in MONOTONIC:
        yield module, "time", clock
    for module in NOW:
        yield module, "datetime", clock
    for module in CHANCE:
        yield module, "random", NoChance()
    yield points, "reach", strike.reached
    yield doorbell, "ring", _nobody_sleeps
    yield participants, "Client", calls.client
    yield participants, "Breaker", partial(Breaker, clock=clock.monotonic)
    yield executor, "Lanes", Standing
    yield in_flight, "MOST_AT_A_CALL", MOST_AT_A_CALL
    yield events, "event_id", cache(events.event_id)  # the same few, in every schedule


def _nobody_sleeps(*, service: str, channel: str) -> None:
    pass
