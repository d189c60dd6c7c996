"""Which windows a comparison is made of, and in which order: all of it follows from the seed.

Patterns alternate in short windows on the same running stack, in blocks: each block has one window
of each pattern, in random order, and the same arrival times for all of them. So whatever changes
slowly (fuller tables, a warmer machine, a busy neighbour) meets all patterns alike.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from loadtests.schedule import Arrivals

BLOCKS = 4
"""Windows a pattern in each measured phase; with 4 and 4, complete separation by chance alone has
a probability of 2/70 (see verdicts.py)."""
WARM_UP_BURST_RATE = 400.0


class Phase(StrEnum):
    WARM_UP = "warm-up"
    LIGHT = "light"
    FULL = "full"
    FAILURES = "failures"


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How a window's checkouts are composed, as shares of them; the rest should complete."""

    declined: float = 0.0
    """Paid with a card that is refused: the reservation is undone (compensated)."""
    scarce: float = 0.0
    """Want the last unit of a product: all but one are refused at the reservation (failed)."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """One pattern under one load, for a few seconds. `rate` 0: found on the way (see ramp.py)."""

    number: int
    phase: Phase
    pattern: str
    arrivals: Arrivals
    rate: float
    seconds: float
    seed: int
    mix: Mix = Mix()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user asked for. `seconds`: timed seconds a pattern, warm-up apart."""

    patterns: Sequence[str]
    seconds: float
    rate: float
    declined: float
    scarce: float
    seed: int


def windows(settings: Settings) -> list[Window]:
    """All windows in the order in which they run."""
    chance = random.Random(settings.seed)  # noqa: S311 -- an order to repeat, no secret
    blocks = _blocks(settings)
    planned: list[Window] = []
    for phase, arrivals, rate, seconds, mix in blocks:
        seed = chance.randrange(2**31)
        for pattern in chance.sample(list(settings.patterns), len(settings.patterns)):
            planned.append(
                Window(
                    number=len(planned) + 1,
                    phase=phase,
                    pattern=pattern,
                    arrivals=arrivals,
                    rate=rate,
                    seconds=seconds,
                    seed=seed,
                    mix=mix,
                )
            )
    return planned


def _blocks(settings: Settings) -> list[tuple[Phase, Arrivals, float, float, Mix]]:
    """Of the timed seconds, 6 in 10 go to light load, 3 to full load, 1 to failures."""
    light = settings.seconds * 0.6 / BLOCKS
    full = settings.seconds * 0.3 / BLOCKS
    failing = Mix(declined=settings.declined, scarce=settings.scarce)
    return [
        (Phase.WARM_UP, Arrivals.POISSON, settings.rate, 2.0, Mix()),
        (Phase.WARM_UP, Arrivals.CONSTANT, WARM_UP_BURST_RATE, 2.0, Mix()),
        *[(Phase.LIGHT, Arrivals.POISSON, settings.rate, light, Mix())] * BLOCKS,
        *[(Phase.FULL, Arrivals.CONSTANT, 0.0, full, Mix())] * BLOCKS,
        (Phase.FAILURES, Arrivals.POISSON, settings.rate, settings.seconds * 0.1, failing),
    ]
