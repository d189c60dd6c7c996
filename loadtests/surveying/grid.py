"""The cells of a survey, and their order: both follow from the seed.

Each pair of steps and hop delay needs a stack of its own, so few pairs are measured. Some of these
lie between the others and are not fitted: they show the model's error between measurements. On each
stack the patterns get the same cells of load and refusals in blocks, as in load/plan.py.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from loadtests.load.windows import (
    WARM_UP_BURST_RATE,
    Arrivals,
    Load,
    Mix,
    Window,
    WindowPhase,
    in_blocks,
)

USUAL_SECONDS = 3.5
LEAST_CHECKOUTS = 60
"""A window at a low load is longer, to have about this many: at 10/s 1.7 times as long as usual."""
UPPER_SHARE = 0.6
"""Of what the slower pattern can do: the load that is added to those that are named."""
FULL_BLOCKS = 2
FURTHER = 3
"""Extra windows of full load, at most, for a pattern that kept up in the planned ones: each offers
30 % more than it kept up with, so together they reach more than twice the last planned load."""
MIDDLE_OF_REFUSALS, MIDDLE_SHARE = 0.5, 0.4
"""Of the held-out spots: between those that are fitted, like their other loads."""
VISITS = 2
"""Of each held-out spot. The machine's speed changes by some 10 % within minutes: a single visit is
no more precise than that, which is too little to judge a model by."""


@dataclass(frozen=True, kw_only=True)
class Spot:
    """The settings of a stack. `hop_ms`: the added one-way delay. `is_held_out`: its cells are not
    fitted, but show the model's error. `visit`: of several, each on a stack of its own, with the
    same cells."""

    steps: int
    hop_ms: float
    is_held_out: bool = False
    visit: int = 1

    @property
    def place(self) -> str:
        """The same for all visits."""
        return f"{self.steps}-steps-{self.hop_ms:g}-ms"

    @property
    def name(self) -> str:
        return self.place + (f"-visit-{self.visit}" if self.visit > 1 else "")

    @property
    def in_words(self) -> str:
        held_out = ", held out" if self.is_held_out else ""
        return f"{self.steps} steps, {self.hop_ms:g} ms per hop{held_out}"


FITTED = (
    Spot(steps=5, hop_ms=0),
    Spot(steps=8, hop_ms=50),
    Spot(steps=8, hop_ms=0),
    Spot(steps=5, hop_ms=50),
)
"""The corners; the held-out spots are between them."""
HELD_OUT = (
    Spot(steps=6, hop_ms=5, is_held_out=True),
    Spot(steps=7, hop_ms=20, is_held_out=True),
)


@dataclass(frozen=True, kw_only=True)
class SurveySettings:
    """The settings of a survey. `seconds`: of a window; `loads`: checkouts per second;
    `refusals`: shares of declined cards."""

    patterns: Sequence[str]
    spots: Sequence[Spot]
    loads: Sequence[float]
    refusals: Sequence[float]
    seconds: float
    seed: int


def visits(*, fitted: Sequence[Spot], held_out: Sequence[Spot]) -> list[Spot]:
    """The spots in the order of measurement: the held-out ones VISITS times, evenly spread among
    the others, so that a slow quarter of an hour affects both."""
    spread = [replace(spot, visit=1 + visit) for visit in range(VISITS) for spot in held_out]
    last = max(len(spread) - 1, 1)
    placed = [
        *[(place / last, spot) for place, spot in enumerate(spread)],
        *[((place + 0.5) / len(fitted), spot) for place, spot in enumerate(fitted)],
    ]
    return [spot for _, spot in sorted(placed, key=lambda each: each[0])]


def windows(*, settings: SurveySettings, spot: Spot) -> list[Window]:
    """The windows of one stack, in order: warm-up, full load, cells."""
    chance = random.Random(f"{settings.seed} {spot.name}")  # noqa: S311 -- an order to repeat
    cells = _between(settings) if spot.is_held_out else _cells(settings)
    chance.shuffle(cells)
    full = Load(phase=WindowPhase.FULL, arrivals=Arrivals.CONSTANT, seconds=settings.seconds)
    loads = [*_warm_up(settings), *[full] * FULL_BLOCKS, *cells]
    return in_blocks(loads=loads, patterns=settings.patterns, chance=chance)


def further(*, after: Sequence[Window], pattern: str) -> Window:
    """One more window of full load for one pattern, `after` all that were planned or added."""
    last = max(after, key=lambda window: window.number)
    (own, *_) = [
        window for window in after if (window.phase, window.pattern) == (WindowPhase.FULL, pattern)
    ]
    return replace(own, number=last.number + 1, block=last.block + 1)


def _cells(settings: SurveySettings) -> list[Load]:
    """Each load with the lowest share of refusals; every other load (from the highest down) also
    with each further share."""
    least, *further = sorted(settings.refusals)
    loads = _loads(settings, sorted(settings.loads), UPPER_SHARE)
    return [
        *[_refusing(load, least) for load in loads],
        *[_refusing(load, share) for share in further for load in loads[::-2]],
    ]


def _between(settings: SurveySettings) -> list[Load]:
    """Loads and shares of refusals between those that are fitted."""
    rates = sorted(settings.loads)
    middles = [sqrt(low * high) for low, high in itertools.pairwise(rates)] or rates
    loads = _loads(settings, [float(round(middle)) for middle in middles], MIDDLE_SHARE)
    least, most = min(settings.refusals), max(settings.refusals)
    middle = least + (most - least) * MIDDLE_OF_REFUSALS
    mixed = [_refusing(load, middle) for load in loads[::-2]] if most > least else []
    return [*[_refusing(load, least) for load in loads], *mixed]


def _loads(settings: SurveySettings, rates: Sequence[float], share: float) -> list[Load]:
    """These, and a share of what the slower pattern can do. Windows at a low load are longer, by a
    factor that does not depend on `settings.seconds`."""
    usual = Load(phase=WindowPhase.CELL, seconds=settings.seconds)
    enough = [max(LEAST_CHECKOUTS / rate / USUAL_SECONDS, 1.0) for rate in rates]
    return [
        *[
            replace(usual, rate=rate, seconds=settings.seconds * longer)
            for rate, longer in zip(rates, enough, strict=True)
        ],
        replace(usual, share=share),
    ]


def _refusing(load: Load, refusals: float) -> Load:
    return replace(load, mix=Mix(declined=refusals))


def _warm_up(settings: SurveySettings) -> list[Load]:
    rate, seconds = max(min(settings.loads), 25.0), min(settings.seconds, 2.0)
    usual = Load(phase=WindowPhase.WARM_UP, rate=rate, seconds=seconds)
    return [usual, replace(usual, arrivals=Arrivals.CONSTANT, rate=WARM_UP_BURST_RATE)]
